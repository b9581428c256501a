//! Graphs that the tests of this module draw.

use super::{Graph, Kind, Node};
use crate::model::action_spec::{ActionSpec, Catalogue};
use crate::model::effect::Effect;
use crate::model::runbook::{Procedure, Rollback, Runbook, Step, Verb};
use crate::report::sample;

fn catalogue() -> Catalogue {
    let specs = [
        ActionSpec::new("proxmox.plan_evacuation", Effect::Read, ""),
        ActionSpec::new("proxmox.check_evacuation", Effect::Read, ""),
        ActionSpec::new("proxmox.quorum", Effect::Read, ""),
        ActionSpec::new("proxmox.node_empty", Effect::Read, ""),
        ActionSpec::new("proxmox.guest_migrate", Effect::Disrupt, "").undoable(),
        ActionSpec::new("proxmox.ha_maintenance", Effect::Change, "").undoable(),
        ActionSpec::new("proxmox.snapshot_delete", Effect::Destroy, ""),
    ];
    specs.into_iter().map(|spec| (spec.name.clone(), spec)).collect()
}

fn written(id: &str, needs: &[&str], verb: Verb) -> Step {
    let like = sample::runbook().steps.remove(0);
    Step { id: id.into(), needs: needs.iter().map(|n| (*n).to_owned()).collect(), verb, ..like }
}

fn uses(action: &str) -> Verb {
    Verb::Uses { action: action.into(), with: Vec::new() }
}

/// The sample with a call, a nested call, a fan-out over a group, an undo of its own and `finally`.
pub fn runbook() -> Runbook {
    let mut runbook = sample::runbook();
    let undo = vec![written("uncordon", &[], uses("talos.uncordon"))];
    let cordon = Step { rollback: Rollback::Steps(undo), ..written("cordon", &[], uses("talos.cordon")) };
    let again = written("again", &["cordon"], Verb::Call { procedure: "local.drain".into(), with: vec![] });
    let procedure = Procedure {
        title: None,
        params: vec![],
        vars: vec![],
        deadline: None,
        on_failure: None,
        require: vec![],
        steps: vec![cordon, again],
        finally: vec![written("tell", &[], uses("site.notify"))],
        outputs: vec![],
        digest: None,
    };
    runbook.procedures.insert("local.drain".into(), procedure);
    let call = Verb::Call { procedure: "local.drain".into(), with: vec![] };
    runbook.steps.insert(5, written("drain", &["move"], call));
    let each = runbook.steps[4].for_each.clone();
    let inner = vec![
        written("look", &[], uses("proxmox.quorum")),
        written("delete", &["look"], uses("proxmox.snapshot_delete")),
    ];
    let group = Step { for_each: each, ..written("old", &["move"], Verb::Steps(inner)) };
    runbook.steps.insert(6, group);
    runbook.steps[7].needs = vec!["drain".into(), "old".into()];
    runbook
}

pub fn whole() -> Graph {
    Graph::of_runbook(&runbook(), &catalogue())
}

/// As the sample's plan expands it.
pub fn planned() -> Graph {
    Graph::of_plan(&sample::plan(), &catalogue())
}

/// A hundred steps in a few scopes, always the same; some edges are long.
pub fn hundred() -> Graph {
    let mut nodes: Vec<Node> = Vec::new();
    let mut dice = 7u64;
    let mut roll = |sides: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % sides
    };
    for n in 0..40 {
        let mut node = plain(n, &format!("step_{n}"));
        if n > 0 {
            node.needs = (0..1 + roll(2)).map(|_| n - 1 - roll(n.min(6))).collect();
            node.needs.dedup();
        }
        nodes.push(node);
    }
    for (group, size) in [(5, 30), (20, 15), (33, 12), (34, 7)] {
        let inner = (0..size).map(|n| {
            let mut node = plain(n, &format!("inner_{n}"));
            node.path = format!("step_{group}/inner_{n}");
            node.needs = if group == 5 || n == 0 { vec![] } else { vec![roll(n)] };
            node
        });
        let scope = &mut nodes[group];
        (scope.inner, scope.kind, scope.what) = (Some(inner.collect()), Kind::Scope, "at the same time".into());
    }
    Graph { name: "hundred".into(), title: "A hundred steps".into(), nodes }
}

fn plain(n: usize, name: &str) -> Node {
    let kinds = [Kind::Read, Kind::Change, Kind::Disrupt, Kind::Destroy, Kind::Ask, Kind::Create, Kind::Unknown];
    let notes = ["when steps.one.changed", "undo: the action's own", "on failure: ask"];
    Node {
        path: name.into(),
        name: name.into(),
        kind: kinds[n % kinds.len()],
        what: "proxmox.some_action".into(),
        notes: notes[..n % 4].iter().map(|n| (*n).to_owned()).collect(),
        many: n % 11 == 3,
        needs: vec![],
        finally: false,
        inner: None,
    }
}

/// A name and a text that would break out of every language.
pub fn nasty() -> Graph {
    let text = "say \"hi\" \\ <b>&amp; </title><script>alert(1)</script> ]]} end `x`";
    let node = Node { what: text.into(), ..plain(0, text) };
    Graph { name: text.into(), title: text.into(), nodes: vec![node] }
}
