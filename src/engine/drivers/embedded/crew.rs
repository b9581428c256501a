//! The units at work: which step each is about, what they say, and how one is told to stop.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use super::unit::{Ear, Said};
use crate::engine::machine::StepIx;
use crate::engine::ports::Stop;

/// Everybody who works for a run. Dropping it ends them.
pub struct Crew {
    pub units: JoinSet<()>,
    /// Which attempt each unit is, for one that dies without a word.
    manned: BTreeMap<tokio::task::Id, (StepIx, u32)>,
    stops: BTreeMap<StepIx, Stop>,
    ear: Ear,
    pub said: mpsc::UnboundedReceiver<(StepIx, u32, Said)>,
}

impl Crew {
    pub fn new() -> Self {
        let (ear, said) = mpsc::unbounded_channel();
        Self { units: JoinSet::new(), manned: BTreeMap::new(), stops: BTreeMap::new(), ear, said }
    }

    pub fn ear(&self) -> Ear {
        self.ear.clone()
    }

    pub fn send(&mut self, ix: StepIx, attempt: u32, stop: Stop, work: impl Future<Output = ()> + Send + 'static) {
        self.stops.insert(ix, stop);
        let unit = self.units.spawn(work);
        self.manned.insert(unit.id(), (ix, attempt));
    }

    pub fn stop(&self, ix: StepIx) {
        if let Some(stop) = self.stops.get(&ix) {
            stop.set();
        }
    }

    /// Its end was said: there is nothing left to stop.
    pub fn is_over(&mut self, ix: StepIx) {
        self.stops.remove(&ix);
    }

    /// A unit says how its step ended before it ends itself. One that panicked cannot: which attempt it was, and why.
    pub fn fallen(&mut self, ended: Result<(tokio::task::Id, ()), JoinError>) -> Option<(StepIx, u32, JoinError)> {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let (ix, attempt) = self.manned.remove(&id)?;
        let error = ended.err()?;
        self.is_over(ix);
        Some((ix, attempt, error))
    }

    /// Nothing more is released; what is under way is let finish. Whoever waits for the journal is told that it is gone.
    pub async fn drain(&mut self) {
        self.said.close();
        while self.said.try_recv().is_ok() {}
        while self.units.join_next().await.is_some() {}
    }
}
