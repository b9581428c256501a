//! `runbook inventory` beside the loop that people write with proxmoxer, against one and the same lab: ten nodes, a thousand
//! guests, every call 20 ms of a worker, three workers a daemon. And what another client of the site feels meanwhile.
//!
//! Prints a section for `docs/performance.md`. `scripts/peers` installs proxmoxer below the target folder; without it that
//! part is left out, and that is said. `INVENTORY_ROUNDS` (3) is how often runbook is measured, `INVENTORY_DEAD` (0) how
//! many agents in a thousand are configured and do not run.

#[path = "tools/peers.rs"]
#[allow(dead_code, reason = "of the other programs' bench, two helpers")]
mod peers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use runbook::app::Settings;
use runbook::app::config::Config;
use runbook::app::lab::{House, LabRequest};
use runbook::app::open::OpenSite;
use runbook::lab::ledger::Entry;
use runbook::secrets::Redactor;
use serde_json::Value;

/// What each call holds its worker for: the lab's own time for any call, and the fault's.
const BUSY: Duration = Duration::from_millis(1 + 20);
const WORKERS: u32 = 3;
const TOKEN: &str = "ops@pve!runbook";

/// A run of a program, and what of it reached the site.
struct Measured {
    wall: Duration,
    /// VMIDs with at least one address.
    addressed: BTreeSet<String>,
    rows: usize,
    requests: Vec<Entry>,
    /// Most resident memory, KiB.
    memory: u64,
    /// What another client waited meanwhile.
    other: Vec<Duration>,
}

#[allow(clippy::disallowed_macros, reason = "a bench has no printer")]
fn main() {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let (rounds, dead) = (number("INVENTORY_ROUNDS", 3_usize), number("INVENTORY_DEAD", 0_usize));
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let today = peers::said("date", &["-u", "+%Y-%m-%d %H:%M"]);
    println!(
        "Measured on {today} UTC by `cargo bench --bench inventory` ({} build): {}.",
        build(),
        peers::machine(Path::new(env!("CARGO_TARGET_TMPDIR")))
    );
    println!("Load before {}.", load());
    threads.block_on(async {
        let house = lab(&format!("fleet:nodes=10,guests=1000,dead={dead}"), &["slow:GET /**=20ms"]).await;
        let quiet = waits_of_another(&house, Duration::from_secs(4)).await;
        let ours = best_of(rounds, &house).await;
        let loop_ = proxmoxer(&house).await;
        page(&quiet, &ours, loop_.as_ref(), dead);
        house.leave().await;
        let house = lab("fleet:nodes=10,guests=10000", &[]).await;
        let large = run(&house).await;
        println!(
            "\nMemory at 10,000 guests (`-o json`, most resident): {:.1} MiB for {} hosts (aim: under 64); {:.1} s without the 20 ms.",
            large.memory as f64 / 1024.0,
            large.rows,
            large.wall.as_secs_f64()
        );
        house.leave().await;
    });
    println!("Load after {}.", load());
}

fn build() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "optimised" }
}

async fn lab(scenario: &str, faults: &[&str]) -> House {
    let faults = faults.iter().map(|fault| (*fault).to_owned()).collect();
    // Time as it is: the figures of a fleet that move sixty times as fast would be what is measured.
    let request = LabRequest { time_scale: 1.0, sshd: false, faults, ..LabRequest::new(scenario) };
    House::start(&request, None).await.expect("a lab")
}

/// The least of some runs.
async fn best_of(rounds: usize, house: &House) -> Measured {
    let mut best: Option<Measured> = None;
    for _ in 0..rounds.max(1) {
        let run = run(house).await;
        if best.as_ref().is_none_or(|best| run.wall < best.wall) {
            best = Some(run);
        }
    }
    best.expect("one run at least")
}

#[allow(clippy::disallowed_methods, reason = "a bench measures the bare child")]
fn child(house: &House, program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(house.env())
        .env("HOME", house.folder())
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).current_dir(house.folder());
    command
}

/// `runbook inventory`, every guest asked anew.
async fn run(house: &House) -> Measured {
    let mut command = child(house, Path::new(env!("CARGO_BIN_EXE_runbook")));
    command.args(["inventory", "--fresh", "-o", "json"]);
    let (output, wall, memory, requests, other) = measured(house, command).await;
    let value: Value = serde_json::from_str(&output).expect("an inventory");
    let hosts = value["hosts"].as_array().expect("hosts");
    let addressed =
        hosts.iter().filter(|host| !host["primary"].is_null()).map(|host| host["vmid"].to_string()).collect();
    Measured { wall, addressed, rows: hosts.len(), requests, memory, other }
}

/// The loop; `None` where it is not installed.
async fn proxmoxer(house: &House) -> Option<Measured> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?.join("peers");
    let python = home.join("bin/python");
    let there = peers::said(&python.display().to_string(), &["-c", "import proxmoxer; print(proxmoxer.__version__)"]);
    if there.is_empty() {
        return None;
    }
    let config = Config::load(&settings(house)).ok()?;
    let node = config.site.cluster.nodes.first()?;
    let mut command = child(house, &python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/tools/proxmoxer_loop.py"));
    command.args([node.host.clone(), node.port.to_string(), TOKEN.to_owned()]).arg(house.folder().join("token"));
    let (output, wall, memory, requests, other) = measured(house, command).await;
    let value: Value = serde_json::from_str(&output).expect("the loop's line");
    let rows = value["rows"].as_object().expect("rows");
    let addressed =
        rows.iter().filter(|(_, found)| found.as_array().is_some_and(|f| !f.is_empty())).map(|(id, _)| id.clone());
    Some(Measured { wall, addressed: addressed.collect(), rows: rows.len(), requests, memory, other })
}

/// Runs it while another client asks the site, and counts what reaches the site but for that one's requests.
async fn measured(house: &House, mut command: Command) -> (String, Duration, u64, Vec<Entry>, Vec<Duration>) {
    let (before, stop) = (house.ledger().len(), Arc::new(AtomicBool::new(false)));
    let other = tokio::spawn(another(settings(house), stop.clone()));
    let begun = Instant::now();
    let child = command.spawn().expect("a child");
    let id = child.id();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().expect("a child"));
    let mut memory = 0;
    while !ended.is_finished() {
        memory = resident(id).unwrap_or_default().max(memory);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let wall = begun.elapsed();
    let output = ended.await.expect("a child");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    stop.store(true, Ordering::Relaxed);
    let waits = other.await.expect("the other client");
    let own = |entry: &Entry| entry.path != ASKED;
    let requests = house.ledger().into_iter().skip(before).filter(own).collect();
    (String::from_utf8_lossy(&output.stdout).into_owned(), wall, memory, requests, waits)
}

/// What the other client asks for; nobody else does.
const ASKED: &str = "/cluster/nextid";

/// Another client, which asks the nodes in turn, one call after another with a pause between.
async fn another(settings: Settings, stop: Arc<AtomicBool>) -> Vec<Duration> {
    let names: Vec<_> = Config::load(&settings).expect("the lab's configuration").site.cluster.nodes;
    let mut sites = Vec::new();
    for node in names {
        let mut config = Config::load(&settings).expect("the lab's configuration");
        config.site.cluster.nodes = vec![node];
        let site = OpenSite::connect(&settings, config, &Redactor::new()).await.expect("the lab's site");
        sites.push(site.proxmox.expect("a Proxmox site"));
    }
    let mut waits = Vec::new();
    for site in &sites {
        // The first call of a connection is its handshake.
        let _ = site.get(ASKED, &[]).await;
    }
    for site in sites.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let begun = Instant::now();
        if site.get(ASKED, &[]).await.is_ok() {
            waits.push(begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    waits
}

async fn waits_of_another(house: &House, time: Duration) -> Vec<Duration> {
    let stop = Arc::new(AtomicBool::new(false));
    let waits = tokio::spawn(another(settings(house), stop.clone()));
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    waits.await.expect("the other client")
}

fn settings(house: &House) -> Settings {
    let mut settings = Settings { cwd: house.folder().to_owned(), actor: "bench@here".into(), ..Settings::default() };
    house.settle_in(&mut settings);
    settings
}

/// Most resident memory of a process so far, KiB.
#[allow(clippy::disallowed_methods, reason = "this is the kernel's file, not one of ours")]
fn resident(id: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
}

/// How long the workers of the busiest node need for these requests, whoever makes them and however.
fn bound(requests: &[Entry]) -> Duration {
    let mut by_node: BTreeMap<&str, u32> = BTreeMap::new();
    for entry in requests {
        let own = entry.path.strip_prefix("/nodes/").and_then(|rest| rest.split('/').next());
        *by_node.entry(own.unwrap_or(entry.node.as_str())).or_default() += 1;
    }
    by_node.values().map(|calls| BUSY * *calls / WORKERS).max().unwrap_or_default()
}

fn p95(waits: &[Duration]) -> Duration {
    let mut sorted = waits.to_vec();
    sorted.sort_unstable();
    sorted.get((sorted.len().saturating_sub(1)) * 95 / 100).copied().unwrap_or_default()
}

#[allow(clippy::disallowed_macros, reason = "a bench has no printer")]
fn page(quiet: &[Duration], ours: &Measured, theirs: Option<&Measured>, dead: usize) {
    let (s, ms) = (
        |time: Duration| format!("{:.2}", time.as_secs_f64()),
        |time: Duration| format!("{:.0}", time.as_secs_f64() * 1e3),
    );
    println!("\n10 nodes, 1,000 guests, 20 ms a call, three workers a daemon, {dead} in a thousand agents dead:\n");
    println!(
        "| | time, s | requests | rows | with an address | memory, MiB | another client's p95, ms |\n|---|---|---|---|---|---|---|"
    );
    println!("| nobody | | | | | | {} ({} calls) |", ms(p95(quiet)), quiet.len());
    let row = |name: &str, run: &Measured| {
        println!(
            "| {name} | {} | {} | {} | {} | {:.1} | {} ({} calls) |",
            s(run.wall),
            run.requests.len(),
            run.rows,
            run.addressed.len(),
            run.memory as f64 / 1024.0,
            ms(p95(&run.other)),
            run.other.len()
        );
    };
    row("`runbook inventory --fresh`", ours);
    let bound = bound(&ours.requests);
    let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64().max(1e-9);
    match theirs {
        Some(theirs) => {
            row("the loop with proxmoxer", theirs);
            let lost: Vec<_> = theirs.addressed.difference(&ours.addressed).collect();
            println!(
                "\n- {:.1} times as fast (aim: 15 at least); guests that only the loop has an address of: {}.",
                ratio(theirs.wall, ours.wall),
                lost.len()
            );
        }
        None => println!("\n- proxmoxer is not installed and left out: scripts/peers"),
    }
    println!(
        "- The workers' bound for our requests is {} s (the busiest node's, {} ms each, {WORKERS} at once): we took {:.2} times that (aim: at most 1.3).",
        s(bound),
        BUSY.as_millis(),
        ratio(ours.wall, bound)
    );
    println!("- Another client's p95 rose {:.2} times (aim: at most 2).", ratio(p95(&ours.other), p95(quiet)));
}

/// The kernel's one-minute figure.
#[allow(clippy::disallowed_methods, reason = "this is the kernel's file, not one of ours")]
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").expect("Linux");
    text.split_whitespace().next().unwrap_or_default().to_owned()
}
