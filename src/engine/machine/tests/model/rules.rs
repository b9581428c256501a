//! What must hold of every state, of every command, and of every end.

use super::world::{Model, Work};
use crate::engine::machine::{Awaiting, Command, Kind, Node, Part, Region, Stage, State, StepIx};
use crate::event::{Outcome, RunStatus, UndoStatus};
use crate::model::effect::Done;
use crate::model::runbook::Rollback;

/// What the commands of a step are held against: the state before it.
pub struct Before {
    holds: bool,
    /// Steps that had not begun, a bit each; one that was not there yet had not begun either.
    begun: u128,
}

impl Before {
    pub fn of(model: &Model) -> Self {
        let nodes = model.state.nodes.iter().enumerate().filter(|(_, n)| n.outcome != Outcome::Pending);
        let begun = nodes.fold(0, |bits, (ix, _)| bits | 1 << ix);
        Self { holds: halted(&model.state), begun }
    }

    fn had_begun(&self, ix: StepIx) -> bool {
        self.begun & 1 << ix.0 != 0
    }
}

fn halted(state: &State) -> bool {
    state.halt.is_some() || state.asking > 0
}

pub fn is_within(state: &State, ix: StepIx, scope: StepIx) -> bool {
    round(state, ix).any(|at| at == scope)
}

/// A step and the scopes round it, innermost first.
fn round(state: &State, ix: StepIx) -> impl Iterator<Item = StepIx> + '_ {
    std::iter::successors(Some(ix), |ix| state.node(*ix).parent)
}

pub fn check_commands(model: &Model, before: &Before, commands: &[Command]) -> Result<(), String> {
    let state = &model.state;
    for command in commands {
        let (Command::Evaluate(ix) | Command::Attempt(ix)) = command else { continue };
        let (ix, node) = (*ix, state.node(*ix));
        let path = &node.path;
        if before.had_begun(ix) {
            continue;
        }
        if state.wants_lock() && !state.lock_held() {
            return Err(format!("{path} began without the lock"));
        }
        if node.region == Region::Main && before.holds && halted(state) {
            return Err(format!("{path} began though nothing new may start"));
        }
        for at in round(state, ix) {
            if let Some(need) = unmet(state, at) {
                return Err(format!("{path} began though {} is {:?}", need.path, need.outcome));
            }
        }
        match node.kind {
            Kind::Undo(of) => undo_in_order(state, of)?,
            _ if node.region == Region::Finally => finally_in_order(model, ix)?,
            _ => {}
        }
    }
    if matches!(state.stage(), Stage::Finished(_)) && !commands.is_empty() {
        return Err(format!("it is over and says {commands:?}"));
    }
    Ok(())
}

/// What a step needs and does not have. In `finally` a failure satisfies.
fn unmet(state: &State, ix: StepIx) -> Option<&Node> {
    let node = state.node(ix);
    let (Some(step), false) = (node.step(), node.is_item) else { return None };
    let parent = node.parent?;
    let siblings = state.node(parent).children().iter().map(|at| state.node(*at));
    let needed = |n: &&Node| n.step().is_some_and(|s| step.needs.contains(&s.id));
    let borne = |n: &Node| matches!(n.outcome, Outcome::Failed(_)) && (n.is_optional() || n.region == Region::Finally);
    siblings.filter(needed).find(|n| !n.outcome.satisfies() && !borne(n))
}

fn undo_in_order(state: &State, of: StepIx) -> Result<(), String> {
    let undone = state.node(of);
    let Some(scope) = state.unwind.scope else { return Err("an undo outside an unwinding".into()) };
    for (ix, node) in state.nodes.iter().enumerate() {
        let plain =
            round(state, StepIx(ix)).all(|at| state.node(at).step().is_none_or(|s| s.rollback == Rollback::Auto));
        let later =
            node.started > undone.started && node.undo == UndoStatus::None && is_within(state, StepIx(ix), scope);
        let left = later && plain && node.region == Region::Main && matches!(node.kind, Kind::Action);
        if left && node.outcome == Outcome::Ok {
            return Err(format!("{} is undone before {}", undone.path, node.path));
        }
    }
    Ok(())
}

/// `finally` of the run comes after the unwinding and after that of every call; an outer call's after an inner one's.
fn finally_in_order(model: &Model, ix: StepIx) -> Result<(), String> {
    let (state, path) = (&model.state, &model.state.node(ix).path);
    let part = round(state, ix).filter(|at| matches!(state.node(*at).kind, Kind::Part(Part::Finally))).last();
    let of_call = part.and_then(|part| state.node(part).parent);
    if of_call.is_none() && !(state.unwind.left.is_empty() && state.unwind.current.is_none()) {
        return Err(format!("{path} began before all was undone"));
    }
    for (at, node) in state.nodes.iter().enumerate() {
        let at = StepIx(at);
        let inside = of_call.is_none_or(|call| at != call && is_within(state, at, call));
        let open = matches!(node.kind, Kind::Procedure) && node.region == Region::Main && state.owes_finally(at);
        if inside && open && (of_call.is_some() || state.stage() == Stage::Finally) {
            return Err(format!("{path} began before the finally of {}", node.path));
        }
    }
    Ok(())
}

pub fn check_state(model: &Model) -> Result<(), String> {
    let state = &model.state;
    let count = |is: fn(&Node) -> bool| state.nodes.iter().filter(|n| is(n)).count();
    let counts = [
        ("recovering", state.recovering, count(|n| n.awaiting == Awaiting::Recovery)),
        ("waiting", state.waiting, count(|n| n.awaiting.is_for_time_or_person())),
        ("asking", state.asking, count(|n| n.awaiting == Awaiting::Decision)),
        ("active", state.active.len(), count(|n| n.awaiting != Awaiting::Nothing)),
    ];
    if let Some((what, kept, counted)) = counts.into_iter().find(|(_, kept, counted)| kept != counted) {
        return Err(format!("{what}: kept {kept}, counted {counted}"));
    }
    for (ix, node) in state.nodes.iter().enumerate() {
        let mine: Vec<&Work> = model.work.iter().filter(|work| work.step() == Some(StepIx(ix))).collect();
        let fits = matches!(
            (node.awaiting, mine.as_slice()),
            (Awaiting::Nothing, [])
                | (Awaiting::Evaluation, [Work::Evaluate(_)])
                | (Awaiting::Attempt { intent: false }, [Work::Attempt(..)])
                | (Awaiting::Attempt { intent: true }, [Work::Intended(..)])
                | (Awaiting::Recovery, [Work::Recover(..)])
                | (Awaiting::Timer(_), [Work::Timer(_)])
                | (Awaiting::Answer | Awaiting::Decision, [Work::Ask(_)])
        );
        if !fits {
            return Err(format!("{} awaits {:?} and the driver has {mine:?}", node.path, node.awaiting));
        }
        check_fan(state, node)?;
    }
    if state.is_parked() && !model.work.is_empty() {
        return Err(format!("parked with {:?} outstanding", model.work));
    }
    if state.is_parked() != (state.status() == RunStatus::Paused) {
        return Err(format!("parked: {}, and it says {:?}", state.is_parked(), state.status()));
    }
    Ok(())
}

fn check_fan(state: &State, node: &Node) -> Result<(), String> {
    if !matches!(node.kind, Kind::FanOut) {
        return Ok(());
    }
    let fan = &node.scope.fan;
    let items = node.children().iter().map(|ix| state.node(*ix)).filter(|n| n.is_item);
    let running: Vec<&str> = items
        .filter(|n| !matches!(n.outcome, Outcome::Pending) && !n.outcome.is_final())
        .map(|n| n.lane.as_str())
        .collect();
    let crowded = running.iter().any(|lane| running.iter().filter(|l| *l == lane).count() > fan.lane_width);
    if running.len() > fan.width || crowded {
        return Err(format!("{}: {running:?} at once", node.path));
    }
    Ok(())
}

/// A run is over: its word fits what became of its steps, and the world is as they say.
pub fn check_end(model: &Model) -> Result<(), String> {
    let (state, status) = (&model.state, model.status());
    if state.lock_held() {
        return Err("it is over and holds the lock".into());
    }
    for (ix, node) in state.nodes.iter().enumerate() {
        let given_up =
            state.abandoned || matches!(node.region, Region::Undo | Region::Finally) && state.reopened.is_some();
        if !node.outcome.is_final() && !given_up {
            return Err(format!("{} ended as {:?}", node.path, node.outcome));
        }
        check_effect(model, StepIx(ix)).map_err(|is| format!("{} is {:?} and {is}", node.path, node.outcome))?;
    }
    let any = |is: &dyn Fn(&Node) -> bool| state.nodes.iter().any(is);
    let fits = match status {
        RunStatus::Succeeded => {
            let left = (0..state.nodes.len()).map(StepIx).find(|ix| is_left(state, *ix));
            if let Some(left) = left {
                let left = state.node(left);
                return Err(format!("succeeded, and {} is {:?}", left.path, left.outcome));
            }
            !any(&|n| matches!(n.outcome, Outcome::InDoubt(_)))
        }
        RunStatus::RolledBack => !any(&|n| matches!(n.undo, UndoStatus::RollbackFailed | UndoStatus::Listed(_))),
        RunStatus::RollbackIncomplete => any(&|n| matches!(n.undo, UndoStatus::RollbackFailed | UndoStatus::Listed(_))),
        RunStatus::Stopped => model.seen.declined || model.seen.refused,
        RunStatus::Cancelled => model.seen.told_to_end,
        RunStatus::Failed => {
            let lost = model.seen.lock_lost || model.seen.expired || state.finally_failed;
            lost || any(&|n| matches!(n.outcome, Outcome::Failed(_) | Outcome::InDoubt(_) | Outcome::Cancelled))
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("it ended as {status:?}: {:?}", model.seen)) }
}

/// Whether a step is not done and nobody bears that.
fn is_left(state: &State, ix: StepIx) -> bool {
    let node = state.node(ix);
    let by_person = |n: &Node| n.by_hand || matches!(n.outcome, Outcome::Skipped(_));
    let borne = || round(state, ix).map(|at| state.node(at)).any(|n| n.is_optional() || by_person(n));
    node.region != Region::Undo && !node.outcome.satisfies() && node.undo == UndoStatus::None && !borne()
}

/// The world is as the outcome says.
fn check_effect(model: &Model, ix: StepIx) -> Result<(), &'static str> {
    let (state, node, switch) = (&model.state, model.state.node(ix), model.switch_of(ix));
    if !matches!(node.kind, Kind::Action) {
        return Ok(());
    }
    let undo = round(state, ix).map(|at| &state.node(at).undo).find(|undo| **undo != UndoStatus::None);
    let as_if = |on, half| (switch.on == on && switch.half == half).then_some(());
    let kept =
        || round(state, ix).any(|at| matches!(state.node(at).step().map(|s| &s.rollback), Some(Rollback::None(_))));
    if model.status() == RunStatus::RolledBack && node.region == Region::Main && !kept() {
        return as_if(false, false).ok_or("it is rolled back and on");
    }
    match (undo, &node.outcome) {
        (Some(UndoStatus::RolledBack), _) => as_if(false, false).ok_or("undone and on"),
        (Some(_), _) | (None, Outcome::InDoubt(_)) => Ok(()),
        (None, Outcome::Ok) => as_if(true, false).ok_or("off"),
        (None, Outcome::Skipped(_) | Outcome::Unchanged) if node.left.is_some() => {
            as_if(true, true).ok_or("not half done")
        }
        (None, Outcome::Failed(failure)) if failure.done == Done::Partial => as_if(true, true).ok_or("not half done"),
        (None, Outcome::Failed(failure)) if failure.done != Done::None => Err("may have done something"),
        (None, _) => as_if(false, false).ok_or("on"),
    }
}
