//! Waiting for what a node was told to do: a look, a word on why it is not yet so, a pause; until its time is up.

use std::time::Duration;

use tokio::time::Instant;

use crate::actions::deps::Timing;
use crate::engine::ports::{Call, Mutate};
use crate::model::failure::{Class, Failure};

/// So much time, from when it was made.
pub(super) struct Wait {
    within: Duration,
    until: Instant,
    poll: Duration,
}

impl Wait {
    /// As long as the call's `within` says.
    ///
    /// # Errors
    /// It has none.
    pub fn of(call: &Call, timing: Timing) -> Result<Self, Failure> {
        let within = Duration::from_millis(call.arg("within")?);
        Ok(Self { within, until: Instant::now() + within, poll: timing.poll })
    }

    /// It is not yet so: tells why, and lets a moment pass. There is a look after the last moment, too.
    ///
    /// # Errors
    /// The time is up, or somebody has stopped the step.
    pub async fn pass(&self, mutate: &Mutate, attempted: impl Into<String>, why: &str) -> Result<(), Failure> {
        mutate.progress(why, None);
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let cause = format!("after {} s {why}", self.within.as_secs());
            return Err(Failure::new(Class::Timeout, attempted, cause));
        }
        if mutate.stop.sleep(self.poll.min(left)).await {
            return Err(Failure::new(Class::Failed, attempted, format!("when it was stopped {why}")));
        }
        Ok(())
    }
}
