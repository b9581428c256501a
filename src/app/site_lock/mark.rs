//! What the comment of the lock's pool says: whose it is.

use serde::{Deserialize, Serialize};

use crate::clients::proxmox::Pool;
use crate::model::ids::RunId;

/// Written as JSON, which a person can read in Proxmox's interface, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub run: RunId,
    pub runbook: String,
    /// `ops@host`
    pub holder: String,
    /// The process that took the lock; the run may have another one by now.
    pub pid: u32,
    /// RFC 3339, UTC.
    pub since: String,
    /// Of this program.
    pub version: String,
}

impl Mark {
    /// `None` for a comment that no run wrote: a person has made the pool.
    pub fn of(pool: &Pool) -> Option<Self> {
        serde_json::from_str(pool.comment.as_deref()?).ok()
    }

    pub fn comment(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Who holds the lock since when, as a person reads it.
pub fn in_words(pool: &Pool) -> String {
    match (Mark::of(pool), pool.comment.as_deref().filter(|comment| !comment.is_empty())) {
        (Some(mark), _) => {
            let Mark { run, runbook, holder, pid, since, .. } = mark;
            format!("run {run} ({runbook}) since {since} by {holder}, pid {pid}")
        }
        (None, Some(comment)) => format!("somebody has made the pool {} and says: {comment}", pool.id),
        (None, None) => format!("somebody has made the pool {} and does not say why", pool.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(comment: Option<&str>) -> Pool {
        Pool { id: "runbook-lock".into(), comment: comment.map(str::to_owned) }
    }

    #[test]
    fn a_mark_is_read_back_and_says_whose_it_is() {
        let mark = Mark {
            run: "3f2a".into(),
            runbook: "node-evacuation".into(),
            holder: "ops@one".into(),
            pid: 7,
            since: "2026-11-22T02:22:40Z".into(),
            version: "0.1.0".into(),
        };
        let pool = pool(Some(&mark.comment()));
        assert_eq!(Mark::of(&pool), Some(mark));
        assert_eq!(in_words(&pool), "run 3f2a (node-evacuation) since 2026-11-22T02:22:40Z by ops@one, pid 7");
    }

    #[test]
    fn a_pool_that_a_person_made_is_a_lock_too() {
        assert_eq!(Mark::of(&pool(Some("maintenance, Eva"))), None);
        let words = in_words(&pool(Some("maintenance, Eva")));
        assert_eq!(words, "somebody has made the pool runbook-lock and says: maintenance, Eva");
        assert_eq!(in_words(&pool(Some(""))), in_words(&pool(None)));
    }
}
