//! What stops a plan before anything moves, and what turns a move into a stop.

use super::*;

#[test]
fn a_lock_is_named() {
    let mut guest = vm(101, 4);
    guest.lock = Some("backup".into());
    let blocker = blocked(&cluster(vec![guest]));
    assert_eq!((blocker.limit, blocker.detail.as_str()), (Limit::Lock, "lock `backup`"));
    assert!(blocker.remedy.contains("wait until the backup has ended"));
}

#[test]
fn a_local_iso_is_to_be_ejected_and_a_shared_one_is_not() {
    let mut guest = vm(101, 4);
    guest.disks.push(DiskFacts { cdrom: true, ..disk("ide2", "local-lvm:iso/x.iso", 1) });
    let blocker = blocked(&cluster(vec![guest]));
    assert_eq!((blocker.limit, blocker.remedy.as_str()), (Limit::LocalIso, "eject local-lvm:iso/x.iso"));
    let mut guest = vm(101, 4);
    guest.disks.push(DiskFacts { cdrom: true, ..disk("ide2", "ceph:iso/x.iso", 1) });
    guest.disks.push(DiskFacts { cdrom: true, ..disk("ide0", "none", 0) });
    assert_eq!(ok(&cluster(vec![guest])).moves[0].mode, Mode::Live);
    let mut guest = vm(101, 4);
    guest.disks.push(DiskFacts { cdrom: true, ..disk("ide2", "cdrom", 0) });
    assert_eq!(blocked(&cluster(vec![guest])).remedy, "eject ide2");
}

#[test]
fn a_local_cloudinit_drive_goes_along() {
    let mut guest = vm(101, 4);
    guest.disks.push(DiskFacts { cdrom: true, cloudinit: true, ..disk("ide2", "local-lvm:vm-101-cloudinit", 0) });
    let plan = ok(&cluster(vec![guest]));
    assert_eq!((plan.moves[0].mode, plan.moves[0].storages.len()), (Mode::Live, 1));
}

#[test]
fn raw_passthrough_cannot_be_moved_with_a_token() {
    let mut guest = vm(101, 4);
    guest.passthrough = vec!["hostpci0: 0000:01:00.0".into()];
    let refusal = plan(&cluster(vec![guest]), &stops_allowed()).unwrap_err();
    assert_eq!(refusal.blockers[0].limit, Limit::Passthrough);
    assert!(refusal.to_string().contains("hostpci0: an API token cannot move such a guest"));
    let mut guest = vm(102, 4);
    let known = KnownPrecondition { local_resources: vec!["virtiofs0".into()], ..Default::default() };
    guest.precondition = Some(Precondition::Known(known));
    assert_eq!(blocked(&cluster(vec![guest])).limit, Limit::Passthrough);
}

#[test]
fn a_mapped_device_means_a_stop_and_a_node_that_has_it() {
    let mut guest = vm(101, 4);
    guest.mapped = vec![MappedDevice { name: "gpu".into(), live: false, nodes: Some(["pve3".into()].into()) }];
    let facts = cluster(vec![guest, on("pve3", vm(301, 20))]);
    let blocker = blocked(&facts);
    assert_eq!(blocker.limit, Limit::NeedsStop);
    assert!(blocker.detail.contains("shut down, moved offline, started on the target"), "{blocker}");
    let plan = with(&facts, &stops_allowed());
    let m = &plan.moves[0];
    assert_eq!((m.mode, m.downtime, m.to.as_str()), (Mode::Restart, true, "pve3"));
    assert_eq!((plan.stops[0].vmid, plan.stops[0].seconds), (Vmid(101), 28));
    let mut capable = facts.clone();
    capable.guests[0].mapped[0].live = true;
    assert_eq!(ok(&capable).moves[0].mode, Mode::Live);
}

#[test]
fn a_running_container_is_a_stop_and_a_stopped_one_is_not() {
    let mut facts = cluster(vec![ct(101, 4)]);
    assert_eq!(blocked(&facts).limit, Limit::NeedsStop);
    let plan = with(&facts, &stops_allowed());
    let reason = "container: Proxmox has no live migration for containers";
    assert_eq!((plan.moves[0].mode, plan.stops[0].why.as_str()), (Mode::Restart, reason));
    facts.guests[0].running = false;
    assert_eq!((ok(&facts).moves[0].mode, ok(&facts).stops.len()), (Mode::Offline, 0));
}

#[test]
fn a_bind_mount_binds_unless_it_is_shared() {
    let mut guest = ct(101, 4);
    guest.running = false;
    guest.disks.push(disk("mp0", "/srv/data", 0));
    let mut facts = cluster(vec![guest]);
    assert_eq!(
        (blocked(&facts).limit, blocked(&facts).detail.as_str()),
        (Limit::Storage, "mp0 is a mount of /srv/data")
    );
    facts.guests[0].disks[1].shared_mount = true;
    assert_eq!(ok(&facts).moves.len(), 1);
}

#[test]
fn snapshots_on_local_disks_need_a_stop_or_forbid_the_move() {
    let mut guest = local(vm(101, 4), 10);
    guest.snapshots = true;
    let mut facts = cluster(vec![guest]);
    let limits: Vec<Limit> = refused(&facts).blockers.iter().map(|b| b.limit).collect();
    assert_eq!(limits, [Limit::Snapshot, Limit::NeedsStop]);
    for node in &mut facts.nodes {
        node.storages[1].kind = "zfspool".into();
    }
    assert_eq!(blocked(&facts).limit, Limit::NeedsStop);
    let plan = with(&facts, &stops_allowed());
    assert!(plan.moves[0].reason.as_deref().unwrap().starts_with("snapshots on local disks"));
    facts.guests[0] = vm(101, 4);
    facts.guests[0].snapshots = true;
    assert_eq!(ok(&facts).moves[0].mode, Mode::Live);
}

#[test]
fn linked_clones_and_their_bases_are_stuck_on_local_storage_only() {
    let base = |volid: &str| GuestFacts {
        template: true,
        running: false,
        disks: vec![disk("scsi0", volid, 10)],
        ..vm(900, 2)
    };
    let clone = |volid: &str, of: &str| GuestFacts {
        disks: vec![DiskFacts { linked_clone_of: Some(of.into()), ..disk("scsi0", volid, 10) }],
        ..vm(101, 2)
    };
    let of = "local-lvm:base-900-disk-0";
    let refusal = refused(&cluster(vec![base(of), clone("local-lvm:vm-101-disk-0", of)]));
    assert!(refusal.blockers.iter().all(|b| b.limit == Limit::LinkedClone), "{refusal}");
    assert!(refusal.to_string().contains("linked clones of it are on this node: 101 (vm101)"), "{refusal}");
    let of = "ceph:base-900-disk-0";
    let plan = ok(&cluster(vec![base(of), clone("ceph:vm-101-disk-0", of)]));
    assert_eq!(vmids(&plan), [101, 900]);
    assert_eq!((plan.moves[1].mode, plan.moves[1].downtime), (Mode::Offline, false));
}

#[test]
fn storage_types_that_proxmox_cannot_copy_are_named() {
    let mut facts = cluster(vec![local(vm(101, 4), 10)]);
    facts.nodes[1].storages[1].kind = "iscsidirect".into();
    assert!(blocked(&facts).detail.contains("of type iscsidirect"));
    facts.nodes[1].storages.pop();
    assert!(blocked(&facts).detail.contains("which pve2 does not list"));
}

#[test]
fn proxmox_s_own_refusal_counts_unless_the_plan_maps_the_storage() {
    let mut facts = cluster(vec![local(vm(101, 4), 10)]);
    facts.nodes[0].storages[1].id = "fast".into();
    let mut known = KnownPrecondition::default();
    let missing = NotAllowed { unavailable_storages: ["local-lvm".into()].into(), reasons: vec![] };
    known.not_allowed.insert("pve1".into(), missing);
    known
        .not_allowed
        .insert("pve3".into(), NotAllowed { reasons: vec!["blocking HA resource".into()], ..Default::default() });
    facts.guests[0].precondition = Some(Precondition::Known(known.clone()));
    let plan = ok(&facts);
    assert_eq!((target_of(&plan, 101).as_str(), plan.moves[0].storages["local-lvm"].as_str()), ("pve1", "fast"));
    facts.nodes[0].online = false;
    assert_eq!(reason(&blocked(&facts), "pve3"), "Proxmox: blocking HA resource");
}

#[test]
fn a_cluster_that_cannot_move_anything_is_said_once() {
    let mut facts = cluster(vec![vm(101, 4)]);
    facts.quorate = false;
    assert_eq!(blocked(&facts).detail, "the cluster is not quorate");
    facts.quorate = true;
    facts.node = "pve9".into();
    assert_eq!(blocked(&facts).detail, "no such node");
}

#[test]
fn all_blockers_are_told_at_once() {
    let mut locked = vm(101, 4);
    locked.lock = Some("backup".into());
    let refusal = refused(&cluster(vec![locked, ct(102, 4), vm(103, 60)]));
    assert_eq!(refusal.blockers.len(), 3, "{refusal}");
}

#[test]
fn facts_and_plans_survive_json() {
    let mut facts = cluster(vec![ha(HaState::Started, vm(101, 4)), local(vm(102, 4), 5)]);
    facts.replication.insert(Vmid(102), [NodeName::from("pve3")].into());
    facts.ha_rules = vec![HaRule::ResourceAffinity { resources: [Vmid(101), Vmid(102)].into(), positive: false }];
    let value = serde_json::to_value(&facts).unwrap();
    assert_eq!(value["nodes"][0]["version"], "9.1.4");
    assert_eq!(serde_json::from_value::<Facts>(value).unwrap(), facts);
    let evacuation = ok(&facts);
    let text = serde_json::to_string(&evacuation).unwrap();
    assert_eq!(serde_json::from_str::<Evacuation>(&text).unwrap(), evacuation);
    assert_eq!("pve-manager/9.1.4/abc".parse::<PveVersion>().unwrap(), PveVersion(9, 1, 4));
    assert!("nine".parse::<PveVersion>().is_err());
}
