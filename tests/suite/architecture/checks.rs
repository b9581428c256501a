//! The checker, checked: it must not pass by reading nothing.

use super::rules::{self, OWNED, broken_arrows, impurities};
use super::source::{File, Mention, Reading, Tree, What};

fn names(path: &str) -> Vec<String> {
    path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn mentions(module: &str, text: &str) -> Vec<Mention> {
    Reading::of("src/some/file.rs", &names(module), text).mentions
}

/// What a module with this text uses of ours: `LINE PATH`.
fn ours(module: &str, text: &str) -> Vec<String> {
    let found = mentions(module, text);
    let ours = found.iter().filter_map(|m| match &m.what {
        What::Ours(names) => Some(format!("{} {}", m.line, names.join("::"))),
        _ => None,
    });
    ours.collect()
}

/// A crate of one module with this text.
fn crate_of(module: &str, text: &str) -> Tree {
    let path = format!("src/{}.rs", module.replace("::", "/"));
    let file = File {
        mentions: mentions(module, text),
        module: names(module),
        test: false,
        lines: text.lines().count(),
        has_doc: text.starts_with("//!"),
        path,
    };
    let mut tree = Tree::default();
    tree.files.push(file);
    tree
}

#[test]
fn finds_every_kind_of_use() {
    let text = "use crate::model::{ids::{RunId, StepPath}, plan as p};\nuse super::ports;\nuse self::inner::X;\n\
                pub use crate::event::*;\nuse crate::{graph, load::yaml::Tree};";
    assert_eq!(
        ours("engine::plan", text),
        [
            "1 model::ids::RunId",
            "1 model::ids::StepPath",
            "1 model::plan",
            "2 engine::ports",
            "3 engine::plan::inner::X",
            "4 event",
            "5 graph",
            "5 load::yaml::Tree"
        ]
    );
}

#[test]
fn finds_inline_paths() {
    let text = "fn f(x: crate::app::X) -> Vec<super::super::cli::Y> {\n    crate::lab::start(|_| crate::web::go::<crate::mcp::Z>());\n}";
    assert_eq!(ours("a::b", text), ["1 app::X", "1 cli::Y", "2 lab::start", "2 web::go", "2 mcp::Z"]);
}

#[test]
fn looks_into_macros_and_attributes() {
    let text = "#[serde(with = \"crate::model::ids\")]\nstruct S;\nfn f() {\n    vec![crate::app::X, (super::y::Z)];\n    \
                tokio::select! { _ = async { crate::lab::go().await } => {} }\n    format!(\"crate::not::this\");\n}";
    assert_eq!(ours("a::b", text), ["1 model::ids", "4 app::X", "4 a::y::Z", "5 lab::go"]);
}

#[test]
fn knows_where_it_is_inside_inline_modules() {
    assert_eq!(
        ours("a", "mod b {\n  mod c {\n    use super::super::x;\n  }\n  use super::y;\n}"),
        ["3 a::x", "5 a::y"]
    );
}

#[test]
fn leaves_out_test_code_comments_and_visibility() {
    let text = "//! [`crate::cli`]\n/// [`crate::cli`]\npub(in crate::engine) fn f() {}\n#[cfg(test)]\nmod tests {\n  use \
                crate::cli;\n}\n#[cfg(test)]\nuse crate::lab;\n#[cfg(all(test, unix))]\nfn g() { crate::lab::x() }\nimpl X \
                {\n#[cfg(test)]\nfn h() { crate::lab::x() }\n}";
    assert_eq!(ours("a", text), Vec::<String>::new());
    assert_eq!(ours("a", "#[cfg(not(test))]\nuse crate::lab;"), ["2 lab"]);
}

#[test]
fn follows_modules_to_their_files() {
    let read = Reading::of("src/a/mod.rs", &names("a"), "mod b;\n#[cfg(test)]\nmod tests;");
    let found: Vec<(String, bool)> = read.children.iter().map(|c| (c.module.join("::"), c.test)).collect();
    assert_eq!(found, [("a::b".to_owned(), false), ("a::tests".to_owned(), true)]);
}

#[test]
fn an_arrow_against_a_wall_is_told_with_place_and_reason() {
    let broken =
        broken_arrows(&crate_of("clients::proxmox", "use crate::sys;\nuse crate::engine::ports::Call;"), "clients");
    let [line] = broken.as_slice() else { panic!("{broken:?}") };
    assert!(line.starts_with("src/clients/proxmox.rs:2: clients may not use engine::ports::Call: "), "{line}");
    assert!(line.contains("without runbooks"), "{line}");
}

#[test]
fn a_wall_may_have_a_door() {
    let broken = |text| broken_arrows(&crate_of("actions::x", text), "actions").len();
    assert_eq!(broken("use crate::engine::ports::Call;"), 0);
    assert_eq!(broken("use crate::engine::machine::State;"), 1);
    assert_eq!(broken("use crate::engine::portside;"), 1);
    assert_eq!(broken("use crate::engine;"), 1);
    assert_eq!(broken("use crate::*;"), 1);
    assert_eq!(broken_arrows(&crate_of("lab::x", "use crate::load::yaml;"), "lab").len(), 0);
    assert_eq!(broken_arrows(&crate_of("lab::x", "use crate::clients;"), "lab").len(), 1);
}

#[test]
fn the_narrower_wall_holds() {
    let tree = crate_of("engine::machine::decide", "use crate::expr::Scope;\nuse super::super::ports;");
    assert_eq!(broken_arrows(&tree, "engine::machine").len(), 2);
    assert_eq!(broken_arrows(&tree, "engine").len(), 0);
}

#[test]
fn main_sees_the_library_by_its_name() {
    let broken = |text| broken_arrows(&crate_of("main", text), "main").len();
    assert_eq!(broken("fn main() -> ExitCode { runbook::cli::main() }"), 0);
    assert_eq!(broken("use runbook::app::run;"), 1);
}

#[test]
fn an_unknown_module_is_told() {
    assert_eq!(rules::modules_without_a_wall(&crate_of("utils::strings", "")).len(), 1);
    assert_eq!(rules::modules_without_a_wall(&crate_of("models", "")).len(), 1);
}

#[test]
fn impurities_are_found() {
    let broken = |text| impurities(&crate_of("engine::machine::x", text), &rules::MACHINE).len();
    assert_eq!(broken("use std::time::Instant;"), 1);
    assert_eq!(broken("use std::{fs, collections::{BTreeMap, HashMap}};"), 2);
    assert_eq!(broken("use std::collections;"), 1);
    assert_eq!(broken("fn f() { rand::random() }"), 1);
    assert_eq!(broken("async fn f() {}"), 1);
    assert_eq!(broken("use std::collections::BTreeMap;\nuse std::sync::Arc;"), 0);
}

#[test]
fn trespasses_are_found() {
    let broken = |module, text| {
        let tree = crate_of(module, text);
        OWNED.iter().map(|owned| rules::trespasses(&tree, owned).len()).sum::<usize>()
    };
    assert_eq!(broken("app::x", "use clap::Parser;"), 1);
    assert_eq!(broken("app::x", "#[derive(clap::Parser)]\nstruct X;"), 1);
    assert_eq!(broken("app::x", "use serde_saphyr as yaml;"), 1);
    assert_eq!(broken("app::x", "fn f() { rusqlite::Connection::open(x) }"), 1);
    assert_eq!(broken("cli::args", "use clap::Parser;"), 0);
    assert_eq!(broken("journal::sqlite::open", "use rusqlite::Connection;"), 0);
    assert_eq!(broken("journal::memory", "use rusqlite::Connection;"), 1);
}

#[test]
fn grants_are_found() {
    let broken = |module, text| rules::grants(&crate_of(module, text)).len();
    assert_eq!(broken("engine::plan", "fn f() { Mutate::grant(a, b, c) }"), 1);
    assert_eq!(broken("engine::plan", "use super::ports::Mutate as M;\nfn f() { M::grant(a, b, c) }"), 1);
    assert_eq!(broken("engine::drivers::embedded::unit", "fn f() { Mutate::grant(a, b, c) }"), 0);
}

#[test]
fn unsafe_code_is_found() {
    let broken = |text| rules::unsafe_code(&crate_of("sys::x", text)).len();
    assert_eq!(broken("fn f() { unsafe { g() } }"), 1);
    assert_eq!(broken("unsafe fn f() {}\nunsafe impl Send for X {}"), 2);
    assert_eq!(broken("fn f() { g() }"), 0);
}

#[test]
fn the_real_tree_is_really_read() {
    let tree = Tree::of_this_crate();
    let event = tree.files.iter().find(|file| file.path == "src/event/mod.rs").expect("src/event/mod.rs is read");
    let plan = What::Ours(names("model::plan::Plan"));
    assert!(event.mentions.iter().any(|mention| mention.what == plan), "{:?}", event.mentions);
    assert!(tree.product().count() > 20);
    assert!(tree.files.iter().any(|file| file.test && file.path == "src/engine/machine/tests/mod.rs"));
}
