//! Local commands beside make, just, go-task, pyinfra and ansible-core, each as its own manual would have it.
//!
//! Prints a page for `docs/performance.md`. `scripts/peers` installs the others below the target folder; one that is not
//! there is left out, and that is said. `PEERS_ROUNDS` (5) and `PEERS_ONLY` (`runbook,make`) make it shorter. With five
//! rounds it takes five minutes on a quiet machine with two cores, four of them for ansible-core alone.

#[path = "tools/peers.rs"]
mod peers;
mod tools;

use std::path::Path;
use std::time::Duration;

use peers::{Peer, Work};
use tools::{of_children, quantile, timed};

/// Rounds of those that are slow.
const FEW: usize = 2;

/// What one peer took for one kind of work, round by round.
#[derive(Default, Clone)]
struct Taken {
    wall: Vec<Duration>,
    processor: Vec<Duration>,
}

#[allow(clippy::disallowed_macros, reason = "a bench has no printer")]
fn main() {
    let rounds = std::env::var("PEERS_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(5);
    let only = std::env::var("PEERS_ONLY").unwrap_or_default();
    // Below `target`, which is on a disk; the system's folder for temporary files may be in memory, where fsync is free.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let all = peers::all(folder.path());
    let wanted = |peer: &&Peer| only.is_empty() || only.split(',').any(|name| name == peer.name);
    let (there, missing): (Vec<&Peer>, Vec<&Peer>) = all.iter().filter(wanted).partition(|p| p.version.is_some());
    for peer in missing {
        println!("{} is not installed and left out: {}", peer.name, peer.install);
    }
    let mut taken = vec![vec![Taken::default(); Work::ALL.len()]; there.len()];
    let before = load();
    for round in 0..=rounds {
        for (w, work) in Work::ALL.into_iter().enumerate() {
            for (p, peer) in there.iter().enumerate() {
                if peer.slow && !(1..=FEW).contains(&round) {
                    continue;
                }
                // The first round warms what the disk and the programs keep, and is not counted.
                if let Some((wall, processor)) = measure(peer, work, folder.path())
                    && round > 0
                {
                    taken[p][w].wall.push(wall);
                    taken[p][w].processor.push(processor);
                }
            }
        }
        eprintln!("round {round} of {rounds}");
    }
    page(&there, &mut taken, rounds, folder.path(), &before);
}

#[allow(clippy::disallowed_macros, reason = "a bench has no printer")]
fn measure(peer: &Peer, work: Work, folder: &Path) -> Option<(Duration, Duration)> {
    let mut command = peer.command(work, folder)?;
    let before = of_children();
    let (wall, output) = timed(|| command.output().expect("a child"));
    eprintln!("{:>8.3} s {} {work:?}, load {}", wall.as_secs_f64(), peer.name, load());
    assert!(output.status.success(), "{} {work:?}: {}", peer.name, String::from_utf8_lossy(&output.stderr));
    Some((wall, of_children() - before))
}

#[allow(clippy::disallowed_macros, reason = "a bench has no printer")]
fn page(peers: &[&Peer], taken: &mut [Vec<Taken>], rounds: usize, folder: &Path, before: &str) {
    let today = peers::said("date", &["-u", "+%Y-%m-%d"]);
    println!("\nMeasured on {today} by `make bench-peers`: {}.", peers::machine(folder));
    println!(
        "{rounds} rounds, every program once in each, after one that is not counted; ansible-core in {} of them. Load before {before}, after {}.",
        rounds.min(FEW),
        load()
    );
    for (w, work) in Work::ALL.into_iter().enumerate() {
        println!("\n**{}**\n", work.title());
        println!("| | least, s | median, s | processor, s | to runbook's least |\n|---|---|---|---|---|");
        let own = taken[0][w].wall.iter().min().copied();
        for (p, peer) in peers.iter().enumerate() {
            let Taken { wall, processor } = &mut taken[p][w];
            if wall.is_empty() {
                println!("| {} | cannot | | | |", peer.name);
                continue;
            }
            let (least, median) = (wall.iter().min().copied().unwrap_or_default(), quantile(wall, 0.5));
            let ratio = own.map_or(f64::NAN, |own| least.as_secs_f64() / own.as_secs_f64());
            let figures = [least, median, quantile(processor, 0.5)].map(|time| format!("{:.3}", time.as_secs_f64()));
            println!("| {} | {} | {ratio:.2} |", peer.name, figures.join(" | "));
        }
    }
    println!("\n| program | version | one after another | 8 at a time |\n|---|---|---|---|");
    for peer in peers {
        let version = peer.version.as_deref().unwrap_or_default();
        println!("| {} | {version} | {} | {} |", peer.name, peer.how[0], peer.how[1]);
    }
}

/// The kernel's one-minute figure.
#[allow(clippy::disallowed_methods, reason = "this is the kernel's file, not one of ours")]
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").expect("Linux");
    text.split_whitespace().next().unwrap_or_default().to_owned()
}
