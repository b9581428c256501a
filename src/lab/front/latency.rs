//! How long each client waited: an overeager one makes others wait, and this shows it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::ids::NodeName;

/// The waiting times of one client, in milliseconds of real time.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ClientLatency {
    /// The name it gave itself (`User-Agent`), or its user.
    pub client: String,
    pub requests: usize,
    pub median_ms: u64,
    pub p95_ms: u64,
}

#[derive(Debug, Default)]
pub(super) struct Latency {
    by_client: Mutex<BTreeMap<String, Vec<u64>>>,
    at_once: Mutex<BTreeMap<NodeName, AtOnce>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct AtOnce {
    now: usize,
    most: usize,
}

/// A request that is under way at a node.
pub(super) struct UnderWay<'a> {
    latency: &'a Latency,
    node: NodeName,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut all = self.latency.at_once.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = all.get_mut(&self.node) {
            here.now -= 1;
        }
    }
}

impl Latency {
    pub(super) fn enter(&self, node: &NodeName) -> UnderWay<'_> {
        let mut all = self.at_once.lock().unwrap_or_else(PoisonError::into_inner);
        let here = all.entry(node.clone()).or_default();
        here.now += 1;
        here.most = here.most.max(here.now);
        UnderWay { latency: self, node: node.clone() }
    }

    /// How many requests were under way at each node at once at most.
    pub(super) fn most(&self) -> BTreeMap<NodeName, usize> {
        let all = self.at_once.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(node, here)| (node.clone(), here.most)).collect()
    }

    pub(super) fn add(&self, client: &str, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let mut all = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(client.to_owned()).or_default().push(ms);
    }

    pub(super) fn report(&self) -> Vec<ClientLatency> {
        let all = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .map(|(client, times)| {
                let mut times = times.clone();
                times.sort_unstable();
                let at = |percent: usize| times[(times.len() - 1) * percent / 100];
                ClientLatency { client: client.clone(), requests: times.len(), median_ms: at(50), p95_ms: at(95) }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_each_client() {
        let latency = Latency::default();
        (1..=100).for_each(|ms| latency.add("a", Duration::from_millis(ms)));
        latency.add("b", Duration::from_millis(7));
        let report = latency.report();
        assert_eq!((report[0].requests, report[0].median_ms, report[0].p95_ms), (100, 50, 95));
        assert_eq!((report[1].client.as_str(), report[1].p95_ms), ("b", 7));
    }
}
