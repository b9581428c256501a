//! The word for each kind of fault.

use super::{CommandFault, Effect, Fault, SnapshotFault, WorldFault};

impl Fault {
    /// Its word in [`super::KINDS`].
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Request(fault) => match &fault.effect {
                Effect::ResetBefore => "reset-before",
                Effect::ResetAfter => "reset-after",
                Effect::Status { after: false, .. } => "STATUS",
                Effect::Status { after: true, .. } => "STATUS-after",
                Effect::Slow(_) => "slow",
                Effect::Hang => "hang",
            },
            Self::Command(CommandFault { said: None, after: false, .. }) => "ssh-drop",
            Self::Command(CommandFault { said: None, after: true, .. }) => "ssh-drop-after",
            Self::Command(CommandFault { said: Some(_), after: false, .. }) => "ssh-exit",
            Self::Command(CommandFault { said: Some(_), after: true, .. }) => "ssh-exit-after",
            Self::TokenRejected { .. } => "token-rejected",
            Self::World(fault) => fault.kind(),
        }
    }
}

impl WorldFault {
    fn kind(&self) -> &'static str {
        match self {
            Self::TaskFail { .. } => "task-fail",
            Self::TaskAbort { .. } => "task-abort",
            Self::TaskWarn { .. } => "task-warn",
            Self::TaskHang { .. } => "task-hang",
            Self::TaskForget { .. } => "task-forget",
            Self::TaskFull { .. } => "task-full",
            Self::LockStays { .. } => "lock-stays",
            Self::TasksLate { .. } => "tasks-late",
            Self::NodeUp { up: false, .. } => "node-down",
            Self::NodeUp { up: true, .. } => "node-up",
            Self::Quorum { lost: true } => "quorum-lost",
            Self::Quorum { lost: false } => "quorum-back",
            Self::ReplaceGuest { .. } => "replace-guest",
            Self::SetLock { lock: Some(_), .. } => "set-lock",
            Self::SetLock { lock: None, .. } => "clear-lock",
            Self::ChallengeFails { .. } => "challenge-fails",
            Self::DrainBlocked { .. } => "drain-blocked",
            Self::NodeNotReady { .. } => "node-not-ready",
            Self::StorageDegraded => "storage-degraded",
            Self::Talos { fault, .. } => fault.word(),
            Self::Snapshot { fault: SnapshotFault::Cut } => "snapshot-cut",
            Self::Snapshot { fault: SnapshotFault::Damaged } => "snapshot-damaged",
        }
    }
}
