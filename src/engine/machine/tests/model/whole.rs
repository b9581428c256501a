//! All that a state holds, against which [`super::mark`] is proved: node by node, by their numbers, with what is over and
//! decides nothing any more. Times are in it too, so this is for a clock that stands still.
//!
//! Only what never changes (the plan and what was made of it) and what is made of the rest (the indexes) is left out.

use std::fmt::Write;

use super::mark::digest;
use super::world::Model;
use crate::engine::machine::State;
use crate::engine::machine::node::{Node, Scope};

pub fn mark(model: &Model) -> u128 {
    let mut out = String::with_capacity(4_096);
    let Model { state, work, deadlines, switches, left, seen, told: _, old: _, keys, .. } = model;
    write!(out, "{work:?}{deadlines:?}{switches:?}{left:?}{seen:?}{keys}").unwrap();
    mark_state(state, &mut out);
    digest(out.as_bytes())
}

fn mark_state(state: &State, out: &mut String) {
    let State {
        plan: _,
        library: _,
        auto_expand: _,
        hash,
        run: _,
        created_at: _,
        stage,
        flow,
        nodes,
        by_path: _,
        by_point: _,
        active,
        halt,
        failed,
        finally_failed,
        overdue,
        abandoned,
        rollback_asked,
        reopened,
        stop_level,
        recovering,
        waiting,
        asking,
        cancelled,
        held,
        finish_issued,
        lock_held,
        parked,
        starts,
        unwind,
        due_finally,
        signals_seen,
        regions: _,
        now,
    } = state;
    let flow: Vec<u8> = flow.marks().collect();
    write!(out, "{hash}{stage:?}{flow:?}{active:?}{halt:?}{failed}{finally_failed}{overdue}{abandoned}").unwrap();
    write!(out, "{rollback_asked}{reopened:?}{stop_level} {recovering} {waiting} {asking} {cancelled:?}").unwrap();
    write!(out, "{held:?}{finish_issued}{lock_held}{parked}{starts}{unwind:?}{due_finally:?}").unwrap();
    write!(out, "{signals_seen:?}{now}").unwrap();
    for node in nodes {
        mark_node(node, out);
    }
}

fn mark_node(node: &Node, out: &mut String) {
    let Node {
        path,
        kind: _,
        body: _,
        region: _,
        parent,
        bindings: _,
        is_item: _,
        lane: _,
        outcome,
        awaiting,
        attempt,
        tries,
        started,
        invocation,
        effect,
        question,
        intent,
        handle,
        outputs,
        failure,
        undo,
        undoes,
        deadline,
        overdue,
        left,
        by_hand,
        pending,
        enter: _,
        leave: _,
        scope,
    } = node;
    write!(out, "{path}{parent:?}{outcome:?}{awaiting:?}{attempt} {tries}{started:?}{invocation:?}{effect:?}").unwrap();
    write!(out, "{question:?}{intent:?}{handle:?}{outputs:?}{failure:?}{undo:?}{undoes:?}{deadline:?}").unwrap();
    write!(out, "{overdue}{left:?}{by_hand}{}", pending.is_some()).unwrap();
    let Scope { children, failure, not_run, own_failure, fan } = scope;
    write!(out, "{children:?}{failure:?}{not_run:?}{own_failure:?}{fan:?}").unwrap();
}
