//! Every recorded body that concerns guests, agents and containers is read without loss: whatever stands in it as a name, a
//! hardware address or an address stands in what is read. Counters of packets are no part of an inventory.

use serde_json::Value;

use super::*;
use crate::inventory::{AgentSaid, agent, container, nics};

#[allow(clippy::disallowed_methods, reason = "a test reads the body that it is about")]
fn data(name: &str) -> Value {
    let path = format!("{}/tests/data/pve/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["data"].take()
}

/// All texts and numbers under these keys, as a person would write them.
fn all(value: &Value, keys: &[&str], found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| all(item, keys, found)),
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if keys.contains(&key.as_str()) => found.push(text.clone()),
                    Value::Number(number) if keys.contains(&key.as_str()) => found.push(number.to_string()),
                    _ => all(value, keys, found),
                }
            }
        }
        _ => {}
    }
}

fn told(body: &Value, keys: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    all(body, keys, &mut found);
    found.sort();
    found
}

fn read(seen: &[Seen]) -> [Vec<String>; 4] {
    let addresses = || seen.iter().flat_map(|one| &one.addresses);
    let address = |a: &SeenAddress| match &a.zone {
        Some(zone) => format!("{}%{zone}", a.address),
        None => a.address.to_string(),
    };
    let mut all = [
        seen.iter().map(|one| one.name.clone()).collect::<Vec<_>>(),
        seen.iter().filter_map(|one| one.mac).map(|mac| mac.to_string()).collect(),
        addresses().map(address).collect(),
        addresses().filter_map(|a| a.prefix).map(|prefix| prefix.to_string()).collect(),
    ];
    all.iter_mut().for_each(|list| list.sort());
    all
}

#[test]
fn agents() {
    for name in ["fs-agent-network-get-interfaces.json", "fs-agent-network-windows.json"] {
        let body = data(name);
        let AgentSaid::Interfaces(seen) = agent(&body).unwrap() else { panic!("{name}") };
        let [names, macs, addresses, prefixes] = read(&seen);
        assert_eq!(names, told(&body, &["name"]), "{name}");
        assert_eq!(macs, told(&body, &["hardware-address"]), "{name}");
        assert_eq!(addresses, told(&body, &["ip-address"]), "{name}");
        assert_eq!(prefixes, told(&body, &["prefix"]), "{name}");
    }
}

#[test]
fn containers() {
    let body = data("gp-lxc-interfaces-legacy.json");
    let seen = container(&body).unwrap().unwrap();
    let [names, macs, addresses, prefixes] = read(&seen);
    assert_eq!(names, told(&body, &["name"]));
    assert_eq!(macs, told(&body, &["hwaddr"]));
    let mut whole = told(&body, &["inet", "inet6"]);
    let mut joined: Vec<String> =
        seen.iter().flat_map(|one| &one.addresses).map(|a| format!("{}/{}", a.address, a.prefix.unwrap())).collect();
    joined.sort();
    whole.sort();
    assert_eq!((joined, addresses.len(), prefixes.len()), (whole, 4, 4));
}

#[test]
fn a_containers_configuration() {
    let body = data("gp-lxc-config.json");
    let config: BTreeMap<String, String> = body
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    let nics = nics(GuestKind::Lxc, &config);
    assert_eq!(nics.len(), 1);
    let nic = &nics[0];
    assert_eq!(nic.mac.unwrap().to_string(), "5d:cf:bd:b2:c5:39");
    assert_eq!(
        (nic.name.as_deref(), nic.bridge.as_deref(), nic.model.as_deref()),
        (Some("eth0"), Some("vmbr0"), Some("veth"))
    );
    assert_eq!((nic.vlan, nic.addresses.len()), (None, 0));
    let host = host(facts(101, "", GuestKind::Lxc), Some(&config), Told::Interfaces(Vec::new()));
    assert_eq!(host.name, "test-container");
    assert_eq!(host.lines["net0"], body["net0"].as_str().unwrap());
}

#[test]
fn both_shapes_of_a_containers_interfaces() {
    let nine = serde_json::json!([{"name": "eth0", "hwaddr": "bc:24:11:00:00:01", "hardware-address": "bc:24:11:00:00:01",
        "inet": "10.0.0.10/24", "inet6": "fe80::1/64", "ip-addresses": [
            {"ip-address": "10.0.0.9", "ip-address-type": "inet", "prefix": 24},
            {"ip-address": "10.0.0.10", "ip-address-type": "inet", "prefix": "24"},
            {"ip-address": "fe80::1", "ip-address-type": "inet6", "prefix": 64}]}]);
    let seen = container(&nine).unwrap().unwrap();
    assert_eq!(seen[0].addresses.len(), 3, "the older keys hold the last of each kind alone");
    assert_eq!(seen[0].addresses[1].prefix, Some(24));
    assert_eq!(container(&Value::Null).unwrap(), None);
}

#[test]
fn an_agents_own_no_and_wrong_shapes() {
    let blocked = serde_json::json!({"result": {"error": {"class": "CommandNotFound", "desc": "disabled"}}});
    assert_eq!(
        agent(&blocked).unwrap(),
        AgentSaid::Refused { class: "CommandNotFound".into(), desc: "disabled".into() }
    );
    for (body, place) in [
        (serde_json::json!([]), "data: expected an object"),
        (serde_json::json!({"result": 1}), "data.result: expected a list, got 1"),
        (serde_json::json!({"result": [{"name": 1}]}), "data.result[0].name: expected text"),
        (
            serde_json::json!({"result": [{"name": "a", "ip-addresses": [{"ip-address": "10.0.0"}]}]}),
            "data.result[0].ip-addresses[0].ip-address: expected an address, got 10.0.0",
        ),
    ] {
        let error = agent(&body).unwrap_err().to_string();
        assert!(error.contains(place), "{error}");
    }
}
