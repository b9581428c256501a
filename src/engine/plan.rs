//! Planning: the machine's own decisions, carried out against a World that only ever predicts.
//!
//! Each step is probed in the world that the steps before it would leave. Nothing here can change anything: there is
//! no `Mutate` to be had.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use super::check::PreparedCheck;
use super::evaluate::{Evaluator, LATER};
use super::guard::{check_guard, check_identity};
use super::hash::hash;
use super::machine::{self, Awaiting, Command, Kind, State, StepIx};
use super::ports::{Action, Actions, Call, Probe, Source, Unreadable, World};
use super::world::PlannedWorld;
use crate::event::{Decision, Ending, Fact, Verdict};
use crate::expr::{self, Datum};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{ResourceKey, RunId, StepPath};
use crate::model::plan::{Change, Inputs, Plan, PlanFailure, PlanStep, Planned, Summary};
use crate::model::runbook::{Check, Rollback, Runbook, Step, Verb, Written};

/// The version of a plan's JSON: minor grows with additions, major with what breaks readers.
pub const FORMAT: &str = "1.1";

/// Makes a plan. A step that already fails while planning is in `Plan::failure`, with all that was planned before it.
///
/// # Errors
/// The machine or a variable's expression failed: nothing could be planned.
pub async fn plan(
    procedure: Runbook,
    inputs: Inputs,
    created: u64,
    actions: &Actions,
    source: Arc<dyn Source>,
) -> Result<Plan, Failure> {
    let plan = Plan {
        format_version: FORMAT.into(),
        runbook: procedure.name.clone(),
        hash: String::new(),
        created,
        summary: Summary::default(),
        steps: Vec::new(),
        guards: Vec::new(),
        expanded: BTreeSet::new(),
        warnings: Vec::new(),
        failure: None,
        inputs,
        procedure: Arc::new(procedure),
    };
    let mut planner = Planner::new(plan, actions.clone(), source)?;
    planner.run().await?;
    let mut plan = planner.plan;
    plan.summary = summary(&plan.steps);
    plan.hash = hash(&plan);
    Ok(plan)
}

/// Evaluates what a plan rests on, now: its guards and who its objects are. All that does not hold is returned.
pub async fn moved_since(plan: &Plan, world: &dyn World) -> Vec<Failure> {
    let mut moved = Vec::new();
    let mut seen = BTreeSet::new();
    for identity in plan.steps.iter().flat_map(|step| &step.identities) {
        if seen.insert(identity.resource.clone())
            && let Err(failure) = check_identity(identity, world).await
        {
            moved.push(failure);
        }
    }
    for guard in &plan.guards {
        if let Err(failure) = check_guard(guard, world).await {
            moved.push(failure);
        }
    }
    moved
}

fn summary(steps: &[PlanStep]) -> Summary {
    let mut summary = Summary::default();
    for step in steps {
        match step.change {
            Change::Create => summary.create += 1,
            Change::Change => summary.change += 1,
            Change::Destroy => summary.destroy += 1,
            Change::Disrupt => summary.disrupt += 1,
            Change::None => summary.unchanged += usize::from(step.planned == Planned::Unchanged),
            Change::Unknown => summary.unknown += usize::from(step.effect > Effect::Read),
            Change::Read => {}
        }
    }
    summary
}

struct Planner {
    plan: Plan,
    state: State,
    evaluator: Evaluator,
    world: PlannedWorld,
    commands: VecDeque<Command>,
    /// What an evaluation left open, by step.
    open: BTreeMap<StepPath, (bool, Vec<String>)>,
    /// Ids of steps whose outputs some expression uses.
    used: BTreeSet<String>,
    now: u64,
}

impl Planner {
    fn new(plan: Plan, actions: Actions, source: Arc<dyn Source>) -> Result<Self, Failure> {
        let evaluator = Evaluator::new(&plan, None, actions)?;
        let mut used = BTreeSet::new();
        plan.procedure.each_expression(&mut |written| {
            let references = match written {
                Written::Bare(e) => expr::references(&e.source),
                Written::Template(t) => expr::template_references(t),
            };
            for reference in references {
                if let [root, id, ..] = reference.names.as_slice()
                    && root == "steps"
                {
                    used.insert(id.clone());
                }
            }
        });
        let now = plan.created;
        Ok(Self {
            plan,
            state: State::default(),
            evaluator,
            world: PlannedWorld::new(source),
            commands: VecDeque::new(),
            open: BTreeMap::new(),
            used,
            now,
        })
    }

    async fn run(&mut self) -> Result<(), Failure> {
        let plan = Arc::new(self.plan.clone());
        self.feed(Fact::RunCreated { run: RunId::new("plan"), plan, auto_expand: true })?;
        while let Some(command) = self.commands.pop_front() {
            match command {
                Command::AcquireLock => self.feed(Fact::LockGranted)?,
                Command::ReleaseLock => self.feed(Fact::LockReleased)?,
                Command::Evaluate(ix) => self.evaluate(ix)?,
                Command::Attempt(ix) => self.attempt(ix).await?,
                Command::Ask(ix) => self.gate(ix)?,
                // Nothing was begun, so nothing is recovered, waited for or stopped.
                Command::Recover(_)
                | Command::StartTimer(..)
                | Command::StartDeadline(..)
                | Command::Stop(_)
                | Command::Park => {}
                Command::Finish(_) => break,
            }
            if self.plan.failure.is_some() && self.state.has_failed() {
                break;
            }
        }
        Ok(())
    }

    fn feed(&mut self, fact: Fact) -> Result<(), Failure> {
        let commands = machine::step(&mut self.state, self.now, &fact)
            .map_err(|bad| Failure::new(Class::Internal, "plan", bad.to_string()))?;
        self.commands.extend(commands);
        Ok(())
    }

    fn evaluate(&mut self, ix: StepIx) -> Result<(), Failure> {
        let answer = self.evaluator.evaluate(&self.state, ix);
        let path = self.state.node(ix).path.clone();
        match &answer.fact {
            Fact::Evaluated { verdict, .. } => match verdict {
                Verdict::Skip { reason } => self.add(ix, Planned::Skipped(reason.clone()), Change::None, reason),
                Verdict::Satisfied => self.add(ix, Planned::Unchanged, Change::None, "skip_if: it is done already"),
                Verdict::Broken { failure } => self.failed(ix, failure.clone()),
                _ => {}
            },
            Fact::Expanded { .. } if answer.unknown.iter().any(|name| name == LATER) => self.later_list(ix),
            Fact::Expanded { .. } => drop(self.plan.expanded.insert(path.clone())),
            _ => {}
        }
        self.open.insert(path, (answer.maybe, answer.unknown));
        self.feed(answer.fact)
    }

    /// A fan-out of which not even the items are known yet: one row for all of them.
    fn later_list(&mut self, ix: StepIx) {
        let Some(step) = self.state.node(ix).step().cloned() else { return };
        let list = step.for_each.as_ref().map(|fan| fan.list.source.clone()).unwrap_or_default();
        let called = self.actions_of(&step.verb);
        let effect = called.iter().map(|spec| spec.effect).max().unwrap_or(Effect::Read);
        let effect = effect.max(step.effect.unwrap_or(Effect::Read));
        let change = if effect == Effect::Read { Change::Read } else { Change::Unknown };
        let planned = if self.is_maybe(ix) { Planned::Maybe } else { Planned::Run };
        self.add(ix, planned, change, &format!("× ?: for each of {list}, which is known later and asked for then"));
        let path = self.state.node(ix).path.clone();
        if let Some(row) = self.plan.steps.last_mut() {
            (row.effect, row.unknown) = (effect, vec![LATER.to_owned()]);
        }
        let changing = called.iter().filter(|spec| spec.effect > Effect::Read);
        let kinds: BTreeSet<String> = changing.map(|spec| kind_of(&spec.name)).collect();
        let taints = kinds.into_iter().map(|kind| (ResourceKey::new(kind), format!("{path} may change it")));
        self.world.expect(Vec::new(), taints.collect());
        self.evaluator.predicted.insert(path, Datum::Unknown);
    }

    /// Every action that a verb may come to.
    fn actions_of(&self, verb: &Verb) -> Vec<ActionSpec> {
        match verb {
            Verb::Uses { action, .. } => {
                self.evaluator.actions().get(action).map(|a| a.spec().clone()).into_iter().collect()
            }
            Verb::Confirm(_) => Vec::new(),
            Verb::Steps(steps) | Verb::Parallel(steps) => steps.iter().flat_map(|s| self.actions_of(&s.verb)).collect(),
            Verb::Call { procedure, .. } => {
                let called = self.plan.procedure.procedures.get(procedure);
                called
                    .iter()
                    .flat_map(|p| p.steps.iter().chain(&p.finally))
                    .flat_map(|s| self.actions_of(&s.verb))
                    .collect()
            }
        }
    }

    /// Whether it is known only later that the step, or a scope round it, runs at all.
    fn is_maybe(&self, ix: StepIx) -> bool {
        let mut at = Some(ix);
        while let Some(here) = at {
            let node = self.state.node(here);
            if self.open.get(&node.path).is_some_and(|(maybe, _)| *maybe) {
                return true;
            }
            at = node.parent;
        }
        false
    }

    fn gate(&mut self, ix: StepIx) -> Result<(), Failure> {
        let node = self.state.node(ix);
        let (path, attempt) = (node.path.clone(), node.attempt);
        if node.awaiting == Awaiting::Decision {
            let decision = Decision::Stop;
            return self.feed(Fact::Decided { path, attempt, who: "plan".into(), decision });
        }
        if let Some(question) = node.question.clone() {
            let maybe = self.is_maybe(ix);
            let summary = if maybe { format!("maybe: {}", question.message) } else { question.message.clone() };
            let gate = Planned::Gate { message: question.message, show: question.show, word: question.word };
            self.add(ix, gate, Change::None, &summary);
        }
        self.feed(Fact::Approved { path, who: "plan".into(), word: None, hash: None })
    }

    async fn attempt(&mut self, ix: StepIx) -> Result<(), Failure> {
        let node = self.state.node(ix);
        let (path, attempt) = (node.path.clone(), node.attempt);
        if let Kind::Check(check) = &node.kind {
            let check = check.clone();
            let ending = self.foresee_check(ix, &check).await;
            return self.feed(Fact::Finished { path, attempt, ending });
        }
        let ending = match self.foresee(ix).await {
            Ok(()) => Ending::Ok { outputs: Value::Null },
            Err(failure) => {
                self.failed(ix, failure.clone());
                Ending::Failed { failure }
            }
        };
        self.feed(Fact::Finished { path, attempt, ending })
    }

    /// Requirements, and the gate before a fan-out's first wave: what rests on earlier steps is looked at in its turn.
    async fn foresee_check(&mut self, ix: StepIx, check: &Check) -> Ending {
        let ok = Ending::Ok { outputs: Value::Null };
        let gate = self.state.node(ix).parent.map(|p| self.state.node(p)).filter(|p| matches!(p.kind, Kind::Gate));
        if gate.is_some_and(|gate| !gate.path.as_str().ends_with("/gate[1]")) {
            return ok;
        }
        let mut prepared = PreparedCheck::new(check, &self.evaluator, &self.state, ix);
        prepared.check.within = 0;
        prepared.check.stable_for = 0;
        match prepared.foresee(&self.world).await {
            Ok(_) => ok,
            Err(failure) => {
                self.failed(ix, failure.clone());
                Ending::Failed { failure }
            }
        }
    }

    /// Plans one step of the catalogue.
    async fn foresee(&mut self, ix: StepIx) -> Result<(), Failure> {
        let node = self.state.node(ix);
        let Some(invocation) = node.invocation.clone() else { return Ok(()) };
        let Some(action) = self.evaluator.actions().get(&invocation.uses).cloned() else { return Ok(()) };
        let (path, effect) = (node.path.clone(), node.effect);
        let maybe = self.is_maybe(ix);
        let (_, unknown) = self.open.get(&path).cloned().unwrap_or_default();
        let call = Call { run: None, path: path.clone(), attempt: 1, with: invocation.with };
        if !unknown.is_empty() {
            self.later(ix, &action, &call, &format!("known later: {}", unknown.join(", ")));
            return Ok(());
        }
        let looked = if effect == Effect::Read {
            self.read(ix, &action, &call).await
        } else {
            self.probe(ix, &action, &call, maybe).await
        };
        match looked {
            Ok(()) => Ok(()),
            Err(Unreadable::Failed(failure)) => Err(failure),
            Err(why) => {
                self.later(ix, &action, &call, &why.to_string());
                if let (Unreadable::Later(_), Some(row)) = (why, self.plan.steps.last_mut()) {
                    row.unknown = vec!["outputs".to_owned()];
                }
                Ok(())
            }
        }
    }

    async fn read(&mut self, ix: StepIx, action: &Arc<dyn Action>, call: &Call) -> Result<(), Unreadable> {
        let reading = action.read(call, &self.world).await?;
        let undisturbed = !self.world.is_disturbed();
        let used = self.state.node(ix).step().is_some_and(|step| self.used.contains(&step.id));
        self.evaluator.predicted.insert(call.path.clone(), Datum::Known(reading.outputs.clone()));
        let mut step = self.row(ix, call.clone(), Planned::Run, Change::Read, reading.summary);
        // A reading that nothing refers to is there to check: it is made again when its turn comes.
        step.pinned = (undisturbed && used).then_some(reading.outputs);
        if undisturbed {
            self.plan.guards.extend(reading.guards);
        } else {
            step.guards = reading.guards;
        }
        self.plan.warnings.extend(reading.notes);
        self.plan.steps.push(step);
        Ok(())
    }

    async fn probe(
        &mut self,
        ix: StepIx,
        action: &Arc<dyn Action>,
        call: &Call,
        maybe: bool,
    ) -> Result<(), Unreadable> {
        let probe = action.probe(call, &self.world).await?;
        let effect = self.state.node(ix).effect.max(probe.effect.unwrap_or(Effect::Read));
        let planned = match (probe.satisfied, maybe) {
            (true, _) => Planned::Unchanged,
            (false, true) => Planned::Maybe,
            (false, false) => Planned::Run,
        };
        let change = match probe.change {
            _ if probe.satisfied => Change::None,
            Some(change) => change,
            None => change_of(effect),
        };
        let undo = self.undo_text(ix, action, call, &probe, effect);
        let mut step = self.row(ix, call.clone(), planned, change, probe.summary.clone());
        step.effect = effect;
        step.identities.clone_from(&probe.identities);
        step.notes.clone_from(&probe.notes);
        if !probe.satisfied {
            step.undo = undo;
            step.commands = action.commands(call, &probe);
            if self.world.is_disturbed() {
                step.guards.clone_from(&probe.guards);
            } else {
                self.plan.guards.extend(probe.guards.clone());
            }
        }
        self.plan.steps.push(step);
        self.expect(action, call, &probe, maybe);
        Ok(())
    }

    /// Lays what the step would do over the world, and its outputs over the names.
    fn expect(&mut self, action: &Arc<dyn Action>, call: &Call, probe: &Probe, maybe: bool) {
        let prediction = action.predict(call, probe);
        let declared = action.spec().outputs.iter().map(|o| o.name.clone());
        let outputs = declared.map(|name| {
            let known = prediction.outputs.get(&name).cloned().filter(|_| !maybe);
            (name, known.map_or(Datum::Unknown, Datum::Known))
        });
        self.evaluator.predicted.insert(call.path.clone(), Datum::Map(outputs.collect()));
        if probe.satisfied {
            return;
        }
        if maybe {
            let touched = prediction.deltas.into_iter().map(|d| (d.resource, format!("{} may change it", call.path)));
            self.world.expect(Vec::new(), touched.chain(prediction.taints).collect());
        } else {
            self.world.expect(prediction.deltas, prediction.taints);
        }
    }

    /// A step of which nothing can be said yet.
    fn later(&mut self, ix: StepIx, action: &Arc<dyn Action>, call: &Call, summary: &str) {
        let effect = self.state.node(ix).effect;
        let change = if effect == Effect::Read { Change::Read } else { Change::Unknown };
        let (_, unknown) = self.open.get(&call.path).cloned().unwrap_or_default();
        let planned = if self.is_maybe(ix) { Planned::Maybe } else { Planned::Run };
        let mut step = self.row(ix, call.clone(), planned, change, summary.to_owned());
        step.unknown = unknown;
        self.plan.steps.push(step);
        self.evaluator.predicted.insert(call.path.clone(), Datum::Unknown);
        if effect > Effect::Read {
            // What it will touch is not known either, so nothing that its kind of action could touch is.
            let kind = kind_of(&action.spec().name);
            self.world.expect(Vec::new(), vec![(ResourceKey::new(kind), format!("{} may change it", call.path))]);
        }
    }

    fn row(&self, ix: StepIx, call: Call, planned: Planned, change: Change, summary: String) -> PlanStep {
        let node = self.state.node(ix);
        let uses = node.invocation.as_ref().map(|i| i.uses.clone()).unwrap_or_default();
        let version = self.evaluator.actions().get(&uses).map_or(1, |a| a.spec().version);
        let with = match call.with {
            Value::Object(map) => map.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        PlanStep {
            path: node.path.clone(),
            uses,
            version,
            effect: node.effect,
            change,
            planned,
            summary,
            undo: String::new(),
            with,
            unknown: Vec::new(),
            pinned: None,
            identities: Vec::new(),
            guards: Vec::new(),
            notes: Vec::new(),
            commands: Vec::new(),
        }
    }

    /// A row without a call: a gate, or something that does not run.
    fn add(&mut self, ix: StepIx, planned: Planned, change: Change, summary: &str) {
        let node = self.state.node(ix);
        let call = Call { run: None, path: node.path.clone(), attempt: 1, with: Value::Null };
        let uses = match (&node.kind, node.step().map(|s| &s.verb)) {
            (Kind::Confirm, _) => "confirm".to_owned(),
            (_, Some(Verb::Uses { action, .. })) => action.clone(),
            (_, Some(Verb::Call { procedure, .. })) => procedure.clone(),
            _ => "steps".to_owned(),
        };
        let mut step = self.row(ix, call, planned, change, summary.to_owned());
        step.uses = uses;
        self.plan.steps.push(step);
    }

    fn failed(&mut self, ix: StepIx, failure: Failure) {
        let node = self.state.node(ix);
        if node.step().is_some_and(|step| step.optional) {
            self.plan.warnings.push(format!("{} will fail, which is borne: {failure}", node.path));
        } else if self.plan.failure.is_none() {
            self.plan.failure = Some(PlanFailure { path: node.path.clone(), failure });
        }
    }

    fn undo_text(&self, ix: StepIx, action: &Arc<dyn Action>, call: &Call, probe: &Probe, effect: Effect) -> String {
        match self.state.node(ix).step().map(|s| &s.rollback) {
            Some(Rollback::None(why)) => format!("{}: {why}", PlanStep::NOTHING),
            Some(Rollback::Steps(steps)) => steps.iter().map(|s: &Step| s.id.as_str()).collect::<Vec<_>>().join(", "),
            Some(Rollback::Auto) | None => match action.undo_summary(call, probe) {
                Some(text) if effect >= Effect::Disrupt => text + PlanStep::BY_HAND,
                Some(text) => text,
                None => format!("{} can undo it", PlanStep::NOTHING),
            },
        }
    }
}

fn change_of(effect: Effect) -> Change {
    match effect {
        Effect::Read => Change::Read,
        Effect::Change => Change::Change,
        Effect::Disrupt => Change::Disrupt,
        Effect::Destroy => Change::Destroy,
    }
}

/// What an action's kind of thing is called in the world: `proxmox` of `proxmox.guest_migrate`.
fn kind_of(action: &str) -> String {
    action.split('.').next().unwrap_or_default().to_owned()
}
