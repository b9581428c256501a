//! Proofs: that histories are as they were written, and who did what.

use super::act::{Act, ActRow, root};
use super::entry::{Entry, hex, root as root_of};
use super::error::StoreError;
use super::sqlite::Tip;
use super::store::{Chain, PAGE, Store};
use crate::event::Event;
use crate::model::ids::RunId;

impl Store {
    /// Proves that the run's history is as it was written: each event after the one before it, none missing, none added.
    ///
    /// # Errors
    /// [`StoreError::Tampered`] names the first event that does not fit.
    pub fn verify_chain(&self, run: &RunId) -> Result<Chain, StoreError> {
        self.prove(run, |_| Ok(()))
    }

    /// As [`Store::verify_chain`], with each event on the way; what a newer version wrote is told as a message.
    ///
    /// # Errors
    /// As there, or an event that cannot be read.
    pub fn verify_events(
        &self,
        run: &RunId,
        mut visit: impl FnMut(Event) -> Result<(), StoreError>,
    ) -> Result<Chain, StoreError> {
        let newer = self.is_newer(run)?;
        self.prove(run, |entry| match entry.event() {
            Ok(event) => visit(event),
            Err(_) if newer => visit(entry.as_message()),
            Err(e) => Err(StoreError::Unreadable { run: run.clone(), seq: entry.seq, why: e.to_string() }),
        })
    }

    pub(super) fn prove(
        &self,
        run: &RunId,
        visit: impl FnMut(&Entry) -> Result<(), StoreError>,
    ) -> Result<Chain, StoreError> {
        let tip = self.reader().tip(run)?.ok_or_else(|| self.unknown(run.as_str()))?;
        self.walk(run, &tip, visit)?;
        if let Some(extra) = self.reader().entries(run, tip.events, 1)?.first() {
            let why = format!("{} is one too many: the run's record counts {} events", extra.kind, tip.events);
            return Err(StoreError::Tampered { run: run.clone(), seq: extra.seq, why });
        }
        Ok(Chain { events: tip.events, head: hex(&tip.head) })
    }

    /// Visits the entries that `tip` counts, in order, and proves the chain on the way.
    pub(super) fn walk(
        &self,
        run: &RunId,
        tip: &Tip,
        mut visit: impl FnMut(&Entry) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let tampered = |seq, why: String| StoreError::Tampered { run: run.clone(), seq, why };
        let (mut seq, mut head) = (0, root_of(run));
        while seq < tip.events {
            let page = self.reader().entries(run, seq, PAGE)?;
            if page.is_empty() {
                let due = tip.events;
                return Err(tampered(seq + 1, format!("it and all after it are missing; the run has {due} events")));
            }
            for entry in page.iter().take(usize::try_from(tip.events - seq).unwrap_or(usize::MAX)) {
                if entry.seq != seq + 1 {
                    return Err(tampered(seq + 1, format!("it is missing; the next one is event {}", entry.seq)));
                }
                let due = entry.hash_after(&head);
                if due != entry.hash {
                    let (kind, due, found) = (&entry.kind, short(&due), short(&entry.hash));
                    return Err(tampered(
                        entry.seq,
                        format!("{kind} has the hash {found}, and {due} is what it and the event before it give"),
                    ));
                }
                (seq, head) = (entry.seq, entry.hash);
                visit(entry)?;
            }
        }
        if head == tip.head {
            return Ok(());
        }
        let (due, found) = (short(&tip.head), short(&head));
        Err(tampered(seq, format!("the run's record names {due} as the last hash, and the last event has {found}")))
    }

    /// Whether the run, or the journal, was written by a newer version.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn is_newer(&self, run: &RunId) -> Result<bool, StoreError> {
        let db = self.reader();
        Ok(db.is_newer() || db.tip(run)?.is_some_and(|tip| tip.format > crate::event::FORMAT))
    }

    /// What the database itself finds wrong with its file, and runs that have events and no record; empty: nothing.
    ///
    /// # Errors
    /// It cannot be read at all.
    pub fn damage(&self) -> Result<Vec<String>, StoreError> {
        let db = self.reader();
        let mut found = db.damage()?;
        found.extend(db.orphans()?.into_iter().map(|run| format!("run {run} has events and no record")));
        Ok(found)
    }

    /// Acts outside runs, oldest first, proved.
    ///
    /// # Errors
    /// [`StoreError::TamperedAudit`] names the first that does not fit.
    pub fn acts(&self) -> Result<Vec<Act>, StoreError> {
        let (rows, last) = self.reader().acts()?;
        prove_acts(&rows, last)?;
        Ok(rows.into_iter().map(ActRow::act).collect())
    }

    /// What people said to runs, and who took them over, oldest first. What cannot be read is left out.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn said(&self) -> Result<Vec<(RunId, Event)>, StoreError> {
        let rows = self.reader().said()?;
        Ok(rows.into_iter().filter_map(|(run, entry)| Some((run, entry.event().ok()?))).collect())
    }
}

fn prove_acts(rows: &[ActRow], last: u64) -> Result<(), StoreError> {
    let tampered = |seq, why: &str| Err(StoreError::TamperedAudit { seq, why: why.to_owned() });
    let (mut seq, mut head) = (0, root());
    for row in rows {
        if row.seq != seq + 1 {
            return tampered(seq + 1, "it is missing");
        }
        if row.hash_after(&head) != row.hash {
            return tampered(row.seq, "its hash does not fit it and the record before it");
        }
        (seq, head) = (row.seq, row.hash);
    }
    if seq == last { Ok(()) } else { tampered(seq + 1, "it and all after it are missing") }
}

/// As much of a hash as a person compares.
fn short(hash: &super::entry::Hash) -> String {
    hex(hash).chars().take(12).collect()
}
