//! What bulk work holds at most, and how wide it is: guests of the scenario `herd`, the real program against a lab in this
//! process. Twice as many guests are not to cost twice the memory. `FLEET=400 cargo bench --bench bulk` takes that many of
//! the 2,000 of `fleet` instead.

mod tools;

use std::process::Stdio;
use std::time::{Duration, Instant};

use runbook::app::lab::{House, LabRequest};
use runbook::lab::world::World;
use tools::{heading, row};

const GUESTS: [usize; 3] = [50, 100, 180];
const AT_ONCE: &str = "max_parallel=16";

#[tokio::main]
async fn main() {
    let columns = ["MiB at most", "wall, s", "requests", "tasks at once", "at one node"];
    let fleet = std::env::var("FLEET").ok().and_then(|number| number.parse().ok());
    for runbook in ["bulk-shutdown", "tag-add"] {
        heading(&format!("{runbook}, {AT_ONCE}"), &columns);
        match fleet {
            Some(guests) => measure("fleet", runbook, guests).await,
            None => {
                for guests in GUESTS {
                    measure("herd", runbook, guests).await;
                }
            }
        }
    }
}

async fn measure(scenario: &str, runbook: &str, guests: usize) {
    // Much faster, and the figures of all guests would be all that the lab does.
    let request = LabRequest { time_scale: 60.0, sshd: false, ..LabRequest::new(scenario) };
    let house = House::start(&request, None).await.expect("a lab");
    let running = |world: &mut World| -> Vec<String> {
        // Those below 1000 are what bulk work treats in a way of their own.
        let made = world.guests().into_iter().filter(|vmid| vmid.0 >= 1000);
        let all = made.filter(|vmid| world.guest_status(*vmid) == Some("running"));
        all.take(guests).map(|vmid| vmid.to_string()).collect()
    };
    let chosen = house.with_world(running).expect("the lab's own world");
    assert_eq!(chosen.len(), guests, "the scenario has fewer that run");
    let mut args = vec!["run".to_owned(), runbook.to_owned()];
    args.extend((runbook == "tag-add").then(|| "audited".to_owned()));
    args.extend(chosen);
    let rest = ["--set", AT_ONCE, "--apply", "--yes", "--confirm", "shutdown", "--progress", "plain"];
    args.extend(rest.map(str::to_owned));
    let before = house.ledger().len();
    let since = Instant::now();
    let held = child(&args, &house).await;
    let wall = since.elapsed();
    let most = house.with_world(|world| world.most_tasks().clone()).expect("the lab's own world");
    let at_node = most.nodes.values().max().copied().unwrap_or_default();
    #[allow(clippy::cast_precision_loss, reason = "a few MiB")]
    let figures = [
        format!("{:.1}", held as f64 / 1024.0),
        format!("{:.1}", wall.as_secs_f64()),
        (house.ledger().len() - before).to_string(),
        most.site.to_string(),
        at_node.to_string(),
    ];
    row(&format!("{guests} of {scenario}"), &figures);
    house.leave().await;
}

/// Runs it to its end; the most that it held, KiB.
#[allow(clippy::disallowed_methods, reason = "a bench looks at the child from outside")]
async fn child(args: &[String], house: &House) -> u64 {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_runbook"));
    command.args(args).envs(house.env()).current_dir(house.folder()).env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("a child");
    let place = format!("/proc/{}/status", child.id().expect("it runs"));
    let mut most = 0;
    loop {
        let status = std::fs::read_to_string(&place).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default();
        most = most.max(now);
        if let Some(ended) = child.try_wait().expect("a child") {
            assert!(ended.success(), "it failed: {ended}");
            return most;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
