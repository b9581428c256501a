//! How a run's status follows from its facts, as far as they show it; the one place that says so for journal and reports.

use super::{Fact, RunStatus, Verdict};

impl RunStatus {
    /// The status after `fact`. A question makes a run wait until it is answered, though other steps may go on.
    pub fn after(self, fact: &Fact) -> Self {
        match fact {
            Fact::RunFinished { status } => *status,
            Fact::RunCreated { .. } | Fact::DriverRestarted { .. } => Self::Running,
            Fact::Evaluated { verdict: Verdict::Run { question: Some(_), .. }, .. } => Self::Waiting,
            Fact::Approved { .. } | Fact::Declined { .. } if self == Self::Waiting => Self::Running,
            Fact::Started { path, .. } if path.as_str().ends_with("/undo") => Self::RollingBack,
            _ => self,
        }
    }
}
