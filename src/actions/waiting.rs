//! Looking at something again and again until it is as it should be, or its time is over.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::engine::ports::{Observed, Reading, Unreadable, World};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;

/// What is waited for.
pub struct Waiting<'a> {
    pub resource: ResourceKey,
    /// `pve1 answers over SSH`
    pub what: String,
    pub within: Duration,
    pub poll: Duration,
    /// Nothing: it is so; else why it is not, and whether waiting longer is of no use.
    pub judge: &'a (dyn Fn(&Value) -> Option<(String, bool)> + Sync),
}

impl Waiting<'_> {
    /// The outputs `waited` (milliseconds) and `tries`. A plan does not wait: it says what will be waited for.
    pub async fn reading(&self, world: &dyn World) -> Result<Reading, Unreadable> {
        if world.is_planned() {
            let seconds = self.within.as_secs();
            return Err(Unreadable::Later(format!("waits until {}, at most {seconds} s (not previewed)", self.what)));
        }
        let (began, mut tries) = (Instant::now(), 0_u32);
        let mut last = "it was not looked at in time".to_owned();
        loop {
            let looked = tokio::time::timeout_at(began + self.within, world.read(&self.resource)).await;
            tries += 1;
            match looked {
                Ok(seen) => match self.seen(seen?)? {
                    None => break,
                    Some((why, true)) => return Err(self.failed(Class::Refused, why).into()),
                    Some((why, false)) => last = why,
                },
                Err(_) if tries > 1 => {}
                Err(_) => "no answer to the first look".clone_into(&mut last),
            }
            if began.elapsed() + self.poll > self.within {
                let cause = format!("not within {} s; last seen: {last}", self.within.as_secs());
                return Err(self.failed(Class::Timeout, cause).into());
            }
            tokio::time::sleep(self.poll).await;
        }
        let waited = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let summary = format!("{} (seen after {:.1} s)", self.what, began.elapsed().as_secs_f64());
        let outputs = json!({"waited": waited, "tries": tries});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }

    fn seen(&self, observed: Observed) -> Result<Option<(String, bool)>, Unreadable> {
        Ok((self.judge)(&*observed.known(&self.what)?))
    }

    fn failed(&self, class: Class, cause: String) -> Failure {
        Failure::new(class, format!("wait until {}", self.what), cause)
    }
}
