//! Who moves what, what remains, and what the HA manager is expected to do.

use super::*;

#[test]
fn started_services_are_left_to_the_ha_manager_with_room_wherever_it_may_put_them() {
    let facts = cluster(vec![ha(HaState::Started, vm(101, 20)), vm(102, 20)]);
    let plan = ok(&facts);
    assert_eq!(vmids(&plan), [102]);
    assert_eq!(plan.by_ha[0].targets, ["pve1".into(), "pve3".into()]);
    assert!(plan.usage.iter().all(|u| u.kept_for_ha == (20 * 1024 + 100 + 103) << 20), "{:?}", plan.usage);
    let facts = cluster(vec![ha(HaState::Started, vm(101, 30)), vm(102, 30)]);
    let blocker = blocked(&facts);
    assert_eq!(blocker.vmid, Some(Vmid(102)));
    assert!(reason(&blocker, "pve1").contains("(30.2 GiB kept for the HA manager)"), "{blocker}");
    let once = Settings { ha_room: HaRoom::Once, ..Settings::default() };
    assert_eq!(vmids(&with(&facts, &once)), [102]);
}

#[test]
fn the_ha_manager_takes_the_nodes_of_highest_priority() {
    let mut facts = cluster(vec![ha(HaState::Started, vm(101, 20))]);
    let nodes = [("pve1".into(), 2), ("pve2".into(), 9), ("pve3".into(), 1)].into();
    facts.ha_rules = vec![HaRule::NodeAffinity { resources: [Vmid(101)].into(), nodes, strict: false }];
    assert_eq!(ok(&facts).by_ha[0].targets, ["pve1".into()]);
    facts.nodes[0].online = false;
    assert_eq!(ok(&facts).by_ha[0].targets, ["pve3".into()]);
}

#[test]
fn services_kept_apart_need_room_for_the_biggest_only() {
    let mut facts = cluster(vec![ha(HaState::Started, vm(101, 20)), ha(HaState::Started, vm(102, 10)), vm(103, 25)]);
    let rule = HaRule::ResourceAffinity { resources: [Vmid(101), Vmid(102)].into(), positive: false };
    assert_eq!(refused(&facts).blockers.len(), 1);
    facts.ha_rules = vec![rule];
    assert_eq!(vmids(&ok(&facts)), [103]);
}

#[test]
fn what_the_ha_manager_cannot_place_stops_the_plan() {
    let blocker = blocked(&cluster(vec![ha(HaState::Started, local(vm(101, 4), 10)), vm(102, 1)]).tap(|f| {
        f.nodes[0].storages.truncate(1);
        f.nodes[2].storages.truncate(1);
    }));
    assert_eq!((blocker.limit, reason(&blocker, "pve1")), (Limit::NoTarget, "no storage local-lvm"));
    let tight = cluster(vec![
        ha(HaState::Started, vm(101, 40)),
        ha(HaState::Started, vm(102, 40)),
        ha(HaState::Started, vm(103, 40)),
    ]);
    assert_eq!(blocked(&tight).limit, Limit::Impossible);
}

#[test]
fn a_node_the_ha_manager_may_choose_in_vain_is_warned_about() {
    let plan = ok(&cluster(vec![ha(HaState::Started, vm(101, 4))]).tap(|f| f.nodes[0].bridges.clear()));
    assert!(plan.warnings.iter().any(|w| w.contains("may try 101 (vm101) on pve1") && w.contains("no bridge vmbr0")));
}

#[test]
fn ignored_services_are_ours_and_other_states_need_a_decision() {
    assert_eq!(vmids(&ok(&cluster(vec![ha(HaState::Ignored, vm(101, 4))]))), [101]);
    for state in [HaState::Stopped, HaState::Disabled, HaState::Error, HaState::Other("fence".into())] {
        let blocker = blocked(&cluster(vec![ha(state.clone(), vm(101, 4))]));
        assert_eq!((blocker.limit, blocker.detail), (Limit::HaState, format!("HA state `{state}`")));
    }
}

#[test]
fn guests_in_stay_remain_and_are_named() {
    let mut guest = ha(HaState::Stopped, vm(101, 200));
    guest.lock = Some("backup".into());
    let settings = Settings { stay: [Vmid(101), Vmid(999)].into(), ..Settings::default() };
    let plan = with(&cluster(vec![guest, vm(102, 4)]), &settings);
    assert_eq!((plan.staying[0].vmid, vmids(&plan)), (Vmid(101), vec![102]));
    assert!(plan.warnings.contains(&"stay lists 999, not on pve2".to_owned()));
    let refusal = plan_of(&cluster(vec![ha(HaState::Started, vm(101, 4))]), &settings).unwrap_err();
    assert_eq!(refusal.blockers[0].limit, Limit::HaOwner);
}

use super::plan as plan_of;

#[test]
fn containers_under_ha_are_stops_and_vms_that_cannot_go_live_are_blockers() {
    let facts = cluster(vec![ha(HaState::Started, ct(101, 4))]);
    assert_eq!(blocked(&facts).limit, Limit::NeedsStop);
    let plan = with(&facts, &stops_allowed());
    assert_eq!((plan.stops[0].vmid, plan.stops[0].to.clone(), plan.moves.len()), (Vmid(101), None, 0));
    let mut gpu = ha(HaState::Started, vm(102, 4));
    gpu.mapped = vec![MappedDevice { name: "gpu".into(), live: false, nodes: None }];
    let refusal = plan_of(&cluster(vec![gpu]), &stops_allowed()).unwrap_err();
    assert_eq!(refusal.blockers[0].limit, Limit::HaOwner);
}

#[test]
fn an_unasked_precondition_is_said() {
    let mut facts = cluster(vec![vm(101, 4), vm(102, 4), vm(103, 4)]);
    facts.guests[0].precondition = Some(Precondition::Unknown("token lacks VM.Migrate".into()));
    facts.guests[1].precondition = Some(Precondition::Unknown("token lacks VM.Migrate".into()));
    let expected = "not verified by Proxmox's own precondition: token lacks VM.Migrate: 101 (vm101) and 102 (vm102)";
    assert!(ok(&facts).warnings.contains(&expected.to_owned()));
}

#[test]
fn disks_that_only_proxmox_knows_of_are_said() {
    let mut facts = cluster(vec![vm(101, 4)]);
    let known = KnownPrecondition { local_disks: vec!["local-lvm:vm-101-disk-7".into()], ..Default::default() };
    facts.guests[0].precondition = Some(Precondition::Known(known));
    assert!(ok(&facts).warnings.join("\n").contains("Proxmox lists local-lvm:vm-101-disk-7 too"));
}

#[test]
fn a_node_without_guests_is_empty_already() {
    let plan = ok(&cluster(vec![on("pve1", vm(201, 4))]));
    assert!(plan.moves.is_empty() && plan.stops.is_empty() && plan.by_ha.is_empty());
}

#[test]
fn memory_that_ballooning_or_ksm_hides_is_said() {
    let mut facts = cluster(vec![vm(101, 8)]);
    facts.guests[0].balloon = Some(2 * GIB);
    facts.nodes[0].ksm_shared = Some(9 * GIB);
    facts.nodes[2].memory_used = Some(12 * GIB);
    let warnings = ok(&facts).warnings.join("\n");
    assert!(warnings.contains("ballooning: 101 (vm101) arrive"), "{warnings}");
    assert!(warnings.contains("pve1: KSM shares 9.0 GiB;"), "{warnings}");
    assert!(warnings.contains("pve3 uses 8.0 GiB more"), "{warnings}");
}

/// Change a value in passing.
trait Tap: Sized {
    fn tap(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Tap for Facts {}
