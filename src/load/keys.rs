//! The keys of the runbook language, one table for each kind of map.

use super::shape::{Key, Shape, Table};
use crate::model::param::ValueType;

const DURATION: Shape = Shape::Value(ValueType::Duration);
const CHECKS: Shape = Shape::List(&Shape::Table(&CHECK));
const PARAMS: Shape = Shape::Map(&Shape::Table(&PARAM));
const VALUES: Shape = Shape::Map(&Shape::Template);

pub static RUNBOOK: Table = Table {
    what: "a runbook",
    keys: &[
        Key::required("runbook", Shape::Text, "its name, the file's stem"),
        Key::required("schema", Shape::Int { min: 1, max: 1 }, "the version of this language: 1"),
        Key::new("title", Shape::Text, "one line: what it is for"),
        Key::new("description", Shape::Text, "Markdown, shown by `runbook show`"),
        Key::new("aliases", Shape::List(&Shape::Text), "other names under which it is found"),
        Key::required(
            "target",
            Shape::Choice(&["proxmox", "talos", "none"]),
            "what it works on: proxmox, talos or none",
        ),
        Key::new("params", PARAMS, "what the operator hands over"),
        Key::new("vars", VALUES, "named values; a later one may use an earlier one"),
        Key::new("lock", Shape::Choice(&["site", "none"]), "site is the default for whatever changes something"),
        Key::new("deadline", DURATION, "for the whole run"),
        Key::new(
            "on_failure",
            Shape::Choice(&["stop", "rollback", "ask"]),
            "what to do when a step has failed for good",
        ),
        Key::new("require", CHECKS, "checks before anything changes; all are run, all failures shown at once"),
        Key::required("steps", Shape::Steps, "what is done, one after another"),
        Key::new("finally", Shape::Steps, "always done: after success, failure, cancel and rollback"),
        Key::new("outputs", VALUES, "named values of the whole run"),
        Key::new("define", Shape::Map(&Shape::Table(&DEFINE)), "local procedures, used as `local.NAME`"),
    ],
};

pub static DEFINE: Table = Table {
    what: "a local procedure",
    keys: &[
        Key::new("title", Shape::Text, "one line: what it is for"),
        Key::new("params", PARAMS, "what its caller hands over"),
        Key::new("vars", VALUES, "named values; a later one may use an earlier one"),
        Key::new("deadline", DURATION, "for one call"),
        Key::new(
            "on_failure",
            Shape::Choice(&["stop", "rollback", "ask"]),
            "what to do when a step has failed for good",
        ),
        Key::new("require", CHECKS, "checks before anything changes"),
        Key::required("steps", Shape::Steps, "what is done, one after another"),
        Key::new("finally", Shape::Steps, "always done"),
        Key::new("outputs", VALUES, "what its caller gets"),
    ],
};

pub static PARAM: Table = Table {
    what: "a parameter",
    keys: &[
        Key::required("type", Shape::Choice(&TYPES), "what a value must look like"),
        Key::new("required", Shape::Bool, "default: required unless there is a default"),
        Key::new("default", Shape::Template, "may be an expression over cluster and config"),
        Key::new("enum", Shape::List(&Shape::Any), "the values that it takes"),
        Key::new("pattern", Shape::Text, "a regular expression that the whole text matches"),
        Key::new("min", Shape::Any, "the least value, in the spelling of the type"),
        Key::new("max", Shape::Any, "the greatest value, in the spelling of the type"),
        Key::new("items", Shape::Choice(&TYPES), "the type of a list's items"),
        Key::new(
            "positional",
            Shape::OneOf(&[Shape::Int { min: 1, max: 64 }, Shape::Choice(&["rest"])]),
            "which argument of the command line fills it: 1, 2, ... or rest",
        ),
        Key::new("help", Shape::Text, "one line for the operator"),
    ],
};

/// The types that a runbook may name; `any` is the catalogue's own.
pub const TYPES: [&str; 20] = [
    "string", "int", "float", "bool", "list", "map", "path", "duration", "size", "percent", "version", "ip", "cidr",
    "mac", "url", "vmid", "node", "guest", "cluster", "secret",
];

/// The keys that say what a step does; it has exactly one.
pub const VERBS: [&str; 4] = ["uses", "confirm", "steps", "parallel"];

pub static STEP: Table = Table {
    what: "a step",
    keys: &[
        Key::new("id", Shape::Id, "its name among its siblings"),
        Key::new("uses", Shape::Uses, "an action of the catalogue, `local.NAME`, `runbook:NAME` or `./file.yaml`"),
        Key::new("with", VALUES, "the action's parameters"),
        Key::new("confirm", Shape::OneOf(&[Shape::Text, Shape::Table(&CONFIRM)]), "a question to a person"),
        Key::new("steps", Shape::Steps, "a group, one after another"),
        Key::new("parallel", Shape::Steps, "a group, at the same time"),
        Key::new("needs", Shape::List(&Shape::Id), "siblings that come first; absent: the step before it; []: none"),
        Key::new("when", Shape::Expr, "false: the step is skipped"),
        Key::new("skip_if", Shape::Expr, "true: done already"),
        Key::new("for_each", Shape::Expr, "a list or a map: the step is done for each item"),
        Key::new("as", Shape::Id, "the item's name in expressions; default `item`"),
        Key::new("key", Shape::Expr, "what tells the items apart, unique and stable"),
        Key::new(
            "max_parallel",
            Shape::OneOf(&[Shape::Int { min: 1, max: 10_000 }, Shape::Template]),
            "how many items at once; default 1",
        ),
        Key::new(
            "batches",
            Shape::List(&Shape::Amount),
            "rolling waves: numbers or shares of all items; the last one is repeated",
        ),
        Key::new("limit", Shape::Table(&LIMIT), "at most so many at once for each value of an expression"),
        Key::new("max_failures", Shape::Amount, "how many items may fail without stopping the others; default 0"),
        Key::new("optional", Shape::Bool, "its failure does not fail the run"),
        Key::new("gate", CHECKS, "checks before the first item and between batches"),
        Key::new("timeout", DURATION, "for one attempt"),
        Key::new("deadline", DURATION, "for everything, retries and verify included"),
        Key::new("retry", Shape::Table(&RETRY), "when to try again"),
        Key::new("verify", CHECKS, "on top of what the action verifies by itself"),
        Key::new(
            "rollback",
            Shape::OneOf(&[Shape::Choice(&["auto"]), Shape::Table(&NO_ROLLBACK), Shape::Steps]),
            "what undoes it: auto, none with the reason, or steps",
        ),
        Key::new(
            "on_failure",
            Shape::Choice(&["stop", "continue", "rollback", "ask"]),
            "what to do when it has failed for good",
        ),
        Key::new("effect", Shape::Choice(&["read", "change", "disrupt", "destroy"]), "only to raise it"),
        Key::new("outputs", VALUES, "named values for later steps; default: the action's"),
    ],
};

pub static CONFIRM: Table = Table {
    what: "a confirm",
    keys: &[
        Key::required("message", Shape::Template, "the question"),
        Key::new("show", Shape::Template, "what the person should see first"),
        Key::new("type", Shape::Template, "the word that must be typed"),
    ],
};

pub static LIMIT: Table = Table {
    what: "a limit",
    keys: &[
        Key::required("by", Shape::Expr, "what is counted apart, say the target node"),
        Key::required("max", Shape::Int { min: 1, max: 10_000 }, "how many at once"),
    ],
};

pub static RETRY: Table = Table {
    what: "a retry",
    keys: &[
        Key::required("attempts", Shape::Int { min: 1, max: 100 }, "all attempts, the first included"),
        Key::new("backoff", DURATION, "before the second attempt; default 10s"),
        Key::new("factor", Shape::Number, "what each further wait is multiplied by; default 2"),
        Key::new("max", DURATION, "the longest wait; default 5m"),
        Key::new(
            "errors",
            Shape::List(&Shape::Choice(&["transient", "timeout", "unreachable", "locked"])),
            "which failures; default all four",
        ),
    ],
};

pub static CHECK: Table = Table {
    what: "a check",
    keys: &[
        Key::new("uses", Shape::Uses, "an action that only reads; without it the check is a test of `result`"),
        Key::new("with", VALUES, "the action's parameters"),
        Key::new("expect", Shape::Expr, "what must hold of `result`"),
        Key::new("every", DURATION, "between two looks; default 5s"),
        Key::new("within", DURATION, "until it counts as failed; default one look"),
        Key::new("stable_for", DURATION, "for how long it must hold without a break"),
        Key::new("message", Shape::Template, "what to say when it does not hold"),
    ],
};

pub static NO_ROLLBACK: Table =
    Table { what: "a rollback", keys: &[Key::required("none", Shape::Text, "why nothing undoes it")] };

pub static REHEARSAL: Table = Table {
    what: "a rehearsal",
    keys: &[
        Key::required("test", Shape::Text, "the runbook's name, the file's stem"),
        Key::required("schema", Shape::Int { min: 1, max: 1 }, "the version of this language: 1"),
        Key::required(
            "cases",
            Shape::List(&Shape::Table(&CASE)),
            "ways of calling it; every injection is made in each",
        ),
    ],
};

pub static CASE: Table = Table {
    what: "a case",
    keys: &[
        Key::required("name", Shape::Text, "what the results call it, unique in the file"),
        Key::required("scenario", Shape::Text, "the lab: one of `runbook lab scenarios`"),
        Key::new("args", Shape::List(&Shape::Any), "values of positional parameters, as they would be typed"),
        Key::new("set", Shape::Map(&Shape::Any), "parameters by name, as --set would have them"),
        Key::new("cluster", Shape::Text, "the guest cluster"),
        Key::new("user", Shape::Text, "who the run is to the lab's site, by password: root@pam; without it, its token"),
        Key::new("faults", Shape::List(&Shape::Text), "faults of the lab, there from the beginning"),
        Key::new("expect", Shape::Table(&EXPECT), "how the undisturbed run must end"),
    ],
};

pub static EXPECT: Table = Table {
    what: "an expectation",
    keys: &[Key::required(
        "status",
        Shape::Choice(&["succeeded", "failed", "stopped", "rolled_back", "rollback_incomplete", "paused"]),
        "the run's status; default succeeded",
    )],
};
