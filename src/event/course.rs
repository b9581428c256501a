//! How a run's status follows from its facts, as far as they show it; the one place that says so for journal and reports.

use super::{Fact, RunStatus, Signal, Verdict};

impl RunStatus {
    /// The status after `fact`. A question makes a run wait until it is answered, though other steps may go on.
    pub fn after(self, fact: &Fact) -> Self {
        match fact {
            Fact::RunFinished { status } => *status,
            // It is a person's turn: that is what it waits for, whether a process is there or not.
            Fact::Parked if self == Self::Waiting => Self::Waiting,
            Fact::Parked => Self::Paused,
            Fact::Asked { .. } => Self::Waiting,
            Fact::Signalled { signal: Signal::RollBack, .. } => Self::RollingBack,
            Fact::RunCreated { .. } | Fact::DriverRestarted { .. } => Self::Running,
            Fact::Evaluated { verdict: Verdict::Run { question: Some(_), .. }, .. } => Self::Waiting,
            Fact::Approved { .. } | Fact::Declined { .. } | Fact::Decided { .. } if self == Self::Waiting => {
                Self::Running
            }
            Fact::Started { path, .. } if path.is_undo() => Self::RollingBack,
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Intent;
    use crate::model::effect::Effect;
    use serde_json::Value;

    #[test]
    fn an_undo_is_a_rollback_and_an_answer_ends_the_waiting() {
        let intent = Intent { before: Value::Null, prepared: Value::Null, effect: Effect::Change };
        let undo = Fact::Started { path: "a/undo".into(), attempt: 1, intent };
        assert_eq!(RunStatus::Running.after(&undo), RunStatus::RollingBack);
        let answer = Fact::Approved { path: "gate".into(), who: "ops".into(), word: None, hash: None };
        assert_eq!(RunStatus::Waiting.after(&answer), RunStatus::Running);
        assert_eq!(RunStatus::Paused.after(&answer), RunStatus::Paused);
        assert_eq!(RunStatus::RollingBack.after(&Fact::Parked), RunStatus::Paused);
    }
}
