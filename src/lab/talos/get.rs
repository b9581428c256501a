//! What a machine says of itself.

use serde_json::{Value, json};

use super::{Call, Reply, text};
use crate::lab::world::World;
use crate::lab::world::talos::{Ill, Machine, Stage};
use crate::model::ids::Vmid;

pub(super) fn version(world: &World, call: &Call<'_>) -> Reply {
    let json = call.typed.is_on("json");
    let client = if json { String::new() } else { text::client(call.contract, call.typed.is_on("short")) };
    let Some((_, machine)) = world.machine_at(call.node) else {
        // Both headings stand there before anybody was asked.
        let head = if json { String::new() } else { format!("{client}Server:\n") };
        return Reply { stdout: head, ..call.unreachable("error getting version: ") };
    };
    let tag = format!("v{}", machine.version);
    if json {
        let mut answer = json!({"metadata": {"hostname": call.node}, "version": {"tag": tag, "sha": "abcdef12",
            "goVersion": "go1.26.6", "os": "linux", "arch": "amd64"}, "platform": {"name": "nocloud", "mode": "cloud"},
            "features": {"rbac": true}});
        if call.contract.tag.starts_with("v1.14")
            && let Value::Object(answer) = &mut answer
        {
            answer.remove("metadata");
        }
        return Reply::said(format!("{answer}\n"));
    }
    let mut said = format!("{client}Server:\n\tNODE:        {}\n", call.node);
    for (name, value) in text::lines(&tag) {
        said.push_str(&format!("\t{:<13}{value}\n", format!("{name}:")));
    }
    said.push_str("\tEnabled:     RBAC\n");
    Reply::said(said)
}

/// A kind of resource: its words, its type, and its rows in one machine.
struct Kind {
    names: &'static [&'static str],
    kind: &'static str,
    namespace: &'static str,
    rows: fn(&World, Vmid, &Machine) -> Vec<(String, Value)>,
}

const KINDS: [Kind; 8] = [
    Kind {
        names: &["machineconfig", "machineconfigs", "mc"],
        kind: "MachineConfigs.config.talos.dev",
        namespace: "config",
        rows: config,
    },
    Kind { names: &["disks", "disk"], kind: "Disks.block.talos.dev", namespace: "runtime", rows: disks },
    Kind {
        names: &["machinestatus", "machinestatuses"],
        kind: "MachineStatuses.runtime.talos.dev",
        namespace: "runtime",
        rows: stage,
    },
    Kind {
        names: &["extensions", "extensionstatuses"],
        kind: "ExtensionStatuses.runtime.talos.dev",
        namespace: "runtime",
        rows: extensions,
    },
    Kind { names: &["members", "member"], kind: "Members.cluster.talos.dev", namespace: "cluster", rows: members },
    Kind {
        names: &["nodename", "nodenames"],
        kind: "Nodenames.kubernetes.talos.dev",
        namespace: "k8s",
        rows: nodename,
    },
    Kind {
        names: &["machinetype", "machinetypes"],
        kind: "MachineTypes.config.talos.dev",
        namespace: "config",
        rows: machine_type,
    },
    Kind {
        names: &["etcdmembers", "etcdmember"],
        kind: "EtcdMembers.etcd.talos.dev",
        namespace: "etcd",
        rows: etcd_member,
    },
];

fn stage(world: &World, vmid: Vmid, machine: &Machine) -> Vec<(String, Value)> {
    let unmet: Vec<Value> = match machine.stage {
        Stage::Running if machine.etcd.is_some() && !world.etcd_answers(vmid) => {
            vec![json!({"name": "services", "reason": "etcd not healthy"})]
        }
        Stage::Running if machine.ills.contains(&Ill::KubeletUnhealthy) => {
            vec![json!({"name": "services", "reason": "kubelet not healthy"})]
        }
        Stage::Running | Stage::Maintenance => Vec::new(),
        _ => vec![json!({"name": "nodeReady", "reason": "node is not ready"})],
    };
    let status = json!({"ready": unmet.is_empty(), "unmetConditions": unmet});
    vec![("machine".into(), json!({"stage": machine.stage.word(), "status": status}))]
}

/// `persistent`: what is on the disk, and ahead of the other where something is staged.
fn config(_: &World, _: Vmid, machine: &Machine) -> Vec<(String, Value)> {
    let all = [("v1alpha1", &machine.config), ("persistent", machine.staged.as_ref().unwrap_or(&machine.config))];
    all.into_iter().filter(|(_, text)| !text.is_empty()).map(|(id, text)| (id.to_owned(), json!(text))).collect()
}

fn disks(_: &World, _: Vmid, _: &Machine) -> Vec<(String, Value)> {
    let disk = json!({"dev_path": "/dev/sda", "model": "QEMU HARDDISK", "pretty_size": "43 GB", "readonly": false,
        "rotational": false, "size": 42_949_672_960_u64, "transport": "virtio"});
    vec![("sda".into(), disk)]
}

fn extensions(_: &World, _: Vmid, machine: &Machine) -> Vec<(String, Value)> {
    let own = machine.extensions.iter().map(|(name, version)| (name.as_str(), version.as_str()));
    let schematic = [("schematic", machine.schematic.as_str())].into_iter().filter(|(_, id)| !id.is_empty());
    let all = own.chain(schematic).enumerate();
    all.map(|(n, (name, version))| {
        (n.to_string(), json!({"image": format!("{n}.sqsh"), "metadata": {"name": name, "version": version}}))
    })
    .collect()
}

fn kind_of(machine: &Machine) -> &'static str {
    if machine.control_plane { "controlplane" } else { "worker" }
}

/// Those that discovery knows: all of the cluster, whether they answer at present or not.
fn members(world: &World, _: Vmid, _: &Machine) -> Vec<(String, Value)> {
    let one = |(_, machine): (Vmid, &Machine)| {
        let mut spec = json!({"addresses": [machine.address], "hostname": machine.hostname,
            "machineType": kind_of(machine), "nodeId": machine.hostname, "operatingSystem": format!("Talos (v{})", machine.version)});
        if machine.control_plane {
            spec["controlPlane"] = json!({"apiServerPort": 6443});
        }
        (machine.hostname.clone(), spec)
    };
    world.machines().filter(|(_, machine)| !machine.config.is_empty()).map(one).collect()
}

fn nodename(_: &World, _: Vmid, machine: &Machine) -> Vec<(String, Value)> {
    vec![(
        "nodename".into(),
        json!({"hostnameVersion": "1", "nodename": machine.hostname, "skipNodeRegistration": false}),
    )]
}

fn machine_type(_: &World, _: Vmid, machine: &Machine) -> Vec<(String, Value)> {
    vec![("machine-type".into(), json!(kind_of(machine)))]
}

fn etcd_member(_: &World, _: Vmid, machine: &Machine) -> Vec<(String, Value)> {
    machine.etcd.iter().map(|etcd| ("local".into(), json!({"memberID": format!("{:016x}", etcd.id)}))).collect()
}

pub(super) fn get(world: &World, call: &Call<'_>) -> Reply {
    let wanted = call.typed.args.first().map(|word| word.to_lowercase()).unwrap_or_default();
    let Some((vmid, machine)) = world.machine_at(call.node) else { return call.unreachable("") };
    let Some(kind) = KINDS.iter().find(|kind| kind.names.contains(&wanted.as_str())) else {
        return Reply::failed(format_args!("resource {wanted:?} is not registered"));
    };
    let mut rows = (kind.rows)(world, vmid, machine);
    if let Some(id) = call.typed.args.get(1) {
        rows.retain(|(own, _)| own == id);
        if rows.is_empty() {
            let text = format!(
                "rpc error: code = NotFound desc = resource {}({}/{id}@undefined) doesn't exist",
                kind.kind, kind.namespace
            );
            return Reply::failed(text);
        }
    }
    match call.typed.flag("output").unwrap_or("table") {
        "json" => {
            let each = rows.into_iter().map(|(id, spec)| {
                json!({"metadata": {"created": "2026-01-01T00:00:00Z", "id": id, "namespace": kind.namespace, "owner": "",
                    "phase": "running", "type": kind.kind, "updated": "2026-01-01T00:00:00Z", "version": "1"},
                    "node": call.node, "spec": spec})
            });
            Reply::said(text::objects(&each.collect::<Vec<_>>()))
        }
        "table" => {
            let short = kind.kind.split('.').next().unwrap_or_default().trim_end_matches('s').to_owned();
            let cells = |(id, _): (String, Value)| {
                vec![call.node.to_owned(), kind.namespace.to_owned(), short.clone(), id, "1".to_owned()]
            };
            Reply::said(text::table(
                &["NODE", "NAMESPACE", "TYPE", "ID", "VERSION"],
                &rows.into_iter().map(cells).collect::<Vec<_>>(),
            ))
        }
        // The one that people read so: its text as it is.
        "yaml" if kind.names.contains(&"mc") => {
            let each = rows.into_iter().enumerate().map(|(n, (id, spec))| {
                let text: String =
                    spec.as_str().unwrap_or_default().lines().map(|line| format!("    {line}\n")).collect();
                let before = if n == 0 { "" } else { "---\n" };
                format!(
                    "{before}node: {}\nmetadata:\n    namespace: {}\n    type: {}\n    id: {id}\n    version: 1\n    \
                     phase: running\nspec: |\n{text}",
                    call.node, kind.namespace, kind.kind
                )
            });
            Reply::said(each.collect())
        }
        other => Reply::failed(format_args!("the lab writes no {other:?} of resources")),
    }
}

pub(super) fn read(world: &World, call: &Call<'_>) -> Reply {
    let Some((vmid, _)) = world.machine_at(call.node) else { return call.unreachable("error reading file: ") };
    match call.typed.args.first().map(String::as_str) {
        Some("/proc/sys/kernel/random/boot_id") => Reply::said(format!("{}\n", world.boot_id(vmid))),
        Some(path) => Reply::failed(format_args!(
            "error reading file: rpc error: code = Unknown desc = stat {path}: no such file or directory"
        )),
        None => Reply::failed("accepts 1 arg(s), received 0"),
    }
}

/// The health of a machine's service, and its last event; none: there is no such service.
pub(super) fn service(world: &World, node: &str, name: &str) -> Option<(&'static str, &'static str)> {
    let (vmid, machine) = world.machine_at(node)?;
    if !names(machine).contains(&name) {
        return None;
    }
    let sick = name == "etcd" && !(world.etcd_answers(vmid) && world.etcd_has_quorum())
        || name == "kubelet" && machine.ills.contains(&Ill::KubeletUnhealthy);
    Some(match name {
        _ if sick => ("Fail", "Health check failed: context deadline exceeded"),
        "dashboard" | "auditd" => ("?", "Health check successful"),
        _ => ("OK", "Health check successful"),
    })
}

/// The state of an etcd that does not run, and its last event.
fn etcd(machine: &Machine) -> Option<(&'static str, &'static str)> {
    let etcd = machine.etcd.as_ref()?;
    match machine.stage {
        Stage::Running if etcd.begins.is_some() => Some(("Starting", "Starting service")),
        Stage::Running if etcd.wiped => Some(("Preparing", "Running pre state")),
        Stage::Running if machine.ills.contains(&Ill::EtcdBroken) => Some((
            "Waiting",
            "Error running Containerd(etcd), going to restart forever: task \"etcd\" failed: exit code 2",
        )),
        Stage::Running => None,
        _ => Some(("Waiting", "Waiting for service \"cri\" to be \"up\"")),
    }
}

fn names(machine: &Machine) -> Vec<&'static str> {
    let mut names = vec!["apid", "auditd", "containerd", "cri", "dashboard", "kubelet", "machined", "syslogd", "udevd"];
    if machine.control_plane {
        names.extend(["etcd", "trustd"]);
        names.sort_unstable();
    }
    names
}

pub(super) fn services(world: &World, call: &Call<'_>) -> Reply {
    let Some((_, machine)) = world.machine_at(call.node) else { return call.unreachable("error listing services: ") };
    let row = |name: &'static str| {
        let (health, event) = service(world, call.node, name)?;
        let (state, health, event) = match etcd(machine).filter(|_| name == "etcd") {
            Some((state, event)) => (state, "?", event),
            None => ("Running", health, event),
        };
        Some([call.node, name, state, health, "72h3m0s ago", event].map(str::to_owned).to_vec())
    };
    let rows: Vec<Vec<String>> = names(machine).into_iter().filter_map(row).collect();
    Reply::said(text::table(&["NODE", "SERVICE", "STATE", "HEALTH", "LAST CHANGE", "LAST EVENT"], &rows))
}
