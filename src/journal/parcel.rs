//! A run as it goes from one journal to another: a header line, then each event as it is stored, with its hash.

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Hash, hex, root, unhex};
use super::error::StoreError;
use super::header::RunHeader;
use super::sqlite::LockRow;
use crate::event::{Event, FORMAT, RunStatus};
use crate::model::ids::RunId;

/// The version of the file; another one is not taken.
pub const PARCEL: u32 = 1;

/// A whole run, out of one journal and for another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    pub run: RunHeader,
    /// Whether the journal that it is from has given it away.
    pub handed_over: bool,
    pub(super) locks: Vec<(String, LockRow)>,
    pub(super) entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct First {
    /// The version of the file.
    runbook_export: u32,
    /// Of the events.
    format: u32,
    run: RunId,
    runbook: String,
    site: String,
    cluster: Option<String>,
    created: u64,
    updated: u64,
    status: RunStatus,
    plan_hash: String,
    actor: String,
    host: String,
    pid: u32,
    owned_since: u64,
    handed_over: bool,
    locks: Vec<Lock>,
    events: u64,
    head: String,
}

#[derive(Serialize, Deserialize)]
struct Lock {
    name: String,
    since: u64,
    holder: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    seq: u64,
    at: u64,
    actor: String,
    path: Option<String>,
    attempt: u32,
    kind: String,
    /// The event's body as the text that the hash is over.
    payload: String,
    hash: String,
}

impl Parcel {
    /// Whether it is a look at a run that another journal goes on with.
    pub fn is_copy(&self) -> bool {
        !self.handed_over && !self.run.status.is_final()
    }

    pub(super) fn head(&self) -> Hash {
        self.entries.last().map_or_else(|| root(&self.run.id), |e| e.hash)
    }

    /// The names of the locks that come with it.
    pub fn locks(&self) -> impl Iterator<Item = &str> {
        self.locks.iter().map(|(name, _)| name.as_str())
    }

    /// # Errors
    /// An event that this version does not know.
    pub fn events(&self) -> Result<Vec<Event>, StoreError> {
        let unreadable =
            |seq, e: serde_json::Error| StoreError::Unreadable { run: self.run.id.clone(), seq, why: e.to_string() };
        self.entries.iter().map(|e| e.event().map_err(|error| unreadable(e.seq, error))).collect()
    }

    /// JSON Lines, each ended.
    ///
    /// # Errors
    /// What JSON cannot hold.
    pub fn to_jsonl(&self) -> Result<String, StoreError> {
        let broken = |e: serde_json::Error| StoreError::Parcel { why: e.to_string() };
        let mut text = serde_json::to_string(&self.first()).map_err(broken)?;
        text.push('\n');
        for e in &self.entries {
            let line = Line {
                seq: e.seq,
                at: e.at,
                actor: e.actor.clone(),
                path: e.path.clone(),
                attempt: e.attempt,
                kind: e.kind.clone(),
                payload: e.payload.clone(),
                hash: hex(&e.hash),
            };
            text.push_str(&serde_json::to_string(&line).map_err(broken)?);
            text.push('\n');
        }
        Ok(text)
    }

    fn first(&self) -> First {
        let run = &self.run;
        let locks = self.locks.iter().map(|(name, row)| Lock {
            name: name.clone(),
            since: row.since,
            holder: row.holder.clone(),
        });
        First {
            runbook_export: PARCEL,
            format: run.format,
            run: run.id.clone(),
            runbook: run.runbook.clone(),
            site: run.site.clone(),
            cluster: run.cluster.clone(),
            created: run.created,
            updated: run.updated,
            status: run.status,
            plan_hash: run.plan_hash.clone(),
            actor: run.actor.clone(),
            host: run.host.clone(),
            pid: run.pid,
            owned_since: run.owned_since,
            handed_over: self.handed_over,
            locks: locks.collect(),
            events: run.events,
            head: hex(&self.head()),
        }
    }

    /// Reads what `to_jsonl` wrote and proves it: each event after the one before it, none missing, none added.
    ///
    /// # Errors
    /// It is none, is of another version, was cut off or changed; which line, and what was expected.
    pub fn from_jsonl(text: &str) -> Result<Self, StoreError> {
        let refuse = |why: String| StoreError::Parcel { why };
        let mut lines = text.lines();
        let first: First = serde_json::from_str(lines.next().unwrap_or_default())
            .map_err(|e| refuse(format!("its first line is not the header of an exported run: {e}")))?;
        if first.runbook_export != PARCEL {
            let found = first.runbook_export;
            return Err(refuse(format!("it is of version {found}, and this runbook takes version {PARCEL}")));
        }
        let status = first.status;
        let (mut seq, mut head, mut entries) = (0, root(&first.run), Vec::new());
        for (line, nth) in lines.zip(2..) {
            let entry = read(line).map_err(|why| refuse(format!("line {nth}: {why}")))?;
            if entry.seq != seq + 1 {
                return Err(refuse(format!("line {nth} has event {}, and event {} is due", entry.seq, seq + 1)));
            }
            let due = entry.hash_after(&head);
            if due != entry.hash {
                let (due, found) = (hex(&due), hex(&entry.hash));
                return Err(refuse(format!(
                    "event {} ({}) was changed: its hash is {found}, and {due} is what it and the event before it give",
                    entry.seq, entry.kind
                )));
            }
            (seq, head) = (entry.seq, entry.hash);
            entries.push(entry);
        }
        if (seq, hex(&head)) != (first.events, first.head.clone()) {
            let due = first.events;
            return Err(refuse(format!("it is not whole: it has {seq} events, and its header says {due}")));
        }
        let row = |l: &Lock| LockRow { run: first.run.clone(), since: l.since, holder: l.holder.clone() };
        let locks = first.locks.iter().map(|l| (l.name.clone(), row(l))).collect();
        let handed_over = first.handed_over;
        let run = header(first);
        let ends = entries
            .iter()
            .filter_map(|e| e.event().ok())
            .fold(RunStatus::Running, |s, event| event.fact().map_or(s, |fact| s.after(fact)));
        // The header is in no chain: what it says of the end must follow from the events.
        if run.format <= FORMAT && ends.is_final() != status.is_final() {
            let (says, is) = (status.as_str(), ends.as_str());
            return Err(refuse(format!("its header says that the run is {says}, and its events say {is}")));
        }
        Ok(Self { run, handed_over, locks, entries })
    }
}

fn read(line: &str) -> Result<Entry, String> {
    let line: Line = serde_json::from_str(line).map_err(|e| format!("not an event: {e}"))?;
    let hash = unhex(&line.hash).ok_or("its hash is none")?;
    let Line { seq, at, actor, path, attempt, kind, payload, .. } = line;
    Ok(Entry { seq, at, actor, path, attempt, kind, payload, hash })
}

fn header(first: First) -> RunHeader {
    RunHeader {
        id: first.run,
        runbook: first.runbook,
        site: first.site,
        cluster: first.cluster,
        created: first.created,
        updated: first.updated,
        status: first.status,
        plan_hash: first.plan_hash,
        actor: first.actor,
        host: first.host,
        pid: first.pid,
        owned_since: first.owned_since,
        events: first.events,
        owned: false,
        elsewhere: false,
        format: first.format,
    }
}
