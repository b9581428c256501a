//! A runbook as it means, not as it was spelled: what `load` makes of a YAML file and what a plan keeps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::effect::Effect;
use super::failure::Class;
use super::param::Param;

/// Where in its file something stands; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

/// A bare expression, as `when` takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expr {
    pub source: String,
    pub place: Place,
}

/// A value that may hold expressions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Template {
    Literal(Value),
    /// `"{{ expr }}"` as a whole scalar: keeps the expression's type.
    Expr(Expr),
    /// Text with expressions inside: always text. The source is kept with its braces.
    Text(Expr),
    List(Vec<Template>),
    Map(Vec<(String, Template)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    Proxmox,
    Talos,
    None,
}

impl Target {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proxmox => "proxmox",
            Self::Talos => "talos",
            Self::None => "none",
        }
    }
}

/// What to do when a step has failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    Stop,
    Continue,
    Rollback,
    Ask,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockScope {
    Site,
    None,
}

/// A runbook, read and checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Runbook {
    pub name: String,
    pub title: Option<String>,
    /// Markdown.
    pub description: Option<String>,
    pub aliases: Vec<String>,
    pub target: Target,
    pub params: Vec<Param>,
    /// In the order of the file; a later one may use an earlier one.
    pub vars: Vec<(String, Template)>,
    pub lock: LockScope,
    /// Milliseconds for the whole run.
    pub deadline: Option<u64>,
    pub on_failure: OnFailure,
    pub require: Vec<Check>,
    pub steps: Vec<Step>,
    pub finally: Vec<Step>,
    pub outputs: Vec<(String, Template)>,
    /// Everything that some step calls, directly or through another procedure, by the name that calls have:
    /// `local.drain`, `runbook:etcd-backup`, and for what such a file defines itself `runbook:etcd-backup/local.drain`.
    #[serde(default)]
    pub procedures: BTreeMap<String, Procedure>,
}

/// A local procedure (`define`) or another runbook, called by steps: a scope of its own in the same graph and journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Procedure {
    /// What it does, in a line.
    pub title: Option<String>,
    pub params: Vec<Param>,
    /// In the order of the file; a later one may use an earlier one.
    pub vars: Vec<(String, Template)>,
    /// Milliseconds for one call.
    pub deadline: Option<u64>,
    pub on_failure: Option<OnFailure>,
    pub require: Vec<Check>,
    pub steps: Vec<Step>,
    pub finally: Vec<Step>,
    pub outputs: Vec<(String, Template)>,
    /// SHA-256 of its text, where it is a file of its own.
    pub digest: Option<String>,
}

/// A reading and what must hold of it. Without `uses` it is a test of `result`, made once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub uses: Option<String>,
    pub with: Vec<(String, Template)>,
    pub expect: Expr,
    /// Milliseconds between two looks.
    pub every: u64,
    /// Milliseconds until it counts as failed; 0: one look.
    pub within: u64,
    /// Milliseconds for which it must hold without a break.
    pub stable_for: u64,
    pub message: Option<Template>,
    pub place: Place,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// As written, or made from what the step does; unique among its siblings.
    pub id: String,
    /// Whether an expression may refer to it (the id was written).
    pub named: bool,
    pub place: Place,
    pub verb: Verb,
    /// Ids of siblings: as written, or the step before it.
    pub needs: Vec<String>,
    pub when: Option<Expr>,
    pub skip_if: Option<Expr>,
    pub for_each: Option<ForEach>,
    pub optional: bool,
    pub gate: Vec<Check>,
    /// Milliseconds for one attempt.
    pub timeout: Option<u64>,
    /// Milliseconds for everything, retries and verify included.
    pub deadline: Option<u64>,
    pub retry: Option<Retry>,
    pub verify: Vec<Check>,
    pub rollback: Rollback,
    pub on_failure: Option<OnFailure>,
    /// Raised by the author.
    pub effect: Option<Effect>,
    pub outputs: Vec<(String, Template)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    Uses {
        action: String,
        with: Vec<(String, Template)>,
    },
    /// A procedure of [`Runbook::procedures`].
    Call {
        procedure: String,
        with: Vec<(String, Template)>,
    },
    Confirm(Confirm),
    Steps(Vec<Step>),
    Parallel(Vec<Step>),
}

/// A human gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Confirm {
    pub message: Template,
    pub show: Option<Template>,
    /// The word that the operator must type.
    pub word: Option<Template>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForEach {
    pub list: Expr,
    /// The item's name in expressions.
    pub binding: String,
    /// Unique and stable: the item's identity. Absent: the item itself must be a text or a number.
    pub key: Option<Expr>,
    /// How many items at once; 1 when absent.
    pub max_parallel: Option<Template>,
    pub batches: Vec<Amount>,
    pub limit: Option<Limit>,
    /// How many items may fail before nothing new starts.
    pub max_failures: Amount,
}

/// At most `max` items at once for each value of `by`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    pub by: Expr,
    pub max: u32,
}

/// So many, or so many of a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Amount {
    Count(u32),
    Percent(u32),
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(n) => write!(f, "{n}"),
            Self::Percent(p) => write!(f, "{p}%"),
        }
    }
}

impl Amount {
    /// The number that it means of `total`; a share is rounded down.
    pub fn of(self, total: usize) -> usize {
        match self {
            Self::Count(n) => n as usize,
            Self::Percent(p) => total * p as usize / 100,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// All attempts, the first included.
    pub attempts: u32,
    /// Milliseconds before the second attempt.
    pub backoff: u64,
    /// What each further wait is multiplied by.
    pub factor: f64,
    /// Milliseconds that a wait never exceeds.
    pub max: u64,
    pub errors: Vec<Class>,
}

/// What undoes a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rollback {
    /// The action's own inverse, where it has one.
    Auto,
    /// Nothing, and why.
    None(String),
    Steps(Vec<Step>),
}

impl Runbook {
    /// Calls `change` with every step: of itself and of its procedures, those of groups and rollbacks included.
    pub fn each_step_mut(&mut self, change: &mut dyn FnMut(&mut Step)) {
        self.steps.iter_mut().chain(&mut self.finally).for_each(|step| step.each_mut(change));
        self.procedures.values_mut().for_each(|procedure| procedure.each_step_mut(change));
    }

    /// Calls `see` with every template and bare expression of the steps, `finally` and the outputs.
    pub fn each_expression<'a>(&'a self, see: &mut dyn FnMut(Written<'a>)) {
        self.steps.iter().chain(&self.finally).for_each(|step| step.each_expression(see));
        self.outputs.iter().for_each(|(_, template)| see(Written::Template(template)));
        for procedure in self.procedures.values() {
            procedure.steps.iter().chain(&procedure.finally).for_each(|step| step.each_expression(see));
            procedure.outputs.iter().for_each(|(_, template)| see(Written::Template(template)));
        }
    }
}

/// An expression as it stands in a runbook.
#[derive(Debug, Clone, Copy)]
pub enum Written<'a> {
    Bare(&'a Expr),
    Template(&'a Template),
}

impl Procedure {
    /// Calls `change` with every step, those of groups and rollbacks included.
    pub fn each_step_mut(&mut self, change: &mut dyn FnMut(&mut Step)) {
        self.steps.iter_mut().chain(&mut self.finally).for_each(|step| step.each_mut(change));
    }
}

impl Step {
    /// A step that does this and says nothing else.
    pub fn new(id: impl Into<String>, verb: Verb) -> Self {
        Self {
            id: id.into(),
            named: true,
            place: Place::default(),
            verb,
            needs: Vec::new(),
            when: None,
            skip_if: None,
            for_each: None,
            optional: false,
            gate: Vec::new(),
            timeout: None,
            deadline: None,
            retry: None,
            verify: Vec::new(),
            rollback: Rollback::Auto,
            on_failure: None,
            effect: None,
            outputs: Vec::new(),
        }
    }

    fn each_mut(&mut self, change: &mut dyn FnMut(&mut Self)) {
        change(self);
        if let Verb::Steps(inner) | Verb::Parallel(inner) = &mut self.verb {
            inner.iter_mut().for_each(|step| step.each_mut(change));
        }
        if let Rollback::Steps(inner) = &mut self.rollback {
            inner.iter_mut().for_each(|step| step.each_mut(change));
        }
    }

    fn each_expression<'a>(&'a self, see: &mut dyn FnMut(Written<'a>)) {
        self.when.iter().chain(&self.skip_if).for_each(|e| see(Written::Bare(e)));
        if let Some(fan) = &self.for_each {
            see(Written::Bare(&fan.list));
            fan.key.iter().chain(fan.limit.as_ref().map(|l| &l.by)).for_each(|e| see(Written::Bare(e)));
            fan.max_parallel.iter().for_each(|t| see(Written::Template(t)));
        }
        match &self.verb {
            Verb::Uses { with, .. } | Verb::Call { with, .. } => {
                with.iter().for_each(|(_, t)| see(Written::Template(t)))
            }
            Verb::Confirm(confirm) => {
                see(Written::Template(&confirm.message));
                confirm.show.iter().chain(&confirm.word).for_each(|t| see(Written::Template(t)));
            }
            Verb::Steps(steps) | Verb::Parallel(steps) => steps.iter().for_each(|s| s.each_expression(see)),
        }
        for check in self.verify.iter().chain(&self.gate) {
            see(Written::Bare(&check.expect));
            check.with.iter().map(|(_, t)| t).chain(&check.message).for_each(|t| see(Written::Template(t)));
        }
        if let Rollback::Steps(steps) = &self.rollback {
            steps.iter().for_each(|s| s.each_expression(see));
        }
        self.outputs.iter().for_each(|(_, t)| see(Written::Template(t)));
    }
}
