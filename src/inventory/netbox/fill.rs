//! What nobody knows stays as NetBox has it, unless another guest says that it is his.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::record::{Record, host_of};

/// Each record with what is not known of it as NetBox has it. An address that another guest has by now is that one's, and
/// one that several have (`contested`) stays with whom NetBox has it at.
pub fn fill(all: Vec<(Record, Option<Record>)>, contested: &BTreeSet<IpAddr>) -> Vec<(Record, Option<Record>)> {
    let mut claimed: BTreeMap<IpAddr, String> = BTreeMap::new();
    for (record, _) in &all {
        claimed.extend(record.addresses().filter_map(|(_, address)| Some((host_of(address)?, record.key.clone()))));
    }
    all.into_iter().map(|(record, now)| (one(record, now.as_ref(), &claimed, contested), now)).collect()
}

fn one(
    record: Record,
    now: Option<&Record>,
    claimed: &BTreeMap<IpAddr, String>,
    contested: &BTreeSet<IpAddr>,
) -> Record {
    let mut record = record.filled(now);
    let is_anothers = |ip: &IpAddr| claimed.get(ip).is_some_and(|key| *key != record.key);
    let lost: Vec<IpAddr> =
        record.addresses().filter_map(|(_, address)| host_of(address)).filter(is_anothers).collect();
    for ip in lost {
        record = record.without(&ip.to_string());
    }
    if let Some(now) = now {
        let there: Vec<IpAddr> = now.addresses().filter_map(|(_, address)| host_of(address)).collect();
        there.into_iter().filter(|ip| contested.contains(ip)).for_each(|ip| record.keep(ip, now));
    }
    record
}
