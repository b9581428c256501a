use super::*;

fn maintenance(world: &mut World, how: &str, name: &str) -> crate::lab::call::CommandReply {
    let words = ["ha-manager", "crm-command", "node-maintenance", how, name].map(str::to_owned);
    world.command(&NodeName::new("pve1"), &words)
}

fn manager(world: &mut World) -> Value {
    get(world, "/cluster/ha/status/manager_status")
}

#[test]
fn maintenance_moves_started_services_and_brings_them_back() {
    let mut world = site("three-node");
    run(&mut world, 60);
    let reply = maintenance(&mut world, "enable", "pve2");
    assert!(reply.exit == 0 && reply.mutating);
    assert_eq!(manager(&mut world)["manager_status"]["node_request"]["pve2"], serde_json::json!({}));
    run(&mut world, 11);
    assert_eq!(manager(&mut world)["manager_status"]["node_request"]["pve2"]["maintenance"], 1);
    assert_eq!(manager(&mut world)["manager_status"]["node_status"]["pve2"], "online");
    run(&mut world, 5);
    assert_eq!(manager(&mut world)["lrm_status"]["pve2"]["mode"], "maintenance");
    run(&mut world, 10);
    assert_eq!(manager(&mut world)["manager_status"]["node_status"]["pve2"], "maintenance");
    assert_eq!(row(&mut world, "node/pve2")["hastate"], "maintenance");
    assert_eq!(row(&mut world, "node/pve2")["status"], "online");
    assert_eq!(row(&mut world, "qemu/111")["hastate"], "migrate");
    run(&mut world, 60);
    assert_eq!(node(&world, 111), "pve1", "its rule prefers pve1 to pve3");
    assert_eq!(row(&mut world, "qemu/111")["hastate"], "started");
    assert_eq!((node(&world, 104).as_str(), node(&world, 108).as_str()), ("pve2", "pve2"), "HA moves only its own");
    let tasks = get_with(&mut world, "/nodes/pve2/tasks", &[("vmid", "111"), ("typefilter", "qmigrate")]);
    assert_eq!(tasks[0]["user"], "root@pam");
    let (_, log) = outcome(&mut world, tasks[0]["upid"].as_str().unwrap());
    assert!(log.starts_with("task started by HA resource agent"), "{log}");
    assert_eq!(maintenance(&mut world, "disable", "pve2").exit, 0);
    run(&mut world, 90);
    assert_eq!(node(&world, 111), "pve2");
    assert_eq!(row(&mut world, "node/pve2")["hastate"], "online");
}

#[test]
fn the_commands_refuse_as_the_tools_do() {
    let mut world = site("three-node");
    let reply = maintenance(&mut world, "enable", "pve9");
    assert_eq!((reply.exit, reply.stderr.as_str()), (255, "no such cluster node 'pve9'\n"));
    let reply = world.command(&NodeName::new("pve1"), &["zpool".into(), "list".into()]);
    assert_eq!((reply.exit, reply.stderr.as_str()), (127, "bash: line 1: zpool: command not found\n"));
    let status = world.command(&NodeName::new("pve1"), &["ha-manager".into(), "status".into()]);
    assert!(
        status.stdout.contains("quorum OK\n") && status.stdout.contains("service vm:111 (pve2, started)"),
        "{}",
        status.stdout
    );
    let reply = world.command(&NodeName::new("pve1"), &["qm".into(), "unlock".into(), "104".into()]);
    assert_eq!(reply.exit, 2);
    world.set_lock(Vmid(104), Some("backup"));
    let reply = world.command(&NodeName::new("pve2"), &["qm".into(), "unlock".into(), "104".into()]);
    assert!(reply.exit == 0 && reply.mutating && world.guests[&Vmid(104)].config.get("lock").is_none());
}

#[test]
fn a_managed_guest_only_queues() {
    let mut world = site("three-node");
    let task = upid(post(&mut world, "/nodes/pve2/qemu/111/migrate", &[("target", "pve3"), ("online", "1")]).unwrap());
    assert!(task.contains(":hamigrate:111:"));
    run(&mut world, 1);
    assert_eq!(outcome(&mut world, &task).0, "OK");
    assert_eq!(node(&world, 111), "pve2");
    let moved = (0..50).any(|_| {
        run(&mut world, 1);
        node(&world, 111) == "pve3"
    });
    assert!(moved);
    run(&mut world, 60);
    assert_eq!(node(&world, 111), "pve2", "its rule prefers pve2, so that failback takes it home at once");
    let stop = upid(post(&mut world, "/nodes/pve1/qemu/121/status/stop", &[]).unwrap());
    assert!(stop.contains(":hastop:"));
    run(&mut world, 60);
    assert_eq!(world.guest_status(Vmid(121)), Some("stopped"));
    assert_eq!(get(&mut world, "/cluster/ha/resources/vm:121")["state"], "stopped");
    let start = upid(post(&mut world, "/nodes/pve1/qemu/121/status/start", &[]).unwrap());
    assert!(start.contains(":hastart:"));
    run(&mut world, 60);
    assert_eq!(world.guest_status(Vmid(121)), Some("running"));
}

#[test]
fn services_that_repel_each_other_stay_apart() {
    let mut world = site("three-node");
    let path = "/cluster/ha/resources/vm:121/migrate";
    let reply = post(&mut world, path, &[("node", "pve3")]).unwrap();
    assert_eq!(reply["blocking-resources"][0]["cause"], "resource-affinity");
    let task = upid(post(&mut world, "/nodes/pve1/qemu/121/migrate", &[("target", "pve3"), ("online", "1")]).unwrap());
    run(&mut world, 120);
    assert_eq!(outcome(&mut world, &task).0, "OK", "the refusal shows nowhere");
    assert_eq!(node(&world, 121), "pve1");
    maintenance(&mut world, "enable", "pve3");
    run(&mut world, 120);
    assert_eq!(node(&world, 221), "pve2");
    assert_eq!(
        post(&mut world, "/cluster/ha/resources/vm:222/migrate", &[("node", "pve2")]).unwrap_err().message,
        "resource 'vm:222' is not HA managed"
    );
}

#[test]
fn a_dead_nodes_services_are_recovered_elsewhere() {
    let mut world = site("three-node");
    world.set_node_up(&NodeName::new("pve2"), false);
    run(&mut world, 60);
    assert_eq!(node(&world, 111), "pve2");
    run(&mut world, 140);
    assert_ne!(node(&world, 111), "pve2");
    assert_eq!(world.guest_status(Vmid(111)), Some("running"));
    assert_eq!(node(&world, 104), "pve2", "what HA does not manage stays dead with its node");
}

#[test]
fn rules_and_groups_by_version() {
    let mut world = site("three-node");
    let rules = get(&mut world, "/cluster/ha/rules");
    assert_eq!((rules[0]["strict"].clone(), rules[1]["resources"].clone()), (0.into(), "vm:121,vm:221".into()));
    let error = world.handle(&call(Verb::Get, "/cluster/ha/groups", &[])).unwrap_err();
    assert_eq!(error.message, "cannot index groups: ha groups have been migrated to rules");
    let mut old = site("mixed-version");
    assert_eq!(get(&mut old, "/cluster/ha/groups")[0]["nodes"], "pve1:2,pve2:2,pve3:1");
    assert_eq!(old.handle(&call(Verb::Get, "/cluster/ha/rules", &[])).unwrap_err().status, 501);
}

#[test]
fn resources_are_added_changed_and_taken_away() {
    let mut world = site("three-node");
    post(&mut world, "/cluster/ha/resources", &[("sid", "vm:104"), ("comment", "web")]).unwrap();
    assert_eq!(row(&mut world, "qemu/104")["hastate"], "queued");
    run(&mut world, 30);
    assert_eq!(row(&mut world, "qemu/104")["hastate"], "started");
    let error = post(&mut world, "/cluster/ha/resources", &[("sid", "vm:104")]).unwrap_err();
    assert_eq!(error.message, "resource ID 'vm:104' already defined");
    let error = post(&mut world, "/cluster/ha/resources", &[("sid", "vm:4711")]).unwrap_err();
    assert_eq!(error.message, "resource 'vm:4711' does not exist in cluster");
    world.handle(&call(Verb::Put, "/cluster/ha/resources/104", &[("state", "ignored")])).unwrap();
    assert_eq!(row(&mut world, "qemu/104")["hastate"], "ignored");
    world.handle(&call(Verb::Delete, "/cluster/ha/resources/vm:221", &[])).unwrap();
    assert_eq!(get(&mut world, "/cluster/ha/rules")[1]["resources"], "vm:121");
    let error = world.handle(&call(Verb::Get, "/cluster/ha/resources/vm:221", &[])).unwrap_err();
    assert_eq!(error.message, "no such resource 'vm:221'");
}

#[test]
fn a_managed_container_stops_for_its_way() {
    let mut world = site("three-node");
    post(&mut world, "/cluster/ha/resources", &[("sid", "ct:112")]).unwrap();
    run(&mut world, 30);
    maintenance(&mut world, "enable", "pve1");
    run(&mut world, 120);
    assert_ne!(node(&world, 112), "pve1");
    assert_eq!(world.guest_status(Vmid(112)), Some("running"));
    let tasks = world.tasks.all.values().filter(|task| task.id == "112");
    let kinds: Vec<&str> = tasks.clone().map(|task| task.kind.as_str()).collect();
    assert_eq!(kinds, ["vzshutdown", "vzmigrate", "vzstart"]);
    for task in tasks {
        assert_eq!((task.user.as_str(), task.log[0].as_str()), ("root@pam", "task started by HA resource agent"));
    }
}

#[test]
fn a_strict_rule_without_another_node_keeps_its_service() {
    let mut world = site("three-node");
    let rule = world.ha.rules.iter_mut().find(|rule| rule.rule == "vault-home").unwrap();
    (rule.nodes, rule.strict) = ("pve2".into(), true);
    maintenance(&mut world, "enable", "pve2");
    run(&mut world, 180);
    assert_eq!(node(&world, 111), "pve2");
    assert_eq!(row(&mut world, "node/pve2")["hastate"], "maintenance");
}

#[test]
fn what_belongs_together_moves_together() {
    let mut world = site("three-node");
    let rule = world.ha.rules.iter_mut().find(|rule| rule.rule == "web-apart").unwrap();
    (rule.affinity, rule.resources) = ("positive".into(), "vm:111,vm:121".into());
    let reply = post(&mut world, "/cluster/ha/resources/vm:121/migrate", &[("node", "pve3")]).unwrap();
    assert_eq!(reply["comigrated-resources"], serde_json::json!(["vm:111"]));
    let together = (0..90).any(|_| {
        run(&mut world, 1);
        node(&world, 111) == "pve3" && node(&world, 121) == "pve3"
    });
    assert!(together);
}

#[test]
fn a_service_that_cannot_start_ends_in_error_and_says_so() {
    let mut world = site("three-node");
    world.nodes.values_mut().for_each(|node| node.bridges.clear());
    post(&mut world, "/nodes/pve3/qemu/223/status/start", &[]).unwrap();
    run(&mut world, 120);
    assert_eq!(row(&mut world, "qemu/223")["hastate"], "error");
    let task = upid(post(&mut world, "/nodes/pve3/qemu/223/migrate", &[("target", "pve1")]).unwrap());
    run(&mut world, 1);
    let (end, log) = outcome(&mut world, &task);
    assert_eq!(end, "command 'ha-manager migrate vm:223 pve1' failed: exit code 255");
    assert!(log.contains("service 'vm:223' in error state, must be disabled and fixed first"), "{log}");
    let set = |state: &str| call(Verb::Put, "/cluster/ha/resources/vm:223", &[("state", state)]);
    let error = world.handle(&set("started")).unwrap_err();
    assert_eq!(error.message, "service 'vm:223' in error state, must be disabled and fixed first");
    world.handle(&set("disabled")).unwrap();
    run(&mut world, 20);
    assert_eq!(row(&mut world, "qemu/223")["hastate"], "stopped");
}

fn change(world: &mut World, verb: Verb, path: &str, params: &[(&str, &str)]) -> Result<(), String> {
    world.handle(&call(verb, path, params)).map(drop).map_err(|error| error.message)
}

#[test]
fn rules_are_made_changed_and_removed_and_refused_in_the_servers_words() {
    let mut world = site("tiny");
    let made = |world: &mut World, rule: &str, params: &[(&str, &str)]| {
        let all: Vec<_> = [("rule", rule)].into_iter().chain(params.iter().copied()).collect();
        change(world, Verb::Post, "/cluster/ha/rules", &all)
    };
    let nodes = [("type", "node-affinity"), ("resources", "111"), ("nodes", "pve2:1,pve1"), ("strict", "1")];
    made(&mut world, "home", &nodes).unwrap();
    assert_eq!(made(&mut world, "home", &nodes).unwrap_err(), "HA rule 'home' already defined");
    let row = get(&mut world, "/cluster/ha/rules/home");
    assert_eq!((row["resources"].as_str(), row["strict"].as_u64()), (Some("vm:111"), Some(1)));
    let with = |key: &'static str, value: &'static str| nodes.map(|(k, v)| if k == key { (k, value) } else { (k, v) });
    let unmanaged = made(&mut world, "b", &with("resources", "vm:104")).unwrap_err();
    assert_eq!(unmanaged, "cannot use unmanaged resource(s) vm:104.");
    assert_eq!(made(&mut world, "b", &with("nodes", "pve9")).unwrap_err(), "cannot use non-existent node(s) pve9.");
    let alone = [("type", "resource-affinity"), ("resources", "vm:111"), ("affinity", "negative")];
    assert_eq!(made(&mut world, "b", &alone).unwrap_err(), "Rule 'b' is invalid.");
    let digest = row["digest"].as_str().unwrap();
    let off = [("type", "node-affinity"), ("disable", "1"), ("delete", "strict"), ("digest", digest)];
    change(&mut world, Verb::Put, "/cluster/ha/rules/home", &off).unwrap();
    let stale = change(&mut world, Verb::Put, "/cluster/ha/rules/home", &off).unwrap_err();
    assert!(stale.contains("changed by other user?"), "{stale}");
    let row = get(&mut world, "/cluster/ha/rules/home");
    assert_eq!((row["disable"].as_u64(), row["strict"].as_u64()), (Some(1), Some(0)));
    change(&mut world, Verb::Delete, "/cluster/ha/rules/home", &[]).unwrap();
    assert_eq!(change(&mut world, Verb::Delete, "/cluster/ha/rules/home", &[]).unwrap_err(), "no such ha rule 'home'");
    let group = change(&mut world, Verb::Post, "/cluster/ha/groups", &[("group", "g"), ("nodes", "pve1")]).unwrap_err();
    assert_eq!(group, "cannot create group: ha groups have been migrated to rules");
}

#[test]
fn groups_are_made_changed_and_removed_before_rules() {
    let mut world = site("mixed-version");
    change(&mut world, Verb::Post, "/cluster/ha/groups", &[("group", "low"), ("nodes", "pve1:1")]).unwrap();
    change(&mut world, Verb::Put, "/cluster/ha/groups/low", &[("restricted", "1"), ("nodes", "pve2")]).unwrap();
    let row = get(&mut world, "/cluster/ha/groups/low");
    assert_eq!((row["nodes"].as_str(), row["restricted"].as_u64()), (Some("pve2"), Some(1)));
    let used = change(&mut world, Verb::Delete, "/cluster/ha/groups/upper", &[]).unwrap_err();
    assert_eq!(used, "ha group is used by service 'vm:111'");
    change(&mut world, Verb::Delete, "/cluster/ha/groups/low", &[]).unwrap();
    assert_eq!(get(&mut world, "/cluster/ha/groups").as_array().unwrap().len(), 1);
}
