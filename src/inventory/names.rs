//! Names for hosts where each must have its own.

use std::collections::BTreeMap;

use crate::model::inventory::DiscoveredHost;

/// A name for each host, in their order: its own, or with its VMID behind where others have the same (upper and lower
/// case count as the same). A host without a name is called by its VMID.
pub fn unique_names(hosts: &[DiscoveredHost]) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for host in hosts {
        *counts.entry(host.name.to_lowercase()).or_default() += 1;
    }
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let named = hosts.iter().map(|host| {
        let shared = counts.get(&host.name.to_lowercase()).is_some_and(|n| *n > 1);
        let name = match host.vmid {
            Some(vmid) if host.name.is_empty() => format!("guest-{vmid}"),
            Some(vmid) if shared => format!("{}-{vmid}", host.name),
            _ if host.name.is_empty() => "unnamed".to_owned(),
            _ => host.name.clone(),
        };
        // `web-104` may be somebody's own name, and hosts without a VMID share names, too.
        let times = taken.entry(name.to_lowercase()).or_default();
        *times += 1;
        if *times == 1 { name } else { format!("{name}-{times}") }
    });
    named.collect()
}
