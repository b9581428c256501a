//! What a machine has written, and its clock.

use super::{Call, Reply, get, text};
use crate::lab::world::World;
use crate::lab::world::talos::Ill;

/// How far a clock is behind that is.
const BEHIND_MS: i64 = 90_000;

/// Each line has its node before it.
fn lines<'a>(node: &str, all: impl IntoIterator<Item = &'a str>) -> Reply {
    Reply::said(all.into_iter().map(|line| format!("{node}: {line}\n")).collect())
}

pub(super) fn dmesg(world: &World, call: &Call<'_>) -> Reply {
    let Some((_, machine)) = world.machine_at(call.node) else { return call.unreachable("error getting dmesg: ") };
    if call.typed.is_on("follow") {
        return Reply::failed("the lab does not stand in for `talosctl dmesg --follow`");
    }
    lines(call.node, machine.lines.iter().map(String::as_str))
}

pub(super) fn logs(world: &World, call: &Call<'_>) -> Reply {
    let Some((_, machine)) = world.machine_at(call.node) else { return call.unreachable("error fetching logs: ") };
    if call.typed.is_on("follow") || call.typed.is_on("kubernetes") {
        return Reply::failed("the lab does not stand in for `talosctl logs --follow` and `--kubernetes`");
    }
    let name = call.typed.args.first().map_or("", String::as_str);
    if name == "machined" {
        return lines(call.node, machine.lines.iter().map(String::as_str));
    }
    match get::service(world, call.node, name) {
        Some((health, event)) => {
            let line = format!("{{\"level\":\"info\",\"msg\":\"{name}: health {health}: {event}\"}}");
            lines(call.node, [line.as_str()])
        }
        None => Reply::failed(format_args!(
            "error fetching logs: rpc error: code = Unknown desc = log {name:?} was not registered"
        )),
    }
}

pub(super) fn time(world: &World, call: &Call<'_>) -> Reply {
    let Some((_, machine)) = world.machine_at(call.node) else { return call.unreachable("error fetching time: ") };
    let behind = if machine.ills.contains(&Ill::ClockBehind) { BEHIND_MS } else { 0 };
    let at = |ms: i64| text::time(world.epoch_ms() - ms);
    let server = call.typed.flag("check").unwrap_or("time.cloudflare.com").to_owned();
    Reply::said(text::table(
        &["NODE", "NTP-SERVER", "NODE-TIME", "NTP-SERVER-TIME"],
        &[vec![call.node.to_owned(), server, at(behind), at(0)]],
    ))
}

/// Also what can never be written and is always full: the system's own image.
pub(super) fn mounts(world: &World, call: &Call<'_>) -> Reply {
    let Some((_, machine)) = world.machine_at(call.node) else { return call.unreachable("error getting mounts: ") };
    let used = if machine.ills.contains(&Ill::DiskFull) { 0.97 } else { 0.21 };
    let head = ["NODE", "FILESYSTEM", "SIZE(GB)", "USED(GB)", "AVAILABLE(GB)", "PERCENT USED", "MOUNTED ON"];
    let all = [
        ("devtmpfs", 2.06, 0.0, "/dev"),
        ("tmpfs", 2.10, 0.01, "/run"),
        ("/dev/loop0", 0.08, 1.0, "/"),
        ("/dev/sda5", 0.10, 0.02, "/system/state"),
        ("/dev/sda6", 41.5, used, "/var"),
    ];
    let row = |(filesystem, size, share, on): (&str, f64, f64, &str)| {
        let figures = [size, size * share, size * (1.0 - share)].map(|figure| format!("{figure:.2}"));
        let [size, used, free] = figures;
        let percent = format!("{:.2}%", share * 100.0);
        vec![call.node.to_owned(), filesystem.to_owned(), size, used, free, percent, on.to_owned()]
    };
    Reply::said(text::table(&head, &all.map(row)))
}
