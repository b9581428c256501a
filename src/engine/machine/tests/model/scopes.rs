//! Graphs with scopes: what a scope may be, and which scopes each graph gets.
//!
//! A *combination* is a kind of scope, what its failure means, and the run's own policy. A graph with two scopes has
//! one of each scope; the pairs go by turns. The size of a graph is its number of steps and scopes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::puppet::{action, call, check, for_each, procedure, step};
use super::cases::{created, left, steps, torture};
use super::graphs::{List, lists};
use super::search::Case;
use crate::model::runbook::{Amount, OnFailure, Procedure, Step, Template, Verb};

/// Where the combinations go by turns, a graph is not given one with which it has more [`Choice::ways`] than this, nor
/// more than a third more than it has with groups.
const MOST: usize = 300;
const MOST_IN_TORTURE: usize = 2_000;

/// What a scope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    Group,
    /// Two items, one after the other, none of which may fail.
    Fan,
    /// Two items at once, one of which may fail.
    WideFan,
    /// Two items in waves of one, each behind a gate.
    Waves,
    Call,
    /// With requirements and its own `finally`.
    CarefulCall,
}

impl Made {
    const ALL: [Self; 6] = [Self::Group, Self::Fan, Self::WideFan, Self::Waves, Self::Call, Self::CarefulCall];

    pub fn of(self, id: &str, inside: Vec<Step>, procedures: &mut Vec<(String, Procedure)>) -> Step {
        match self {
            Self::Group => step(id, Verb::Steps(inside), &[]),
            Self::Fan | Self::WideFan | Self::Waves => {
                let mut fan = step(id, Verb::Steps(inside), &[]);
                self.go_through(&mut fan);
                fan
            }
            Self::Call | Self::CarefulCall => {
                let name = format!("local.{}", procedures.len());
                let (require, finally) = match self {
                    Self::Call => (vec![], vec![]),
                    _ => (vec![check(true)], vec![action("tidy", "x", &[])]),
                };
                let step = call(id, &name, &[]);
                procedures.push((name, procedure(require, inside, finally)));
                step
            }
        }
    }

    pub fn go_through(self, step: &mut Step) {
        let mut list = for_each(u32::from(self == Self::WideFan));
        list.max_parallel = Some(Template::Literal(Value::from(if self == Self::WideFan { 2 } else { 1 })));
        if self == Self::Waves {
            list.batches = vec![Amount::Count(1)];
            step.gate = vec![check(true)];
        }
        step.for_each = Some(list);
    }
}

/// What a scope's failure means.
const POLICIES: [(Option<OnFailure>, bool); 6] = [
    (None, false),
    (Some(OnFailure::Stop), false),
    (Some(OnFailure::Continue), false),
    (Some(OnFailure::Rollback), false),
    (Some(OnFailure::Ask), false),
    (None, true),
];

/// The run's own policies.
const ROOTS: [OnFailure; 4] = [OnFailure::Stop, OnFailure::Continue, OnFailure::Rollback, OnFailure::Ask];

/// How many combinations there are.
const COMBINATIONS: usize = Made::ALL.len() * POLICIES.len() * ROOTS.len();

/// What a graph's scopes are (an inner one before the one round it), and the run's policy; by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Choice {
    kinds: [usize; 2],
    policies: [usize; 2],
    root: usize,
}

impl Choice {
    /// The combination of this number for the scope `main`; what the other one is goes round with `turn`.
    fn numbered(number: usize, main: usize, turn: usize) -> Self {
        let (kinds, policies) = (Made::ALL.len(), POLICIES.len());
        let mut choice = Self { kinds: [turn % kinds; 2], policies: [turn / kinds % policies; 2], root: 0 };
        choice.kinds[main] = number % kinds;
        choice.policies[main] = number / kinds % policies;
        choice.root = number / kinds / policies;
        choice
    }

    /// All kinds and policies for so many scopes; with each policy of the run where `roots`, else with one by turns.
    fn all(scopes: usize, roots: bool, at: usize) -> impl Iterator<Item = Self> {
        let others = if scopes == 1 { 1 } else { COMBINATIONS / ROOTS.len() };
        let all =
            (0..COMBINATIONS).flat_map(move |number| (0..others).map(move |other| Self::numbered(number, 0, other)));
        all.filter(move |c| roots || c.root == (at + c.kinds[0] + c.policies[0]) % ROOTS.len())
    }

    /// The combinations that its scopes have.
    fn numbers(self, scopes: usize) -> impl Iterator<Item = usize> {
        let (kinds, policies) = (Made::ALL.len(), POLICIES.len());
        (0..scopes).map(move |at| self.kinds[at] + kinds * (self.policies[at] + policies * self.root))
    }

    /// A measure of the states that a graph has with it.
    fn ways(self, list: &List) -> usize {
        let mut kinds = self.kinds.iter().map(|kind| Made::ALL[*kind]);
        list.ways(&mut |inside| match kinds.next() {
            Some(Made::Fan | Made::Waves) => 2 * inside,
            // Both at once; which is which is not told apart.
            Some(Made::WideFan) => inside * (inside + 1) / 2,
            Some(Made::CarefulCall) => inside + 6,
            _ => inside + 1,
        })
    }

    fn case(self, list: &List, name: String, disturbances: u8) -> Case {
        let (mut procedures, mut at) = (Vec::new(), 0);
        let steps = steps(list, &mut |id, inside| {
            let mut step = Made::ALL[self.kinds[at]].of(id, inside, &mut procedures);
            (step.on_failure, step.optional) = POLICIES[self.policies[at]];
            at += 1;
            step
        });
        let procedures: Vec<(&str, Procedure)> =
            procedures.iter().map(|(name, p)| (name.as_str(), p.clone())).collect();
        let created = created(&procedures, steps, vec![action("tidy", "x", &[])], ROOTS[self.root]);
        Case { name: format!("{name} {self:?}"), created, left: left(disturbances) }
    }
}

/// Each graph `times` times, and each combination at least once for some scope of a graph.
fn by_turns(graphs: &[List], scopes: usize, times: usize, most: usize) -> Vec<(usize, Choice)> {
    let n = Made::ALL.len();
    let kinds = |at: usize| Choice { kinds: [at % n, at / n], policies: [0; 2], root: 0 };
    // By the kinds; groups are the first.
    let ways: Vec<Vec<usize>> =
        graphs.iter().map(|graph| (0..n * n).map(|at| kinds(at).ways(graph)).collect()).collect();
    let fits = |at: usize, choice: &Choice| {
        let here = ways[at][choice.kinds[0] + n * choice.kinds[1]];
        here <= most.max(ways[at][0] * 4 / 3)
    };
    let others = if scopes == 1 { 1 } else { COMBINATIONS / ROOTS.len() };
    let mut met = [false; COMBINATIONS];
    let mut out = Vec::new();
    for turn in 0..graphs.len() * times {
        let at = turn % graphs.len();
        // The next combination that was not met; where none of these fits, the next at all.
        let choices = || {
            let turns = (0..COMBINATIONS * others).map(|i| ((turn * 7 + i) % COMBINATIONS, turn + i / COMBINATIONS));
            let all = turns.map(|(number, other)| (number, Choice::numbered(number, turn % scopes, other)));
            all.filter(|(_, choice)| fits(at, choice))
        };
        let (number, choice) = choices()
            .find(|(number, _)| !met[*number] || met.iter().all(|met| *met))
            .or_else(|| choices().next())
            .unwrap();
        met[number] = true;
        out.push((at, choice));
    }
    for number in (0..COMBINATIONS).filter(|number| !met[*number]) {
        let turns = number..number + graphs.len() * scopes * others;
        let mut all =
            turns.map(|turn| (turn % graphs.len(), Choice::numbered(number, turn / graphs.len() % scopes, turn)));
        out.push(all.find(|(at, choice)| fits(*at, choice)).unwrap());
    }
    out
}

/// Of the largest graphs every eighth is disturbed [each, once], which is what time there is for; `MODEL_EVERY=1`
/// disturbs each of the same graphs.
fn disturbances(steps: usize, scopes: usize, place: usize) -> u8 {
    let every = || std::env::var("MODEL_EVERY").ok().and_then(|n| n.parse().ok()).unwrap_or(8);
    match (steps, scopes) {
        (4, _) if torture() => 0,
        (4, 2) => u8::from(place.is_multiple_of(every())),
        _ => 1,
    }
}

/// Graphs with so many scopes.
pub fn scoped(scopes: usize) -> (Vec<Case>, String) {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    for count in 1..=4 {
        let graphs = lists(count, scopes);
        let (all, times, most) = match (scopes, torture()) {
            (1, false) => (count <= 2, 1, MOST),
            (_, false) => (false, 1, MOST),
            (1, true) => (count <= 3, 4, MOST_IN_TORTURE),
            (_, true) => (count <= 2, 2, MOST_IN_TORTURE),
        };
        let chosen = if all {
            let each = |at| Choice::all(scopes, graphs.len() < ROOTS.len(), at).map(move |choice| (at, choice));
            (0..graphs.len()).flat_map(each).collect()
        } else {
            by_turns(&graphs, scopes, times, most)
        };
        let met: BTreeSet<usize> = chosen.iter().flat_map(|(_, choice)| choice.numbers(scopes)).collect();
        assert_eq!(met.len(), COMBINATIONS, "{count} steps, {scopes} scopes");
        let (given, shapes) = (chosen.len(), graphs.len());
        notes.push(format!("{count} steps in {scopes} scopes: {shapes} shapes, {given} graphs"));
        for (place, (at, choice)) in chosen.into_iter().enumerate() {
            let name = format!("{count} steps, {scopes} scopes, graph {at}");
            out.push(choice.case(&graphs[at], name, disturbances(count, scopes, place)));
        }
    }
    (out, notes.join("; "))
}
