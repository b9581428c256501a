use insta::assert_snapshot;

use super::*;
use crate::model::cluster::Cluster;
use crate::model::site::Site;

fn plain(diagnostics: &[Diagnostic], source: &Source) -> String {
    diagnostics.iter().map(|d| d.plain(source)).collect::<Vec<_>>().join("\n")
}

fn site(text: &str) -> Result<Site, String> {
    let source = Source::new("cluster-config.yaml", text);
    load_site(&source).map_err(|all| plain(&all, &source))
}

fn cluster(name: &str, text: &str) -> Result<Cluster, String> {
    let source = Source::new(format!("clusters/{name}.yaml"), text);
    load_cluster(&source).map_err(|all| plain(&all, &source))
}

const SMALLEST: &str = "cluster: {name: lab.example, nodes: [{name: pve1}]}\ncredentials: {pass_path: a/b}\n";
const PROD: &str = include_str!("../../../clusters/prod.yaml");

fn shipped_site() -> Site {
    site(include_str!("../../../cluster-config.yaml")).unwrap()
}

#[test]
fn the_smallest_site_has_all_defaults() {
    let json = serde_json::to_string_pretty(&site(SMALLEST).unwrap()).unwrap();
    assert_snapshot!(json, @r#"
    {
      "cluster": {
        "name": "lab.example",
        "nodes": [
          {
            "name": "pve1",
            "host": "pve1.lab.example",
            "port": 8006,
            "fingerprint": null
          }
        ],
        "tls": {
          "ca_file": null,
          "insecure": false
        },
        "api": {
          "timeout": 30000,
          "per_node": 2
        }
      },
      "credentials": {
        "token": "pass:a/b",
        "user": null,
        "password": null,
        "ssh_user": "root",
        "ssh_config": null
      },
      "defaults": {
        "storage": "local-lvm",
        "network_bridge": "vmbr0",
        "bios": "ovmf",
        "machine": "q35",
        "cpu": "host",
        "scsi_controller": "virtio-scsi-pci",
        "efidisk_pre_enrolled_keys": false,
        "guest_agent": true
      },
      "vmid_ranges": {
        "templates": null,
        "vms": null
      },
      "tags": {
        "templates": [],
        "talos": [],
        "cloudinit": []
      },
      "cloudinit": {
        "default_user": null,
        "ssh_keys_source": null,
        "vendor_snippet_path": null
      },
      "talos": {
        "default_extensions": [],
        "factory_base_url": "https://factory.talos.dev",
        "default_kubernetes_version": null,
        "interface_name": null,
        "tools": {
          "talosctl": {
            "*": "talosctl"
          },
          "kubectl": "kubectl",
          "flux": "flux"
        }
      },
      "ansible": null,
      "taskfile": null,
      "placement": {
        "host_reserve": 4294967296,
        "keep_free": 15.0,
        "cpu_overcommit": 4.0,
        "max_out": 2,
        "max_in_per_node": 1
      },
      "policy": {
        "protect": {
          "vmids": [],
          "tags": []
        },
        "max_destroyed": 6,
        "windows": [],
        "quorum_groups": []
      },
      "notify": [],
      "metrics": {
        "textfile_dir": null
      },
      "netbox": null
    }
    "#);
}

#[test]
fn every_key_of_the_design_is_read() {
    let site = site(include_str!("../../../tests/data/load/config-site.yaml")).unwrap();
    let json = serde_json::to_value(&site).unwrap();
    let shown: Vec<String> =
        ["/cluster/nodes", "/credentials", "/vmid_ranges", "/talos/tools", "/notify", "/netbox", "/placement"]
            .iter()
            .map(|pointer| format!("{pointer} {}", json.pointer(pointer).unwrap()))
            .collect();
    assert_snapshot!(shown.join("\n"), @r#"
    /cluster/nodes [{"name":"pve1","host":"pve1.lab.example","port":8006,"fingerprint":"AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA"},{"name":"pve2","host":"127.0.0.2","port":8006,"fingerprint":null}]
    /credentials {"token":"pass:lab.example/pve/api-token","user":null,"password":null,"ssh_user":"root","ssh_config":"~/.ssh/config"}
    /vmid_ranges {"templates":{"first":100,"last":999},"vms":{"first":1000,"last":9999}}
    /talos/tools {"talosctl":{"1.11":"~/bin/talosctl-1.11","1.12":"talosctl"},"kubectl":"kubectl","flux":"flux"}
    /notify [{"to":{"ntfy":{"url":"https://ntfy.example/ops","token":null,"priority":{}}},"on":["waiting","failed"],"ca_file":null,"fingerprint":null}]
    /netbox {"url":"https://netbox.example","token":"env:NETBOX_TOKEN","cluster":"lab.example","ca_file":null}
    /placement {"host_reserve":4294967296,"keep_free":15.0,"cpu_overcommit":4.0,"max_out":2,"max_in_per_node":1}
    "#);
    let prod = cluster("prod", include_str!("../../../tests/data/load/config-prod.yaml")).unwrap();
    assert_snapshot!(serde_json::to_string(&prod).unwrap(), @r#"{"name":"prod","type":"talos","template":{"vmid":9000},"tags":["talos","kubernetes","prod"],"nodes":{"controlplane":{"count":3,"name_prefix":"cp","cores":4,"memory":8589934592,"disk":107374182400,"start_vmid":1051,"placement":"spread","assignments":[{"name":"cp1","node":"pve1","vmid":1051,"ip":"10.0.0.51/24","mac":"02:54:00:00:10:51"}]},"workers":{"count":3,"name_prefix":"w","cores":4,"memory":8589934592,"disk":107374182400,"start_vmid":1061,"placement":"spread","assignments":[]}},"talos":{"version":"1.11.2","kubernetes_version":"1.34.1","config_dir":"~/talos/prod","secrets_file":"secrets.yaml","patches_dir":"patches","factory":{"schematic_id":"abababababababababababababababababababababababababababababababab","extensions":["siderolabs/qemu-guest-agent"]},"vip":{"interface":"eth0","ip":"10.0.0.50"}},"network":{"api_endpoint":"10.0.0.50","gateway":"10.0.0.1","pod_cidr":"10.244.0.0/16","service_cidr":"10.96.0.0/12","nameservers":["10.0.0.1"]},"flux":{"repo":"ssh://git@git.example/fleet.git","path":"clusters/prod","branch":"main"}}"#);
}

#[test]
fn what_is_shipped_is_valid_and_without_clashes() {
    let site = shipped_site();
    let prod = cluster("prod", PROD).unwrap();
    assert_eq!(check_profiles(&site, std::slice::from_ref(&prod)), []);
    let members: Vec<String> = prod
        .nodes
        .controlplane
        .iter()
        .chain(&prod.nodes.workers)
        .flat_map(|g| g.members())
        .map(|m| format!("{} {} {}", m.name, m.vmid.unwrap(), m.node.unwrap()))
        .collect();
    assert_eq!(
        members.join(", "),
        "cp1 1051 pve1, cp2 1052 pve2, cp3 1053 pve3, w1 1061 pve1, w2 1062 pve2, w3 1063 pve3"
    );
}

#[test]
fn expressions_see_the_files_names_and_no_credentials() {
    let scope = scope_of(&shipped_site(), Some(&cluster("prod", PROD).unwrap()));
    assert_eq!(scope["cluster"]["talos"]["config_dir"], "~/talos/prod");
    assert_eq!(scope["config"]["placement"]["host_reserve"], 4_u64 << 30);
    assert!(scope["config"].get("credentials").is_none());
    let known =
        |map: &serde_json::Value, names: &[&str]| map.as_object().unwrap().keys().all(|k| names.contains(&k.as_str()));
    assert!(known(&scope["config"], &names::CONFIG) && known(&scope["cluster"], &names::CLUSTER));
}

#[test]
fn broken_sites() {
    assert_snapshot!(site("cluster: {name: lab, nodes: []}\n").unwrap_err(), @r"
    error RB007 cluster-config.yaml:1:1: the configuration needs the key `credentials`
       1 | cluster: {name: lab, nodes: []}
         | ^
      help: credentials: how to log in: references, never the secrets

    error RB007 cluster-config.yaml:1:29: at least one node is needed
       1 | cluster: {name: lab, nodes: []}
         |                             ^
      help: nodes: [{name: pve1}]
    ");
    assert_snapshot!(site("cluster:\n  name: lab.example\n  nodes:\n    - {name: pve1, host: 'pve1:0', fingerprint: AB}\n    - {name: pve1, hosts: a}\n  api: {timeout: 30, per_node: 0}\ncredentials: {token: hunter2, user: ops, password: pass:a}\nvmid_range: {}\n").unwrap_err(), @r"
    error RB008 cluster-config.yaml:4:26: expected a host, or host:port in quotes, but `pve1:0` stands here
       4 |     - {name: pve1, host: 'pve1:0', fingerprint: AB}
         |                          ^^^^^^^^

    error RB008 cluster-config.yaml:4:49: expected a SHA-256 fingerprint: 32 pairs of hexadecimal digits with colons, but `AB` stands here
       4 |     - {name: pve1, host: 'pve1:0', fingerprint: AB}
         |                                                 ^^

    error RB050 cluster-config.yaml:5:14: two nodes have the name `pve1`
       5 |     - {name: pve1, hosts: a}
         |              ^^^^
       4 |     - {name: pve1, host: 'pve1:0', fingerprint: AB}
         |              ^^^^ the first one

    error RB006 cluster-config.yaml:5:20: a node has no key `hosts`
       5 |     - {name: pve1, hosts: a}
         |                    ^^^^^
      help: did you mean `host`?

    error RB008 cluster-config.yaml:6:18: expected a duration such as 90s, 5m or 1h30m, but the number 30 stands here
       6 |   api: {timeout: 30, per_node: 0}
         |                  ^^

    error RB008 cluster-config.yaml:6:32: expected a whole number from 1 to 16, but the number 0 stands here
       6 |   api: {timeout: 30, per_node: 0}
         |                                ^

    error RB008 cluster-config.yaml:7:22: expected a reference such as pass:PATH, env:NAME or file:PATH, but something else stands here

    error RB050 cluster-config.yaml:7:31: one credential is needed, but here are `token` and `user`
       7 | credentials: {token: hunter2, user: ops, password: pass:a}
         |                               ^^^^
       7 | credentials: {token: hunter2, user: ops, password: pass:a}
         |               ^^^^^ the first one
      help: take one off

    error RB008 cluster-config.yaml:7:37: a user has a realm
       7 | credentials: {token: hunter2, user: ops, password: pass:a}
         |                                     ^^^
      help: user: NAME@pam or NAME@pve

    error RB006 cluster-config.yaml:8:1: the configuration has no key `vmid_range`
       8 | vmid_range: {}
         | ^^^^^^^^^^
      help: did you mean `vmid_ranges`?
    ");
    assert_snapshot!(site(&format!("{SMALLEST}vmid_ranges: {{vms: 9999-1000}}\nplacement: {{keep_free: 120%, host_reserve: 4GB}}\npolicy: {{windows: [{{cron: '* * *', duration: 6h, timezone: Mars/Base}}], protect: {{vmids: [99]}}}}\ntalos: {{default_kubernetes_version: 1.34, tools: {{talosctl: [a]}}}}\nnotify: [{{ntfy: ntfy.example, on: [fail]}}]\n")).unwrap_err(), @r#"
    error RB008 cluster-config.yaml:3:20: expected a range of VMIDs such as 1000-9999, but `9999-1000` stands here
       3 | vmid_ranges: {vms: 9999-1000}
         |                    ^^^^^^^^^

    error RB008 cluster-config.yaml:4:24: expected a percentage from 0% to 100%, but `120%` stands here
       4 | placement: {keep_free: 120%, host_reserve: 4GB}
         |                        ^^^^

    error RB008 cluster-config.yaml:4:44: expected a size such as 8GiB, or a number of MiB, but `4GB` stands here
       4 | placement: {keep_free: 120%, host_reserve: 4GB}
         |                                            ^^^

    error RB008 cluster-config.yaml:5:27: five fields are expected: minute, hour, day, month, weekday
       5 | policy: {windows: [{cron: '* * *', duration: 6h, timezone: Mars/Base}], protect: {vmids: [99]}}
         |                           ^^^^^^^
      help: every night at ten: "0 22 * * *"

    error RB008 cluster-config.yaml:5:60: there is no timezone `Mars/Base`
       5 | policy: {windows: [{cron: '* * *', duration: 6h, timezone: Mars/Base}], protect: {vmids: [99]}}
         |                                                            ^^^^^^^^^
      help: such as Europe/Berlin

    error RB008 cluster-config.yaml:5:91: expected a VMID: a whole number from 100 to 999999999, but the number 99 stands here
       5 | policy: {windows: [{cron: '* * *', duration: 6h, timezone: Mars/Base}], protect: {vmids: [99]}}
         |                                                                                           ^^

    error RB005 cluster-config.yaml:6:37: expected a version such as "1.11.2", in quotes, but the number 1.34 stands here
       6 | talos: {default_kubernetes_version: 1.34, tools: {talosctl: [a]}}
         |                                     ^^^^
      help: write "1.34": without quotes it is a number

    error RB008 cluster-config.yaml:7:17: expected a reference such as pass:PATH, env:NAME or file:PATH, or a URL such as https://host/path, but something else stands here

    error RB008 cluster-config.yaml:7:36: expected one of started, waiting, succeeded, failed, rolled_back, cancelled, all, but `fail` stands here
       7 | notify: [{ntfy: ntfy.example, on: [fail]}]
         |                                    ^^^^
      help: did you mean `failed`?
    "#);
    assert_snapshot!(site("").unwrap_err(), @r"
    error RB001 cluster-config.yaml:1:1: the file is empty
       1 | 
         | ^
    ");
    assert_eq!(
        site(&SMALLEST.replace("pass_path: a/b", "user: ops@pam, password: env:PW")).unwrap().credentials.token,
        None
    );
}

#[test]
fn broken_profiles() {
    assert_snapshot!(cluster("x", "name: y\ntype: talos\nnodes:\n  workers: {count: 3, name_prefix: w, cores: 4, memory: 8GB, disk: 100, start_vmid: 1061, placement: even}\ntemplate: [1]\nnetwork: {pod_cidr: 10.244.0.0, gateway: 10.0.0.1/24}\n").unwrap_err(), @r#"
    error RB027 clusters/x.yaml:1:7: the file is called `x`, the cluster `y`
       1 | name: y
         |       ^
      help: write name: x, or call the file y.yaml

    error RB007 clusters/x.yaml:2:7: a cluster of type talos needs the key `talos`
       2 | type: talos
         |       ^^^^^
      help: talos: {version: "1.11.2"}

    error RB008 clusters/x.yaml:4:57: expected a size such as 8GiB, or a number of MiB, but `8GB` stands here
       4 |   workers: {count: 3, name_prefix: w, cores: 4, memory: 8GB, disk: 100, start_vmid: 1061, placement: even}
         |                                                         ^^^

    error RB008 clusters/x.yaml:4:68: expected a size such as 512MiB, 32GiB or 32G, but the number 100 stands here
       4 |   workers: {count: 3, name_prefix: w, cores: 4, memory: 8GB, disk: 100, start_vmid: 1061, placement: even}
         |                                                                    ^^^

    error RB008 clusters/x.yaml:4:102: expected one of spread, pack, but `even` stands here
       4 |   workers: {count: 3, name_prefix: w, cores: 4, memory: 8GB, disk: 100, start_vmid: 1061, placement: even}
         |                                                                                                      ^^^^

    error RB008 clusters/x.yaml:5:11: expected a VMID: a whole number from 100 to 999999999, or a template as a map, but a list stands here
       5 | template: [1]
         |           ^

    error RB008 clusters/x.yaml:6:21: expected an address with its prefix such as 10.0.0.0/24, but `10.244.0.0` stands here
       6 | network: {pod_cidr: 10.244.0.0, gateway: 10.0.0.1/24}
         |                     ^^^^^^^^^^

    error RB008 clusters/x.yaml:6:42: expected an IP address, but `10.0.0.1/24` stands here
       6 | network: {pod_cidr: 10.244.0.0, gateway: 10.0.0.1/24}
         |                                          ^^^^^^^^^^^
    "#);
}

#[test]
fn clashing_profiles() {
    let other = "name: test\ntype: generic\nnodes:\n  controlplane:\n    count: 1\n    name_prefix: tcp\n    cores: 4\n    memory: 8GiB\n    disk: 100GiB\n    start_vmid: 1071\n    assignments:\n      - {name: cp1, node: pv1, vmid: 1051, ip: 10.0.0.51/24, mac: \"02:54:00:00:10:51\"}\n      - {name: tcp2, node: atlas, vmid: 999, ip: 10.9.0.1/24}\n  workers: {count: 2, name_prefix: tw, cores: 1, memory: 1GiB, disk: 1GiB, start_vmid: 1062}\nnetwork: {gateway: 10.0.0.1, pod_cidr: 10.244.128.0/17, service_cidr: 10.0.0.0/8}\nflux: {repo: ssh://git@git.example/fleet.git, path: ./clusters/prod/test}\n";
    let clusters = [cluster("prod", PROD).unwrap(), cluster("test", other).unwrap()];
    let found = check_profiles(&shipped_site(), &clusters);
    let source = Source::new("clusters/test.yaml", other);
    assert_snapshot!(plain(&found, &source), @r#"
    error RB050 clusters/test.yaml:16:53: the Flux path `./clusters/prod/test` overlaps with that of clusters/prod.yaml
      16 | flux: {repo: ssh://git@git.example/fleet.git, path: ./clusters/prod/test}
         |                                                     ^
      help: give each cluster a folder of its own, such as clusters/test

    error RB051 clusters/test.yaml:5:12: count is 1, but there are 2 assignments
       5 |     count: 1
         |            ^
      help: count: 2

    error RB050 clusters/test.yaml:12:16: the VM name cp1 is taken by clusters/prod.yaml, line 17
      12 |       - {name: cp1, node: pv1, vmid: 1051, ip: 10.0.0.51/24, mac: "02:54:00:00:10:51"}
         |                ^

    error RB050 clusters/test.yaml:12:38: the VMID 1051 is taken by clusters/prod.yaml, line 17
      12 |       - {name: cp1, node: pv1, vmid: 1051, ip: 10.0.0.51/24, mac: "02:54:00:00:10:51"}
         |                                      ^

    error RB052 clusters/test.yaml:12:27: the site has no node `pv1`
      12 |       - {name: cp1, node: pv1, vmid: 1051, ip: 10.0.0.51/24, mac: "02:54:00:00:10:51"}
         |                           ^
      help: did you mean `pve1`?

    error RB050 clusters/test.yaml:12:67: the MAC address 02:54:00:00:10:51 is taken by clusters/prod.yaml, line 17
      12 |       - {name: cp1, node: pv1, vmid: 1051, ip: 10.0.0.51/24, mac: "02:54:00:00:10:51"}
         |                                                                   ^

    error RB050 clusters/test.yaml:12:48: the address 10.0.0.51 is taken by clusters/prod.yaml, line 17
      12 |       - {name: cp1, node: pv1, vmid: 1051, ip: 10.0.0.51/24, mac: "02:54:00:00:10:51"}
         |                                                ^

    error RB051 clusters/test.yaml:13:41: VMID 999 is outside of the VMs' range 1000-9999
      13 |       - {name: tcp2, node: atlas, vmid: 999, ip: 10.9.0.1/24}
         |                                         ^

    error RB052 clusters/test.yaml:13:28: the site has no node `atlas`
      13 |       - {name: tcp2, node: atlas, vmid: 999, ip: 10.9.0.1/24}
         |                            ^
      help: its nodes are pve1, pve2, pve3

    error RB051 clusters/test.yaml:13:50: 10.9.0.1/24 does not hold the gateway 10.0.0.1
      13 |       - {name: tcp2, node: atlas, vmid: 999, ip: 10.9.0.1/24}
         |                                                  ^

    error RB050 clusters/test.yaml:14:88: the VMID 1062 is taken by clusters/prod.yaml, line 30
      14 |   workers: {count: 2, name_prefix: tw, cores: 1, memory: 1GiB, disk: 1GiB, start_vmid: 1062}
         |                                                                                        ^

    error RB050 clusters/test.yaml:14:88: the VMID 1063 is taken by clusters/prod.yaml, line 31
      14 |   workers: {count: 2, name_prefix: tw, cores: 1, memory: 1GiB, disk: 1GiB, start_vmid: 1062}
         |                                                                                        ^

    error RB050 clusters/test.yaml:15:40: the pod network 10.244.128.0/17 overlaps with the pod network 10.244.0.0/16 of clusters/prod.yaml
      15 | network: {gateway: 10.0.0.1, pod_cidr: 10.244.128.0/17, service_cidr: 10.0.0.0/8}
         |                                        ^
      help: choose a range that nothing else uses

    error RB050 clusters/test.yaml:15:71: the service network 10.0.0.0/8 overlaps with the node network 10.0.0.51/24 of clusters/prod.yaml
      15 | network: {gateway: 10.0.0.1, pod_cidr: 10.244.128.0/17, service_cidr: 10.0.0.0/8}
         |                                                                       ^
      help: choose a range that nothing else uses
    "#);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    #[test]
    fn reading_a_damaged_configuration_never_panics(cut in 0..4000usize, len in 0..40usize, put in "[ -~\n]{0,8}") {
        for text in [include_str!("../../../cluster-config.yaml"), PROD] {
            let start = cut.min(text.len());
            let end = (start + len).min(text.len());
            let damaged = format!("{}{put}{}", &text[..start], &text[end..]);
            let _ = site(&damaged);
            if let Ok(cluster) = cluster("prod", &damaged) {
                check_profiles(&shipped_site(), &[cluster.clone(), cluster]);
            }
        }
    }
}

#[test]
fn typed_data_is_read_with_one_error() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Guest {
        vmid: u32,
    }
    assert_eq!(yaml::typed::<Vec<Guest>>("- {vmid: 104}\n"), Ok(vec![Guest { vmid: 104 }]));
    assert!(yaml::typed::<Guest>("vmid: x\n").unwrap_err().contains("line 1"));
}
