//! Finding the guests of a site with their addresses: who can be asked, and the action that asks.

mod collect;

use async_trait::async_trait;

pub use collect::InventoryCollect;

use crate::inventory::merge;
use crate::model::failure::Failure;
use crate::model::inventory::{DiscoveredHost, Inventory, Missing};

/// Someone who knows hosts: a hypervisor's API, a DHCP server's leases, a scan of a network.
#[async_trait]
pub trait Collector: Send + Sync {
    /// `proxmox`; its hosts say so.
    fn source(&self) -> &str;

    /// All that it knows now. What could not be read is in `missing`; a failure is for where nothing could be.
    ///
    /// # Errors
    /// It cannot be reached, refuses us, or shows us nothing although it may have something.
    async fn collect(&self) -> Result<Collected, Failure>;
}

/// What a collector has found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Collected {
    pub hosts: Vec<DiscoveredHost>,
    pub missing: Vec<Missing>,
    /// What a person should know of it.
    pub notes: Vec<String>,
    /// Why it may have hosts that it did not show.
    pub hidden: Option<String>,
}

/// Asks all of them, one after another, and merges what they know.
///
/// # Errors
/// The first one fails, which is who knows the guests. What others fail with is among the notes.
pub async fn gather(site: &str, collectors: &[&dyn Collector]) -> Result<(Inventory, Vec<String>), Failure> {
    let (mut hosts, mut missing, mut notes, mut hidden) = (Vec::new(), Vec::new(), Vec::new(), None);
    for (place, collector) in collectors.iter().enumerate() {
        match collector.collect().await {
            Ok(found) => {
                hosts.push(found.hosts);
                missing.extend(found.missing);
                notes.extend(found.notes);
                hidden = hidden.or(found.hidden);
            }
            Err(failure) if place == 0 => return Err(failure),
            Err(failure) => notes.push(format!("{}: {failure}", collector.source())),
        }
    }
    let (hosts, more) = merge(hosts);
    notes.extend(more);
    Ok((Inventory { site: site.to_owned(), hosts, missing, hidden }, notes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::failure::Class;

    struct Fixed(Result<Collected, Failure>);

    #[async_trait]
    impl Collector for Fixed {
        fn source(&self) -> &str {
            "fixed"
        }

        async fn collect(&self) -> Result<Collected, Failure> {
            self.0.clone()
        }
    }

    #[tokio::test]
    async fn the_first_collector_must_answer_and_others_may_fail() {
        let fails = || Fixed(Err(Failure::new(Class::Unreachable, "read the leases", "connection refused")));
        let knows = Fixed(Ok(Collected::default()));
        let (inventory, notes) = gather("lab", &[&knows, &fails()]).await.unwrap();
        assert_eq!((inventory.site.as_str(), notes.len()), ("lab", 1));
        assert!(notes[0].contains("connection refused"), "{notes:?}");
        assert_eq!(gather("lab", &[&fails(), &knows]).await.unwrap_err().class, Class::Unreachable);
    }
}
