//! How faults are written, and how often they happen.

use super::*;

fn request(text: &str) -> RequestFault {
    match text.parse() {
        Ok(Fault::Request(fault)) => fault,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn request_faults_are_read() {
    let fault = request("reset-before:POST /nodes/*/qemu/104/migrate*1");
    assert_eq!((fault.verb.as_deref(), fault.left), (Some("POST"), Some(1)));
    assert_eq!(fault.path, "/nodes/*/qemu/104/migrate");
    let status = |status, text: Option<&str>, after| Effect::Status { status, text: text.map(str::to_owned), after };
    assert_eq!(request("500:/version=got timeout").effect, status(500, Some("got timeout"), false));
    assert_eq!(request("596-after:PUT /a/*").effect, status(596, None, true));
    assert_eq!(request("slow:/cluster/resources=2s").effect, Effect::Slow(Duration::from_secs(2)));
    assert_eq!(request("596-after:PUT /a/*").left, None);
}

#[test]
fn world_faults_are_read() {
    let world = |text: &str| match text.parse() {
        Ok(Fault::World(fault)) => fault,
        other => panic!("{text}: {other:?}"),
    };
    let (task_type, vmid) = ("qmigrate".to_owned(), Some(Vmid(104)));
    let text = Some("no luck".to_owned());
    assert_eq!(
        world("task-fail:qmigrate/104=no luck"),
        WorldFault::TaskFail { task_type: task_type.clone(), vmid, text }
    );
    assert_eq!(world("task-hang:qmigrate"), WorldFault::TaskHang { task_type, vmid: None });
    assert_eq!(world("node-down:pve3"), WorldFault::NodeUp { node: "pve3".into(), up: false });
    assert_eq!(world("tasks-late=40s"), WorldFault::TasksLate { ms: 40_000 });
    assert_eq!(world("set-lock:104=backup"), WorldFault::SetLock { vmid: Vmid(104), lock: Some("backup".into()) });
}

#[test]
fn every_kind_is_written_as_its_word() {
    let example = |kind: &str| match kind {
        "STATUS" | "STATUS-after" => kind.replace("STATUS", "500") + ":/version",
        "reset-before" | "reset-after" | "hang" => format!("{kind}:/version"),
        "slow" => "slow:/version=2s".to_owned(),
        "tasks-late" => "tasks-late=40s".to_owned(),
        "token-rejected" | "quorum-lost" | "quorum-back" => kind.to_owned(),
        "node-down" | "node-up" => format!("{kind}:pve1"),
        "set-lock" => "set-lock:104=backup".to_owned(),
        "challenge-fails" => "challenge-fails:pve1.example.org".to_owned(),
        "drain-blocked" => "drain-blocked:shop/web".to_owned(),
        "node-not-ready" => "node-not-ready:w1".to_owned(),
        "storage-degraded" => kind.to_owned(),
        "snapshot-cut" | "snapshot-damaged" => kind.to_owned(),
        of if of.starts_with("talos-") || of.starts_with("etcd-") || of == "upgrade-hangs" || of == "kubelet-stays" => {
            format!("{kind}:cp1")
        }
        "lock-stays" | "clear-lock" | "replace-guest" => format!("{kind}:104"),
        task if task.starts_with("task-") => format!("{kind}:qmigrate/104"),
        _ => format!("{kind}:qm*1"),
    };
    for kind in KINDS {
        assert_eq!(example(kind).parse::<Fault>().unwrap().kind(), kind);
    }
}

#[test]
fn faults_of_commands_are_read() {
    let command = |text: &str| match text.parse() {
        Ok(Fault::Command(fault)) => fault,
        other => panic!("{text}: {other:?}"),
    };
    let (program, said) = ("ha-manager".to_owned(), Some("no luck".to_owned()));
    assert_eq!(
        command("ssh-exit-after:ha-manager*2=no luck"),
        CommandFault { program: program.clone(), left: Some(2), after: true, said }
    );
    assert_eq!(command("ssh-drop:ha-manager"), CommandFault { program, left: None, after: false, said: None });
}

#[test]
fn what_is_no_fault_says_what_was_expected() {
    for (text, part) in [
        ("teapot:/x", "expected one of reset-before"),
        ("slow:/x", "expected how slow"),
        ("500:version", "expected a path"),
        ("lock-stays:abc", "expected a guest's id"),
        ("node-down", "expected a node's name"),
        ("task-fail:", "expected a task type"),
        ("ssh-drop:", "expected a program"),
        ("ssh-melt:qm", "expected ssh-drop, ssh-drop-after"),
        ("token-rejected*x", "expected a count"),
    ] {
        let error = text.parse::<Fault>().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_fault_may_have_a_time() {
    let scheduled: ScheduledFault = "@2m node-down:pve3".parse().unwrap();
    let fault = Fault::World(WorldFault::NodeUp { node: "pve3".into(), up: false });
    assert_eq!(scheduled, ScheduledFault { after_ms: 120_000, fault: fault.clone() });
    assert_eq!("node-down:pve3".parse(), Ok(ScheduledFault { after_ms: 0, fault }));
    assert!("@soon node-down:pve3".parse::<ScheduledFault>().unwrap_err().to_string().contains("expected when"));
}

#[test]
fn a_fault_happens_as_often_as_it_says() {
    let board = FaultBoard::default();
    board.add("500:GET /nodes/*/qemu/**".parse().unwrap());
    board.add("596:GET /version*2".parse().unwrap());
    assert!(board.take_request("GET", "/version").is_some());
    assert!(board.take_request("POST", "/version").is_none());
    assert!(board.take_request("GET", "/version").is_some());
    assert!(board.take_request("GET", "/version").is_none());
    for _ in 0..3 {
        assert!(board.take_request("GET", "/nodes/pve1/qemu/104/config").is_some());
    }
    assert!(board.take_request("GET", "/nodes/pve1/lxc/104/config").is_none());
}
