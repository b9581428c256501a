//! What is kept how long.

use serde_json::json;

use super::act::ActKind;
use super::entry::hex;
use super::error::StoreError;
use super::header::RunHeader;
use super::store::Store;

/// Which runs may go: those that are both older and not among the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Milliseconds since a run's last event.
    pub older_than: u64,
    /// The newest so many stay, whatever their age.
    pub keep: u32,
}

/// A run that is old enough to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldRun {
    pub header: RunHeader,
    /// About what it takes in the journal.
    pub bytes: u64,
    /// Why it stays all the same: it is not over, or holds a lock.
    pub stays: Option<&'static str>,
}

impl Store {
    /// The runs that `retention` would let go, newest first.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn old_runs(&self, retention: Retention) -> Result<Vec<OldRun>, StoreError> {
        let before = self.now().saturating_sub(retention.older_than);
        let found = self.reader().old_runs(before, retention.keep)?;
        let judged = found.into_iter().map(|old| {
            let stays = match (old.header.status.is_final(), old.holds_lock) {
                (false, _) => Some("not over"),
                (true, true) => Some("holds a lock"),
                (true, false) => None,
            };
            OldRun { header: old.header, bytes: old.bytes, stays }
        });
        Ok(judged.collect())
    }

    /// Deletes those of the runs that may go, and gives their room back. What went.
    ///
    /// # Errors
    /// The journal cannot be written: nothing was deleted.
    pub fn prune(&self, runs: &[OldRun], actor: &str) -> Result<Vec<OldRun>, StoreError> {
        let mut db = self.connect()?;
        db.writable()?;
        let mut going = Vec::new();
        for old in runs.iter().filter(|old| old.stays.is_none()) {
            let tip = db.tip(&old.header.id)?;
            // What is left of a run: with it an export can be proved to be that run.
            going.push(json!({
                "run": old.header.id, "runbook": old.header.runbook, "site": old.header.site,
                "created": old.header.created, "status": old.header.state(), "by": old.header.actor,
                "events": old.header.events, "head": tip.map(|tip| hex(&tip.head)),
            }));
        }
        let bytes: u64 = runs.iter().filter(|old| old.stays.is_none()).map(|old| old.bytes).sum();
        let subject = if going.len() == 1 { "1 run".to_owned() } else { format!("{} runs", going.len()) };
        let deed = self.deed(ActKind::Pruned, actor, &subject, json!({"bytes": bytes, "runs": going}));
        let ids: Vec<_> = runs.iter().filter(|old| old.stays.is_none()).map(|old| old.header.id.clone()).collect();
        let gone = db.prune(&ids, &deed)?;
        for run in &gone {
            self.place.forget(run);
        }
        // The room is used again in any case; giving it back needs a moment in which nobody else writes.
        let _ = db.shrink();
        Ok(runs.iter().filter(|old| gone.contains(&old.header.id)).cloned().collect())
    }
}
