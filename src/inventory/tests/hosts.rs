use super::*;
use crate::inventory::{Change, diff, merge, primary_of, unique_names};

fn text(host: &DiscoveredHost) -> String {
    host.primary.map(|address| address.to_string()).unwrap_or_default()
}

#[test]
fn a_card_is_joined_with_what_has_its_mac_and_noise_is_left_out() {
    let host = vm(vec![
        seen("lo", "00:00:00:00:00:00", &["127.0.0.1/8", "::1/128"]),
        seen("enp6s18", "bc:24:11:00:00:01", &[]),
        seen("vmbr0", "bc:24:11:00:00:01", &["10.0.0.4/24", "fe80::1/64"]),
        seen("docker0", "02:42:ac:11:00:01", &["172.17.0.1/16"]),
        seen("cali1234", "ee:ee:ee:ee:ee:ee", &["fe80::ecee:eeff:feee:eeee/64"]),
        seen("kube-ipvs0", "", &["10.96.0.1/32"]),
        seen("wg0", "", &["10.99.0.4/24"]),
    ]);
    assert_eq!(text(&host), "10.0.0.4");
    let card = &host.interfaces[0];
    assert_eq!((card.nic.as_deref(), card.name.as_deref(), card.vlan), (Some("net0"), Some("vmbr0"), Some(20)));
    assert_eq!(card.addresses[0].source, Known::Agent);
    assert_eq!(shown(host.clone()), ["10.0.0.4", "10.99.0.4"], "a tunnel is no noise");
    assert_eq!(host.addresses().count(), 8, "--all-addresses has them all");
}

#[test]
fn the_primary_address_follows_its_rule() {
    let first = |addresses: &[&str]| text(&vm(vec![seen("eth0", "bc:24:11:00:00:01", addresses)]));
    assert_eq!(first(&["fd00::4/64", "2001:db8::4/64", "10.0.0.4/24"]), "10.0.0.4");
    assert_eq!(first(&["10.0.0.250/32", "10.0.0.4/24"]), "10.0.0.4", "a floating address is another's tomorrow");
    assert_eq!(first(&["10.0.0.250/32"]), "10.0.0.250");
    assert_eq!(first(&["fd00::4/64", "2001:db8::4/128"]), "2001:db8::4");
    assert_eq!(first(&["10.0.0.9/24", "10.0.0.4/24"]), "10.0.0.9", "as reported");
    assert_eq!(first(&["169.254.3.4/16", "fe80::4/64"]), "");
    // A tunnel and a card that is passed through: only where no card of the configuration has an address.
    let passed =
        vm(vec![seen("tailscale0", "", &["100.64.0.9/32"]), seen("enp1s0", "aa:bb:cc:00:00:01", &["10.5.0.4/24"])]);
    assert_eq!(text(&passed), "10.5.0.4");
}

#[test]
fn the_lowest_card_with_an_address_is_asked_first() {
    let config = lines(&[
        ("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0"),
        ("net1", "virtio=BC:24:11:00:00:02,bridge=vmbr1"),
        ("net10", "virtio=BC:24:11:00:00:0A,bridge=vmbr1"),
        ("ipconfig0", "ip=dhcp"),
        ("ipconfig1", "ip=10.1.0.4/24,gw=10.1.0.1"),
    ]);
    let told = |seen| host(facts(104, "web", GuestKind::Qemu), Some(&config), Told::Interfaces(seen));
    let both = told(vec![
        seen("eth10", "bc:24:11:00:00:0a", &["10.2.0.4/24"]),
        seen("eth1", "bc:24:11:00:00:02", &["10.1.0.44/24"]),
    ]);
    assert_eq!(
        text(&both),
        "10.1.0.44",
        "what the guest says before what is configured, the lower card before the higher"
    );
    let sources: Vec<_> = both.interfaces[1].addresses.iter().map(|a| (a.address.to_string(), a.source)).collect();
    assert_eq!(sources, [("10.1.0.44".into(), Known::Agent), ("10.1.0.4".into(), Known::CloudInit)]);
    // An agent that does not answer leaves what is configured.
    let unknown = Unknown::new(Reason::AgentNotRunning, "x");
    let configured = host(facts(104, "web", GuestKind::Qemu), Some(&config), Told::Nothing(unknown));
    assert_eq!((text(&configured), configured.unknown), ("10.1.0.4".into(), None));
    assert_eq!(
        configured.silent.map(|silent| silent.reason),
        Some(Reason::AgentNotRunning),
        "and that it said nothing"
    );
    assert_eq!(both.silent, None);
}

#[test]
fn each_family_has_a_primary_one_of_its_own() {
    let host = vm(vec![seen("eth0", "bc:24:11:00:00:01", &["10.0.0.4/24", "fe80::1/64", "2001:db8::4/64"])]);
    let of = |family| primary_of(&host.interfaces, family).map(|a| a.address.to_string());
    assert_eq!((of(Family::Ipv4).as_deref(), of(Family::Ipv6).as_deref()), (Some("10.0.0.4"), Some("2001:db8::4")));
}

#[test]
fn a_guest_without_an_address_says_why() {
    assert_eq!(silent(105, "db").unknown.unwrap().reason, Reason::AgentNotRunning);
    let only_loopback = vm(vec![seen("lo", "00:00:00:00:00:00", &["127.0.0.1/8"])]);
    assert_eq!(only_loopback.unknown.unwrap().reason, Reason::NoAddress);
    let unread = host(facts(106, "x", GuestKind::Lxc), None, Told::Nothing(Unknown::new(Reason::NodeSilent, "x")));
    assert_eq!((unread.interfaces.len(), unread.unknown.unwrap().reason), (0, Reason::NodeSilent));
}

#[test]
fn other_collectors_are_merged_by_mac_and_a_copied_mac_proves_nothing() {
    let mut twin = silent(105, "copy");
    twin.interfaces[0].mac = "bc:24:11:00:01:70".parse().ok();
    let mut other_twin = silent(106, "copy-2");
    other_twin.interfaces[0].mac = twin.interfaces[0].mac;
    let leases = vec![
        lease("db-lease", "BC:24:11:00:01:68", "10.0.0.44"),
        lease("who", "bc:24:11:00:01:70", "10.0.0.70"),
        lease("printer", "00:11:22:33:44:55", "10.0.0.77"),
    ];
    let scan = vec![lease("", "00:11:22:33:44:55", "10.0.0.78")];
    let (hosts, notes) = merge(vec![vec![twin, silent(104, "db"), other_twin], leases, scan]);
    let found: Vec<_> = hosts.iter().map(|host| (host.vmid.map(|v| v.0), host.name.as_str(), text(host))).collect();
    assert_eq!(
        found,
        [
            (Some(104), "db", "10.0.0.44".to_owned()),
            (Some(105), "copy", String::new()),
            (Some(106), "copy-2", String::new()),
            (None, "printer", "10.0.0.77".to_owned()),
            (None, "who", "10.0.0.70".to_owned()),
        ]
    );
    assert_eq!(hosts[0].unknown, None);
    assert_eq!(hosts[0].interfaces[0].addresses[0].source, Known::Dhcp);
    assert_eq!(hosts[3].addresses().count(), 2);
    assert_eq!(notes.len(), 1);
    assert!(notes[0].contains("105 (copy) and 106 (copy-2)"), "{notes:?}");
}

#[test]
fn names_become_unique_whatever_they_are() {
    let hosts = ["web", "Web", "web-105", "db", "", "web-106"].iter().zip(104..).map(|(name, vmid)| silent(vmid, name));
    let hosts: Vec<_> = hosts.collect();
    let names = unique_names(&hosts);
    assert_eq!(names, ["web-104", "Web-105", "web-105-2", "db", "guest-108", "web-106"]);
}

#[test]
fn what_came_went_moved_and_changed_is_told() {
    let before = inventory(vec![silent(104, "web"), silent(105, "db"), silent(106, "old"), silent(107, "same")]);
    let mut web = vm(vec![seen("eth0", "bc:24:11:00:00:01", &["10.0.0.4/24", "10.0.0.250/32"])]);
    web.tags.clear();
    let mut db = silent(105, "db2");
    db.node = Some("pve2".into());
    db.status = "stopped".into();
    let after = inventory(vec![web, db, silent(107, "same"), silent(108, "new")]);
    let found = diff(&before, &after);
    let lines: Vec<String> = found
        .iter()
        .map(|d| {
            format!("{} {}", d.vmid.unwrap(), d.changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })
        .collect();
    assert_eq!(
        lines,
        [
            "104 tags prod;web -> none; address unknown (its guest agent does not run) -> 10.0.0.4; addresses +10.0.0.250; MACs -bc:24:11:00:01:68 +bc:24:11:00:00:01",
            "105 moved pve1 -> pve2; name db -> db2; running -> stopped",
            "106 went",
            "108 came",
        ]
    );
    assert!(diff(&after, &after).is_empty());
    assert_eq!(found[2].changes, [Change::Went]);
}
