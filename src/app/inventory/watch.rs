//! Looking again and again: the list at each round, which is one request, and of the guests only those that it says have
//! changed. All of them are asked again from time to time, since an address may change without a sign in the list.

use std::time::Duration;

use super::{Asking, Found};
use crate::app::error::AppError;
use crate::inventory::{Diff, diff};
use crate::model::inventory::{DiscoveredHost, Inventory};

/// Rounds after which guests are asked again whose address is not known although they run: they may still be starting.
const UNKNOWN: u32 = 6;
/// Rounds after which all are asked again.
const ALL: u32 = 30;

/// A site that is watched.
pub struct Watch {
    asking: Asking,
    every: Duration,
    last: Inventory,
    round: u32,
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
        let last = found.inventory.clone();
        // From here on the list says who is asked again, and such a one is asked.
        asking.ask.max_age = Duration::ZERO;
        Ok((Self { asking, every, last, round: 0 }, found))
    }

    /// Waits for the next round, and looks.
    pub async fn next(&mut self) -> Watched {
        tokio::time::sleep(self.every).await;
        self.round += 1;
        let (unknown, all) = (self.round.is_multiple_of(UNKNOWN), self.round.is_multiple_of(ALL));
        let silent = |host: &DiscoveredHost| host.unknown.is_some() && host.status == "running";
        let stays = |host: &&DiscoveredHost| !(all || unknown && silent(host));
        let keep = self.last.hosts.iter().filter(stays).filter_map(|host| Some((host.vmid?, host.clone()))).collect();
        match self.asking.collect_but(keep).await {
            Ok(found) => {
                let changes = diff(&self.last, &found.inventory);
                self.last = found.inventory;
                Watched { changes, notes: found.notes }
            }
            Err(error) => Watched { changes: Vec::new(), notes: vec![error.message] },
        }
    }
}
