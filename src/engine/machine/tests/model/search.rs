//! The search: every state that can be reached, and a way to an end from each of them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use super::moves::Left;
use super::world::{Model, Told};
use super::{rules, whole};
use crate::engine::machine::State;
use crate::event::Fact;

/// One graph with all that may happen to it.
pub struct Case {
    pub name: String,
    pub created: Fact,
    pub left: Left,
}

/// What tells states apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apart {
    /// What decides: see [`super::mark`].
    ByMark,
    /// All that they hold, with a clock that stands still: see [`super::whole`].
    ByAll,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Tally {
    pub cases: usize,
    pub states: usize,
    pub moves: usize,
    pub ends: BTreeMap<&'static str, usize>,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.cases += other.cases;
        self.states += other.states;
        self.moves += other.moves;
        for (status, count) in &other.ends {
            *self.ends.entry(status).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cases, states, moves, ends } = self;
        let ends: Vec<String> = ends.iter().map(|(status, count)| format!("{count} {status}")).collect();
        write!(f, "{cases} cases, {states} states, {moves} moves; ends: {}", ends.join(", "))
    }
}

/// A state that was found and not visited yet.
struct Found {
    id: u32,
    mark: u128,
    model: Model,
}

struct Search<'a> {
    case: &'a Case,
    apart: Apart,
    ids: HashMap<u128, u32>,
    /// How each state was first reached.
    told: Vec<Option<Arc<Told>>>,
    /// Moves that cost nothing: from, to.
    free: Vec<(u32, u32)>,
    ends: Vec<u32>,
    tally: Tally,
}

/// Visits all states of a case.
///
/// # Panics
/// A rule is broken: with the facts that lead there.
pub fn explore(case: &Case) -> Tally {
    search(case, Apart::ByMark, &mut |_| {})
}

/// The same with states told apart in either way; `seen` is told each.
pub fn search(case: &Case, apart: Apart, seen: &mut dyn FnMut(&Model)) -> Tally {
    let mut search = Search {
        case,
        apart,
        ids: HashMap::new(),
        told: Vec::new(),
        free: Vec::new(),
        ends: Vec::new(),
        tally: Tally { cases: 1, ..Tally::default() },
    };
    let tick = u64::from(apart == Apart::ByMark);
    let first = Model::begin(&case.created, case.left, tick).unwrap_or_else(|broken| panic!("{}: {broken}", case.name));
    let mut stack = Vec::new();
    search.reach(first, &mut stack);
    while let Some(found) = stack.pop() {
        seen(&found.model);
        search.visit(found, &mut stack);
    }
    search.check_ways_out();
    search.tally.states = search.told.len();
    search.tally
}

impl Search<'_> {
    fn visit(&mut self, found: Found, stack: &mut Vec<Found>) {
        let Found { id, mark, mut model } = found;
        self.hold(&model, rules::check_state(&model));
        if model.is_over() {
            self.hold(&model, rules::check_end(&model));
            *self.tally.ends.entry(model.status().as_str()).or_default() += 1;
            self.ends.push(id);
            if self.ends.len() % 64 == 1 {
                self.check_fold(&model);
            }
        }
        if !model.is_over() {
            let told = model.tell_all_again().and_then(|()| match self.mark(&model) == mark {
                true => Ok(()),
                false => Err("what was told again changed the state".into()),
            });
            self.hold(&model, told);
        }
        let moves = model.moves();
        let last = moves.len();
        let mut model = Some(model);
        for (i, step) in moves.into_iter().enumerate() {
            let next = if i + 1 == last { model.take() } else { model.clone() };
            let Some(mut next) = next else { break };
            let made = next.make(step);
            self.hold(&next, made);
            self.tally.moves += 1;
            let to = self.reach(next, stack);
            if step.cost() == 0 {
                self.free.push((id, to));
            }
        }
    }

    fn reach(&mut self, model: Model, stack: &mut Vec<Found>) -> u32 {
        let new = u32::try_from(self.told.len()).unwrap();
        let mark = self.mark(&model);
        let id = *self.ids.entry(mark).or_insert(new);
        if id == new {
            self.told.push(model.told.clone());
            stack.push(Found { id, mark, model });
        }
        id
    }

    fn mark(&self, model: &Model) -> u128 {
        match self.apart {
            Apart::ByMark => model.fingerprint(),
            Apart::ByAll => whole::mark(model),
        }
    }

    /// Left alone, a run comes to its end from every state, whatever comes first of what is under way.
    fn check_ways_out(&self) {
        let mut ways = vec![0u32; self.told.len()];
        let mut back: Vec<Vec<u32>> = vec![Vec::new(); self.told.len()];
        for (from, to) in &self.free {
            ways[*from as usize] += 1;
            back[*to as usize].push(*from);
        }
        let mut ended = vec![false; self.told.len()];
        let mut work = self.ends.clone();
        while let Some(at) = work.pop() {
            ended[at as usize] = true;
            for from in &back[at as usize] {
                ways[*from as usize] -= 1;
                if ways[*from as usize] == 0 {
                    work.push(*from);
                }
            }
        }
        if let Some(stuck) = ended.iter().position(|ended| !ended) {
            panic!("{}: no way to an end after\n{}", self.case.name, history(self.told[stuck].as_ref()));
        }
    }

    /// The fold of the log is the live state.
    fn check_fold(&self, model: &Model) {
        let mut log = Vec::new();
        let mut at = model.told.as_ref();
        while let Some(told) = at {
            log.push(&told.fact);
            at = told.before.as_ref();
        }
        let folded = State::replay(log.into_iter().rev().map(|fact| (0, fact))).unwrap();
        assert_eq!(super::mark::fingerprint(&folded), super::mark::fingerprint(&model.state), "{}", self.case.name);
    }

    fn hold(&self, model: &Model, rule: Result<(), String>) {
        if let Err(broken) = rule {
            panic!("{}: {broken} after\n{}", self.case.name, history(model.told.as_ref()));
        }
    }
}

/// The facts that lead to a state, one a line, the first first.
fn history(last: Option<&Arc<Told>>) -> String {
    let mut lines = Vec::new();
    let mut at = last;
    while let Some(told) = at {
        lines.push(match &told.fact {
            Fact::RunCreated { .. } => "run_created".to_owned(),
            fact => {
                let line = format!("{fact:?}");
                line.chars().take(160).collect()
            }
        });
        at = told.before.as_ref();
    }
    lines.reverse();
    lines.join("\n")
}
