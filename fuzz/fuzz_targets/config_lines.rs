//! Lines of a guest's configuration, `KEY: VALUE` each: reading network cards from them never panics.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use runbook::inventory::{agent_enabled, nics};
use runbook::model::ids::GuestKind;

fuzz_target!(|text: &str| {
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    let config: BTreeMap<String, String> = lines.map(|(key, line)| (key.to_owned(), line.to_owned())).collect();
    for kind in [GuestKind::Qemu, GuestKind::Lxc] {
        let nics = nics(kind, &config);
        assert!(nics.windows(2).all(|pair| pair[0].number < pair[1].number));
    }
    agent_enabled(&config);
});
