//! Whatever the cluster: a plan never breaks a hard limit, and leaves nobody out.

use proptest::prelude::*;

use super::*;

prop_compose! {
    fn guest()(memory in 1u64..40, vcpus in 1u32..12, at in 0usize..4, running in any::<bool>(),
               disk in prop_oneof![Just(0u64), 1u64..300], tag in any::<bool>()) -> (u64, u32, usize, bool, u64, bool) {
        (memory, vcpus, at, running, disk, tag)
    }
}

fn build(guests: &[(u64, u32, usize, bool, u64, bool)]) -> Facts {
    let mut facts = cluster(Vec::new());
    facts.nodes.push(node("pve4"));
    for (i, &(memory, vcpus, at, running, disk, tag)) in guests.iter().enumerate() {
        // Half of all guests are on the node that is emptied.
        let node = ["pve2", "pve1", "pve3", "pve4"][if i % 2 == 0 { 0 } else { at }];
        let mut guest = on(node, vm(101 + i as u32, memory));
        (guest.vcpus, guest.running) = (vcpus, running);
        if disk > 0 {
            guest = local(guest, disk);
        }
        facts.guests.push(if tag { tagged(&["cp"], guest) } else { guest });
    }
    facts
}

/// Bytes and vCPUs of running guests by node, counted here anew.
fn held(facts: &Facts, plan: &Evacuation, node: &NodeName, moved: bool) -> (u64, u64, u64) {
    let (mut memory, mut vcpus, mut disk) = (0, 0, 0);
    for guest in &facts.guests {
        let to = plan.moves.iter().find(|m| m.vmid == guest.vmid).map(|m| &m.to);
        let at = if moved { to.unwrap_or(&guest.node) } else { &guest.node };
        if at == node && guest.running {
            memory += guest.memory + 100 * (1 << 20) + guest.memory / 200;
            vcpus += u64::from(guest.vcpus);
        }
        if to == Some(node) {
            disk += guest.disks.iter().filter(|d| d.storage.as_str() == "local-lvm").map(|d| d.bytes).sum::<u64>();
        }
    }
    (memory, vcpus, disk)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_keeps_every_limit(guests in prop::collection::vec(guest(), 0..16)) {
        let facts = build(&guests);
        let group = QuorumGroup { name: "q".into(), tags: set(["cp"]) };
        let settings = Settings { quorum_groups: vec![group], ..Settings::default() };
        let leaving = facts.guests.iter().filter(|g| g.node == facts.node).count();
        match plan(&facts, &settings) {
            Ok(plan) => {
                prop_assert_eq!(plan.moves.len(), leaving);
                prop_assert_eq!(still_fits(&plan, &facts), Ok(()));
                for node in facts.nodes.iter().filter(|n| n.name != facts.node) {
                    let (before, after) = (held(&facts, &plan, &node.name, false), held(&facts, &plan, &node.name, true));
                    let usable = (60.0 * GIB as f64 * 0.85) as u64;
                    // A node that its own guests overfill gets nothing more.
                    prop_assert!(after.0 <= usable || after.0 == before.0, "memory of {}", node.name);
                    prop_assert!(after.1 <= 64 || after.1 == before.1, "vCPUs of {}", node.name);
                    prop_assert!(after.2 <= 500 * GIB, "disks on {}", node.name);
                }
            }
            Err(refusal) => {
                prop_assert!(!refusal.blockers.is_empty());
                prop_assert!(refusal.blockers.iter().all(|b| b.per_node.len() == 3 && !b.remedy.is_empty()), "{refusal}");
            }
        }
    }
}

#[test]
fn a_large_cluster_is_planned_and_a_hopeless_one_refused() {
    let mut facts = cluster(Vec::new());
    facts.nodes.extend((4..=40).map(|i| node(&format!("pve{i}"))));
    facts.nodes[1].memory_total = 4096 * GIB;
    let elsewhere: Vec<String> = facts.nodes.iter().map(|n| n.name.to_string()).filter(|n| n != "pve2").collect();
    facts.guests = (0..400)
        .map(|i| on("pve2", local(vm(1000 + i, u64::from(1 + i % 4)), u64::from(i % 20))))
        .chain((0..800).map(|i| on(&elsewhere[i as usize % 39], vm(2000 + i, 1))))
        .collect();
    let plan = ok(&facts);
    assert_eq!((plan.moves.len(), still_fits(&plan, &facts)), (400, Ok(())));
    for guest in &mut facts.guests {
        guest.memory += 3 * GIB / 2;
    }
    let refusal = refused(&facts);
    assert!(refusal.blockers.iter().all(|b| b.per_node.len() == 39), "{refusal}");
}
