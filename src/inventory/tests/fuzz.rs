//! Nothing that a server or a guest sends makes reading panic, and what is read holds together. `fuzz/` has the same for
//! cargo-fuzz.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::inventory::{AgentSaid, Choice, agent, container, format, nics, primary, refusal};

/// Lines that look like those of a configuration, and such as do not.
fn line() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "(virtio|e1000|vmxnet3|model|macaddr|hwaddr|name|bridge|tag|ip|ip6|link_down|enabled)=[0-9A-Fa-f:./%-]{0,20}",
        "virtio=BC:24:11:[0-9A-F]{2}:[0-9A-F]{2}:[0-9A-F]{2}",
        "ip6?=[0-9a-f.:]{1,20}/[0-9]{1,3}",
        ".{0,12}",
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.join(","))
}

fn config() -> impl Strategy<Value = BTreeMap<String, String>> {
    let key = prop_oneof!["net[0-9]{1,3}", "ipconfig[0-9]{1,2}", "agent", "name", "hostname", ".{0,8}"];
    prop::collection::btree_map(key, line(), 0..8)
}

/// JSON of any shape, with keys that mean something here and there.
fn body() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[0-9a-f:.%/]{0,24}".prop_map(Value::from),
        ".{0,10}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("result"),
        Just("error"),
        Just("name"),
        Just("hardware-address"),
        Just("hwaddr"),
        Just("inet"),
        Just("inet6"),
        Just("ip-addresses"),
        Just("ip-address"),
        Just("prefix"),
        Just("class"),
        Just("desc"),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6).prop_map(|map| map
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #[test]
    fn configurations_never_panic_and_cards_are_in_order(config in config(), lxc in any::<bool>()) {
        let kind = if lxc { GuestKind::Lxc } else { GuestKind::Qemu };
        let nics = nics(kind, &config);
        prop_assert!(nics.windows(2).all(|pair| pair[0].number < pair[1].number));
        prop_assert!(nics.len() <= config.len());
        let host = host(facts(104, "x", kind), Some(&config), Told::Interfaces(Vec::new()));
        prop_assert_eq!(host.primary.is_none(), host.unknown.is_some());
        let all = inventory(vec![host]);
        let again = format::read(&format::Whole::of(&all).json()).unwrap();
        prop_assert_eq!(again.hosts[0].interfaces.clone(), all.hosts[0].interfaces.clone());
        format::csv(&all);
        format::hosts(&all);
        format::ansible(&all);
        format::netbox(&all);
        format::prometheus(&all, Some(9100));
    }

    #[test]
    fn bodies_never_panic(body in body(), text in ".{0,60}") {
        let _ = container(&body);
        let _ = agent(&body);
        let wrapped = json!({"result": body});
        if let Ok(AgentSaid::Interfaces(seen)) = agent(&wrapped) {
            let host = vm(seen);
            prop_assert_eq!(primary(&host.interfaces), host.primary);
            prop_assert!(host.addresses().all(|a| a.prefix.is_none_or(|p| p <= 128)));
        }
        let _ = refusal(&text);
        let _ = format::read(&text);
        prop_assert!(Choice::default().takes(&"pve1".into(), &[], GuestKind::Qemu, &text, None));
    }

    #[test]
    fn the_primary_address_is_one_that_others_can_reach(parts in prop::collection::vec("(10\\.0|127\\.0|169\\.254|224\\.0)\\.[1-9][0-9]?\\.[1-9][0-9]?", 0..6)) {
        let addresses: Vec<&str> = parts.iter().map(String::as_str).collect();
        let host = vm(vec![seen("eth0", "bc:24:11:00:00:01", &addresses), seen("lo", "", &["127.0.0.1/8"])]);
        let reachable = parts.iter().find(|text| text.starts_with("10."));
        prop_assert_eq!(host.primary.map(|a| a.to_string()).is_some(), reachable.is_some());
        prop_assert!(host.primary.is_none_or(|a| a.to_string().starts_with("10.")));
    }
}
