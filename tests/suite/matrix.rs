//! Every action that changes something × every fault of the lab: the outcome is right, or in doubt with evidence and
//! what to do; never a false success, never a blind repeat.
//!
//! Rows come from the catalogue and columns from the lab's list of faults, so that a new one of either is met here: an
//! action without a prepared example fails the test, and so does a kind of fault without a column.

mod kubernetes;
mod outside;
mod relay;

use std::sync::Arc;

use runbook::actions;
use runbook::app::rehearse::{Laid, Trial, Tried, When};
use runbook::event::RunStatus;
use runbook::lab::fault::{Fault, KINDS, ScheduledFault};
use runbook::model::effect::Effect;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::harness::flat;
use super::rig::torture;

/// One way of calling an action.
struct Row {
    action: &'static str,
    scenario: &'static str,
    /// There before the plan is made.
    scene: &'static [&'static str],
    given: &'static [(&'static str, &'static str)],
    /// Where the requests go that change something.
    changes: &'static [&'static str],
    /// Which programs it runs over SSH.
    programs: &'static [&'static str],
    /// The types of its tasks.
    tasks: &'static [&'static str],
    vmid: &'static str,
    /// What its tasks are about, where that is not the guest: `/900`; nothing, where it is no guest at all.
    about: Option<&'static str>,
    nodes: &'static [&'static str],
    /// Who the run is to the site, where that is not the lab's token.
    user: Option<&'static str>,
    /// Carried out in the same way as a row before it: of what it reads less fails where time is short.
    kin: bool,
    /// Only where much is asked for.
    rare: bool,
}

const COMMON: Row = Row {
    action: "",
    scenario: "tiny",
    scene: &[],
    given: &[],
    changes: &[],
    programs: &[],
    tasks: &[],
    vmid: "104",
    about: None,
    nodes: &["pve2", "pve3"],
    user: None,
    kin: false,
    rare: false,
};

/// A file of this machine.
const LOCAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/LICENSE");

const ROWS: &[Row] = &[
    Row {
        action: "proxmox.guest_migrate",
        given: &[("guest", "104"), ("to", "pve3")],
        changes: &["POST /nodes/*/qemu/104/migrate"],
        tasks: &["qmigrate"],
        ..COMMON
    },
    Row {
        action: "proxmox.guest_migrate",
        given: &[("guest", "104"), ("to", "pve3"), ("mode", "restart")],
        changes: &[
            "POST /nodes/*/qemu/104/status/shutdown",
            "POST /nodes/*/qemu/104/migrate",
            "POST /nodes/*/qemu/104/status/start",
        ],
        tasks: &["qmshutdown", "qmigrate", "qmstart"],
        ..COMMON
    },
    Row {
        action: "proxmox.guest_migrate",
        given: &[("guest", "108"), ("to", "pve1"), ("status", "running")],
        changes: &["POST /nodes/*/qemu/108/migrate", "POST /nodes/*/qemu/108/status/start"],
        tasks: &["qmigrate", "qmstart"],
        vmid: "108",
        nodes: &["pve2", "pve1"],
        rare: true,
        ..COMMON
    },
    Row {
        action: "proxmox.guest_migrate",
        scenario: "three-node",
        given: &[("guest", "107"), ("to", "pve3"), ("storages", "local-lvm=local-lvm")],
        changes: &["POST /nodes/*/qemu/107/migrate"],
        tasks: &["qmigrate"],
        vmid: "107",
        rare: true,
        ..COMMON
    },
    Row {
        action: "proxmox.guest_shutdown",
        given: &[("guest", "104")],
        changes: &["POST /nodes/*/qemu/104/status/shutdown"],
        tasks: &["qmshutdown"],
        ..COMMON
    },
    Row {
        action: "proxmox.guest_start",
        given: &[("guest", "108")],
        changes: &["POST /nodes/*/qemu/108/status/start"],
        tasks: &["qmstart"],
        vmid: "108",
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.guest_stop",
        given: &[("guest", "104")],
        changes: &["POST /nodes/*/qemu/104/status/stop"],
        tasks: &["qmstop"],
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.guest_reboot",
        given: &[("guest", "104")],
        changes: &["POST /nodes/*/qemu/104/status/reboot"],
        tasks: &["qmreboot"],
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.guest_suspend",
        given: &[("guest", "104")],
        changes: &["POST /nodes/*/qemu/104/status/suspend"],
        tasks: &["qmpause"],
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.guest_suspend",
        given: &[("guest", "104"), ("to_disk", "true")],
        changes: &["POST /nodes/*/qemu/104/status/suspend"],
        tasks: &["qmsuspend"],
        rare: true,
        ..COMMON
    },
    Row {
        action: "proxmox.guest_resume",
        scene: &["set-lock:108=suspended"],
        given: &[("guest", "108")],
        changes: &["POST /nodes/*/qemu/108/status/resume"],
        tasks: &["qmresume"],
        vmid: "108",
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.guest_set",
        given: &[("guest", "104"), ("set", "onboot=1,cores=4")],
        changes: &["PUT /nodes/*/qemu/104/config"],
        ..COMMON
    },
    Row {
        action: "proxmox.guest_resize",
        given: &[("guest", "104"), ("disk", "scsi0"), ("size", "40G")],
        changes: &["PUT /nodes/*/qemu/104/resize"],
        tasks: &["resize"],
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.guest_tag",
        given: &[("guest", "104"), ("tags", "web,prod")],
        changes: &["PUT /nodes/*/qemu/104/config"],
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.guest_untag",
        scenario: "three-node",
        given: &[("guest", "1052"), ("tags", "prod,talos")],
        changes: &["PUT /nodes/*/qemu/1052/config"],
        vmid: "1052",
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.guest_protect",
        given: &[("guest", "104"), ("enabled", "true")],
        changes: &["PUT /nodes/*/qemu/104/config"],
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.guest_unlock",
        scene: &["set-lock:105=migrate"],
        given: &[("guest", "105"), ("lock", "migrate")],
        programs: &["qm"],
        vmid: "105",
        ..COMMON
    },
    Row {
        action: "proxmox.api",
        given: &[("method", "post"), ("path", "/pools"), ("params", "{\"poolid\": \"shop\"}")],
        changes: &["POST /pools"],
        ..COMMON
    },
    Row {
        action: "proxmox.guest_backup",
        given: &[("guest", "104"), ("storage", "local")],
        changes: &["POST /nodes/*/vzdump"],
        tasks: &["vzdump"],
        ..COMMON
    },
    Row {
        action: "proxmox.backups_prune",
        given: &[("guest", "108"), ("storage", "local"), ("node", "pve2"), ("keep_last", "1")],
        changes: &["DELETE /nodes/*/storage/local/prunebackups"],
        tasks: &["prunebackups"],
        vmid: "108",
        about: Some(""),
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.guest_restore",
        given: &[
            ("backup", "local:backup/vzdump-qemu-108-2026_11_08-01_00_00.vma.zst"),
            ("vmid", "108"),
            ("node", "pve2"),
            ("force", "true"),
        ],
        changes: &["POST /nodes/*/qemu"],
        tasks: &["qmrestore"],
        vmid: "108",
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.ha_resource",
        given: &[("guest", "108"), ("state", "stopped"), ("max_restart", "2")],
        changes: &["POST /cluster/ha/resources"],
        vmid: "108",
        ..COMMON
    },
    Row {
        action: "proxmox.ha_rule",
        given: &[("name", "home"), ("kind", "node-affinity"), ("guests", "111"), ("nodes", "pve2:1,pve1")],
        changes: &["POST /cluster/ha/rules"],
        vmid: "111",
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.ha_rule",
        scenario: "mixed-version",
        given: &[("name", "upper"), ("kind", "group"), ("nodes", "pve2:2,pve1"), ("strict", "true")],
        changes: &["PUT /cluster/ha/groups/upper"],
        vmid: "111",
        rare: true,
        ..COMMON
    },
    Row {
        action: "proxmox.volume_delete",
        scenario: "leftovers",
        given: &[("node", "pve2"), ("volume", "fast:vm-999-disk-0")],
        changes: &["DELETE /nodes/*/storage/fast/content/**"],
        tasks: &["imgdel"],
        about: Some(""),
        nodes: &["pve2"],
        ..COMMON
    },
    Row {
        action: "proxmox.volume_delete",
        scenario: "leftovers",
        given: &[("node", "pve2"), ("volume", "fast:vm-104-disk-1")],
        changes: &["PUT /nodes/*/qemu/104/config"],
        nodes: &["pve2"],
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.task_stop",
        scenario: "leftovers",
        given: &[("upid", "UPID:pve3:0001ABCD:00A1B2C3:67400000:vzdump:104:root@pam:")],
        changes: &["DELETE /nodes/*/tasks/*"],
        nodes: &["pve3"],
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.node_reboot",
        given: &[("node", "pve3")],
        changes: &["POST /nodes/pve3/status"],
        nodes: &["pve3", "pve2"],
        ..COMMON
    },
    Row {
        action: "proxmox.ha_maintenance",
        given: &[("node", "pve2"), ("enabled", "true")],
        programs: &["ha-manager"],
        tasks: &["qmigrate"],
        vmid: "111",
        ..COMMON
    },
    Row {
        action: "proxmox.guest_create",
        given: &[("node", "pve2"), ("name", "new"), ("vmid", "900"), ("config", "memory=1024,scsi0=nfs-shared:4")],
        changes: &["POST /nodes/*/qemu"],
        tasks: &["qmcreate"],
        about: Some("/900"),
        ..COMMON
    },
    Row {
        action: "proxmox.guest_clone",
        given: &[("guest", "108"), ("name", "copy"), ("vmid", "901")],
        changes: &["POST /nodes/*/qemu/108/clone"],
        tasks: &["qmclone"],
        vmid: "108",
        ..COMMON
    },
    Row {
        action: "proxmox.guest_delete",
        given: &[("guest", "108")],
        changes: &["DELETE /nodes/*/qemu/108"],
        tasks: &["qmdestroy"],
        vmid: "108",
        ..COMMON
    },
    Row {
        action: "proxmox.guest_template",
        given: &[("guest", "108")],
        changes: &["POST /nodes/*/qemu/108/template"],
        tasks: &["qmtemplate"],
        vmid: "108",
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.guest_snapshot",
        given: &[("guest", "104"), ("name", "before")],
        changes: &["POST /nodes/*/qemu/104/snapshot"],
        tasks: &["qmsnapshot"],
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.guest_snapshot_delete",
        given: &[("guest", "105"), ("name", "auto-a")],
        changes: &["DELETE /nodes/*/qemu/105/snapshot/auto-a"],
        tasks: &["qmdelsnapshot"],
        vmid: "105",
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.guest_rollback",
        given: &[("guest", "105"), ("name", "auto-b")],
        changes: &["POST /nodes/*/qemu/105/snapshot/auto-b/rollback"],
        tasks: &["qmrollback"],
        vmid: "105",
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.image_download",
        given: &[("node", "pve2"), ("storage", "local"), ("url", "https://images.example/x.iso")],
        changes: &["POST /nodes/*/storage/local/download-url"],
        tasks: &["download"],
        about: Some(""),
        nodes: &["pve2"],
        ..COMMON
    },
    Row {
        action: "proxmox.image_upload",
        given: &[("node", "pve2"), ("storage", "local"), ("path", LOCAL), ("filename", "license.iso")],
        changes: &["POST /nodes/*/storage/local/upload"],
        tasks: &["imgcopy"],
        about: Some(""),
        nodes: &["pve2"],
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.image_delete",
        given: &[("node", "pve1"), ("volume", "local:iso/debian.iso")],
        changes: &["DELETE /nodes/*/storage/local/content/**"],
        tasks: &["imgdel"],
        about: Some(""),
        nodes: &["pve1"],
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.role",
        given: &[("role", "Watcher"), ("privileges", "VM.Audit,Sys.Audit")],
        changes: &["POST /access/roles"],
        user: Some("root@pam"),
        ..COMMON
    },
    Row {
        action: "proxmox.role",
        given: &[("role", "Runbook"), ("privileges", "VM.Audit,Sys.Audit")],
        changes: &["PUT /access/roles/Runbook"],
        user: Some("root@pam"),
        rare: true,
        ..COMMON
    },
    Row {
        action: "proxmox.user",
        given: &[("user", "new@pve"), ("comment", "made by a test")],
        changes: &["POST /access/users"],
        user: Some("root@pam"),
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.acl",
        given: &[("path", "/vms/104"), ("role", "PVEAuditor"), ("user", "ops@pve")],
        changes: &["PUT /access/acl"],
        user: Some("root@pam"),
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.acme_plugin",
        given: &[("id", "cf"), ("api", "cf"), ("data", "pass:lab/dns")],
        changes: &["POST /cluster/acme/plugins"],
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.acme_account",
        given: &[("contact", "ops@example.org"), ("accept_terms", "true")],
        changes: &["POST /cluster/acme/account"],
        tasks: &["acmeregister"],
        about: Some(""),
        user: Some("root@pam"),
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.acme_domains",
        scenario: "acme",
        given: &[("node", "pve2"), ("domains", "pve2.lab.example"), ("plugin", "dns")],
        changes: &["PUT /nodes/pve2/config"],
        nodes: &["pve2"],
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.certificate_order",
        scenario: "acme",
        given: &[("node", "pve1")],
        changes: &["POST /nodes/pve1/certificates/acme/certificate"],
        tasks: &["acmenewcert"],
        about: Some(""),
        nodes: &["pve1"],
        kin: true,
        ..COMMON
    },
    Row {
        action: "proxmox.token",
        given: &[("user", "ops@pve"), ("name", "new"), ("store", "pass:lab/new")],
        changes: &["POST /access/users/*/token/new"],
        user: Some("root@pam"),
        ..COMMON
    },
];

/// Actions that never meet the lab nor anybody over the network, and where their own faults are met. Those that meet others
/// than the lab have rows in `matrix/outside.rs`.
const ELSEWHERE: [(&str, &str); 30] = [
    ("ansible.playbook", "tests/suite/delegation.rs"),
    ("file.write", "tests/suite/files.rs"),
    ("git.commit", "tests/suite/files.rs"),
    ("kubernetes.cordon", "tests/suite/matrix/kubernetes.rs"),
    ("kubernetes.delete_node", "tests/suite/talos_nodes.rs"),
    ("kubernetes.drain", "tests/suite/matrix/kubernetes.rs"),
    ("kubernetes.uncordon", "tests/suite/ordeal.rs"),
    ("local.run", "tests/suite/local.rs"),
    ("netbox.guest", "tests/suite/netbox.rs"),
    ("netbox.setup", "tests/suite/netbox.rs"),
    ("talos.apply_config", "tests/suite/talos_config.rs"),
    ("talos.etcd_copy", "tests/suite/talos_backup.rs"),
    ("talos.etcd_defragment", "tests/suite/talos_etcd.rs"),
    ("talos.etcd_disarm", "tests/suite/talos_etcd.rs"),
    ("talos.etcd_discard", "tests/suite/talos_backup.rs"),
    ("talos.etcd_drill", "tests/suite/talos_backup.rs"),
    ("talos.etcd_encrypt", "tests/suite/talos_backup.rs"),
    ("talos.etcd_prune", "tests/suite/talos_backup.rs"),
    ("talos.etcd_snapshot", "tests/suite/talos_backup.rs"),
    ("talos.join_node", "tests/suite/talos_nodes.rs"),
    ("talos.pull_image", "tests/suite/talos_upgrade.rs"),
    ("talos.recover_etcd", "tests/suite/talos_restore.rs"),
    ("talos.remove_member", "tests/suite/talos_nodes.rs"),
    ("talos.reset_node", "tests/suite/talos_reset.rs"),
    ("talos.rollback_node", "tests/suite/talos_upgrade.rs"),
    ("talos.upgrade_kubernetes", "tests/suite/talos_upgrade.rs"),
    ("talos.upgrade_node", "tests/suite/talos_upgrade.rs"),
    ("talos.wipe_etcd", "tests/suite/talos_restore.rs"),
    ("task.run", "tests/suite/delegation.rs"),
    ("yaml.set", "tests/suite/files.rs"),
];

/// What a server or a proxy says that has not done what it was asked for, and what one may say that has.
const REFUSED: [u16; 10] = [400, 401, 403, 500, 501, 503, 595, 596, 597, 599];
const BELIED: [u16; 6] = [500, 502, 504, 596, 597, 599];

/// One of each sort: refused by right, by the handler, and by a proxy that reached nobody.
const SORTS: [&str; 3] = ["403:", "500:", "595:"];

const READS: [&str; 5] =
    ["GET /nodes/*/tasks/**", "GET /nodes/*/tasks", "GET /nodes/*/qemu/**", "GET /cluster/**", "GET /**"];

const BOTH: [When; 2] = [When::AtOnce, When::Taken];

type Column = Vec<Laid>;

fn laid(fault: impl Into<String>, when: When) -> Laid {
    Laid { fault: fault.into(), when }
}

/// Nothing in Proxmox asks how Talos and Kubernetes are: tests/suite/talos_upgrade.rs, talos_backup.rs, kubernetes.rs.
fn is_of_a_cluster(kind: &str) -> bool {
    ["talos-", "etcd-", "snapshot-"].iter().any(|of| kind.starts_with(of))
        || matches!(kind, "upgrade-hangs" | "kubelet-stays" | "drain-blocked" | "node-not-ready" | "storage-degraded")
}

/// All that one kind of fault can do to this action.
fn columns(kind: &str, row: &Row) -> Vec<Column> {
    let once = |faults: Vec<String>| -> Vec<Column> {
        faults.iter().flat_map(|fault| BOTH.map(|when| vec![laid(fault, when)])).collect()
    };
    let each = |of: &[&str]| once(of.iter().map(|what| format!("{kind}:{what}")).collect());
    match kind {
        "reset-before" | "reset-after" | "hang" => requests(row, |place| format!("{kind}:{place}"), ""),
        "slow" => {
            let mut all = requests(row, |place| format!("{kind}:{place}"), "=3s");
            // With the client's own patience no longer than what is waited for in a recovery.
            all.extend(requests(row, |place| format!("{kind}:{place}"), "=50s"));
            // A change that is held longer than anybody waits, and carried out in the end.
            let held = |place: &&str| ["*1", ""].map(|n| vec![laid(format!("{kind}:{place}{n}=10m"), When::AtOnce)]);
            all.extend(row.changes.iter().flat_map(held));
            all
        }
        "STATUS" => {
            let all = REFUSED.iter().flat_map(|code| requests(row, |place| format!("{code}:{place}"), ""));
            // What a reading fails with is told apart by the client: one code of each sort is enough where time is short.
            let sort =
                |place: &str| torture() > 1 || !place.contains("GET ") || SORTS.iter().any(|c| place.starts_with(c));
            all.filter(|column| column.iter().all(|laid| sort(&laid.fault))).collect()
        }
        "STATUS-after" => {
            let changes = || row.changes.iter().flat_map(|place| BELIED.map(|code| format!("{code}-after:{place}*1")));
            let late = |fault: String| vec![laid("tasks-late=40s", When::AtOnce), laid(fault, When::AtOnce)];
            changes().map(|fault| vec![laid(fault, When::AtOnce)]).chain(changes().map(late)).collect()
        }
        "ssh-drop" | "ssh-drop-after" | "ssh-exit" | "ssh-exit-after" => {
            let said = if kind.starts_with("ssh-exit") { "=got timeout" } else { "" };
            let counts = ["*1", "*2", ""];
            let of = |program: &&str| counts.map(|n| vec![laid(format!("{kind}:{program}{n}{said}"), When::AtOnce)]);
            row.programs.iter().flat_map(of).collect()
        }
        "token-rejected" => once(vec!["token-rejected*1".into(), "token-rejected*3".into(), "token-rejected".into()]),
        task if task.starts_with("task-") => {
            let about = row.about.map_or_else(|| format!("/{}", row.vmid), str::to_owned);
            row.tasks.iter().map(|kind| vec![laid(format!("{task}:{kind}{about}"), When::AtOnce)]).collect()
        }
        "tasks-late" => tasks_late(row),
        "node-down" => each(row.nodes).into_iter().chain(each(&["pve1"])).collect(),
        "node-up" => {
            comes_back(row.nodes.iter().map(|node| format!("node-down:{node}")), |fault| fault.replace("down", "up"))
        }
        "quorum-lost" => once(vec![kind.to_owned()]),
        "quorum-back" => comes_back(["quorum-lost".to_owned()].into_iter(), |_| "quorum-back".to_owned()),
        "lock-stays" | "clear-lock" | "replace-guest" => each(&[row.vmid]),
        "challenge-fails" if row.tasks.contains(&"acmenewcert") => each(&["pve1.lab.example"]),
        "challenge-fails" => Vec::new(),
        "set-lock" => once(vec![format!("set-lock:{}=backup", row.vmid)]),
        kind if is_of_a_cluster(kind) => Vec::new(),
        other => panic!("the lab has a new kind of fault, {other}: say here what it may do to an action"),
    }
}

/// A fault of requests: on each that changes something, and on what is read; once, some times and for good.
fn requests(row: &Row, fault: impl Fn(&str) -> String, argument: &str) -> Vec<Column> {
    let mut all = Vec::new();
    let counts: &[&str] = if torture() > 1 { &["*1", "*2", "*3", "*5", ""] } else { &["*1", ""] };
    // The last of them is all that is read.
    let reads = if row.kin && torture() == 1 { &READS[READS.len() - 1..] } else { &READS[..] };
    for count in counts {
        let fault = |place: &str| format!("{}{count}{argument}", fault(place));
        all.extend(row.changes.iter().map(|place| vec![laid(fault(place), When::AtOnce)]));
        all.extend(reads.iter().flat_map(|place| BOTH.map(|when| vec![laid(fault(place), when)])));
    }
    all
}

/// Alone, and where the answer to a change is lost, too.
fn tasks_late(row: &Row) -> Vec<Column> {
    let late = || laid("tasks-late=40s", When::AtOnce);
    let mut all = vec![vec![late()]];
    for lost in ["reset-before", "reset-after", "hang", "500"] {
        all.extend(row.changes.iter().map(|place| vec![late(), laid(format!("{lost}:{place}*1"), When::AtOnce)]));
    }
    all
}

/// What goes away and comes back after 10 s or 5 minutes.
fn comes_back(faults: impl Iterator<Item = String>, back: impl Fn(&str) -> String) -> Vec<Column> {
    let mut all = Vec::new();
    for fault in faults {
        for (when, after) in BOTH.into_iter().flat_map(|when| [(when, "10s"), (when, "5m")]) {
            all.push(vec![laid(&fault, when), laid(format!("@{after} {}", back(&fault)), when)]);
        }
    }
    all
}

/// The columns of all kinds.
fn all_columns(row: &Row) -> Vec<Column> {
    KINDS.into_iter().flat_map(|kind| columns(kind, row)).collect()
}

async fn trial(row: &Row) -> Arc<Trial> {
    let given: Vec<(String, String)> = row.given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let scene: Vec<String> = row.scene.iter().map(|fault| (*fault).to_owned()).collect();
    let trial = Trial::of(row.scenario, &scene, row.user, row.action, &given).await;
    Arc::new(trial.unwrap_or_else(|e| panic!("{}: {e}: {:?}", row.action, e.details)))
}

struct Cell {
    name: String,
    tried: Tried,
}

async fn cells(row: &Row, columns: Vec<Column>) -> Vec<Cell> {
    let (trial, room) = (trial(row).await, Arc::new(Semaphore::new(2)));
    let mut going = JoinSet::new();
    for column in columns {
        let (trial, room) = (trial.clone(), room.clone());
        let faults: Vec<String> = column.iter().map(|laid| format!("{} ({:?})", laid.fault, laid.when)).collect();
        let name = format!("{} {:?} × {}", row.action, row.given, faults.join(" + "));
        going.spawn(async move {
            let _place = room.acquire_owned().await;
            let tried = trial.run(column).await;
            let tried = tried.unwrap_or_else(|e| panic!("{name}: {e}"));
            Cell { name, tried }
        });
    }
    going.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::disallowed_macros, reason = "how many cells were run is shown with --nocapture")]
async fn every_change_meets_every_fault() {
    let (mut run, mut bad) = (0, Vec::new());
    let mut ends = std::collections::BTreeMap::new();
    // While one action is worked on: ROW=guest_backup.
    let only = std::env::var("ROW").ok();
    let asked_for = |row: &&Row| only.as_ref().is_none_or(|only| row.action.ends_with(only));
    for row in ROWS.iter().filter(|row| !row.rare || torture() > 1).filter(asked_for) {
        for cell in cells(row, all_columns(row)).await {
            run += 1;
            let how: Vec<&str> = cell.tried.statuses.iter().map(|status| status.as_str()).collect();
            *ends.entry(how.join(", then ")).or_insert(0) += 1;
            if !cell.tried.findings.is_empty() {
                bad.push(format!("{}: {}\n  {}\n", cell.name, how.join(", then "), cell.tried.findings.join("\n  ")));
            }
        }
    }
    println!("{run} cells: {ends:?}");
    assert!(bad.is_empty(), "{} of {run} cells:\n{}", bad.len(), bad.join("\n"));
    assert!(
        only.is_some() || ends["succeeded"] > 0 && ends["failed"] > 0 && ends["paused, then succeeded"] > 0,
        "{ends:?}"
    );
}

#[test]
fn every_action_that_changes_something_has_an_example() {
    let changing = actions::specs().into_values().filter(|spec| spec.effect != Effect::Read);
    for spec in changing {
        let there = ROWS.iter().any(|row| row.action == spec.name)
            || outside::ROWS.iter().any(|row| row.action == spec.name)
            || ELSEWHERE.iter().any(|(name, _)| *name == spec.name);
        assert!(there, "{} changes something: give it a row in tests/suite/matrix.rs", spec.name);
    }
    let known = actions::specs();
    assert!(ROWS.iter().all(|row| known.contains_key(row.action)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_are_whole() {
    for row in ROWS {
        let trial = trial(row).await;
        let asked: Vec<&str> = trial.asked().collect();
        assert_eq!(asked.len(), row.changes.len() + row.programs.len(), "{}: {asked:?}", row.action);
        let met = |program: &&str| asked.iter().any(|what| what.starts_with(program));
        assert!(row.programs.iter().all(met), "{}: {asked:?}", row.action);
        for laid in all_columns(row).iter().flatten() {
            laid.fault.parse::<ScheduledFault>().unwrap();
        }
        for kind in KINDS {
            let of = |fault: &Laid| fault.fault.parse::<Fault>().is_ok_and(|fault| fault.kind() == kind);
            let some = columns(kind, row).iter().flatten().any(of);
            let needless = (kind.starts_with("ssh-") && row.programs.is_empty())
                || (kind == "STATUS-after" && row.changes.is_empty())
                || (kind.starts_with("task-") && row.tasks.is_empty())
                || (kind == "challenge-fails" && !row.tasks.contains(&"acmenewcert"))
                || is_of_a_cluster(kind)
                // Only what is gone can come back: it is met as a fault with its time.
                || matches!(kind, "node-up" | "quorum-back");
            assert!(some || needless, "{}: {kind} is not met", row.action);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_is_full_half_way_is_said() {
    let copies = ROWS.iter().find(|row| row.scenario == "three-node").unwrap();
    let tried = trial(copies).await.run(vec![laid("task-full:qmigrate/107", When::AtOnce)]).await.unwrap();
    assert_eq!((tried.statuses, tried.findings), (vec![RunStatus::Failed], Vec::new()), "{}", tried.story);
    assert!(tried.story.contains("No space left on device"), "{}", tried.story);
}

/// What the weakest places must come to, by name.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_carried_out_is_never_taken_for_refused() {
    let migrate = trial(&ROWS[0]).await;
    let of = async |fault: &str| {
        let tried = migrate.run(vec![laid(fault, When::AtOnce)]).await.unwrap();
        assert_eq!(tried.findings, Vec::<String>::new(), "{fault}: {}", tried.story);
        tried
    };
    let place = "POST /nodes/*/qemu/104/migrate*1";
    for said in ["500-after", "502-after", "596-after", "reset-after", "hang"] {
        assert_eq!(of(&format!("{said}:{place}")).await.statuses, [RunStatus::Succeeded], "{said}");
    }
    let refused = of(&format!("500:{place}=VM 104 not running")).await;
    assert!(
        refused.statuses == [RunStatus::Failed] && refused.story.contains("VM 104 not running"),
        "{}",
        refused.story
    );
    let held = of("slow:POST /nodes/*/qemu/104/migrate*1=10m").await;
    assert_eq!(held.statuses, [RunStatus::Paused, RunStatus::Succeeded], "found once it was carried out");
    let lost = of(&format!("reset-before:{place}")).await;
    assert_eq!(lost.statuses, [RunStatus::Paused, RunStatus::Paused], "an absence proves nothing: {}", lost.story);
    for told in ["who was asked may still carry it out", "the step began at", "no task has shown on pve2", "not-done"] {
        assert!(flat(&lost.story).contains(told), "{told}: {}", lost.story);
    }
    let forgotten = of("task-forget:qmigrate/104").await;
    assert!(!forgotten.statuses.contains(&RunStatus::Failed), "{}", forgotten.story);
}
