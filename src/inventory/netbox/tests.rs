use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Built, Host, Record, diff, fill, records};

fn hosts(all: Value) -> Vec<Host> {
    serde_json::from_value(all).unwrap()
}

fn host(vmid: u64, name: &str, address: &str) -> Value {
    json!({"site": "lab", "node": "pve1", "vmid": vmid, "type": "qemu", "name": name, "status": "running", "tags": ["x"],
        "pool": null, "cores": 2, "memory": 2_147_483_648_u64,
        "interfaces": [{"nic": null, "name": "wg0", "mac": null, "addresses": [{"address": "10.9.9.9", "prefix": 24}]},
            {"nic": "net0", "name": "eth0", "mac": "bc:24:11:00:01:04", "bridge": "vmbr0", "addresses": [
            {"address": address, "prefix": 24, "family": 4, "source": "agent"},
            {"address": "2001:db8::5", "prefix": 64, "family": 6, "source": "agent"},
            {"address": "fe80::1", "prefix": 64, "family": 6, "source": "agent"}]}],
        "primary": {"address": address}, "unknown": null})
}

fn built(all: Value) -> Vec<Record> {
    records(&hosts(all), "lab", "c", false, &BTreeMap::new()).records
}

/// What there is to be in a NetBox that has `now`, with what is not known as it is there.
fn against(now: &[Record], all: Value) -> (Vec<Record>, Built) {
    let there: BTreeMap<String, Record> = now.iter().map(|record| (record.key.clone(), record.clone())).collect();
    let mut built = records(&hosts(all), "lab", "c", false, &there);
    let pairs = std::mem::take(&mut built.records).into_iter();
    let pairs = pairs.map(|record| (record.clone(), there.get(&record.key).cloned())).collect();
    (fill(pairs, &built.contested).into_iter().map(|(record, _)| record).collect(), built)
}

/// One guest of which NetBox has `now`: a line each of what changes.
fn lines(now: &Record, host: Value) -> Vec<String> {
    let (all, built) = against(std::slice::from_ref(now), json!([host]));
    assert!(built.left_out.is_empty(), "{:?}", built.left_out);
    diff(Some(now), all.first())
}

#[test]
fn a_host_becomes_what_netbox_should_have() {
    let record = &built(json!([host(104, "web", "10.0.0.5")]))[0];
    let expected = json!({"key": "lab/104", "name": "web", "cluster": "c", "status": "active", "vcpus": 2.0,
        "memory": 2147, "disk": null, "vmid": 104, "node": "pve1", "type": "vm",
        "interfaces": [{"name": "net0", "enabled": true, "mac": "BC:24:11:00:01:04",
            "addresses": ["10.0.0.5/24", "2001:db8::5/64"]}],
        "primary4": "10.0.0.5/24", "primary6": "2001:db8::5/64"});
    assert_eq!(serde_json::to_value(record).unwrap(), expected);
}

#[test]
fn names_are_cut_and_told_apart_whatever_their_case() {
    let long = "x".repeat(80);
    let all = json!([
        host(1041, "Web", "10.0.0.5"),
        host(104, "web", "10.0.0.6"),
        host(105, "web-104", "10.0.0.7"),
        host(106, &long, "10.0.0.8"),
        host(107, &long, "10.0.0.9"),
        host(108, "", "10.0.0.10")
    ]);
    let names: Vec<String> = built(all).into_iter().map(|record| record.name).collect();
    let cut = |vmid: u32| format!("{}-{vmid}", "x".repeat(60));
    assert_eq!(names, ["web-104", "web-104-105", &cut(106), &cut(107), "guest-108", "Web-1041"]);
    assert!(names.iter().all(|name| name.len() <= 64));
}

#[test]
fn an_address_that_two_have_is_nobodys() {
    let both = hosts(json!([host(104, "a", "10.0.0.5"), host(105, "b", "10.0.0.5")]));
    let all = records(&both, "lab", "c", false, &BTreeMap::new());
    assert!(all.records.iter().all(|record| record.primary4.is_none() && record.addresses().count() == 0));
    assert_eq!(all.left_out.len(), 4, "{:?}", all.left_out);
    assert!(all.left_out[0].why.contains("10.0.0.5 is on lab/104 and lab/105"));
}

#[test]
fn what_no_interface_can_have_is_left_out() {
    for (address, prefix) in
        [("10.0.0.0", 24), ("10.0.0.255", 24), ("127.0.0.1", 8), ("169.254.1.1", 16), ("x", 24), ("10.0.0.5", 0)]
    {
        let port = json!({"name": "net0", "addresses": [{"address": address, "prefix": prefix}]});
        let record = &built(json!([{"vmid": 104, "interfaces": [port]}]))[0];
        assert_eq!(record.addresses().count(), 0, "{address}/{prefix}");
    }
    let port = json!({"name": "net0", "addresses": [{"address": "10.0.0.4", "prefix": 31}, {"address": "10.0.0.9"}]});
    let record = &built(json!([{"vmid": 104, "interfaces": [port]}]))[0];
    assert_eq!(record.addresses().map(|(_, a)| a).collect::<Vec<_>>(), ["10.0.0.4/31", "10.0.0.9/32"]);
}

#[test]
fn what_is_not_known_stays_as_it_is() {
    let now = built(json!([host(104, "web", "10.0.0.5")])).remove(0);
    let bare = json!([{"vmid": 104, "name": "web", "status": "unknown", "node": "pve2", "interfaces": [
        {"name": "net0", "mac": "bc:24:11:00:01:04", "addresses": []}], "unknown": {"agent": "not running"}}]);
    assert_eq!(lines(&now, bare[0].clone()), ["~ node pve1 -> pve2"]);
    let without = json!([{"vmid": 104, "name": "web", "status": "stopped"}]);
    let filled = built(without).remove(0).filled(Some(&now));
    assert_eq!(diff(Some(&now), Some(&filled)), ["~ status active -> offline"]);
    let known =
        json!([{"vmid": 104, "name": "web", "status": "running", "interfaces": [{"name": "net0", "addresses": []}]}]);
    let lines = diff(Some(&now), Some(&built(known).remove(0).filled(Some(&now))));
    assert!(lines.contains(&"- 10.0.0.5/24 on net0".to_owned()), "an address that is known to be gone goes: {lines:?}");
    assert!(lines.contains(&"~ primary IPv4 10.0.0.5/24 -> nothing".to_owned()));
}

#[test]
fn differences_are_told_a_line_each() {
    let old = built(json!([host(104, "web", "10.0.0.5")])).remove(0).filled(None);
    let mut new = old.clone();
    new.status = Some("offline".into());
    new.interfaces.as_mut().unwrap()[0].addresses = Some(vec!["10.0.0.6/24".into()]);
    new.interfaces.as_mut().unwrap().push(super::Nic { name: "net1".into(), enabled: true, ..super::Nic::default() });
    (new.primary4, new.primary6) = (Some("10.0.0.6/24".into()), None);
    let expected = [
        "~ status active -> offline",
        "- 10.0.0.5/24 on net0",
        "- 2001:db8::5/64 on net0",
        "+ 10.0.0.6/24 on net0",
        "+ interface net1",
        "~ primary IPv4 10.0.0.5/24 -> 10.0.0.6/24",
        "~ primary IPv6 2001:db8::5/64 -> nothing",
    ];
    assert_eq!(diff(Some(&old), Some(&new)), expected);
    assert_eq!(diff(Some(&old), Some(&old)), Vec::<String>::new());
    assert_eq!(diff(None, Some(&old))[0], "+ web (lab/104) in c: active, 2 vCPUs, 2147 MB of memory, on pve1");
    assert_eq!(diff(None, Some(&old)).len(), diff(Some(&old), None).len());
}

#[test]
fn templates_are_left_out_unless_they_are_wanted() {
    let all = hosts(json!([{"vmid": 900, "name": "t", "template": true}, {"vmid": 104, "name": "web"}]));
    for (templates, number) in [(false, 1), (true, 2)] {
        assert_eq!(records(&all, "lab", "c", templates, &BTreeMap::new()).records.len(), number);
    }
}

/// With two cards; the second one gets its address by DHCP.
fn two_cards(now_on: [&[&str]; 2]) -> Value {
    let card = |name: &str, all: &[&str]| {
        let all: Vec<Value> = all.iter().map(|address| json!({"address": address, "prefix": 24})).collect();
        json!({"nic": name, "mac": "bc:24:11:00:01:04", "addresses": all})
    };
    json!({"site": "lab", "vmid": 104, "type": "qemu", "name": "web", "status": "running", "node": "pve1",
        "interfaces": [card("net0", now_on[0]), card("net1", now_on[1])], "primary": now_on[0].first(), "unknown": null})
}

#[test]
fn a_guest_that_said_nothing_keeps_its_addresses_whatever_its_configuration_knows() {
    let told = two_cards([&["10.0.0.5", "10.0.0.250"], &["10.1.0.5"]]);
    let now = built(json!([told])).remove(0).filled(None);
    let silent = |status: &str, reason: &str, configured: &str| {
        let mut host = two_cards([&[configured], &[]]);
        (host["status"], host["silent"]) = (json!(status), json!({"reason": reason, "text": "x"}));
        lines(&now, host)
    };
    assert_eq!(silent("running", "agent_not_running", "10.0.0.5"), [""; 0]);
    assert_eq!(silent("stopped", "guest_stopped", "10.0.0.5"), ["~ status active -> offline"]);
    assert_eq!(silent("running", "forbidden", "10.0.0.6"), ["+ 10.0.0.6/24 on net0"], "and its primary one stays");
    // Nobody ever says more than the configuration does; of the second card that says nothing.
    let bare = silent("running", "agent_not_configured", "10.0.0.6");
    let expected = [
        "- 10.0.0.250/24 on net0",
        "- 10.0.0.5/24 on net0",
        "+ 10.0.0.6/24 on net0",
        "~ primary IPv4 10.0.0.5/24 -> 10.0.0.6/24",
    ];
    assert_eq!(bare, expected);
    // What is heard is all of it.
    assert!(lines(&now, two_cards([&["10.0.0.5"], &[]])).contains(&"- 10.1.0.5/24 on net1".to_owned()));
    // In NetBox's own words, and on one interface alone.
    let mut other = now.clone();
    other.interfaces.as_mut().unwrap()[0].addresses = Some(vec!["10.0.0.5/16".into()]);
    other.primary4 = Some("10.0.0.5/16".into());
    let mut host = two_cards([&["10.0.0.5"], &[]]);
    host["silent"] = json!({"reason": "agent_not_running", "text": "x"});
    assert_eq!(lines(&other, host.clone()), [""; 0]);
    host["interfaces"] = two_cards([&[], &["10.0.0.5"]])["interfaces"].clone();
    let moved = lines(&other, host);
    assert!(moved.contains(&"- 10.0.0.5/16 on net0".to_owned()) && moved.contains(&"+ 10.0.0.5/24 on net1".to_owned()));
}

#[test]
fn a_guest_that_nobody_could_read_keeps_its_name_and_is_not_made() {
    let offline = |vmid: u64| {
        json!({"site": "lab", "vmid": vmid, "type": "qemu", "name": "", "status": "unknown", "node": "pve3",
            "interfaces": [], "primary": null, "unknown": {"reason": "node_offline", "text": "node pve3 is offline"},
            "silent": {"reason": "node_offline", "text": "node pve3 is offline"}})
    };
    let mut now = built(json!([host(104, "Web", "10.0.0.5")])).remove(0).filled(None);
    now.node = Some("pve3".into());
    assert_eq!(lines(&now, offline(104)), [""; 0]);
    // A new guest of that name gives way, and a template of that node is not taken for a guest.
    let (all, built) = against(&[now], json!([offline(104), offline(900), host(105, "web", "10.0.0.6")]));
    assert_eq!(all.iter().map(|record| record.name.as_str()).collect::<Vec<_>>(), ["Web", "web-105"]);
    let why = "it could not be read (node pve3 is offline), and NetBox does not have it yet";
    assert_eq!(built.left_out.iter().map(|c| (c.key.as_str(), c.why.as_str())).collect::<Vec<_>>(), [("lab/900", why)]);
}

#[test]
fn an_address_that_another_reports_is_the_reporters() {
    let now = built(json!([host(104, "a", "10.0.0.5"), host(105, "b", "10.0.0.6")]));
    let now: Vec<Record> = now.into_iter().map(|record| record.without("2001:db8::5").filled(None)).collect();
    let stopped = json!({"site": "lab", "vmid": 104, "name": "a", "status": "stopped"});
    let (all, _) = against(&now, json!([stopped, host(105, "b", "10.0.0.5")]));
    assert_eq!((all[0].addresses().count(), &all[0].primary4), (0, &None), "{:?}", all[0]);
    assert!(all[1].has("10.0.0.5/24"));
}

#[test]
fn an_address_that_two_have_stays_where_netbox_has_it() {
    let now = built(json!([host(104, "a", "10.0.0.5"), host(105, "b", "10.0.0.6")]));
    let now: Vec<Record> = now.into_iter().map(|record| record.without("2001:db8::5").filled(None)).collect();
    let mut b = host(105, "b", "10.0.0.6");
    b["interfaces"][1]["addresses"].as_array_mut().unwrap().push(json!({"address": "10.0.0.5", "prefix": 32}));
    let mut all = json!([host(104, "a", "10.0.0.5"), b]);
    for host in all.as_array_mut().unwrap() {
        host["interfaces"][1]["addresses"].as_array_mut().unwrap().remove(1);
    }
    let (all, built) = against(&now, all);
    assert_eq!(built.left_out.len(), 2, "{:?}", built.left_out);
    for (now, record) in now.iter().zip(&all) {
        assert_eq!(diff(Some(now), Some(record)), [""; 0]);
    }
}

#[test]
fn a_size_that_follows_from_virtual_disks_is_left_alone() {
    let mut now = built(json!([host(104, "web", "10.0.0.5")])).remove(0).filled(None);
    (now.disk, now.has_disks) = (Some(50_000), true);
    let mut bigger = host(104, "web", "10.0.0.5");
    bigger["disk"] = json!(64_000_000_000_u64);
    assert_eq!(lines(&now, bigger.clone()), [""; 0]);
    // Also for who did not know of them when it was planned.
    let planned = built(json!([bigger])).remove(0).filled(None);
    assert_eq!(diff(Some(&now), Some(&planned)), [""; 0]);
}
