//! What a runbook's page lists is what Proxmox asks for: by the official schema for each call of a run, and by the lab for
//! a token that lacks one.

use std::collections::BTreeSet;

use runbook::app::{Settings, books, needs};
use runbook::contracts::{Schema, Verb};
use runbook::load::{load_rehearsal, shipped};
use runbook::model::rehearsal::Case;

use crate::harness::{Lab, World, flat};
use crate::rig::torture;

/// A shipped runbook that asks Proxmox for something.
struct Book {
    name: &'static str,
    privileges: BTreeSet<String>,
    case: Case,
}

/// The case that needs what is listed, where that is not the first one.
const CASES: [(&str, &str); 1] = [("storage-orphans", "orphans")];

impl Book {
    /// Without those that only `root@pam` may run in a lab: nothing is refused to him.
    fn all() -> Vec<Self> {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { cwd: folder.path().to_owned(), ..Settings::default() };
        let books = shipped::names().filter_map(|name| {
            let runbook = books::find(&settings, name).unwrap_or_else(|e| panic!("{name}: {e}")).runbook;
            let privileges = needs::privileges_of(&runbook);
            let wanted = CASES.iter().find(|(of, _)| *of == name).map(|(_, case)| *case);
            let cases = load_rehearsal(&shipped::rehearsal(name)?).unwrap().cases;
            let case = cases.into_iter().find(|case| wanted.is_none_or(|wanted| case.name == wanted)).unwrap();
            // Those of a Talos cluster are rehearsed with stand-ins for its files, and not from a shell as here.
            let asks =
                case.user.is_none() && case.cluster.is_none() && privileges.iter().any(|text| named(text).is_some());
            asks.then_some(Self { name, privileges, case })
        });
        books.collect()
    }

    fn words(&self) -> String {
        let quote = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let args = self.case.args.iter().map(|arg| quote(arg));
        let set = self.case.set.iter().map(|(name, value)| format!("--set {}", quote(&format!("{name}={value}"))));
        let words: Vec<String> = args.chain(set).collect();
        format!(
            "runbook run {} {} --apply --yes --confirm pve2 --confirm shutdown --confirm destroy --progress quiet",
            self.name,
            words.join(" ")
        )
    }

    fn lab<'a>(&'a self, token: Option<&'a str>) -> Lab<'a> {
        Lab { scenario: &self.case.scenario, token, ..Lab::default() }
    }
}

/// The privilege of an entry; none in `SSH to a node as root`.
fn named(entry: &str) -> Option<&str> {
    entry.split_whitespace().next().filter(|word| word.contains('.'))
}

#[test]
fn every_call_of_a_run_is_allowed_by_what_its_page_lists() {
    let mut problems = Vec::new();
    for book in Book::all() {
        // Also one that is named within a text: what is asked for only where it is there.
        let words = book.privileges.iter().flat_map(|entry| entry.split([' ', ';', ':', ',']));
        let listed: BTreeSet<&str> = words.filter(|word| word.contains('.')).collect();
        let world = World::new();
        world.lab(&book.lab(None), &book.words()).exits(0);
        let mut calls = 0;
        for entry in world.ledger().iter().filter(|entry| entry["channel"] == "http" && entry["status"] == 200) {
            let (method, path) = (entry["method"].as_str().unwrap(), entry["path"].as_str().unwrap());
            // The site's lock is a pool, and a node's own report is more than the list has of it: a run goes on without
            // either, and `doctor` says what they need.
            let report = path.starts_with("/nodes/") && path.ends_with("/status") && path.matches('/').count() == 3;
            if report || path.starts_with("/pools") || entry["node"] == "netbox" {
                continue;
            }
            let verb = Verb::parse(method).unwrap();
            let (found, mut params) =
                Schema::version("9").find(verb, path).unwrap_or_else(|| panic!("{method} {path}"));
            let given = entry["params"].as_object().unwrap();
            params
                .extend(given.iter().map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())));
            let may = |_: &str, privilege: &str| listed.contains(privilege);
            if let Err(why) = found.permissions.check("ops@pve!runbook", &params, &may) {
                problems.push(format!("{}: {method} {path}: {why}", book.name));
            }
            calls += 1;
        }
        assert!(calls > 2, "{}: only {calls} calls", book.name);
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn a_token_that_lacks_one_is_refused_and_doctor_names_it() {
    for book in Book::all() {
        // One in brackets is needed at times only, unless the case was chosen for it; without the right to look a guest is
        // not there at all.
        let chosen = CASES.iter().any(|(name, _)| *name == book.name);
        let plain = book.privileges.iter().filter(|entry| chosen || !entry.contains('('));
        let acts = |privilege: &&str| !privilege.ends_with(".Audit");
        let lacking: BTreeSet<&str> = plain.filter_map(|entry| named(entry)).filter(acts).collect();
        // What only looks at the site and acts elsewhere.
        let looks = |entry: &String| named(entry).is_none_or(|privilege| privilege.ends_with(".Audit"));
        if book.privileges.iter().all(looks) {
            continue;
        }
        assert!(!lacking.is_empty(), "{}: {:?}", book.name, book.privileges);
        for privilege in lacking.into_iter().take(if torture() > 1 { usize::MAX } else { 1 }) {
            let (name, token) = (book.name, format!("ops@pve!without-{privilege}"));
            let world = World::new();
            let script = format!(
                "{} >run 2>&1; echo run=$?; runbook doctor --runbook {name} >doctor; echo doctor=$?",
                book.words()
            );
            let got = world.lab(&book.lab(Some(&token)), &script);
            got.exits(0).says(&["doctor=4"]);
            assert!(!got.stdout.contains("run=0"), "{name} without {privilege}: {}", world.read("run"));
            // Where its permissions tell it, the program does not even begin; else the lab's 403 is the answer.
            let run = flat(&world.read("run"));
            let foreseen = run.contains("nothing was changed [site::privilege]");
            let refused = world.ledger().iter().any(|entry| entry["status"] == 403);
            assert!(refused || foreseen && world.changes().is_empty(), "{name} without {privilege}: {run}");
            assert!(run.contains(privilege), "{name} without {privilege}: {run}");
            let doctor = flat(&world.read("doctor"));
            assert!(doctor.contains(&format!("missing: {privilege}")), "{name} without {privilege}: {doctor}");
            assert!(doctor.contains(&format!("--privs '{privilege}'")), "{doctor}");
        }
    }
}

/// The lab's own token may not give rights away.
#[test]
fn rbac_bootstrap_is_refused_to_whoever_may_not_give_rights_and_doctor_says_so() {
    let world = World::new();
    let script = "runbook run rbac-bootstrap runbook@pve --set store=pass:lab/pve --apply --yes >run 2>&1; echo run=$?; \
                  runbook doctor --runbook rbac-bootstrap >doctor; echo doctor=$?";
    let got = world.lab(&Lab { scenario: "tiny", ..Lab::default() }, script);
    got.exits(0).says(&["doctor=4"]);
    assert!(!got.stdout.contains("run=0"), "{}", world.read("run"));
    let (run, doctor) = (flat(&world.read("run")), flat(&world.read("doctor")));
    assert!(run.contains("Permissions.Modify"), "{run}");
    assert!(doctor.contains("missing: Permissions.Modify"), "{doctor}");
}
