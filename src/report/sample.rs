//! Plans and runs that the tests of this module show: one evacuation, as it goes well and badly.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::event::{Body, Ending, Event, Fact, Intent, Invocation, Note, Question, RunStatus, Signal, Verdict};
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::plan::{Change, Inputs, Plan, PlanFailure, PlanStep, Planned, Summary};
use crate::model::runbook::{
    Amount, Confirm, Expr, ForEach, LockScope, OnFailure, Place, Runbook, Step, Target, Template, Verb,
};
use crate::model::world::{Guard, Predicate};

/// 02:13:05 UTC.
pub const START: u64 = 1_763_691_185_000;
/// Events of [`failed_run`] before `move[107]` fails.
pub const DURING: usize = 16;

const GIB: u64 = 1 << 30;

fn expr(source: &str) -> Expr {
    Expr { source: source.into(), place: Place::default() }
}

fn written(id: &str, needs: &[&str], verb: Verb) -> Step {
    Step { needs: needs.iter().map(|n| (*n).to_owned()).collect(), ..Step::new(id, verb) }
}

fn uses(action: &str) -> Verb {
    Verb::Uses { action: action.into(), with: Vec::new() }
}

pub fn runbook() -> Runbook {
    let gate = Confirm { message: Template::Literal("Down for a while".into()), show: None, word: None };
    let each = ForEach {
        list: expr("steps.placement.moves"),
        binding: "m".into(),
        key: Some(expr("m.vmid")),
        max_parallel: None,
        batches: Vec::new(),
        limit: None,
        max_failures: Amount::Count(0),
    };
    Runbook {
        name: "node-evacuation".into(),
        title: Some("Empty a Proxmox node for maintenance".into()),
        description: None,
        aliases: vec!["evacuate".into()],
        target: Target::Proxmox,
        params: Vec::new(),
        vars: Vec::new(),
        lock: LockScope::Site,
        deadline: None,
        on_failure: OnFailure::Stop,
        require: Vec::new(),
        steps: vec![
            written("placement", &[], uses("proxmox.plan_evacuation")),
            written("stops", &["placement"], Verb::Confirm(gate)),
            written("maintenance", &["stops"], uses("proxmox.ha_maintenance")),
            written(
                "checks",
                &["stops"],
                Verb::Parallel(vec![
                    written("still_fits", &[], uses("proxmox.check_evacuation")),
                    written("quorum", &[], uses("proxmox.quorum")),
                ]),
            ),
            Step { for_each: Some(each), ..written("move", &["maintenance", "checks"], uses("proxmox.guest_migrate")) },
            written("empty", &["move"], uses("proxmox.node_empty")),
        ],
        finally: vec![written("report", &[], uses("site.notify"))],
        outputs: Vec::new(),
        procedures: Default::default(),
    }
}

/// As `proxmox.plan_evacuation` puts it out.
fn evacuation() -> Value {
    json!({
        "node": "pve2",
        "moves": [
            {"vmid": 104, "kind": "qemu", "name": "web-1", "from": "pve2", "to": "pve3", "mode": "live", "owner": "us",
             "memory": 8 * GIB, "disk_bytes": 0, "storages": {}, "seconds": 30, "reason": null, "downtime": false},
            {"vmid": 107, "kind": "qemu", "name": "build-server-with-a-long-name", "from": "pve2", "to": "pve1",
             "mode": "live", "owner": "us", "memory": 16 * GIB, "disk_bytes": 120 * GIB,
             "storages": {"local-zfs": "local-zfs"}, "seconds": 1240, "reason": null, "downtime": false},
            {"vmid": 211, "kind": "lxc", "name": "dns", "from": "pve2", "to": "pve3", "mode": "restart", "owner": "us",
             "memory": GIB / 2, "disk_bytes": 0, "storages": {}, "seconds": 12,
             "reason": "a container moves by restarting", "downtime": true},
        ],
        "by_ha": [{"vmid": 120, "name": "db", "kind": "qemu", "targets": ["pve1", "pve3"], "memory": 32 * GIB,
                   "note": "comes home after maintenance"}],
        "staying": [{"vmid": 130, "name": "gpu", "why": "you said that it may stay"}],
        "stops": [{"vmid": 211, "name": "dns", "to": "pve3", "seconds": 12, "why": "a container moves by restarting"}],
        "usage": [
            {"node": "pve1", "memory_total": 128 * GIB, "usable": 108 * GIB, "before": 60 * GIB, "after": 76 * GIB,
             "kept_for_ha": 32 * GIB, "vcpus_before": 20, "vcpus_after": 24, "after_percent": 70.4},
            {"node": "pve3", "memory_total": 64 * GIB, "usable": 54 * GIB, "before": 20 * GIB, "after": 29 * GIB,
             "kept_for_ha": 0, "vcpus_before": 8, "vcpus_after": 12, "after_percent": 53.7},
            {"node": "pve4", "memory_total": 64 * GIB, "usable": 54 * GIB, "before": 20 * GIB, "after": 16 * GIB,
             "kept_for_ha": 0, "vcpus_before": 8, "vcpus_after": 6, "after_percent": 29.6},
        ],
        "warnings": ["pve3 has slower storage than pve2"],
        "order": "smallest first",
    })
}

fn planned(path: &str, action: &str, effect: Effect, change: Change, summary: &str, undo: &str) -> PlanStep {
    PlanStep {
        path: path.into(),
        uses: action.into(),
        version: 1,
        effect,
        change,
        planned: Planned::Run,
        summary: summary.into(),
        undo: undo.into(),
        with: BTreeMap::new(),
        unknown: Vec::new(),
        pinned: None,
        identities: Vec::new(),
        guards: Vec::new(),
        notes: Vec::new(),
        commands: Vec::new(),
    }
}

fn steps() -> Vec<PlanStep> {
    let read = |path, action, summary| planned(path, action, Effect::Read, Change::Read, summary, "");
    let migrate =
        |path, change, effect, summary, back| planned(path, "proxmox.guest_migrate", effect, change, summary, back);
    let gate = Planned::Gate {
        message: "These guests will be down for a while".into(),
        show: json!(["CT 211 (dns)"]),
        word: Some("pve2".into()),
    };
    vec![
        PlanStep {
            pinned: Some(evacuation()),
            ..read("placement", "proxmox.plan_evacuation", "3 guests leave pve2, 1 by the HA manager, 1 stays")
        },
        PlanStep { planned: gate, ..read("stops", "confirm", "asks a person") },
        planned(
            "maintenance",
            "proxmox.ha_maintenance",
            Effect::Change,
            Change::Change,
            "pve2: HA maintenance on, 1 service moves away",
            "maintenance off; the HA manager brings its services back",
        ),
        PlanStep {
            planned: Planned::Skipped("no stretch cluster".into()),
            ..planned("quorum", "proxmox.quorum", Effect::Read, Change::None, "", "")
        },
        PlanStep {
            planned: Planned::Unchanged,
            ..planned("freeze", "site.freeze", Effect::Change, Change::None, "frozen already", "")
        },
        migrate(
            "move[104]",
            Change::Change,
            Effect::Change,
            "VM 104 (web-1): pve2 -> pve3, live, 8.0 GiB, about 30 s",
            "migrate it back to pve2",
        ),
        PlanStep {
            notes: vec!["its disk is copied while it runs: writes make this longer".into()],
            ..migrate(
                "move[107]",
                Change::Change,
                Effect::Change,
                "VM 107 (build-server-with-a-long-name): pve2 -> pve1, live with disk, 16.0 GiB + 120.0 GiB, about 20 min",
                "migrate it back to pve2",
            )
        },
        migrate(
            "move[211]",
            Change::Disrupt,
            Effect::Disrupt,
            "CT 211 (dns): pve2 -> pve3, restart, about 12 s down",
            "listed for a person: another restart",
        ),
        planned(
            "old_snapshot",
            "proxmox.snapshot_delete",
            Effect::Destroy,
            Change::Destroy,
            "VM 104 (web-1): delete snapshot before-2025",
            "nothing can: its data is gone",
        ),
        PlanStep {
            unknown: vec!["accept".into()],
            planned: Planned::Maybe,
            ..planned("empty", "proxmox.node_empty", Effect::Read, Change::Unknown, "pve2 holds no guest", "")
        },
    ]
}

pub fn plan() -> Plan {
    let guard = |text: &str| Guard {
        text: text.into(),
        resource: "proxmox/node/pve3".into(),
        pointer: "/memory/free".into(),
        predicate: Predicate::AtLeast,
        value: json!(12 * GIB),
    };
    Plan {
        format_version: "1.0".into(),
        runbook: "node-evacuation".into(),
        hash: "3f2a9c01d4e5b6a7988877665544332211".into(),
        created: START,
        summary: Summary { create: 0, change: 3, destroy: 1, disrupt: 1, unchanged: 2, unknown: 1 },
        steps: steps(),
        guards: vec![guard("pve3 has at least 12.0 GiB of memory free"), guard("104 is running")],
        expanded: Default::default(),
        warnings: vec!["The lock holds on this host only: the token may not create pools (Pool.Allocate)".into()],
        failure: None,
        inputs: Inputs {
            site: "home".into(),
            cluster: None,
            params: BTreeMap::from([("keep_free".into(), json!("15%")), ("node".into(), json!("pve2"))]),
            scope: BTreeMap::new(),
            runbook_digest: "0".into(),
            config_digest: "0".into(),
        },
        procedure: std::sync::Arc::new(runbook()),
    }
}

pub fn failed_plan() -> Plan {
    let failure = Failure::new(Class::Precondition, "place the guests of pve2", "2 guests fit on no other node")
        .details(vec![
            "VM 107 (build): needs 16.0 GiB; pve1 has 9.2 GiB below its limit, pve3 has 3.0 GiB".into(),
            "VM 140 (nas): passes through 0000:01:00.0, a device of pve2".into(),
        ])
        .remedy("stop or move a guest of pve1, lower keep_free, or name those that may stay with --set stay=140");
    let mut plan = plan();
    plan.steps.clear();
    plan.guards.clear();
    plan.failure = Some(PlanFailure { path: "placement".into(), failure });
    plan
}

pub fn event(seconds: u64, fact: Fact) -> Event {
    Event { seq: 0, at: START + seconds * 1000, actor: "ops@host".into(), body: Body::Fact(fact) }
}

fn note(seconds: u64, note: Note) -> Event {
    Event { seq: 0, at: START + seconds * 1000, actor: "engine".into(), body: Body::Note(note) }
}

fn evaluated(at: u64, path: &str, action: &str, effect: Effect) -> Event {
    let invocation = Some(Invocation { uses: action.into(), with: json!({}) });
    event(at, Fact::Evaluated { path: path.into(), verdict: Verdict::Run { invocation, effect, question: None } })
}

fn started(at: u64, path: &str, attempt: u32, effect: Effect) -> Event {
    let intent = Intent { before: Value::Null, prepared: Value::Null, effect };
    event(at, Fact::Started { path: path.into(), attempt, intent })
}

fn ended(at: u64, path: &str, attempt: u32, ending: Ending) -> Event {
    event(at, Fact::Finished { path: path.into(), attempt, ending })
}

fn ok() -> Ending {
    Ending::Ok { outputs: json!({}) }
}

fn numbered(mut events: Vec<Event>) -> Vec<Event> {
    events.iter_mut().zip(1..).for_each(|(e, seq)| e.seq = seq);
    events
}

fn begun() -> Vec<Event> {
    let question = Question {
        message: "These guests will be down for a while".into(),
        show: json!(["CT 211 (dns)"]),
        word: Some("pve2".into()),
        options: Vec::new(),
        expands: false,
    };
    let asked = Verdict::Run { invocation: None, effect: Effect::Read, question: Some(question.clone()) };
    let halfway =
        Note::Progress { path: "move[107]".into(), line: "6.2 GiB of 16.0 GiB, 112.0 MiB/s".into(), share: Some(0.39) };
    vec![
        event(0, Fact::RunCreated { run: "3f2a11111111".into(), plan: Arc::new(plan()), auto_expand: false }),
        event(0, Fact::LockGranted),
        started(0, "placement", 1, Effect::Read),
        ended(1, "placement", 1, ok()),
        event(1, Fact::Evaluated { path: "stops".into(), verdict: asked }),
        event(1, Fact::Asked { path: "stops".into(), question }),
        event(
            9,
            Fact::Approved { path: "stops".into(), who: "ops@host".into(), word: Some("pve2".into()), hash: None },
        ),
        evaluated(9, "maintenance", "proxmox.ha_maintenance", Effect::Change),
        started(9, "maintenance", 1, Effect::Change),
        ended(109, "maintenance", 1, ok()),
        event(
            109,
            Fact::Expanded {
                path: "move".into(),
                items: vec![],
                width: 1,
                lane_width: 1,
                borne: 0,
                waves: vec![],
                hash: None,
            },
        ),
        evaluated(109, "move[104]", "proxmox.guest_migrate", Effect::Change),
        started(109, "move[104]", 1, Effect::Change),
        ended(141, "move[104]", 1, ok()),
        started(141, "move[107]", 1, Effect::Change),
        note(150, halfway),
        note(151, Note::Log { path: "move[107]".into(), line: "migration active, transferred 6.2 GiB".into() }),
    ]
}

fn failure() -> Failure {
    Failure::new(
        Class::Failed,
        "migrate VM 107 (build-server-with-a-long-name) from pve2 to pve1",
        "storage 'fast' is not available on node 'pve1'",
    )
    .details(vec![
        "2025-11-21 02:15:34 starting migration of VM 107 to node 'pve1' (192.0.2.11)".into(),
        "2025-11-21 02:15:36 ERROR: migration aborted (duration 00:00:02): storage 'fast' is not available".into(),
    ])
    .remedy("add pve1 to the nodes of storage 'fast', or choose another one with storages")
}

pub fn failed_run() -> Vec<Event> {
    let mut events = begun();
    events.extend([
        ended(152, "move[107]", 1, Ending::Failed { failure: failure() }),
        event(152, Fact::RunFinished { status: RunStatus::Failed }),
    ]);
    numbered(events)
}

pub fn rolled_back_run() -> Vec<Event> {
    let mut events = begun();
    let manual = "take pve2 out of maintenance: `ha-manager crm-command node-maintenance disable pve2`";
    events.extend([
        ended(152, "move[107]", 1, Ending::Failed { failure: failure() }),
        evaluated(152, "move[104]/undo", "proxmox.guest_migrate", Effect::Change),
        started(152, "move[104]/undo", 1, Effect::Change),
        ended(180, "move[104]/undo", 1, ok()),
        event(
            180,
            Fact::Evaluated { path: "maintenance/undo".into(), verdict: Verdict::Listed { manual: manual.into() } },
        ),
        event(181, Fact::RunFinished { status: RunStatus::RolledBack }),
    ]);
    numbered(events)
}

fn undone(ending: Ending) -> Vec<Event> {
    vec![
        ended(152, "move[107]", 1, Ending::Failed { failure: failure() }),
        started(152, "move[104]/undo", 1, Effect::Change),
        ended(180, "move[104]/undo", 1, ending),
    ]
}

pub fn badly_rolled_back_run() -> Vec<Event> {
    let failure =
        Failure::new(Class::Unreachable, "migrate VM 104 (web-1) from pve3 to pve2", "pve3: no route to host");
    let mut events = begun();
    events.extend(undone(Ending::Failed { failure }));
    events.push(event(181, Fact::RunFinished { status: RunStatus::RollbackIncomplete }));
    numbered(events)
}

pub fn paused_run() -> Vec<Event> {
    let mut events = begun();
    events.extend(undone(ok()));
    let signal = Signal::Cancel { level: 1, rollback: false };
    events.push(event(180, Fact::Signalled { key: "k".into(), signal }));
    events.push(event(181, Fact::RunFinished { status: RunStatus::Paused }));
    numbered(events)
}

pub fn locked_run() -> Vec<Event> {
    let mut events = begun();
    events.truncate(1);
    let holder = "run 77aa (talos-upgrade) since 01:58:00 by ops@desk, pid 812, running: `runbook status 77aa`";
    events.push(event(0, Fact::LockRefused { holder: holder.into() }));
    events.push(event(0, Fact::RunFinished { status: RunStatus::Stopped }));
    numbered(events)
}

pub fn good_run() -> Vec<Event> {
    let mut events = begun();
    events.extend([
        ended(900, "move[107]", 1, ok()),
        started(900, "move[211]", 1, Effect::Disrupt),
        ended(912, "move[211]", 1, ok()),
        started(912, "old_snapshot", 1, Effect::Destroy),
        ended(915, "old_snapshot", 1, ok()),
        event(915, Fact::Evaluated { path: "freeze".into(), verdict: Verdict::Satisfied }),
        started(915, "empty", 1, Effect::Read),
        ended(916, "empty", 1, ok()),
        event(916, Fact::RunFinished { status: RunStatus::Succeeded }),
    ]);
    numbered(events)
}

pub fn doubtful_run() -> Vec<Event> {
    let mut events = begun();
    let evidence = "the task is gone and VM 107 is on both nodes' lists".to_owned();
    events.extend([
        ended(152, "move[107]", 1, Ending::Failed { failure: failure().done(Done::Unknown) }),
        ended(170, "move[107]", 1, Ending::InDoubt { evidence }),
        event(170, Fact::RunFinished { status: RunStatus::RollbackIncomplete }),
    ]);
    numbered(events)
}

pub fn cancelled_run() -> Vec<Event> {
    let mut events = begun();
    let signal = Signal::Cancel { level: 1, rollback: false };
    events.extend([
        event(151, Fact::Signalled { key: "k".into(), signal }),
        ended(500, "move[107]", 1, ok()),
        event(500, Fact::RunFinished { status: RunStatus::Cancelled }),
    ]);
    numbered(events)
}

pub fn waiting_run() -> Vec<Event> {
    let mut events = begun();
    events.truncate(5);
    numbered(events)
}
