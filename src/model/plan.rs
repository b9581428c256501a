//! A plan: what a run would do, step by step, and what must still be true for it to be done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::effect::Effect;
use super::failure::Failure;
use super::ids::StepPath;
use super::runbook::Runbook;
use super::world::{Guard, Identity};

/// What a step would do, in the words of the plan's JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    Create,
    Change,
    Destroy,
    Disrupt,
    /// Nothing to do: it is so already, or the step is skipped.
    None,
    Read,
    /// Known only when the steps before it have run.
    Unknown,
}

/// How many steps of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    pub create: usize,
    pub change: usize,
    pub destroy: usize,
    pub disrupt: usize,
    pub unchanged: usize,
    pub unknown: usize,
}

impl Summary {
    /// Whether applying would change anything, or might.
    pub fn changes(&self) -> bool {
        self.create + self.change + self.destroy + self.disrupt + self.unknown > 0
    }
}

/// How a planned step stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Planned {
    /// It would run.
    Run,
    /// It would not, for this reason.
    Skipped(String),
    /// It is so already.
    Unchanged,
    /// Whether it runs is known later.
    Maybe,
    /// A question to a person; the word to type, if any.
    Gate { message: String, show: Value, word: Option<String> },
}

/// One step of a plan, in the order in which it would start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanStep {
    pub path: StepPath,
    /// `proxmox.guest_migrate`; `confirm` for a gate.
    pub uses: String,
    /// The version of the action's meaning.
    pub version: u32,
    pub effect: Effect,
    pub change: Change,
    pub planned: Planned,
    /// One line: `VM 104 (web-1): pve2 -> pve3, live, 8.0 GiB, about 30 s`.
    pub summary: String,
    /// What would undo it, or why nothing can.
    pub undo: String,
    /// Parameters as far as known; an unknown one is absent and named in `unknown`.
    pub with: BTreeMap<String, Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// Outputs of a read that `apply` takes from here and does not compute again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<Identity>,
    /// Checked before this step, since they rest on what earlier steps do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<Guard>,
    /// Things a person should know before saying yes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What a person would type to do the same by hand; a line that begins with `# ` is for reading. Empty for what
    /// changes nothing, and where nothing equal can be typed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
}

impl PlanStep {
    /// How `undo` begins where nothing is undone.
    pub const NOTHING: &str = "nothing";
    /// How it ends where a rollback only lists what a person has to do.
    pub const BY_HAND: &str = " (left to a person)";

    /// Whether a rollback would do something about it, as far as the plan knew.
    pub fn can_be_undone(&self) -> bool {
        !self.undo.starts_with(Self::NOTHING) && !self.undo.ends_with(Self::BY_HAND)
    }
}

/// What a plan is made for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// The site's name: part of every lock, plan and inventory key.
    pub site: String,
    pub cluster: Option<String>,
    pub params: BTreeMap<String, Value>,
    /// `cluster` and `config` as expressions see them; secrets only as references.
    pub scope: BTreeMap<String, Value>,
    /// SHA-256 of the runbook's text and of the configuration's.
    pub runbook_digest: String,
    pub config_digest: String,
}

/// A plan. Its hash is over its canonical JSON without `hash` itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub format_version: String,
    /// The runbook's name.
    pub runbook: String,
    #[serde(default)]
    pub hash: String,
    /// When it was made: milliseconds since 1970.
    pub created: u64,
    pub summary: Summary,
    pub steps: Vec<PlanStep>,
    /// Checked at the start of apply: they rest on observation.
    pub guards: Vec<Guard>,
    /// The fan-outs whose items are among the steps; any other one is shown, and asked for, once its list is known.
    #[serde(default)]
    pub expanded: BTreeSet<StepPath>,
    pub warnings: Vec<String>,
    /// Why the plan cannot be applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<PlanFailure>,
    pub inputs: Inputs,
    /// The runbook itself: files are never read again.
    pub procedure: Arc<Runbook>,
}

impl Plan {
    /// Whether there is anything to do: a change, or a reading that is made only when its turn comes, as a wait is.
    pub fn has_work(&self) -> bool {
        let later =
            |step: &PlanStep| step.change == Change::Read && step.planned == Planned::Run && !step.unknown.is_empty();
        self.summary.changes() || self.steps.iter().any(later)
    }
}

/// The step that already fails while planning, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanFailure {
    pub path: StepPath,
    pub failure: Failure,
}
