//! Where guests go: capacity, storage, network, processor, groups.

use super::*;

#[test]
fn guests_go_to_the_least_loaded_node() {
    let plan = ok(&cluster(vec![vm(101, 8), vm(102, 8), on("pve1", vm(201, 16)), on("pve3", vm(301, 4))]));
    assert_eq!(target_of(&plan, 101).as_str(), "pve3");
    assert!(plan.moves.iter().all(|m| m.mode == Mode::Live && !m.downtime && m.storages.is_empty()));
    assert!(plan.stops.is_empty() && plan.staying.is_empty());
}

#[test]
fn usage_counts_configured_memory_with_overhead() {
    let plan = ok(&cluster(vec![vm(101, 8), on("pve1", vm(201, 40))]));
    let pve3 = plan.usage.iter().find(|u| u.node.as_str() == "pve3").unwrap();
    assert_eq!((gib(pve3.before), gib(pve3.usable)), ("0.0 GiB".into(), "51.0 GiB".into()));
    assert_eq!(pve3.after, (8192 + 100 + 41) << 20);
    assert_eq!(pve3.to_string(), "pve3 would hold 8.1 GiB of 51.0 GiB usable (16 %)");
}

#[test]
fn a_guest_too_big_for_every_node_says_by_how_much_on_each() {
    let facts = cluster(vec![vm(101, 32), on("pve1", vm(201, 24)), on("pve3", vm(301, 40))]);
    let blocker = blocked(&facts);
    assert_eq!((blocker.vmid, blocker.limit), (Some(Vmid(101)), Limit::NoTarget));
    assert_eq!(reason(&blocker, "pve1"), "needs 32.3 GiB, 26.8 GiB free above the reserve: 5.5 GiB short");
    assert_eq!(reason(&blocker, "pve3"), "needs 32.3 GiB, 10.7 GiB free above the reserve: 21.6 GiB short");
}

#[test]
fn the_refusal_reads_well_at_night() {
    let refusal = refused(&cluster(vec![vm(101, 32), on("pve1", vm(201, 24)), on("pve3", vm(301, 40))]));
    insta::assert_snapshot!(refusal, @r"
    pve2 cannot be emptied; nothing was moved. 1 thing stands in the way:
      101 vm101: no node can take it
        pve1  needs 32.3 GiB, 26.8 GiB free above the reserve: 5.5 GiB short
        pve3  needs 32.3 GiB, 10.7 GiB free above the reserve: 21.6 GiB short
        what to do: make room on one of these nodes, shut a guest down, lower keep_free or host_reserve, or list it in stay
    ");
}

#[test]
fn guests_that_fit_alone_but_not_together_are_told_apart_from_impossible_ones() {
    let facts = cluster(vec![vm(101, 30), vm(102, 30), vm(103, 30)]);
    let blocker = blocked(&facts);
    assert_eq!(blocker.limit, Limit::NotFound);
    assert!(blocker.to_string().contains("one may exist"));
    let facts = cluster(vec![vm(101, 40), vm(102, 40), vm(103, 40)]);
    assert_eq!(blocked(&facts).limit, Limit::Impossible);
    let proof = "3 guests that can only go to pve1 and pve3 need 120.9 GiB, 102.0 GiB is free there above the reserve: \
                 18.9 GiB short";
    assert_eq!(blocked(&facts).detail, proof);
    assert!(reason(&blocked(&facts), "pve1").contains("short"));
}

#[test]
fn vcpus_are_limited_by_overcommit_and_by_the_host() {
    let mut big = vm(101, 4);
    big.vcpus = 17;
    assert_eq!(reason(&blocked(&cluster(vec![big])), "pve1"), "needs 17 vCPUs in one VM, the host has 16 threads");
    let mut resident = on("pve1", vm(201, 1));
    resident.vcpus = 63;
    let mut facts = cluster(vec![vm(101, 4), resident.clone()]);
    assert_eq!(target_of(&ok(&facts), 101).as_str(), "pve3");
    facts.nodes[2].online = false;
    let blocker = blocked(&facts);
    assert_eq!(reason(&blocker, "pve1"), "needs 2 vCPUs, 1 left at 4 per thread: 1 short");
    assert_eq!(reason(&blocker, "pve3"), "offline");
}

#[test]
fn nodes_in_maintenance_or_older_or_without_the_bridge_are_no_targets() {
    let mut facts = cluster(vec![vm(101, 4)]);
    facts.nodes[0].maintenance = true;
    facts.nodes[2].version = PveVersion(9, 0, 11);
    let blocker = blocked(&facts);
    assert_eq!(reason(&blocker, "pve1"), "in maintenance");
    assert_eq!(reason(&blocker, "pve3"), "runs Proxmox VE 9.0.11, older than 9.1.4 here");
    facts.nodes[0].maintenance = false;
    facts.nodes[0].bridges.clear();
    assert_eq!(reason(&blocked(&facts), "pve1"), "no bridge vmbr0");
}

#[test]
fn shared_storage_must_be_there_and_active() {
    let mut facts = cluster(vec![vm(101, 4)]);
    facts.nodes[0].storages.remove(0);
    facts.nodes[2].storages[0].active = false;
    let blocker = blocked(&facts);
    assert_eq!(reason(&blocker, "pve1"), "no storage ceph");
    assert_eq!(reason(&blocker, "pve3"), "storage ceph is not active");
}

#[test]
fn local_disks_go_to_the_same_storage_or_are_mapped() {
    let mut facts = cluster(vec![local(vm(101, 4), 50)]);
    facts.nodes[2].online = false;
    let plan = ok(&facts);
    assert_eq!(plan.moves[0].storages["local-lvm"], "local-lvm".into());
    assert_eq!(plan.moves[0].disk_bytes, 50 * GIB);
    assert_eq!(plan.moves[0].seconds, 8 + 10 + 512);
    facts.nodes[0].storages[1] = storage("tank", "zfspool", false);
    assert_eq!(ok(&facts).moves[0].storages["local-lvm"], "tank".into());
    facts.nodes[0].storages[1].content.clear();
    assert_eq!(reason(&blocked(&facts), "pve1"), "no local storage that could take disks of local-lvm");
}

#[test]
fn storage_room_counts_all_that_comes() {
    let mut facts = cluster(vec![local(vm(101, 4), 300), local(vm(102, 4), 300)]);
    let plan = ok(&facts);
    assert_ne!(target_of(&plan, 101), target_of(&plan, 102));
    facts.nodes[2].online = false;
    let blocker = blocked(&facts);
    assert_eq!(blocker.limit, Limit::NotFound);
    facts.guests = vec![local(vm(101, 4), 600)];
    assert_eq!(
        reason(&blocked(&facts), "pve1"),
        "local-lvm has 500.0 GiB free, its disks need 600.0 GiB: 100.0 GiB short"
    );
}

#[test]
fn zfs_disks_of_a_stopped_guest_need_zfs_there() {
    let mut guest = vm(101, 4);
    guest.disks = vec![disk("scsi0", "tank:vm-101-disk-0", 10)];
    guest.running = false;
    let mut facts = cluster(vec![guest]);
    facts.nodes[1].storages.push(storage("tank", "zfspool", false));
    assert_eq!(reason(&blocked(&facts), "pve1"), "no zfspool storage that could take disks of tank");
    facts.guests[0].running = true;
    assert_eq!(ok(&facts).moves[0].storages["tank"], "local-lvm".into());
    let stopped = GuestFacts { running: false, ..local(vm(101, 4), 10) };
    let mut facts = cluster(vec![stopped]);
    facts.nodes[0].storages[1] = storage("tank", "zfspool", false);
    facts.nodes[2].online = false;
    let expected = "no local storage other than ZFS that could take disks of local-lvm";
    assert_eq!(reason(&blocked(&facts), "pve1"), expected);
}

#[test]
fn cpu_type_host_needs_the_same_vendor_and_flags() {
    let cpu = |vendor: &str, flags: &[&str]| {
        Some(CpuFacts { vendor: vendor.into(), model: String::new(), flags: set(flags.iter().copied()) })
    };
    let mut guest = vm(101, 4);
    guest.cpu_type = Some("host".into());
    let mut facts = cluster(vec![guest]);
    facts.nodes[0].cpu = cpu("AuthenticAMD", &["avx2"]);
    facts.nodes[1].cpu = cpu("GenuineIntel", &["avx2", "avx512f"]);
    facts.nodes[2].cpu = cpu("GenuineIntel", &["avx2"]);
    let blocker = blocked(&facts);
    assert_eq!(reason(&blocker, "pve1"), "cpu type host: GenuineIntel here, AuthenticAMD there");
    assert_eq!(reason(&blocker, "pve3"), "cpu type host: its processor lacks avx512f");
    facts.guests[0].cpu_type = Some("x86-64-v3".into());
    assert!(reason(&blocked(&facts), "pve1").starts_with("cpu type x86-64-v3: its processor lacks cx16"));
    facts.guests[0].cpu_type = Some("kvm64".into());
    assert_eq!(ok(&facts).moves.len(), 1);
}

#[test]
fn an_unknown_machine_version_forbids_the_node() {
    let mut guest = vm(101, 4);
    guest.machine = Some("pc-q35-10.1".into());
    let mut facts = cluster(vec![guest]);
    facts.nodes[0].machines = set(["pc-q35-9.2"]);
    assert_eq!(target_of(&ok(&facts), 101).as_str(), "pve3");
}

#[test]
fn stopped_guests_need_no_room_but_are_warned_about() {
    let mut guests = vec![on("pve1", vm(201, 45)), on("pve3", vm(301, 45)), vm(101, 30)];
    guests[2].running = false;
    let plan = ok(&cluster(guests));
    assert_eq!(plan.moves[0].mode, Mode::Offline);
    assert!(plan.warnings.iter().any(|w| w.contains("cannot all start: it would hold")), "{:?}", plan.warnings);
}

#[test]
fn quorum_members_part_where_they_can_and_say_so_where_they_cannot() {
    let group = QuorumGroup { name: "prod-control-plane".into(), tags: set(["cp", "prod"]) };
    let settings = Settings { quorum_groups: vec![group], ..Settings::default() };
    let member = |vmid| tagged(&["cp", "prod", "x"], vm(vmid, 4));
    let facts = cluster(vec![member(101), on("pve1", member(102)), on("pve3", vm(301, 30))]);
    let plan = with(&facts, &settings);
    assert_eq!(target_of(&plan, 101).as_str(), "pve3");
    assert!(!plan.warnings.iter().any(|w| w.contains("quorum")));
    let facts = cluster(vec![member(101), on("pve1", member(102)), on("pve3", member(103))]);
    let plan = with(&facts, &settings);
    let warning = plan.warnings.iter().find(|w| w.contains("quorum")).unwrap();
    assert!(warning.starts_with("quorum group prod-control-plane: 3 members, 2 targets:"), "{warning}");
    assert!(warning.ends_with("until pve2 is back"));
}

#[test]
fn ha_rules_bind_our_guests_too() {
    let ours = |vmid| ha(HaState::Ignored, vm(vmid, 4));
    let mut facts = cluster(vec![ours(101), ours(102), on("pve1", vm(201, 2)), on("pve3", vm(301, 1))]);
    let affinity =
        |a: u32, b: u32, positive| HaRule::ResourceAffinity { resources: [Vmid(a), Vmid(b)].into(), positive };
    facts.ha_rules = vec![affinity(101, 102, true), affinity(101, 301, false)];
    let plan = ok(&facts);
    assert_eq!((target_of(&plan, 101).as_str(), target_of(&plan, 102).as_str()), ("pve1", "pve1"));
    facts.ha_rules = vec![affinity(101, 102, false)];
    let plan = ok(&facts);
    assert_ne!(target_of(&plan, 101), target_of(&plan, 102));
    let nodes = [(NodeName::from("pve2"), 1)].into();
    facts.ha_rules = vec![HaRule::NodeAffinity { resources: [Vmid(101)].into(), nodes, strict: true }];
    assert_eq!(reason(&blocked(&facts), "pve1"), "an HA rule allows only pve2");
}

#[test]
fn a_replicated_guest_goes_to_its_replica_and_needs_no_room_there() {
    let mut facts = cluster(vec![local(vm(101, 4), 600), on("pve3", vm(301, 20))]);
    facts.replication.insert(Vmid(101), [NodeName::from("pve3")].into());
    let plan = ok(&facts);
    assert_eq!((target_of(&plan, 101).as_str(), plan.moves[0].disk_bytes), ("pve3", 0));
}

#[test]
fn losing_one_more_node_is_warned_about_with_the_amount() {
    let plan = ok(&cluster(vec![vm(101, 8), on("pve1", vm(201, 30)), on("pve3", vm(301, 30))]));
    let warning = plan.warnings.iter().find(|w| w.starts_with("N+1")).unwrap();
    assert!(warning.contains("were pve1 lost too") && warning.ends_with("short"), "{warning}");
    let plan = ok(&cluster(vec![vm(101, 8)]));
    assert!(!plan.warnings.iter().any(|w| w.starts_with("N+1")), "{:?}", plan.warnings);
}

#[test]
fn slow_storage_is_avoided_when_another_node_does() {
    let mut facts = cluster(vec![local(vm(101, 1), 50), vm(102, 1)]);
    facts.nodes[0].storages[1].slow = true;
    assert_eq!(target_of(&ok(&facts), 101).as_str(), "pve3");
}
