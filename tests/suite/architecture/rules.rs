//! The rules, each with its reason.

use super::source::{File, Mention, Tree, What};

/// Who may use whom. A module may use itself; everything else of ours is listed.
pub struct Wall {
    /// `engine::machine`: the longest one that a file is in holds for it.
    pub module: &'static str,
    /// Modules, or single items of one.
    pub may: &'static [&'static str],
    pub why: &'static str,
}

const FACE: &[&str] = &["app", "event", "model", "report", "load::diagnostic"];
const FACE_WHY: &str = "a face shows events and calls use cases, so that none can go round a plan or an approval";
const KEEPER: &[&str] = &["engine::ports", "model", "event", "sys"];

pub const WALLS: &[Wall] = &[
    Wall { module: "sys", may: &[], why: "what touches the machine lies below everything and could be any program's" },
    Wall { module: "model", may: &[], why: "plain data that everyone shares; whatever it used, everyone would use" },
    Wall { module: "event", may: &["model"], why: "the contract between the engine and whoever shows or stores a run" },
    Wall {
        module: "expr",
        may: &["model", "event"],
        why: "expressions are evaluated alike while planning, running and linting; they reach nothing outside",
    },
    Wall { module: "graph", may: &["model", "event"], why: "the graph walks points and knows nothing of the work" },
    Wall {
        module: "contracts",
        may: &["model", "expr", "graph"],
        why: "the official schemas serve the client and the lab alike, and must not lean to either",
    },
    Wall {
        module: "load",
        may: &["model", "expr", "graph", "contracts"],
        why: "text in, model out: it is given text and a catalogue, so linting needs no site and no actions",
    },
    Wall {
        module: "engine",
        may: &["model", "event", "expr", "graph"],
        why: "the engine knows ports and never an implementation: planning, running and rehearsing differ only in those",
    },
    Wall {
        module: "engine::machine",
        may: &["model", "event", "graph"],
        why: "the machine is pure, so that thousands of failures and crashes are tested in seconds and a replay is the run",
    },
    Wall {
        module: "placement",
        may: &["model"],
        why: "facts in, moves and reasons out: whoever reads the facts is elsewhere",
    },
    Wall { module: "inventory", may: &["model"], why: "lines in, hosts out: whoever reads the lines is elsewhere" },
    Wall {
        module: "clients",
        may: &["sys", "model", "contracts"],
        why: "a client speaks for one outside system and would serve a program without runbooks",
    },
    Wall {
        module: "actions",
        may: &[
            "engine::ports",
            "event::Intent",
            "event::Invocation",
            "model",
            "placement",
            "inventory",
            "clients",
            "contracts",
            // Editing a YAML file needs the parser's places: docs/decisions/016.
            "load::yaml_edit",
        ],
        why: "an action is called through its port; one that saw the engine or a run's events could act on its own",
    },
    Wall { module: "journal", may: KEEPER, why: "it keeps events and decides nothing" },
    Wall { module: "secrets", may: KEEPER, why: "it resolves and redacts; it must not know what a secret is used for" },
    Wall {
        module: "report",
        may: KEEPER,
        why: "everything shown comes from events, so a replay shows what the run showed",
    },
    Wall {
        module: "ingest",
        may: &["load", "model", "contracts", "sys"],
        why: "it writes drafts from text and runs nothing",
    },
    Wall {
        module: "lab",
        // The scenarios are YAML, and one file names the YAML crate: docs/decisions/007.
        may: &["sys", "model", "contracts", "load::yaml"],
        why: "the simulated site must not share code with the clients that are tested against it: they would agree on errors",
    },
    Wall {
        module: "app",
        may: &[
            "sys",
            "model",
            "event",
            "expr",
            "graph",
            "contracts",
            "load",
            "engine",
            "placement",
            "inventory",
            "clients",
            "actions",
            "journal",
            "secrets",
            "report",
            "ingest",
            "lab",
        ],
        why: "the use cases serve every face, so they know none",
    },
    Wall { module: "cli", may: FACE, why: FACE_WHY },
    Wall { module: "web", may: FACE, why: FACE_WHY },
    Wall { module: "mcp", may: FACE, why: FACE_WHY },
    Wall { module: "main", may: &["cli"], why: "the binary is thin: everything it does can be called by a test" },
];

/// The wall that holds for a module.
fn wall_of(module: &str) -> Option<&'static Wall> {
    WALLS.iter().filter(|wall| is_in(module, wall.module)).max_by_key(|wall| wall.module.len())
}

/// Whether `path` is `outer` or below it.
fn is_in(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn place(file: &File, mention: &Mention) -> String {
    format!("{}:{}", file.path, mention.line)
}

/// Arrows against the wall of `module`, a line each.
pub fn broken_arrows(tree: &Tree, module: &str) -> Vec<String> {
    let files = tree.product().filter(|file| wall_of(&file.module.join("::")).is_some_and(|w| w.module == module));
    files.flat_map(|file| file.mentions.iter().filter_map(|mention| broken_arrow(file, mention))).collect()
}

fn broken_arrow(file: &File, mention: &Mention) -> Option<String> {
    let What::Ours(names) = &mention.what else { return None };
    let wall = wall_of(&file.module.join("::"))?;
    let target = names.join("::");
    if is_in(&target, wall.module) || wall.may.iter().any(|allowed| is_in(&target, allowed)) {
        return None;
    }
    let place = place(file, mention);
    let shown = if names.is_empty() { "everything in the crate's root" } else { &target };
    let may = if wall.may.is_empty() { "nothing else of ours".to_owned() } else { wall.may.join(", ") };
    Some(format!("{place}: {} may not use {shown}: {}. It may use: {may}", wall.module, wall.why))
}

/// Top modules that nothing is said of here.
pub fn modules_without_a_wall(tree: &Tree) -> Vec<String> {
    let files = tree.files.iter().filter(|file| !file.module.is_empty());
    files
        .filter(|file| wall_of(&file.module.join("::")).is_none())
        .map(|file| {
            format!("{}: say in tests/suite/architecture/rules.rs what this module may use, and why", file.path)
        })
        .collect()
}

/// What some modules may not name, of any crate.
pub struct Purity {
    pub modules: &'static [&'static str],
    pub never: &'static [&'static str],
    pub may_wait: bool,
    pub why: &'static str,
}

pub const MACHINE: Purity = Purity {
    modules: &["engine::machine"],
    never: &[
        "tokio",
        "async_trait",
        "futures",
        "rand",
        "tracing",
        "std::time",
        "std::fs",
        "std::io",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "std::sync::Mutex",
        "std::sync::RwLock",
        "std::collections::HashMap",
        "std::collections::HashSet",
        "std::hash::RandomState",
    ],
    may_wait: false,
    why: "time enters the machine as facts and its collections are ordered: the same facts always give the same commands",
};

pub const PURE: [Purity; 2] = [
    Purity {
        modules: &["model", "event", "expr", "graph", "placement", "inventory"],
        never: &[
            "tokio",
            "async_trait",
            "futures",
            "rand",
            "reqwest",
            "std::time::Instant",
            "std::time::SystemTime",
            "std::fs",
            // Addresses are plain values; sockets are not.
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::net::ToSocketAddrs",
            "std::net::UdpSocket",
            "std::env",
            "std::process",
            "std::thread",
        ],
        may_wait: false,
        why: "this module is given what it needs, so that a plan made twice from the same facts is the same plan",
    },
    Purity {
        modules: &["contracts", "load"],
        never: &[
            "tokio",
            "async_trait",
            "rand",
            "reqwest",
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::net::ToSocketAddrs",
            "std::net::UdpSocket",
            "std::process",
            "std::thread",
        ],
        may_wait: false,
        why: "checking a text needs no site: it reads what it is given and the data built into the binary",
    },
];

/// Where a module that must be pure is not.
pub fn impurities(tree: &Tree, purity: &Purity) -> Vec<String> {
    let files = tree.product().filter(|file| purity.modules.iter().any(|m| is_in(&file.module.join("::"), m)));
    let mut broken = Vec::new();
    for file in files {
        for mention in &file.mentions {
            let what = match &mention.what {
                What::Async if !purity.may_wait => "async".to_owned(),
                What::Other(names) if purity.never.iter().any(|never| names_it(names, never)) => names.join("::"),
                _ => continue,
            };
            broken.push(format!("{}: {what} has no place here: {}", place(file, mention), purity.why));
        }
    }
    broken
}

/// Whether these names are the forbidden thing, something in it, or the module that would bring it in unseen.
fn names_it(names: &[String], never: &str) -> bool {
    let named = names.join("::");
    is_in(&named, never) || (names.len() > 1 && is_in(never, &named))
}

/// A crate that we may want to replace, and where alone it may be named.
pub struct Owned {
    pub name: &'static str,
    /// Beginnings of paths.
    pub places: &'static [&'static str],
}

pub const OWNED: [Owned; 8] = [
    Owned { name: "rusqlite", places: &["src/journal/sqlite"] },
    Owned { name: "serde_saphyr", places: &["src/load/yaml.rs"] },
    Owned { name: "indicatif", places: &["src/report/human.rs"] },
    Owned { name: "miette", places: &["src/cli/diagnostic.rs"] },
    Owned { name: "openssh", places: &["src/clients/ssh.rs", "src/clients/ssh/"] },
    Owned { name: "minijinja", places: &["src/expr/"] },
    Owned { name: "petgraph", places: &["src/graph/", "src/load/"] },
    Owned { name: "clap", places: &["src/cli/"] },
];

/// Where a crate is named outside its place.
pub fn trespasses(tree: &Tree, owned: &Owned) -> Vec<String> {
    let mut broken = Vec::new();
    for file in tree.product().filter(|file| !owned.places.iter().any(|place| file.path.starts_with(place))) {
        for mention in &file.mentions {
            if matches!(&mention.what, What::Other(names) if names[0] == owned.name) {
                let (place, places) = (place(file, mention), owned.places.join(" or "));
                broken.push(format!(
                    "{place}: {} is named in {places} alone, so that it can be replaced there",
                    owned.name
                ));
            }
        }
    }
    broken
}

/// Where the right to change the world is made, other than by the driver of real runs.
pub fn grants(tree: &Tree) -> Vec<String> {
    let driver = |file: &&File| is_in(&file.module.join("::"), "engine::drivers::embedded");
    let mut broken = Vec::new();
    for file in tree.product().filter(|file| !driver(file)) {
        let in_engine = file.module.first().is_some_and(|module| module == "engine");
        for mention in &file.mentions {
            let (What::Ours(names) | What::Other(names)) = &mention.what else { continue };
            let [.., owner, last] = names.as_slice() else { continue };
            // Inside the engine under any name, since only there the compiler lets it be called.
            if last == "grant" && (owner == "Mutate" || in_engine) {
                let place = place(file, mention);
                broken.push(format!(
                    "{place}: only src/engine/drivers/embedded grants Mutate: the intent is durable by then, and a plan \
                     never gets it"
                ));
            }
        }
    }
    broken
}

/// Where the compiler's word for memory is replaced by ours.
pub fn unsafe_code(tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    for file in tree.product() {
        for mention in file.mentions.iter().filter(|mention| mention.what == What::Unsafe) {
            let place = place(file, mention);
            broken.push(format!(
                "{place}: unsafe: SECURITY.md promises that we have none; use a crate that is made for it"
            ));
        }
    }
    broken
}

/// Files below `beginning` of more than `most` lines.
pub fn longer_than(tree: &Tree, beginning: &str, most: usize) -> Vec<String> {
    let long = tree.files.iter().filter(|file| file.path.starts_with(beginning) && file.lines > most);
    long.map(|file| format!("{}: {} lines, at most {most}: it holds more than one noun", file.path, file.lines))
        .collect()
}

/// Modules that do not begin by saying what they are for.
pub fn modules_without_a_word(tree: &Tree) -> Vec<String> {
    let silent = tree.product().filter(|file| !file.has_doc && file.path != "src/main.rs");
    silent.map(|file| format!("{}: begin with `//!`: what it is for, and what it must not do", file.path)).collect()
}
