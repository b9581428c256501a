//! What was folded and is not yet durable, and who waits for that.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::engine::ports::{Journal, JournalError, Observer};
use crate::event::{Body, Event, Note};
use crate::model::failure::{Class, Failure};

/// How long an event that nobody waits for may wait for company in its commit.
const LAZY: Duration = Duration::from_millis(100);

/// Told once what it waits for is durable, or that it will never be.
pub type Ack = oneshot::Sender<Result<(), Failure>>;

/// The journal's only writer. Events are shown when they are durable, and not before.
pub struct Ledger {
    journal: Box<dyn Journal>,
    observer: Box<dyn Observer>,
    actor: String,
    seq: u64,
    buffer: Vec<Event>,
    /// Whose event is in the buffer.
    acks: Vec<Ack>,
    /// When what is in the buffer is committed at the latest.
    due: Option<Instant>,
}

impl Ledger {
    /// `seq`: of the last event that the journal has.
    pub fn new(journal: Box<dyn Journal>, observer: Box<dyn Observer>, actor: String, seq: u64) -> Self {
        Self { journal, observer, actor, seq, buffer: Vec::new(), acks: Vec::new(), due: None }
    }

    /// Of the last event, durable or not.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    pub fn record(&mut self, at: u64, body: Body) {
        self.seq += 1;
        self.due.get_or_insert_with(|| Instant::now() + LAZY);
        self.buffer.push(Event { seq: self.seq, at, actor: self.actor.clone(), body });
    }

    /// Log lines are kept; progress is only shown.
    pub fn note(&mut self, at: u64, note: Note) {
        if let Note::Progress { .. } = note {
            let event = Event { seq: 0, at, actor: self.actor.clone(), body: Body::Note(note) };
            self.observer.see(&event);
        } else {
            self.record(at, Body::Note(note));
        }
    }

    /// Tells `ack` about the next commit.
    pub fn wait(&mut self, ack: Ack) {
        self.acks.push(ack);
    }

    pub fn is_waited_for(&self) -> bool {
        !self.acks.is_empty()
    }

    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Makes everything so far durable, then lets go who waits for it.
    ///
    /// # Errors
    /// It is not durable, and whoever waited has been told so.
    pub fn commit(&mut self) -> Result<(), JournalError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.due = None;
        let written = self.journal.append(&self.buffer);
        for ack in self.acks.drain(..) {
            // A unit that is gone needs no answer.
            let _ = ack
                .send(written.clone().map_err(|e| Failure::new(Class::Internal, "journal the intent", e.to_string())));
        }
        if written.is_ok() {
            for event in &self.buffer {
                self.observer.see(event);
            }
        }
        self.buffer.clear();
        written
    }
}
