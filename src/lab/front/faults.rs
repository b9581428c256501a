//! Setting faults while the lab runs.

use std::sync::Arc;

use super::core::Core;
use crate::lab::fault::{BadFault, Fault, ScheduledFault};

/// Sets faults while the lab runs.
#[derive(Clone)]
pub struct Faults {
    core: Arc<Core>,
}

impl Faults {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Sets one; those of the world happen at once.
    ///
    /// # Errors
    /// What the world says against it, such as a guest that is not there.
    pub fn add(&self, fault: Fault) -> Result<(), String> {
        self.core.add_fault(fault)
    }

    /// Sets one for later, in world time; forgotten if the lab ends before. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// As for `add`, where it is due at once; what the world says against a later one is in `troubles`.
    pub fn schedule(&self, scheduled: ScheduledFault) -> Result<(), String> {
        if scheduled.after_ms == 0 {
            return self.add(scheduled.fault);
        }
        let wait = self.core.clock.real_duration(scheduled.after_ms);
        let core = Arc::downgrade(&self.core);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(core) = core.upgrade() {
                let fault = format!("{:?}", scheduled.fault);
                if let Err(why) = core.add_fault(scheduled.fault) {
                    core.faults.note_trouble(format!("{fault}: {why}"));
                }
            }
        });
        Ok(())
    }

    /// Sets one by its text, now (`KIND:WHAT`) or at its time (`@40s KIND:WHAT`). Call it inside a tokio runtime.
    ///
    /// # Errors
    /// The text is no fault; as for `add`.
    pub fn add_text(&self, text: &str) -> Result<(), String> {
        if text.starts_with('@') {
            return self.schedule(text.parse().map_err(|e: BadFault| e.to_string())?);
        }
        self.add(text.parse().map_err(|e: BadFault| e.to_string())?)
    }

    /// Those of the transport that still stand.
    pub fn list(&self) -> Vec<Fault> {
        self.core.faults.list()
    }

    /// Takes back those of the transport.
    pub fn clear(&self) {
        self.core.faults.clear();
    }

    /// Scheduled faults that could not be set when their time came.
    pub fn troubles(&self) -> Vec<String> {
        self.core.faults.troubles()
    }
}
