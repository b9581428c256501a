use serde_json::{Value, json};

use super::{Host, Record, diff, records};

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
    records(&hosts(all), "lab", "c", false).records
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
    let all = records(&hosts(json!([host(104, "a", "10.0.0.5"), host(105, "b", "10.0.0.5")])), "lab", "c", false);
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
    let filled = built(bare).remove(0).filled(Some(&now));
    assert_eq!(diff(Some(&now), Some(&filled)), ["~ node pve1 -> pve2"]);
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
    assert_eq!(records(&all, "lab", "c", false).records.len(), 1);
    assert_eq!(records(&all, "lab", "c", true).records.len(), 2);
}
