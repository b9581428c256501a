//! The graph of a runbook or of a plan, as text, SVG, DOT, Mermaid and JSON: one tree of scopes and steps, drawn in
//! several ways. It says what the runbook says and looks at no site.

mod build;
mod dot;
mod json;
mod layers;
mod mermaid;
mod order;
mod place;
#[cfg(test)]
mod samples;
mod svg;
mod text;

use crate::model::action_spec::Catalogue;
use crate::model::plan::Plan;
use crate::model::runbook::Runbook;

/// What a runbook's steps are and what needs what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    pub name: String,
    pub title: String,
    nodes: Vec<Node>,
}

/// How much a step does, as a sign and a word: never as a colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Read,
    Create,
    Change,
    Destroy,
    Disrupt,
    Ask,
    /// In a plan: known only when the steps before it have run. In a runbook: an action that is not in the catalogue.
    Unknown,
    /// In a plan: it is so already, or skipped.
    Nothing,
    /// A group, a call or a fan-out: its steps are drawn in it.
    Scope,
}

impl Kind {
    /// The sign and the word; a scope has neither.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Read => ("<=", "read"),
            Self::Create => ("+", "create"),
            Self::Change => ("~", "change"),
            Self::Destroy => ("-", "destroy"),
            Self::Disrupt => ("!", "disrupt"),
            Self::Ask => ("*", "asks"),
            Self::Unknown => ("?", "known later"),
            Self::Nothing => ("=", "nothing"),
            Self::Scope => ("", ""),
        }
    }
}

/// A step, or a scope with the steps in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    /// As the journal names it; unique.
    path: String,
    /// The last part of the path.
    name: String,
    kind: Kind,
    /// The action, the question, or how a scope's steps go: `at the same time`.
    what: String,
    /// Conditions, undo and the like: a line each.
    notes: Vec<String>,
    /// Goes on for each item of a list that is not known yet.
    many: bool,
    /// Places among its siblings.
    needs: Vec<usize>,
    /// Waits for its `needs` to be over, however they ended.
    finally: bool,
    inner: Option<Vec<Node>>,
}

impl Graph {
    /// The graph of a runbook. What an action does at most comes from the catalogue.
    pub fn of_runbook(runbook: &Runbook, catalogue: &Catalogue) -> Self {
        build::graph(runbook, catalogue, &[])
    }

    /// The graph of a plan: lists are expanded as far as the plan shows them, and each step says what it would do.
    pub fn of_plan(plan: &Plan, catalogue: &Catalogue) -> Self {
        build::graph(&plan.procedure, catalogue, &plan.steps)
    }

    /// How many steps are drawn, scopes not counted.
    pub fn steps(&self) -> usize {
        let mut n = 0;
        each(&self.nodes, &mut |node| n += usize::from(node.inner.is_none()));
        n
    }

    /// The kinds that occur, for a legend.
    fn kinds(&self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        each(&self.nodes, &mut |node| kinds.push(node.kind));
        kinds.retain(|kind| *kind != Kind::Scope);
        kinds.sort();
        kinds.dedup();
        kinds
    }
}

/// Visits each node, a scope before what is in it.
fn each<'a>(nodes: &'a [Node], see: &mut dyn FnMut(&'a Node)) {
    for node in nodes {
        see(node);
        each(node.inner.as_deref().unwrap_or_default(), see);
    }
}
