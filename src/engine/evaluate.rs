//! Evaluates a step's expressions against what is known, in a run and while planning alike.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use super::machine::{Kind, State, StepIx};
use super::ports::{Actions, Call};
use crate::event::{Fact, Invocation, Item, Question, Verdict};
use crate::expr::{self, Datum, Evaluated, ExprError, Ready, Reference, Scope};
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{RunId, StepPath};
use crate::model::param::Param;
use crate::model::plan::Plan;
use crate::model::runbook::{Expr, ForEach, Step, Template, Verb};
use crate::model::shell;
use crate::model::value::coerce;

/// Stands among what is unknown of a fan-out whose list is known later.
pub const LATER: &str = "for_each";

/// What an evaluation gave, beside the fact for the machine.
pub struct Answer {
    pub fact: Fact,
    /// `when` is known only later: the step may run or not.
    pub maybe: bool,
    /// Parameters that are known only later.
    pub unknown: Vec<String>,
}

/// The names that hold for a whole run, and what steps are expected to put out where that is only predicted.
pub struct Evaluator {
    base: Scope,
    actions: Actions,
    /// While planning nothing that a run would give is there yet, and a list may be known later.
    planning: bool,
    /// What calls hand over where that is only partly known; otherwise it is in their nodes.
    handed: Mutex<BTreeMap<StepPath, Datum>>,
    /// The names inside calls, by call.
    frames: Mutex<BTreeMap<StepIx, Scope>>,
    /// While planning: outputs that are partly unknown.
    pub predicted: BTreeMap<StepPath, Datum>,
    /// Outputs of steps that are over, converted once: each item of a fan-out may refer to the list that it is from,
    /// which would be converted for every one of them.
    ready: Mutex<BTreeMap<StepIx, Ready>>,
}

impl Evaluator {
    /// `run` is `None` while planning: `run.id` and `run.started` are then known later.
    ///
    /// # Errors
    /// A variable's expression failed.
    pub fn new(plan: &Plan, run: Option<(&RunId, u64)>, actions: Actions) -> Result<Self, Failure> {
        let mut base = Scope::new();
        base.insert("params", Datum::Known(to_value(&plan.inputs.params)));
        for name in ["cluster", "config"] {
            base.insert(name, Datum::Known(plan.inputs.scope.get(name).cloned().unwrap_or(Value::Null)));
        }
        let (id, started) = match run {
            Some((id, started)) => (Datum::Known(id.as_str().into()), Datum::Known(started.into())),
            None => (Datum::Unknown, Datum::Unknown),
        };
        base.insert("run", Datum::Map(BTreeMap::from([("id".into(), id), ("started".into(), started)])));
        for (name, template) in &plan.procedure.vars {
            let value = expr::render(template, &base).map_err(|e| broken(&format!("variable {name:?}"), &e))?;
            base.insert_in("vars", name, datum(value));
        }
        Ok(Self {
            base,
            actions,
            planning: run.is_none(),
            handed: Mutex::default(),
            frames: Mutex::default(),
            predicted: BTreeMap::new(),
            ready: Mutex::default(),
        })
    }

    pub fn actions(&self) -> &Actions {
        &self.actions
    }

    /// Answers the machine's `Evaluate`.
    pub fn evaluate(&self, state: &State, ix: StepIx) -> Answer {
        let path = state.node(ix).path.clone();
        let mut answer = Answer {
            fact: Fact::Evaluated { path: path.clone(), verdict: Verdict::Satisfied },
            maybe: false,
            unknown: Vec::new(),
        };
        let fact = match state.node(ix).kind {
            Kind::FanOut => self.expand(state, ix, &mut answer),
            Kind::Undo(of) => Ok(Fact::Evaluated { path: path.clone(), verdict: self.undo(state, of) }),
            _ => self.decide(state, ix, &mut answer).map(|verdict| Fact::Evaluated { path: path.clone(), verdict }),
        };
        answer.fact = fact.unwrap_or_else(|failure| Fact::Evaluated { path, verdict: Verdict::Broken { failure } });
        answer
    }

    fn decide(&self, state: &State, ix: StepIx, answer: &mut Answer) -> Result<Verdict, Failure> {
        let node = state.node(ix);
        let Some(step) = node.step() else {
            return Err(Failure::new(Class::Internal, format!("evaluate {}", node.path), "it has no expressions"));
        };
        if let Some(when) = &step.when {
            match self.truth(state, ix, when)? {
                Some(true) => {}
                Some(false) => return Ok(Verdict::Skip { reason: format!("when: {} is false", when.source) }),
                None => answer.maybe = true,
            }
        }
        if let Some(skip_if) = &step.skip_if {
            match self.truth(state, ix, skip_if)? {
                Some(true) => return Ok(Verdict::Satisfied),
                Some(false) => {}
                None => answer.maybe = true,
            }
        }
        let (invocation, effect, question) = match &step.verb {
            Verb::Uses { action, with } => {
                let (invocation, effect) = self.invocation(state, ix, action, with, &mut answer.unknown)?;
                (Some(invocation), effect.max(step.effect.unwrap_or(Effect::Read)), None)
            }
            Verb::Confirm(_) => (None, Effect::Read, Some(self.question(state, ix, step, answer)?)),
            Verb::Call { procedure, with } => {
                (Some(self.handing_over(state, ix, procedure, with, &mut answer.unknown)?), Effect::Read, None)
            }
            Verb::Steps(_) | Verb::Parallel(_) => (None, Effect::Read, None),
        };
        Ok(Verdict::Run { invocation, effect, question })
    }

    fn invocation(
        &self,
        state: &State,
        ix: StepIx,
        action: &str,
        with: &[(String, Template)],
        unknown: &mut Vec<String>,
    ) -> Result<(Invocation, Effect), Failure> {
        let Some(found) = self.actions.get(action) else {
            return Err(Failure::new(Class::Internal, format!("use {action}"), "there is no such action"));
        };
        let spec = found.spec();
        let values = self.arguments(state, ix, action, &spec.params, with, unknown)?;
        let effect = spec.effect_with(|name| values.get(name).cloned());
        Ok((Invocation { uses: action.to_owned(), with: Value::Object(values) }, effect))
    }

    /// What a call hands over to its procedure.
    fn handing_over(
        &self,
        state: &State,
        ix: StepIx,
        procedure: &str,
        with: &[(String, Template)],
        unknown: &mut Vec<String>,
    ) -> Result<Invocation, Failure> {
        let Some(manual) = state.manual(ix) else {
            return Err(Failure::new(Class::Internal, format!("call {procedure}"), "there is no such procedure"));
        };
        let params = &manual.procedure.params;
        let mut values = self.arguments(state, ix, procedure, params, with, unknown)?;
        let mut handed: BTreeMap<String, Datum> =
            values.iter().map(|(name, value)| (name.clone(), Datum::Known(value.clone()))).collect();
        for param in params {
            if unknown.contains(&param.name) {
                handed.insert(param.name.clone(), Datum::Unknown);
            } else if !values.contains_key(&param.name) {
                values.insert(param.name.clone(), Value::Null);
                handed.insert(param.name.clone(), Datum::Known(Value::Null));
            }
        }
        if self.planning {
            lock(&self.handed).insert(state.node(ix).path.clone(), Datum::Map(handed));
        }
        Ok(Invocation { uses: procedure.to_owned(), with: Value::Object(values) })
    }

    /// Parameters with their defaults; what is known later is named in `unknown` instead.
    fn arguments(
        &self,
        state: &State,
        ix: StepIx,
        callee: &str,
        params: &[Param],
        with: &[(String, Template)],
        unknown: &mut Vec<String>,
    ) -> Result<Map<String, Value>, Failure> {
        let mut values = Map::new();
        for param in params {
            if let Some(default) = &param.default {
                values.insert(param.name.clone(), default.clone());
            }
        }
        for (name, template) in with {
            match self.render(state, ix, template, None)? {
                Evaluated::Known(value) => {
                    let value = match params.iter().find(|p| p.name == *name) {
                        // What an expression gives is of the declared shape, or the step fails before anything is sent.
                        Some(param) if !value.is_null() => coerce(param, &value).map_err(|wrong| {
                            Failure::new(Class::Precondition, format!("call {callee}"), wrong.to_string())
                        })?,
                        _ => value,
                    };
                    values.insert(name.clone(), value);
                }
                Evaluated::Unknown => {
                    values.remove(name);
                    unknown.push(name.clone());
                }
            }
        }
        Ok(values)
    }

    fn question(&self, state: &State, ix: StepIx, step: &Step, answer: &mut Answer) -> Result<Question, Failure> {
        let Verb::Confirm(confirm) = &step.verb else {
            return Err(Failure::new(Class::Internal, "ask", "the step is no gate"));
        };
        let mut get = |name: &str, template: &Template| -> Result<Value, Failure> {
            Ok(match self.render(state, ix, template, None)? {
                Evaluated::Known(value) => value,
                Evaluated::Unknown => {
                    answer.unknown.push(name.to_owned());
                    Value::Null
                }
            })
        };
        let message = text_of(&get("message", &confirm.message)?);
        let show = confirm.show.as_ref().map_or(Ok(Value::Null), |t| get("show", t))?;
        let word = confirm.word.as_ref().map(|t| get("type", t)).transpose()?.map(|v| text_of(&v));
        Ok(Question { message, show, word, options: Vec::new(), expands: false })
    }

    fn expand(&self, state: &State, ix: StepIx, answer: &mut Answer) -> Result<Fact, Failure> {
        let node = state.node(ix);
        let Some(fan) = node.step().and_then(|step| step.for_each.as_ref()) else {
            return Err(Failure::new(Class::Internal, format!("expand {}", node.path), "it is no fan-out"));
        };
        let list = match self.eval(state, ix, &fan.list, None)? {
            Evaluated::Known(value) => items_of(value, fan)?,
            // Planned as one step of which nothing is known.
            Evaluated::Unknown if self.planning => {
                answer.unknown.push(LATER.to_owned());
                Vec::new()
            }
            Evaluated::Unknown => {
                let cause = "its list is still not known";
                return Err(Failure::new(Class::Internal, format!("expand {}", node.path), cause));
            }
        };
        let mut items = Vec::with_capacity(list.len());
        let mut keys = BTreeSet::new();
        for (given, value) in list {
            let item = self.item(state, ix, fan, given, value)?;
            if !keys.insert(item.key.clone()) {
                let cause = format!("two items have the key {:?}; `key` must tell them apart", item.key);
                return Err(Failure::new(Class::Precondition, format!("expand {}", node.path), cause));
            }
            items.push(item);
        }
        let width = match &fan.max_parallel {
            // A wave goes at once, where nothing else is said.
            None if !fan.batches.is_empty() => usize::MAX,
            None => 1,
            Some(template) => self.width(state, ix, template)?,
        };
        let lane_width = fan.limit.as_ref().map_or(usize::MAX, |limit| limit.max as usize);
        let borne = fan.max_failures.of(items.len());
        let waves = fan.batches.iter().map(|amount| amount.of(items.len()).max(1)).collect();
        Ok(Fact::Expanded { path: node.path.clone(), items, width, lane_width, borne, waves, hash: None })
    }

    fn item(
        &self,
        state: &State,
        ix: StepIx,
        fan: &ForEach,
        given: Option<String>,
        value: Value,
    ) -> Result<Item, Failure> {
        let bound = Some((fan.binding.as_str(), &value));
        let key = match (&fan.key, given) {
            (Some(key), _) => text_of(&self.known(state, ix, key, bound)?),
            (None, Some(given)) => given,
            (None, None) => text_of(&value),
        };
        if key.contains(|c: char| c == ']' || c.is_control()) {
            let attempted = format!("expand {}", state.node(ix).path);
            let cause =
                format!("an item has the key {key:?}: the key stands in brackets, so it takes no `]` and one line");
            let remedy = "`key` gives each item another: {list: …, key: item.name}";
            return Err(Failure::new(Class::Precondition, attempted, cause).remedy(remedy));
        }
        let lane = fan.limit.as_ref().map(|limit| self.known(state, ix, &limit.by, bound)).transpose()?;
        Ok(Item { key, value, lane: lane.map(|v| text_of(&v)) })
    }

    fn width(&self, state: &State, ix: StepIx, template: &Template) -> Result<usize, Failure> {
        match self.render(state, ix, template, None)? {
            Evaluated::Known(value) => match value.as_u64() {
                Some(n) if n >= 1 => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
                _ => Err(Failure::new(
                    Class::Precondition,
                    "read max_parallel",
                    format!("{value} is no whole number from 1"),
                )),
            },
            // The width decides nothing while planning.
            Evaluated::Unknown => Ok(1),
        }
    }

    /// What would undo a step now: the action's own inverse, unless a person should do it.
    fn undo(&self, state: &State, of: StepIx) -> Verdict {
        let node = state.node(of);
        let nothing = |why: &str| Verdict::Nothing { why: why.to_owned() };
        let (Some(invocation), Some(before)) = (&node.invocation, node.before()) else {
            return nothing("it never began");
        };
        let Some(action) = self.actions.get(&invocation.uses) else { return nothing("its action is unknown") };
        let call = Call { run: None, path: node.path.clone(), attempt: node.attempt, with: invocation.with.clone() };
        let Some(inverse) = action.undo(&call, before, node.outputs.as_ref()) else {
            let call = shell::call_line(action.spec(), &invocation.with);
            // Not as a command: nobody is to do it again.
            let call = call.trim_start_matches("runbook do ");
            let why = if node.effect < Effect::Destroy { "undoes" } else { "brings back what was destroyed by" };
            return Verdict::Listed { manual: format!("nothing {why} {call}: see what it left") };
        };
        let spec = self.actions.get(&inverse.uses).map(|action| action.spec());
        let spec_effect = spec.map_or(Effect::Destroy, |spec| spec.effect_with(|name| inverse.with.get(name).cloned()));
        // The way back costs what the way there did.
        let effect = if inverse.uses == invocation.uses { spec_effect.max(node.effect) } else { spec_effect };
        if effect >= Effect::Disrupt && !action.spec().creates {
            let manual = spec.map_or_else(|| inverse.uses.clone(), |spec| shell::call_line(spec, &inverse.with));
            return Verdict::Listed { manual };
        }
        Verdict::Run { invocation: Some(inverse), effect, question: None }
    }

    fn truth(&self, state: &State, ix: StepIx, e: &Expr) -> Result<Option<bool>, Failure> {
        let scope = self.scope(state, ix, &expr::references(&e.source), None);
        expr::truth(e, &scope).map_err(|error| broken(&e.source, &error))
    }

    fn eval(&self, state: &State, ix: StepIx, e: &Expr, bound: Option<(&str, &Value)>) -> Result<Evaluated, Failure> {
        let scope = self.scope(state, ix, &expr::references(&e.source), bound);
        expr::eval(e, &scope).map_err(|error| broken(&e.source, &error))
    }

    fn known(&self, state: &State, ix: StepIx, e: &Expr, bound: Option<(&str, &Value)>) -> Result<Value, Failure> {
        match self.eval(state, ix, e, bound)? {
            Evaluated::Known(value) => Ok(value),
            Evaluated::Unknown => {
                Err(Failure::new(Class::Precondition, format!("evaluate {}", e.source), "it is known only later"))
            }
        }
    }

    fn render(
        &self,
        state: &State,
        ix: StepIx,
        template: &Template,
        bound: Option<(&str, &Value)>,
    ) -> Result<Evaluated, Failure> {
        if let Template::Literal(value) = template {
            return Ok(Evaluated::Known(value.clone()));
        }
        let scope = self.scope(state, ix, &expr::template_references(template), bound);
        expr::render(template, &scope).map_err(|error| broken("a parameter", &error))
    }

    /// What `step` sees: only the steps that its expressions name are looked up.
    pub fn scope(&self, state: &State, ix: StepIx, references: &[Reference], bound: Option<(&str, &Value)>) -> Scope {
        let mut scope = self.names(state, state.call_round(ix));
        let mut bindings = Vec::new();
        let mut at = &state.node(ix).bindings;
        while let Some(binding) = at {
            bindings.push(binding);
            at = &binding.outer;
        }
        for binding in bindings.into_iter().rev() {
            scope.insert(binding.name.clone(), Datum::Known(binding.value.clone()));
        }
        if let Some((name, value)) = bound {
            scope.insert(name, Datum::Known(value.clone()));
        }
        self.insert_steps(&mut scope, state, references, &|id| {
            // What is inside a call is seen by the procedure's own outputs alone.
            let inner = if matches!(state.node(ix).kind, Kind::Procedure) { None } else { state.inner(ix, id) };
            inner.or_else(|| state.sibling(ix, id))
        });
        for name in references.iter().filter_map(|reference| reference.names.first()) {
            if matches!(name.as_str(), "before" | "result")
                && let Some(datum) = undone(state, ix, name)
            {
                scope.insert(name.as_str(), datum);
            }
        }
        scope
    }

    /// The names that hold everywhere in a call, or in the run where there is no call.
    fn names(&self, state: &State, call: Option<StepIx>) -> Scope {
        let Some(call) = call else { return self.base.clone() };
        if let Some(scope) = lock(&self.frames).get(&call) {
            return scope.clone();
        }
        let node = state.node(call);
        let mut scope = self.base.clone();
        let handed = lock(&self.handed).get(&node.path).cloned();
        let known = || node.invocation.as_ref().map_or(Value::Null, |i| i.with.clone());
        scope.insert("params", handed.unwrap_or_else(|| Datum::Known(known())));
        scope.insert("vars", Datum::Map(BTreeMap::new()));
        if let Some(manual) = state.manual(call) {
            for (name, template) in &manual.procedure.vars {
                // One that fails is missing, which whoever refers to it is told.
                if let Ok(value) = expr::render(template, &scope) {
                    scope.insert_in("vars", name, datum(value));
                }
            }
        }
        if node.invocation.is_some() {
            lock(&self.frames).insert(call, scope.clone());
        }
        scope
    }

    /// What a procedure puts out: its own expressions over its own steps.
    fn put_out(&self, state: &State, call: StepIx) -> Option<Datum> {
        let manual = state.manual(call)?;
        let mut named = BTreeMap::new();
        for (name, template) in &manual.procedure.outputs {
            let mut scope = self.names(state, Some(call));
            self.insert_steps(&mut scope, state, &expr::template_references(template), &|id| state.inner(call, id));
            named.insert(name.clone(), expr::render(template, &scope).map_or(Datum::Unknown, datum));
        }
        Some(Datum::Map(named))
    }

    fn insert_steps(
        &self,
        scope: &mut Scope,
        state: &State,
        references: &[Reference],
        find: &dyn Fn(&str) -> Option<StepIx>,
    ) {
        let names = references.iter().map(|reference| reference.names.as_slice());
        let used: Vec<_> = names.filter(|names| names.first().is_some_and(|root| root == "steps")).collect();
        if !used.is_empty() {
            scope.insert("steps", Datum::Map(BTreeMap::new()));
        }
        for names in used {
            let [_, id, field @ ..] = names else { continue };
            match find(id).and_then(|found| self.ready(state, found)) {
                Some(ready) => scope.insert_in("steps", id, ready),
                // What has put out nothing has no fields, which `is defined` finds out.
                None if !field.is_empty() => scope.insert_in("steps", id, Datum::Map(BTreeMap::new())),
                None => {}
            }
        }
    }

    /// [`Self::outputs`], ready for a scope.
    fn ready(&self, state: &State, ix: StepIx) -> Option<Ready> {
        if let Some(ready) = lock(&self.ready).get(&ix) {
            return Some(ready.clone());
        }
        let ready = Ready::from(self.outputs(state, ix)?);
        // What is not over may still put out something else.
        if state.node(ix).outcome.is_final() {
            lock(&self.ready).insert(ix, ready.clone());
        }
        Some(ready)
    }

    /// What a step has put out, as `steps.ID` shows it.
    fn outputs(&self, state: &State, ix: StepIx) -> Option<Datum> {
        let node = state.node(ix);
        if let Kind::FanOut = node.kind {
            if let Some(later) = self.predicted.get(&node.path) {
                return Some(later.clone());
            }
            let items = node.children().iter().filter_map(|child| {
                let key = state.node(*child).path.key()?;
                Some((key.to_owned(), self.outputs(state, *child)?))
            });
            return Some(Datum::Map(items.collect()));
        }
        let own = match node.kind {
            Kind::Procedure => self.put_out(state, ix),
            _ => self.predicted.get(&node.path).cloned().or_else(|| node.outputs.clone().map(Datum::Known)),
        };
        let declared = node.step().map(|step| step.outputs.as_slice()).unwrap_or_default();
        if declared.is_empty() {
            return own;
        }
        let mut named = BTreeMap::new();
        for (name, template) in declared {
            let mut scope = self.scope(state, ix, &expr::template_references(template), None);
            if let Some(before) = node.before() {
                scope.insert("before", Datum::Known(before.clone()));
            }
            if let Some(own) = own.clone() {
                scope.insert("result", own);
            }
            named.insert(name.clone(), expr::render(template, &scope).map_or(Datum::Unknown, datum));
        }
        Some(Datum::Map(named))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `before` and `result` of the step that an author's undo steps undo.
fn undone(state: &State, ix: StepIx, name: &str) -> Option<Datum> {
    let mut at = ix;
    let of = loop {
        let node = state.node(at);
        match (node.undoes, node.parent) {
            (Some(of), _) => break of,
            (None, parent) => at = parent?,
        }
    };
    let node = state.node(of);
    let value = if name == "before" { node.before()?.clone() } else { node.outputs.clone()? };
    Some(Datum::Known(value))
}

fn items_of(value: Value, fan: &ForEach) -> Result<Vec<(Option<String>, Value)>, Failure> {
    match value {
        Value::Array(items) => Ok(items.into_iter().map(|item| (None, item)).collect()),
        Value::Object(map) => Ok(map
            .into_iter()
            .map(|(key, value)| (Some(key.clone()), serde_json::json!({"key": key, "value": value})))
            .collect()),
        other => Err(Failure::new(
            Class::Precondition,
            format!("go through {}", fan.list.source),
            format!("expected a list or a map, got {other}"),
        )),
    }
}

fn datum(value: Evaluated) -> Datum {
    match value {
        Evaluated::Known(value) => Datum::Known(value),
        Evaluated::Unknown => Datum::Unknown,
    }
}

fn broken(what: &str, error: &ExprError) -> Failure {
    Failure::new(Class::Precondition, format!("evaluate {what}"), error.message.clone())
}

fn to_value<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// A value as text: a string without quotes, anything else as JSON.
pub fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Parameters as a command line has them.
pub fn arguments(with: &Value) -> String {
    let Value::Object(map) = with else { return String::new() };
    let words = map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| format!("{k}={}", text_of(v)));
    words.collect::<Vec<_>>().join(" ")
}
