use super::*;

/// May see only guest 104 and nothing else.
struct Only104;

impl Privileges for Only104 {
    fn may(&self, path: &str, privilege: &str) -> bool {
        path == "/vms/104" && privilege == "VM.Audit"
    }
}

#[test]
fn figures_are_old_but_places_are_not() {
    let mut world = site("three-node");
    run(&mut world, 1);
    let before = row(&mut world, "qemu/108");
    post(&mut world, "/nodes/pve2/qemu/108/status/start", &[]).unwrap();
    world.handle(&call(Verb::Put, "/nodes/pve2/qemu/108/config", &[("name", "renamed"), ("tags", "new")])).unwrap();
    run(&mut world, 4);
    assert_eq!(get(&mut world, "/nodes/pve2/qemu/108/status/current")["status"], "running");
    let stale = row(&mut world, "qemu/108");
    assert_eq!((stale["status"].clone(), stale["name"].clone()), ("stopped".into(), before["name"].clone()));
    assert_eq!(stale["tags"], "new");
    run(&mut world, 6);
    let fresh = row(&mut world, "qemu/108");
    assert_eq!((fresh["status"].clone(), fresh["name"].clone()), ("running".into(), "renamed".into()));
}

#[test]
fn figures_move_with_each_broadcast_and_the_same_way_each_time() {
    let (mut a, mut b) = (site("three-node"), site("three-node"));
    let first = row(&mut a, "qemu/104")["cpu"].clone();
    run(&mut a, 10);
    run(&mut b, 10);
    assert_ne!(row(&mut a, "qemu/104")["cpu"], first);
    assert_eq!(get(&mut a, "/cluster/resources"), get(&mut b, "/cluster/resources"));
}

#[test]
fn rows_are_filtered_by_privilege() {
    let mut world = site("three-node");
    let call = Call { privileges: Arc::new(Only104), ..call(Verb::Get, "/cluster/resources", &[]) };
    let rows = world.handle(&call).unwrap().data;
    let ids: Vec<&str> = rows.as_array().unwrap().iter().filter_map(|row| row["id"].as_str()).collect();
    assert_eq!(ids, ["qemu/104", "node/pve1", "node/pve2", "node/pve3"]);
    assert!(rows[1].get("maxmem").is_none());
}

#[test]
fn tasks_are_listed_filtered_and_delayed() {
    let mut world = site("three-node");
    world.set_task_delay(3000);
    let task = upid(post(&mut world, "/nodes/pve2/qemu/104/migrate", &[("target", "pve3"), ("online", "1")]).unwrap());
    run(&mut world, 1);
    let active = [("source", "active"), ("vmid", "104")];
    assert_eq!(get_with(&mut world, "/nodes/pve2/tasks", &active), serde_json::json!([]));
    run(&mut world, 3);
    let rows = get_with(&mut world, "/nodes/pve2/tasks", &active);
    assert_eq!((rows[0]["upid"].as_str(), rows[0]["status"].as_str()), (Some(task.as_str()), Some("RUNNING")));
    assert_eq!((rows[0]["user"].as_str(), rows[0]["tokenid"].as_str()), (Some("ops@pve"), Some("runbook")));
    assert_eq!(get(&mut world, "/nodes/pve2/tasks"), serde_json::json!([]), "the archive has only what ended");
    let status = get(&mut world, &format!("/nodes/pve2/tasks/{task}/status"));
    assert!(status["status"] == "running" && status.get("exitstatus").is_none() && status.get("endtime").is_none());
    run(&mut world, 60);
    assert_eq!(get(&mut world, "/nodes/pve2/tasks")[0]["status"], "OK");
    for filter in [("errors", "1"), ("typefilter", "qmstart"), ("vmid", "105"), ("statusfilter", "error")] {
        assert_eq!(get_with(&mut world, "/nodes/pve2/tasks", &[filter]), serde_json::json!([]), "{filter:?}");
    }
    assert_eq!(get(&mut world, "/cluster/tasks")[0]["upid"], task.as_str());
    let path = format!("/nodes/pve2/tasks/{task}/log");
    let reply = world.handle(&call(Verb::Get, &path, &[("start", "2"), ("limit", "1")])).unwrap();
    assert_eq!(reply.data[0]["n"], 3);
    assert!(reply.total.unwrap() > 20);
    let bad = world.handle(&call(Verb::Get, "/nodes/pve2/tasks/UPID:x/status", &[])).unwrap_err();
    assert_eq!(bad.errors["upid"], "unable to parse worker upid");
}

#[test]
fn a_clone_goes_its_own_way() {
    let mut world = site("three-node");
    let mut other = world.clone();
    assert_eq!(diff(&world.snapshot_state(), &other.snapshot_state()), [""; 0]);
    let uuid = world.guests[&Vmid(104)].uuid().map(str::to_owned);
    other.replace_guest(Vmid(104));
    assert_ne!(other.guests[&Vmid(104)].uuid().map(str::to_owned), uuid);
    let changes = diff(&world.snapshot_state(), &other.snapshot_state());
    assert!(changes.iter().any(|line| line.starts_with("guests.104.uuid: ")), "{changes:?}");
    assert!(changes.iter().all(|line| line.starts_with("guests.104.")), "{changes:?}");
    run(&mut world, 3600);
    let before = site("three-node").snapshot_state();
    assert_eq!(diff(&before, &world.snapshot_state()), [""; 0], "an hour without an order changes nothing");
}

#[test]
fn every_scenario_answers_every_read() {
    for name in Scenario::names() {
        let mut world = site(name);
        let first = world.nodes()[0].clone();
        for path in [
            "/version",
            "/cluster/status",
            "/cluster/resources",
            "/cluster/nextid",
            "/cluster/options",
            "/cluster/tasks",
            "/cluster/ha/resources",
            "/cluster/ha/status/current",
            "/cluster/replication",
            "/cluster/ha/status/manager_status",
            "/cluster/mapping/pci",
            "/storage",
            "/cluster/config/nodes",
            "/cluster/config/qdevice",
            "/pools",
            "/nodes",
            "/nodes/N/status",
            "/nodes/N/version",
            "/nodes/N/network",
            "/nodes/N/storage",
            "/nodes/N/storage/local/status",
            "/nodes/N/storage/local/content",
            "/nodes/N/qemu",
            "/nodes/N/lxc",
            "/nodes/N/tasks",
            "/nodes/N/capabilities/qemu/machines",
        ] {
            let request =
                Call { via: first.clone(), ..call(Verb::Get, &path.replace("/N/", &format!("/{first}/")), &[]) };
            let reply = world.handle(&request).unwrap_or_else(|error| panic!("{name} {path}: {}", error.message));
            assert!(!reply.mutating && !has_null(&reply.data), "{name} {path}: {}", reply.data);
        }
    }
}

/// The server leaves keys out rather than sending null.
fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(map) => map.values().any(has_null),
        _ => false,
    }
}

#[test]
fn a_host_without_a_cluster_has_no_cluster_row() {
    let mut world = site("one-node");
    let rows = get(&mut world, "/cluster/status");
    assert_eq!((rows.as_array().unwrap().len(), rows[0]["type"].as_str()), (1, Some("node")));
}

#[test]
fn unknown_things_are_answered_as_the_server_does() {
    let mut world = site("three-node");
    let mut error = |path: &str| world.handle(&call(Verb::Get, path, &[])).unwrap_err();
    let unknown = error("/cluster/nonsense");
    assert_eq!((unknown.status, unknown.message.as_str()), (501, "Method 'GET /cluster/nonsense' not implemented"));
    assert!(error("/nodes/pve9/status").message.starts_with("hostname lookup 'pve9' failed"));
    assert_eq!(error("/nodes/pve1/storage/nope/status").message, "storage 'nope' does not exist");
    let taken = world.handle(&call(Verb::Get, "/cluster/nextid", &[("vmid", "104")])).unwrap_err();
    assert_eq!(taken.errors["vmid"], "VM 104 already exists");
    assert_eq!(get(&mut world, "/cluster/nextid"), 103);
}

#[test]
fn agents_and_containers_tell_their_addresses() {
    let mut world = site("three-node");
    let body = get(&mut world, "/nodes/pve1/qemu/1051/agent/network-get-interfaces");
    assert_eq!(body["result"][1]["hardware-address"], "02:54:00:00:10:51");
    assert_eq!(body["result"][1]["ip-addresses"][0]["ip-address"], "10.0.0.51");
    let error = world.handle(&call(Verb::Get, "/nodes/pve3/qemu/229/agent/network-get-interfaces", &[])).unwrap_err();
    assert_eq!(error.message, "No QEMU guest agent configured");
    assert_eq!(get(&mut world, "/nodes/pve1/lxc/101/interfaces")[1]["ip-addresses"][0]["ip-address-type"], "inet");
    assert_eq!(get(&mut world, "/nodes/pve2/lxc/110/interfaces"), Value::Null);
}

/// A site of one guest, with what a scenario may say of it.
fn one_guest(version: &str, guest: &str) -> World {
    let text = format!(
        "site: x\nabout: x\nnodes: [{{name: pve1, memory_gib: 64, threads: 8, version: {version}}}]\nstorages: []\nguests: [{{id: 100, node: pve1, name: a, running: true, memory_mib: 1024, mac: 'BC:24:11:00:00:01', {guest}}}]\n"
    );
    World::from_scenario(&Scenario::read("one", &text).unwrap(), 7, EPOCH)
}

const AGENT: &str = "/nodes/pve1/qemu/100/agent/network-get-interfaces";

#[test]
fn an_agent_says_no_in_each_of_its_ways_and_takes_its_time() {
    let asked = |guest: &str| {
        let mut world = one_guest("9.2.3", guest);
        let call = call(Verb::Get, AGENT, &[]);
        let busy = crate::lab::front::site::SiteWorld::busy(&world, &call).as_secs();
        let said = world.handle(&call);
        (busy, said.map(|reply| reply.data).map_err(|error| error.message))
    };
    let dead = (3, Err("QEMU guest agent is not running".to_owned()));
    assert_eq!(asked("agent: dead, ip: 10.0.0.4"), dead);
    assert_eq!(asked(""), dead, "no address: nothing runs in it");
    let stuck = "VM 100 qga command 'guest-network-get-interfaces' failed - got timeout".to_owned();
    assert_eq!(asked("agent: stuck"), (5, Err(stuck)));
    let (busy, blocked) = asked("agent: blocked");
    assert_eq!((busy, &blocked.unwrap()["result"]["error"]["class"]), (0, &Value::from("CommandNotFound")));
    assert_eq!(asked("config: {agent: enabled=0}"), (0, Err("No QEMU guest agent configured".to_owned())));
    let (busy, said) = asked("agent: answers");
    assert_eq!(busy, 0);
    assert_eq!(said.unwrap()["result"][1].get("ip-addresses"), None, "a card without an address has no list");
}

#[test]
fn several_cards_and_what_containers_make_inside() {
    let inside = "config: {net1: 'virtio=BC:24:11:00:00:02,bridge=vmbr0'}, inside: [{name: eth0, net: 0, addresses: [10.0.0.4/24]}, {name: eth1, net: 1}, {name: docker0, mac: '02:42:AC:11:00:01', addresses: [172.17.0.1/16]}, {name: wg0, addresses: ['fe80::1%7/64']}]";
    let mut world = one_guest("9.2.3", inside);
    let body = get(&mut world, AGENT);
    let rows = body["result"].as_array().unwrap();
    let macs: Vec<_> = rows.iter().map(|row| row["hardware-address"].as_str()).collect();
    let wanted = ["00:00:00:00:00:00", "bc:24:11:00:00:01", "bc:24:11:00:00:02", "02:42:ac:11:00:01"];
    assert_eq!(macs[..4], wanted.map(Some));
    assert_eq!((macs[4], rows[4]["ip-addresses"][0]["ip-address"].as_str()), (None, Some("fe80::1%7")));
    // Without them there is one interface for each card.
    let mut world = one_guest("9.2.3", "ip: 10.0.0.4, config: {net1: 'virtio=BC:24:11:00:00:02,bridge=vmbr0'}");
    let body = get(&mut world, AGENT);
    let own = &body["result"][1]["ip-addresses"];
    assert_eq!(
        (own[0]["ip-address"].as_str(), own[1]["ip-address"].as_str()),
        (Some("10.0.0.4"), Some("fe80::be24:11ff:fe00:1"))
    );
    assert_eq!(body["result"][2]["name"], "eth1");
}

#[test]
fn a_containers_interfaces_have_the_shape_of_their_version() {
    let two = "kind: lxc, inside: [{name: eth0, net: 0, addresses: [10.0.0.4/24, 10.0.0.5/24, 'fd00::4/64']}]";
    let mut nine = one_guest("9.2.3", two);
    let row = get(&mut nine, "/nodes/pve1/lxc/100/interfaces")[1].clone();
    assert_eq!((row["inet"].as_str(), row["inet6"].as_str()), (Some("10.0.0.5/24"), Some("fd00::4/64")));
    let kinds: Vec<_> = row["ip-addresses"].as_array().unwrap().iter().map(|a| a["ip-address-type"].clone()).collect();
    assert_eq!(kinds, ["inet", "inet", "inet6"]);
    let mut eight = one_guest("8.4.2", two);
    let row = get(&mut eight, "/nodes/pve1/lxc/100/interfaces")[1].clone();
    let keys: Vec<&String> = row.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["name", "hwaddr", "inet", "inet6"]);
}

#[test]
fn a_world_can_be_sent_to_another_thread() {
    let world = site("two-node");
    let nodes = std::thread::spawn(move || world.nodes().len()).join().unwrap();
    assert_eq!(nodes, 2);
}

#[test]
fn a_large_site_runs_by_itself_without_a_change() {
    let mut world = site("fleet");
    let before = world.snapshot_state();
    run(&mut world, 300);
    assert_eq!(diff(&before, &world.snapshot_state()), [""; 0]);
}
