//! How long the command takes to start: `runbook version` is to take less than 3 ms.

mod tools;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tools::{heading, ms, of_children, quantile, row, timed};

const TIMES: usize = 300;

fn main() {
    let runbook = Path::new(env!("CARGO_BIN_EXE_runbook"));
    heading("process start and end: ms", &["median", "95 of 100", "least", "processor"]);
    // What the system itself takes to begin and end a process.
    measure("/bin/true", Path::new("/bin/true"), &[]);
    for args in [
        &["version"][..],
        &["--version"],
        &["--help"],
        &["list"],
        &["show", "evacuate"],
        &["lint"],
        &["schema"],
        &["actions"],
        &["runs"],
        &["plan", "no-such-runbook"],
    ] {
        measure(&format!("runbook {}", args.join(" ")), runbook, args);
    }
}

fn measure(name: &str, program: &Path, args: &[&str]) {
    let home = tempfile::tempdir().expect("a folder");
    for _ in 0..10 {
        once(program, args, home.path());
    }
    let before = of_children();
    let mut samples: Vec<Duration> = (0..TIMES).map(|_| once(program, args, home.path())).collect();
    let processor = (of_children() - before) / TIMES as u32;
    let figures = [quantile(&mut samples, 0.5), quantile(&mut samples, 0.95), samples[0], processor];
    row(name, &figures.map(|time| format!("{:.2}", ms(time))));
}

/// In this repository's folder, whose configuration it reads where it reads one.
#[allow(clippy::disallowed_methods, reason = "a bench measures the bare child")]
fn once(program: &Path, args: &[&str], home: &Path) -> Duration {
    let mut command = Command::new(program);
    command.args(args).env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin");
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    timed(|| command.status().expect("a child")).0
}
