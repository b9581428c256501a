//! In which order guests move.

use super::*;

#[test]
fn the_canary_is_the_smallest_live_vm_on_shared_storage() {
    let facts = cluster(vec![vm(101, 16), local(vm(102, 1), 1), vm(103, 4), vm(104, 8)]);
    assert_eq!(vmids(&ok(&facts)), [103, 102, 104, 101]);
    assert!(ok(&facts).order.contains("canary"));
}

#[test]
fn stopped_guests_come_after_live_ones_and_stops_last_by_startup_order() {
    let mut stopped = vm(101, 1);
    stopped.running = false;
    let (mut first, mut second) = (ct(102, 8), ct(103, 2));
    first.startup_order = Some(1);
    second.startup_order = Some(5);
    let facts = cluster(vec![stopped, first, second, ct(104, 1), vm(105, 8)]);
    assert_eq!(vmids(&with(&facts, &stops_allowed())), [105, 101, 102, 103, 104]);
}

#[test]
fn members_of_a_quorum_group_do_not_follow_each_other() {
    let group = QuorumGroup { name: "etcd".into(), tags: set(["cp"]) };
    let settings = Settings { quorum_groups: vec![group], ..Settings::default() };
    let member = |vmid, memory| tagged(&["cp"], vm(vmid, memory));
    let facts = cluster(vec![member(101, 1), member(102, 2), member(103, 3), vm(104, 8), vm(105, 9)]);
    assert_eq!(vmids(&with(&facts, &settings)), [101, 104, 102, 105, 103]);
    let facts = cluster(vec![vm(104, 1), vm(105, 2), vm(106, 3), member(101, 8), member(102, 9)]);
    assert_eq!(vmids(&with(&facts, &settings)), [104, 105, 101, 106, 102]);
    let facts = cluster(vec![member(101, 1), member(102, 2)]);
    assert_eq!(vmids(&with(&facts, &settings)), [101, 102]);
}

#[test]
fn the_same_facts_in_another_order_give_the_same_plan() {
    let mut facts = cluster((0..20).map(|i| vm(101 + i, u64::from(1 + i % 5))).collect());
    let plan = ok(&facts);
    facts.guests.reverse();
    facts.nodes.reverse();
    assert_eq!(ok(&facts), plan);
}
