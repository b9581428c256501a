use serde_json::{Value, json};

use super::*;
use crate::inventory::{diff, format};
use crate::model::inventory::Missing;

fn site() -> Inventory {
    let web = vm(vec![seen("eth0", "bc:24:11:00:00:01", &["10.0.0.4/24", "2001:db8::4/64"])]);
    let config = lines(&[("net0", "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:05,ip=dhcp,type=veth")]);
    let told = Told::Interfaces(vec![seen("eth0", "bc:24:11:00:00:05", &["10.0.0.5/24"])]);
    let mut proxy = host(facts(105, "web", GuestKind::Lxc), Some(&config), told);
    proxy.pool = None;
    let mut image = silent(900, "debian");
    (image.template, image.status, image.tags) = (true, "stopped".into(), Vec::new());
    let mut db = silent(106, "db");
    (db.qmpstatus, db.snapshots) = (Some("paused".into()), Some(vec!["before".into()]));
    inventory(vec![web, proxy, db, image])
}

#[test]
fn what_a_guest_says_is_no_template_for_ansible() {
    let mut all = site();
    let evil = "{{ lookup('pipe', 'id') }}";
    let web = all.hosts.iter_mut().find(|host| host.name == "web" && host.vmid.is_some_and(|v| v.0 == 104)).unwrap();
    web.seen[0].name = evil.into();
    all.missing.push(Missing {
        node: None,
        vmid: None,
        what: "addresses".into(),
        reason: Reason::NotRead,
        why: format!("expected text, got {evil}"),
    });
    let value = format::ansible(&all);
    let marked = json!({"__ansible_unsafe": evil});
    assert_eq!(value["_meta"]["hostvars"]["web-104"]["proxmox_agent_interfaces"][0]["name"], marked);
    assert!(value["all"]["vars"]["proxmox_missing"][0]["why"]["__ansible_unsafe"].is_string());
}

#[test]
fn ansible_has_the_plugins_names() {
    let value = format::ansible(&site());
    let hosts = |group: &str| {
        value[group]["hosts"].as_array().unwrap().iter().map(|h| h.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(hosts("proxmox_all_qemu"), ["db", "web-104"]);
    assert_eq!(hosts("proxmox_all_lxc"), ["web-105"]);
    assert_eq!(hosts("proxmox_all_running"), ["db", "web-104", "web-105"]);
    assert_eq!(hosts("proxmox_all_stopped"), [""; 0]);
    assert_eq!(hosts("proxmox_all_templates"), ["debian"]);
    assert_eq!(hosts("proxmox_all_paused"), ["db"]);
    assert_eq!(hosts("proxmox_pve1_lxc"), ["web-105"]);
    assert_eq!(hosts("proxmox_pool_shop"), ["db", "debian", "web-104"]);
    let web = &value["_meta"]["hostvars"]["web-104"];
    assert_eq!(web["ansible_host"], "10.0.0.4");
    assert_eq!(
        (&web["proxmox_vmid"], &web["proxmox_node"], &web["proxmox_vmtype"]),
        (&json!(104), &json!("pve1"), &json!("qemu"))
    );
    assert_eq!((&web["proxmox_tags"], &web["proxmox_tags_parsed"]), (&json!("prod;web"), &json!(["prod", "web"])));
    assert_eq!(web["proxmox_net0"], json!({"virtio": "BC:24:11:00:00:01", "bridge": "vmbr0", "tag": "20"}));
    assert_eq!(web["proxmox_agent_interfaces"][0]["ip-addresses"], json!(["10.0.0.4/24", "2001:db8::4/64"]));
    let proxy = &value["_meta"]["hostvars"]["web-105"];
    assert_eq!(
        proxy["proxmox_lxc_interfaces"][0],
        json!({"name": "eth0", "hwaddr": "bc:24:11:00:00:05", "inet": "10.0.0.5/24"})
    );
    let db = &value["_meta"]["hostvars"]["db"];
    assert_eq!((&db["ansible_host"], &db["proxmox_unknown"]["reason"]), (&Value::Null, &json!("agent_not_running")));
    assert_eq!((&db["proxmox_qmpstatus"], &db["proxmox_snapshots"]), (&json!("paused"), &json!(["before"])));
    assert!(web.get("proxmox_snapshots").is_none(), "nobody asked");
    assert_eq!(format::ansible_host(&site(), "db"), *db);
    assert_eq!(format::ansible_host(&site(), "nobody"), json!({}));
}

#[test]
fn the_json_reads_back_and_another_version_is_refused() {
    let mut all = site();
    let why = "pve3 is offline".to_owned();
    all.missing.push(Missing {
        node: Some("pve3".into()),
        vmid: None,
        what: "guests".into(),
        reason: Reason::NodeOffline,
        why,
    });
    let text = format::Whole::of(&all).json();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&value["format_version"], &value["site"]), (&json!("1.0"), &json!("lab.example")));
    let host = &value["hosts"][0];
    assert_eq!((&host["type"], &host["primary"], &host["unknown"]), (&json!("qemu"), &json!("10.0.0.4"), &Value::Null));
    assert_eq!(
        host["interfaces"][0],
        json!({"nic": "net0", "name": "eth0", "mac": "bc:24:11:00:00:01", "bridge": "vmbr0", "vlan": 20, "model": "virtio", "addresses": [
            {"address": "10.0.0.4", "prefix": 24, "family": "ipv4", "source": "agent"},
            {"address": "2001:db8::4", "prefix": 64, "family": "ipv6", "source": "agent"}]})
    );
    assert_eq!(value["hosts"][2]["unknown"]["reason"], "agent_not_running");
    assert_eq!(format::read(&text).unwrap().missing, all.missing);
    let newer = text.replacen("\"1.0\"", "\"2.0\"", 1);
    assert_eq!(format::read(&newer).unwrap_err(), format::BadInventory::Version("2.0".into()));
    for wrong in ["", "{}", "[]", "{\"format_version\": \"1.0\"}"] {
        assert!(matches!(format::read(wrong), Err(format::BadInventory::Shape(_))), "{wrong}");
    }
}

#[test]
fn netbox_objects_are_those_that_are_pushed() {
    let mut all = site();
    let mut lost = silent(107, "");
    lost.status = "unknown".into();
    all.hosts.push(lost);
    let value = format::netbox(&all);
    assert_eq!(value["left_out"][0]["key"], "lab.example/107");
    let machines = value["virtual_machines"].as_array().unwrap();
    let names: Vec<&str> = machines.iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["web-104", "web-105", "db"], "no template, as a push without --templates");
    let web = &machines[0];
    assert_eq!((&web["status"], &web["vcpus"], &web["memory"]), (&json!("active"), &json!(4.0), &json!(4294)));
    assert_eq!(
        web["custom_fields"],
        json!({"runbook_guest": "lab.example/104", "proxmox_vmid": 104, "proxmox_node": "pve1", "proxmox_vm_type": "vm"})
    );
    assert_eq!((&web["primary_ip4"], &web["primary_ip6"]), (&json!("10.0.0.4/24"), &json!("2001:db8::4/64")));
    assert_eq!(web["interfaces"][0]["mac_address"], "BC:24:11:00:00:01");
    assert_eq!(machines[2].get("primary_ip4"), None);
    assert_eq!(machines[2]["interfaces"][0].get("ip_addresses"), None, "not known is not none");
}

#[test]
fn prometheus_has_targets_for_what_runs_and_is_reached() {
    let value = format::prometheus(&site(), Some(9100));
    let targets: Vec<&str> = value.as_array().unwrap().iter().map(|t| t["targets"][0].as_str().unwrap()).collect();
    assert_eq!(targets, ["10.0.0.4:9100", "10.0.0.5:9100"]);
    assert_eq!(value[0]["labels"]["__meta_proxmox_tags"], ",prod,web,");
    assert_eq!(value[0]["labels"]["__meta_proxmox_vmid"], "104");
    assert_eq!(format::prometheus(&site(), None)[0]["targets"][0], "10.0.0.4");
    let six = inventory(vec![vm(vec![seen("eth0", "bc:24:11:00:00:01", &["2001:db8::4/64"])])]);
    assert_eq!(format::prometheus(&six, Some(80))[0]["targets"][0], "[2001:db8::4]:80");
}

#[test]
fn hosts_and_csv_have_a_line_each() {
    let text = format::hosts(&site());
    assert!(text.contains("10.0.0.4        web-104 web-104.lab.example\n"), "{text}");
    assert!(text.contains("# 106 db: its guest agent does not run\n"), "{text}");
    let text = format::csv(&site());
    let rows: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(
        rows[1],
        "104,web,qemu,pve1,running,0,prod;web,Shop,net0,eth0,bc:24:11:00:00:01,vmbr0,20,virtio,10.0.0.4,24,agent,1,"
    );
    assert_eq!(rows.len(), 7, "{text}");
    let mut odd = site();
    odd.hosts[0].interfaces[0].name = Some("=cmd(\"x\"),1".into());
    assert!(format::csv(&odd).contains("\"'=cmd(\"\"x\"\"),1\""));
}

#[test]
fn a_name_with_dots_is_whole_already() {
    let mut all = site();
    all.hosts[0].name = "web.example.com".into();
    let text = format::hosts(&all);
    let line = text.lines().find(|line| line.contains("web.example.com")).unwrap();
    assert!(line.ends_with(" web.example.com"), "{line}");
}

#[test]
fn what_could_not_be_read_has_not_changed() {
    let before = site();
    let mut after = site();
    let silent = Unknown::new(Reason::NodeSilent, "pve1 does not answer");
    (after.hosts[0].unknown, after.hosts[0].primary, after.hosts[0].interfaces) = (Some(silent), None, Vec::new());
    assert_eq!(diff(&before, &after), Vec::new());
    after.hosts[0].unknown = Some(Unknown::new(Reason::AgentNotRunning, "it does not run"));
    assert!(!diff(&before, &after).is_empty(), "the guest itself has none");
}
