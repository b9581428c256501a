//! The pictures of the README are what the program really shows: drawn anew here and compared with the files.
#![allow(clippy::disallowed_methods, reason = "a test is outside of the house: it starts the binary and reads files")]

use std::path::PathBuf;
use std::process::Command;

use regex::Regex;
use runbook::load::{NoOthers, load_runbook, shipped};
use runbook::report;

fn picture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/pictures").join(name)
}

/// Compares with the file, or writes it where the caller asked for that.
fn same(name: &str, drawn: &str) {
    let path = picture(name);
    if std::env::var_os("UPDATE_PICTURES").is_some() {
        std::fs::create_dir_all(path.parent().expect("a picture lies in a folder")).unwrap();
        std::fs::write(&path, drawn).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let first = there.lines().zip(drawn.lines()).find(|(a, b)| a != b);
    assert!(
        there == drawn,
        "{} is out of date: run UPDATE_PICTURES=1 make pictures\nfirst difference: {first:#?}",
        path.display()
    );
}

/// A plan of the lab as a terminal of 110 columns shows it.
fn plan() -> String {
    let folder = tempfile::tempdir().unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_runbook"))
        .args(["--lab", "--color", "always", "plan", "evacuate", "pve2"])
        .env("COLUMNS", "110")
        .env("LANG", "C.UTF-8")
        .env_remove("NO_COLOR")
        .env("XDG_STATE_HOME", folder.path())
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Leaves out what repeats, and says so: moves after the third, and the warnings.
fn shortened(plan: &str) -> String {
    let bare = Regex::new("\x1b\\[[0-9;]*m").unwrap();
    let (mut out, mut moves, mut left_out, mut warning) = (Vec::new(), 0, 0, false);
    for line in plan.lines() {
        let text = bare.replace_all(line, "");
        let text = text.trim_start();
        if text.starts_with("~ move[") {
            moves += 1;
        }
        if text.starts_with("Warning:") {
            if !warning {
                out.push("\x1b[2m⋮ warnings: what is tight, and what Proxmox did not confirm\x1b[0m".to_owned());
            }
            warning = true;
            continue;
        }
        if warning && !text.is_empty() {
            continue;
        }
        warning = false;
        if moves > 3 && (text.starts_with("~ move[") || text.starts_with("undo:")) {
            left_out += usize::from(text.starts_with("~ move["));
            continue;
        }
        if left_out > 0 {
            out.push(format!("   \x1b[2m⋮ {left_out} more moves, each with its undo\x1b[0m"));
            left_out = 0;
        }
        out.push(line.to_owned());
    }
    out.join("\n")
}

#[test]
fn the_plan_in_the_readme_is_what_the_program_shows() {
    let hash = Regex::new("plan [0-9a-f]{12}").unwrap();
    let text = shortened(&hash.replace(&plan(), "plan 3f6a1c0b9d24"));
    assert!(text.contains("Plan:") && text.contains("move["), "{text}");
    same("plan.svg", &report::svg("runbook --lab plan evacuate pve2", &text));
}

#[test]
fn the_graph_in_the_readme_is_that_of_the_shipped_runbook() {
    let catalogue = runbook::actions::specs();
    let source = shipped::source("node-evacuation").unwrap();
    let book = load_runbook(&source, &catalogue, &NoOthers).unwrap();
    same("graph.svg", &report::Graph::of_runbook(&book, &catalogue).svg());
}
