//! Looking again and again: at each round the list and what we may see of it, which is two requests, and of the guests only those that the list says
//! have changed. All of them are asked again from time to time, since an address may change without a sign in the list.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Asking, Found};
use crate::app::error::AppError;
use crate::inventory::{Diff, diff};
use crate::model::ids::Vmid;
use crate::model::inventory::{DiscoveredHost, Inventory};

/// Rounds after which guests are asked again whose address is not known although they run: they may still be starting.
const UNKNOWN: u32 = 6;
/// Rounds after which all are asked again.
const ALL: u32 = 30;

/// A site that is watched.
pub struct Watch {
    asking: Asking,
    every: Duration,
    /// A guest that could not be read in the last round is in it as it was read before.
    last: Inventory,
    /// Those: asked again as often as those whose address is not known.
    unread: BTreeSet<Vmid>,
    round: u32,
    /// What the last round has said beside the changes: said again only when it was over in between.
    told: BTreeSet<String>,
}

/// What a round gave.
pub struct Watched {
    pub changes: Vec<Diff>,
    /// What a person should know: a round that failed says why, and the next one tries again.
    pub notes: Vec<String>,
}

impl Watch {
    /// Looks for the first time.
    ///
    /// # Errors
    /// As [`Asking::collect`].
    pub async fn begin(mut asking: Asking, every: Duration) -> Result<(Self, Found), AppError> {
        let found = asking.collect().await?;
        let (last, told) = (found.inventory.clone(), notes_of(&found));
        // From here on the list says who is asked again, and such a one is asked.
        asking.ask.max_age = Duration::ZERO;
        Ok((Self { asking, every, unread: unread(&last), last, round: 0, told }, found))
    }

    /// Waits for the next round, and looks.
    pub async fn next(&mut self) -> Watched {
        tokio::time::sleep(self.every).await;
        self.round += 1;
        let (unknown, all) = (self.round.is_multiple_of(UNKNOWN), self.round.is_multiple_of(ALL));
        let silent = |host: &DiscoveredHost| host.unknown.is_some() && host.status == "running";
        let again = |host: &DiscoveredHost| host.vmid.is_some_and(|vmid| self.unread.contains(&vmid));
        let stays = |host: &&DiscoveredHost| !(all || unknown && (silent(host) || again(host)));
        let keep: BTreeMap<Vmid, DiscoveredHost> =
            self.last.hosts.iter().filter(stays).filter_map(|host| Some((host.vmid?, host.clone()))).collect();
        let kept: BTreeSet<Vmid> = self.unread.iter().filter(|vmid| keep.contains_key(vmid)).copied().collect();
        match self.asking.collect_but(keep).await {
            Ok(found) => {
                let changes = diff(&self.last, &found.inventory);
                let now = notes_of(&found);
                let notes = now.difference(&self.told).cloned().collect();
                self.told = now;
                self.unread = kept;
                self.remember(found.inventory);
                Watched { changes, notes }
            }
            Err(error) => Watched { changes: Vec::new(), notes: vec![error.message] },
        }
    }

    /// So that what changed while a guest could not be read is told when it can be again.
    fn remember(&mut self, mut now: Inventory) {
        let fresh = unread(&now);
        let old = std::mem::take(&mut self.last.hosts);
        let mut old: BTreeMap<_, _> = old.into_iter().filter_map(|host| Some((host.vmid?, host))).collect();
        for host in &mut now.hosts {
            let known = host.vmid.filter(|vmid| fresh.contains(vmid)).and_then(|vmid| old.remove(&vmid));
            if let Some(before) = known {
                (host.interfaces, host.primary, host.unknown) = (before.interfaces, before.primary, before.unknown);
            }
        }
        self.unread.extend(fresh);
        self.last = now;
    }
}

fn unread(inventory: &Inventory) -> BTreeSet<Vmid> {
    let hosts = inventory.hosts.iter().filter(|host| host.unknown.as_ref().is_some_and(|why| why.reason.is_missing()));
    hosts.filter_map(|host| host.vmid).collect()
}

fn notes_of(found: &Found) -> BTreeSet<String> {
    found.notes.iter().cloned().chain(found.inventory.missing.iter().map(|one| one.why.clone())).collect()
}
