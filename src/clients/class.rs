//! What kind of failure an outside system's error is, in the words of the engine's retry rules.

/// What the engine's retry rules distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// May pass by itself (no quorum, a connection that broke, a node's proxy error).
    Transient,
    Timeout,
    Unreachable,
    Locked,
    /// Authentication, permission, trust: a person has to act.
    Refused,
    /// The world is not as the call takes it to be.
    Precondition,
    Failed,
}

impl Class {
    /// As runbooks spell it in `retry.errors`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Locked => "locked",
            Self::Refused => "refused",
            Self::Precondition => "precondition",
            Self::Failed => "failed",
        }
    }
}
