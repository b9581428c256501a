//! Sites that are frozen: no run that changes something may start or go on there.

use serde_json::json;

use super::act::{ActKind, Deed};
use super::error::StoreError;
use super::store::Store;

/// Who froze a site, since when, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    pub site: String,
    /// Milliseconds since 1970.
    pub since: u64,
    pub by: String,
    pub reason: String,
}

impl Store {
    /// # Errors
    /// The journal cannot be read.
    pub fn freeze_of(&self, site: &str) -> Result<Option<Freeze>, StoreError> {
        self.reader().freeze_of(site)
    }

    /// Freezes the site; where it is frozen already, nothing is done and that freeze is told.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn freeze(&self, site: &str, by: &str, reason: &str) -> Result<Option<Freeze>, StoreError> {
        let freeze = Freeze { site: site.to_owned(), since: self.now(), by: by.to_owned(), reason: reason.to_owned() };
        let deed = self.deed(ActKind::Frozen, by, site, json!({"reason": reason}));
        self.connect()?.freeze(&freeze, &deed)
    }

    /// The freeze that was ended; `None`: the site was not frozen.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn unfreeze(&self, site: &str, by: &str) -> Result<Option<Freeze>, StoreError> {
        let reason = self.freeze_of(site)?.map(|f| f.reason);
        let deed = self.deed(ActKind::Unfrozen, by, site, json!({"frozen_for": reason}));
        self.connect()?.unfreeze(site, &deed)
    }

    pub(super) fn deed(&self, kind: ActKind, actor: &str, subject: &str, detail: serde_json::Value) -> Deed {
        Deed { at: self.now(), actor: actor.to_owned(), kind, subject: subject.to_owned(), detail }
    }
}
