//! How a runbook is rehearsed: what `runbooks/tests/NAME.yaml` says.

use serde::Deserialize;

/// The cases of one runbook.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Rehearsal {
    /// The runbook's name.
    #[serde(rename = "test")]
    pub runbook: String,
    pub cases: Vec<Case>,
}

/// One way of calling the runbook, in one lab. Every injection is made in each.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Case {
    pub name: String,
    /// A scenario of the lab.
    pub scenario: String,
    /// Values of positional parameters, as they would be typed.
    #[serde(default)]
    pub args: Vec<String>,
    /// Parameters by name, as they would be typed.
    #[serde(default)]
    pub set: Vec<(String, String)>,
    /// The guest cluster.
    #[serde(default)]
    pub cluster: Option<String>,
    /// Who the run is to the site: `root@pam`, by password. Without it, the lab's own token.
    #[serde(default)]
    pub user: Option<String>,
    /// Faults of the lab, there from the beginning.
    #[serde(default)]
    pub faults: Vec<String>,
    #[serde(default)]
    pub expect: Expect,
}

/// How the undisturbed run must end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Expect {
    /// A run's status in its own word: `succeeded`.
    pub status: String,
}

impl Default for Expect {
    fn default() -> Self {
        Self { status: "succeeded".into() }
    }
}
