//! Makes nodes: scopes are opened when they are reached, so a fan-out's list may rest on earlier steps.

use std::collections::VecDeque;
use std::sync::Arc;

use super::State;
use super::node::{Awaiting, Binding, Bindings, Body, Fan, Kind, Node, Part, Region, Scope, StepIx};
use crate::event::{Item, Outcome, UndoStatus};
use crate::model::effect::Effect;
use crate::model::ids::StepPath;
use crate::model::runbook::{Check, Verb};

/// What all nodes made in one place share.
struct Site<'a> {
    path: StepPath,
    region: Region,
    parent: Option<StepIx>,
    bindings: &'a Bindings,
}

impl State {
    /// The scope round all steps of a region; the main one is the root.
    pub(super) fn add_region(&mut self, region: Region) -> StepIx {
        let path = StepPath::new(match region {
            Region::Require => StepPath::REQUIRE,
            Region::Finally => StepPath::FINALLY,
            Region::Main | Region::Undo => "",
        });
        let site = Site { path, region, parent: None, bindings: &None };
        let ix = self.add_node(site, Kind::Region, None);
        self.regions[region as usize] = Some(ix);
        ix
    }

    fn add_node(&mut self, site: Site<'_>, kind: Kind, body: Option<Arc<Body>>) -> StepIx {
        let ix = StepIx(self.nodes.len());
        let enter = self.flow.add(1);
        let leave = if kind.is_scope() { self.flow.add(1) } else { enter };
        self.by_point.insert(enter, ix);
        self.by_point.insert(leave, ix);
        if !matches!(kind, Kind::Region | Kind::Part(_)) {
            self.by_path.insert(site.path.clone(), ix);
        }
        let effect = body.as_ref().and_then(|b| b.step.effect).unwrap_or(Effect::Read);
        self.nodes.push(Node {
            path: site.path,
            kind,
            body,
            region: site.region,
            parent: site.parent,
            bindings: site.bindings.clone(),
            is_item: false,
            lane: String::new(),
            outcome: Outcome::Pending,
            awaiting: Awaiting::Nothing,
            attempt: 0,
            tries: 0,
            started: None,
            invocation: None,
            effect,
            question: None,
            intent: None,
            handle: None,
            outputs: None,
            failure: None,
            undo: UndoStatus::None,
            undoes: None,
            deadline: None,
            overdue: false,
            left: None,
            by_hand: false,
            pending: None,
            enter,
            leave,
            scope: Scope::default(),
        });
        if let Some(parent) = site.parent {
            self.nodes[parent.0].scope.children.push(ix);
            let parent_leave = self.node(parent).leave;
            self.flow.ends(leave, parent_leave);
        }
        ix
    }

    /// Opens a scope with these steps: they start when what they need is there.
    pub(super) fn open_steps(&mut self, scope: StepIx, bodies: &[Arc<Body>]) {
        let (path, region, bindings) = {
            let node = self.node(scope);
            (node.path.clone(), node.region, node.bindings.clone())
        };
        let mut ids = std::collections::BTreeMap::new();
        let mut made = Vec::with_capacity(bodies.len());
        for body in bodies {
            let site = Site { path: path.child(&body.step.id), region, parent: Some(scope), bindings: &bindings };
            let ix = self.add_node(site, kind_of(body, false), Some(body.clone()));
            ids.insert(body.step.id.as_str(), ix);
            made.push((ix, body));
        }
        for (ix, body) in &made {
            for need in &body.step.needs {
                if let Some(before) = ids.get(need.as_str()) {
                    let (after, before) = (self.node(*ix).enter, self.node(*before).leave);
                    self.flow.needs(after, before);
                }
            }
        }
        self.opened(scope, made.iter().map(|(ix, _)| *ix));
    }

    /// Opens a scope of checks: all at once.
    pub(super) fn open_checks(&mut self, scope: StepIx, checks: &[Check]) {
        let (at, region, bindings, is_gate) = {
            let node = self.node(scope);
            (node.path.clone(), node.region, node.bindings.clone(), matches!(node.kind, Kind::Gate))
        };
        let mut made = Vec::new();
        for (i, check) in checks.iter().enumerate() {
            let count = (i + 1).to_string();
            let path = if is_gate { at.child(&count) } else { at.item(&count) };
            let site = Site { path, region, parent: Some(scope), bindings: &bindings };
            made.push(self.add_node(site, Kind::Check(Arc::new(check.clone())), None));
        }
        self.opened(scope, made.into_iter());
    }

    /// Opens a fan-out: its items wait to be admitted.
    pub(super) fn open_items(&mut self, fan: StepIx, items: &[Item], mut fan_state: Fan) {
        let (path, region, outer, body) = {
            let node = self.node(fan);
            (node.path.clone(), node.region, node.bindings.clone(), node.body.clone())
        };
        let Some(body) = body else { return };
        let name = body.step.for_each.as_ref().map_or("item", |f| f.binding.as_str()).to_owned();
        let sizes = std::mem::take(&mut fan_state.waves);
        self.nodes[fan.0].scope.fan = fan_state;
        let mut made = Vec::with_capacity(items.len());
        for item in items {
            let value = item.value.clone();
            let bindings = Some(Arc::new(Binding { name: name.clone(), value, outer: outer.clone() }));
            let site = Site { path: path.item(&item.key), region, parent: Some(fan), bindings: &bindings };
            let ix = self.add_node(site, kind_of(&body, true), Some(body.clone()));
            self.nodes[ix.0].is_item = true;
            self.nodes[ix.0].lane = item.lane.clone().unwrap_or_default();
            made.push(ix);
        }
        self.nodes[fan.0].scope.fan.later = waves(made, &sizes);
        self.opened(fan, std::iter::empty());
        self.next_wave(fan);
    }

    /// Goes on to a fan-out's next wave: first its gate, where it has one.
    fn next_wave(&mut self, fan: StepIx) {
        let state = &mut self.nodes[fan.0].scope.fan;
        let Some(items) = state.later.front() else { return };
        state.wave += 1;
        state.wave_left = items.len();
        let wave = state.wave.to_string();
        let body = self.node(fan).body.clone();
        let checks = body.as_ref().map(|b| b.step.gate.as_slice()).unwrap_or_default();
        if checks.is_empty() {
            self.admit_wave(fan);
            return;
        }
        let node = self.node(fan);
        let (path, region, bindings) = (node.path.child("gate").item(&wave), node.region, node.bindings.clone());
        let site = Site { path, region, parent: Some(fan), bindings: &bindings };
        let gate = self.add_node(site, Kind::Gate, None);
        self.open_checks(gate, checks);
    }

    /// The gate before a fan-out's wave is passed, or there is none.
    pub(super) fn admit_wave(&mut self, fan: StepIx) {
        for item in self.nodes[fan.0].scope.fan.later.pop_front().unwrap_or_default() {
            self.queue_item(fan, item);
        }
        self.admit(fan);
    }

    fn queue_item(&mut self, fan: StepIx, ix: StepIx) {
        let lane_name = self.node(ix).lane.clone();
        let fan = &mut self.nodes[fan.0].scope.fan;
        let lane = fan.lanes.entry(lane_name.clone()).or_default();
        if lane.queue.is_empty() {
            fan.open.insert((ix, lane_name));
        }
        lane.queue.push_back(ix);
    }

    /// Lets as many items of a fan-out go as its width and its lanes allow, first come first.
    pub(super) fn admit(&mut self, fan: StepIx) {
        loop {
            let state = &mut self.nodes[fan.0].scope.fan;
            if state.closed || state.running >= state.width {
                return;
            }
            let Some((ix, name)) = state.open.pop_first() else { return };
            let lane_width = state.lane_width;
            if let Some(lane) = state.lanes.get_mut(&name) {
                lane.queue.pop_front();
                lane.running += 1;
                if lane.running < lane_width
                    && let Some(next) = lane.queue.front()
                {
                    state.open.insert((*next, name));
                }
            }
            state.running += 1;
            let enter = self.node(ix).enter;
            self.flow.release(enter);
        }
    }

    /// An admitted item is over: its place is free.
    pub(super) fn item_over(&mut self, fan: StepIx, item: StepIx) {
        let name = self.node(item).lane.clone();
        let state = &mut self.nodes[fan.0].scope.fan;
        state.running = state.running.saturating_sub(1);
        let lane_width = state.lane_width;
        if let Some(lane) = state.lanes.get_mut(&name) {
            lane.running = lane.running.saturating_sub(1);
            if lane.running < lane_width
                && let Some(next) = lane.queue.front()
            {
                state.open.insert((*next, name));
            }
        }
        state.wave_left = state.wave_left.saturating_sub(1);
        if state.wave_left == 0 && !state.closed { self.next_wave(fan) } else { self.admit(fan) }
    }

    /// Items that were never admitted; the fan-out admits no more.
    pub(super) fn close_fan(&mut self, fan: StepIx) -> Vec<StepIx> {
        let state = &mut self.nodes[fan.0].scope.fan;
        state.closed = true;
        state.open.clear();
        // Taken, so that the items still under way, each of which may fail too, do not walk all lanes again.
        let lanes = std::mem::take(&mut state.lanes);
        let later = std::mem::take(&mut state.later);
        let mut left: Vec<StepIx> =
            lanes.into_values().flat_map(|lane| lane.queue).chain(later.into_iter().flatten()).collect();
        left.sort();
        left
    }

    /// Opens a call: first its requirements, where it has some.
    pub(super) fn open_call(&mut self, call: StepIx) {
        let Some(manual) = self.manual(call) else { return };
        let enter = self.node(call).enter;
        self.nodes[call.0].outcome = Outcome::Running;
        self.flow.settle(enter, true);
        if manual.procedure.require.is_empty() {
            self.open_part(call, Part::Steps);
        } else {
            self.open_part(call, Part::Require);
        }
    }

    pub(super) fn open_part(&mut self, call: StepIx, part: Part) -> StepIx {
        let manual = self.manual(call);
        let node = self.node(call);
        let (path, region) = match part {
            Part::Require => (node.path.child(StepPath::REQUIRE), node.region),
            Part::Steps => (node.path.clone(), node.region),
            Part::Finally => (node.path.child(StepPath::FINALLY), Region::Finally),
        };
        // What a procedure sees of its caller are its parameters.
        let site = Site { path, region, parent: Some(call), bindings: &None };
        let ix = self.add_node(site, Kind::Part(part), None);
        if let Some(manual) = manual {
            match part {
                Part::Require => self.open_checks(ix, &manual.procedure.require),
                Part::Steps => self.open_steps(ix, &manual.steps),
                Part::Finally => self.open_steps(ix, &manual.finally),
            }
        }
        ix
    }

    /// No further part of a call is opened: it is over when those that were are.
    pub(super) fn close_call(&mut self, call: StepIx) {
        let leave = self.node(call).leave;
        self.flow.release(leave);
    }

    /// Takes the holds off: of the children that need nobody's leave, and of the scope's end.
    fn opened(&mut self, scope: StepIx, children: impl Iterator<Item = StepIx>) {
        for child in children {
            let enter = self.node(child).enter;
            self.flow.release(enter);
        }
        let (enter, leave) = (self.node(scope).enter, self.node(scope).leave);
        self.nodes[scope.0].outcome = Outcome::Running;
        self.flow.settle(enter, true);
        self.flow.release(leave);
    }

    /// The node of a step's undo: the action's own inverse, or the author's steps.
    pub(super) fn add_undo(&mut self, of: StepIx) -> StepIx {
        let (mut path, bindings, body) = {
            let node = self.node(of);
            (node.path.undo(), node.bindings.clone(), node.body.clone())
        };
        // A rollback that failed can be asked for again.
        for again in 2.. {
            if self.find(&path).is_none() {
                break;
            }
            path = self.node(of).path.undo().item(&again.to_string());
        }
        let by_author = body.as_ref().is_some_and(|b| !b.rollback.is_empty());
        let kind = if by_author { Kind::Group } else { Kind::Undo(of) };
        let site = Site { path, region: Region::Undo, parent: None, bindings: &bindings };
        let ix = self.add_node(site, kind, None);
        self.nodes[ix.0].undoes = Some(of);
        // The author's steps see what the undone step saw: `before` and `result` are those of the step above.
        if by_author && let Some(body) = body {
            self.open_steps(ix, &body.rollback);
        }
        ix
    }
}

/// The items by wave; what no size speaks of goes with waves of the last size.
fn waves(items: Vec<StepIx>, sizes: &[usize]) -> VecDeque<Vec<StepIx>> {
    let mut left = items.into_iter().peekable();
    let mut out = VecDeque::new();
    let mut sizes = sizes.iter().copied();
    let mut size = usize::MAX;
    while left.peek().is_some() {
        size = sizes.next().unwrap_or(size).max(1);
        out.push_back(left.by_ref().take(size).collect());
    }
    out
}

fn kind_of(body: &Body, as_item: bool) -> Kind {
    if body.step.for_each.is_some() && !as_item {
        return Kind::FanOut;
    }
    match &body.step.verb {
        Verb::Uses { .. } => Kind::Action,
        Verb::Confirm(_) => Kind::Confirm,
        Verb::Call { .. } => Kind::Procedure,
        Verb::Steps(_) | Verb::Parallel(_) => Kind::Group,
    }
}
