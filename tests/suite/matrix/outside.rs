//! What goes to hosts and servers that are no Proxmox site (`ssh.run`, `ssh.copy`, `http.request`) × what may go wrong on
//! the way there: the same demand as of the site's own actions. A real sshd, a real HTTP server, and a relay before them
//! that breaks; the plan is made while all is well.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::harness::{Got, World, flat};
use super::super::real_ssh::Sshd;
use super::super::rig::torture;
use super::super::ssh_acts::world;
use super::relay::{Fault, KINDS, Kind, Relay, Server, file_of};

/// More than a connection carries before its change.
const BODY: usize = 300 * 1024;

/// One way of calling an action.
pub struct Row {
    pub action: &'static str,
    /// `FOLDER`, `BODY` (a file of the change's text) and `PORT` are put in.
    step: &'static str,
    /// Whether it may be asked for twice without harm: what is there is what counts.
    steady: bool,
    rare: bool,
}

const RUN: &str =
    r#"uses: ssh.run, with: {host: pve1, stdin: "TEXT", script: "cat >/dev/null; echo done >>FOLDER/log; sleep 1""#;

pub const ROWS: &[Row] = &[
    Row { action: "ssh.run", step: RUN, steady: false, rare: false },
    Row {
        action: "ssh.run",
        step: r#"uses: ssh.run, with: {host: pve1, stdin: "TEXT", creates: FOLDER/made, script: "cat >/dev/null; echo done >>FOLDER/log; echo x >FOLDER/made; sleep 1""#,
        steady: false,
        rare: true,
    },
    Row {
        action: "ssh.copy",
        step: "uses: ssh.copy, with: {host: pve1, to: FOLDER/file, src: BODY",
        steady: true,
        rare: false,
    },
    Row {
        action: "http.request",
        step: r#"uses: http.request, with: {url: "http://127.0.0.1:PORT/x", method: POST, body: "TEXT""#,
        steady: false,
        rare: false,
    },
    Row {
        action: "http.request",
        step: r#"uses: http.request, with: {url: "http://127.0.0.1:PORT/x", method: PUT, body: "TEXT""#,
        steady: true,
        rare: true,
    },
];

/// A host and a server behind a relay each, and a program that reaches them through it.
struct Scene {
    relay: Relay,
    sshd: Sshd,
    world: World,
    row: &'static Row,
    requests: Arc<AtomicU64>,
}

impl Scene {
    async fn of(row: &'static Row) -> Self {
        let (sshd, server) = (Sshd::start().await, Server::start());
        let folder = sshd.dir.path().to_owned();
        let (config, _) = sshd.client("pve1", "client", Some("host"));
        let http = row.action.starts_with("http");
        let requests = server.taken.clone();
        let seen = match row.action {
            "http.request" => {
                let taken = requests.clone();
                Arc::new(move || taken.load(Ordering::SeqCst) > 0) as super::relay::Seen
            }
            "ssh.copy" => file_of(folder.join("file"), BODY as u64),
            _ => file_of(folder.join("log"), 1),
        };
        let relay = Relay::start(if http { server.port } else { sshd.port }, seen);
        through(&config, sshd.port, relay.port);
        let body = "x".repeat(BODY);
        let step = row
            .step
            .replace("FOLDER", &folder.display().to_string())
            .replace("PORT", &relay.port.to_string())
            .replace("BODY", &folder.join("body").display().to_string())
            .replace("TEXT", &body);
        runbook::sys::files::write_atomic(folder.join("body"), body.as_bytes(), 0o644).unwrap();
        let world = world(&config, &format!("steps: [{{id: act, timeout: 12s, {step}}}}}]\n"));
        world.runbook(&["plan", "x.yaml", "--out", "plan.json"]).exits(0);
        Self { relay, sshd, world, row, requests }
    }

    /// How often it was carried out; of a file, whether it is there.
    fn done(&self) -> u64 {
        let read = |name: &str| runbook::sys::files::read_text(self.sshd.dir.path().join(name)).unwrap_or_default();
        match self.row.action {
            "http.request" => self.requests.load(Ordering::SeqCst),
            "ssh.copy" => u64::from(read("file").len() == BODY),
            _ => read("log").lines().count() as u64,
        }
    }

    fn stranger(&self) {
        let (_, known) = self.sshd.client("other", "client", Some("stranger"));
        let text = runbook::sys::files::read_text(known).unwrap();
        let text = text.replace(&format!(":{}", self.sshd.port), &format!(":{}", self.relay.port));
        runbook::sys::files::write_private(self.sshd.dir.path().join("known-client-host"), text.as_bytes()).unwrap();
    }

    fn acquaintance(&self) {
        let (config, _) = self.sshd.client("pve1", "client", Some("host"));
        through(&config, self.sshd.port, self.relay.port);
    }

    /// What is wrong with how it ended, if anything is.
    fn judge(&self, got: &Got, again: bool) -> Vec<String> {
        let (text, done) = (flat(&got.both()), self.done());
        let mut wrong = Vec::new();
        if done > 1 && !self.row.steady {
            wrong.push(format!("it was carried out {done} times"));
        }
        match got.exit {
            Some(0) if done == 0 => wrong.push("a false success: nothing was done".into()),
            Some(0) => {}
            // A step that was in doubt may be said to be done, or not, by a person alone.
            Some(1) if done > 0 && !again => wrong.push("it was done, and is said to have failed".into()),
            Some(1) if !text.contains("failed") => wrong.push("a failure that is not said".into()),
            Some(1) => {}
            Some(_) if !text.contains("in doubt") => wrong.push("a doubt that is not said".into()),
            Some(_) if !text.contains("runbook resume") => wrong.push("what to do about it is not said".into()),
            Some(_) => {}
            None => wrong.push("it was killed".into()),
        }
        wrong.into_iter().map(|why| format!("{why} (exit {:?}, done {done}): {text}", got.exit)).collect()
    }
}

/// Has a client's files lead to the relay.
fn through(config: &Path, from: u16, to: u16) {
    for file in [config.to_owned(), config.with_file_name("known-client-host")] {
        let text = runbook::sys::files::read_text(&file).unwrap();
        let text = text.replace(&format!("Port {from}"), &format!("Port {to}"));
        let text = text.replace(&format!("]:{from} "), &format!("]:{to} "));
        runbook::sys::files::write_private(&file, text.as_bytes()).unwrap();
    }
}

/// How a cell ended, for the report, and what is wrong with it.
async fn cell(row: &'static Row, fault: Option<&Fault>) -> (Option<i32>, Vec<String>) {
    let scene = Scene::of(row).await;
    match fault {
        Some(fault) => scene.relay.lay(Some(fault.clone())),
        None => {
            scene.stranger();
            scene.relay.lay(None);
        }
    }
    let got = scene.world.runbook(&["apply", "plan.json", "--yes"]);
    let mut wrong = scene.judge(&got, false);
    if matches!(fault, Some(Fault { kind: Kind::Refused | Kind::CutBefore | Kind::Silent, times: None }) | None) {
        wrong.extend((got.exit == Some(0)).then(|| "nobody was reached, and it succeeded".to_owned()));
        wrong.extend((scene.done() > 0).then(|| "nobody was reached, and it was done".to_owned()));
    }
    if got.exit.is_some_and(|exit| exit > 1) {
        if fault.is_none() {
            scene.acquaintance();
        }
        scene.relay.lay(None);
        let again = scene.world.runbook(&["resume", "last", "--yes"]);
        wrong.extend(scene.judge(&again, true).into_iter().map(|why| format!("resumed: {why}")));
    }
    (got.exit, wrong)
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::disallowed_macros, reason = "how the cells ended is shown with --nocapture")]
async fn what_is_lost_on_the_way_to_a_host_is_never_a_success_nor_repeated() {
    let only = std::env::var("ROW").ok();
    let asked_for = |row: &&Row| only.as_ref().is_none_or(|only| row.action.ends_with(only));
    let (mut bad, mut ends) = (String::new(), std::collections::BTreeMap::new());
    for row in ROWS.iter().filter(|row| !row.rare || torture() > 1).filter(asked_for) {
        let times: &[Option<u32>] = if torture() > 1 { &[Some(1), None] } else { &[Some(1)] };
        let mut faults: Vec<Option<Fault>> = KINDS
            .into_iter()
            .flat_map(|kind| times.iter().map(move |times| Some(Fault { kind, times: *times })))
            // Nobody listens for good, or not at all.
            .filter(|fault| {
                fault
                    .as_ref()
                    .is_none_or(|fault| fault.kind != Kind::Refused || fault.times.is_none() || torture() == 1)
            })
            .collect();
        if row.action.starts_with("ssh") {
            faults.push(None);
        }
        for fault in faults {
            let (exit, wrong) = cell(row, fault.as_ref()).await;
            let name = fault.map_or_else(|| "host key changed".to_owned(), |f| format!("{:?} × {:?}", f.kind, f.times));
            *ends.entry((name.clone(), exit)).or_insert(0) += 1;
            println!("{} {name}: {exit:?}", row.action);
            for why in wrong {
                let _ = writeln!(bad, "{} ({}) × {name}: {why}", row.action, &row.step[..40]);
            }
        }
    }
    assert!(bad.is_empty(), "{bad}");
    assert!(only.is_some() || ends.len() > KINDS.len(), "{ends:?}");
}
