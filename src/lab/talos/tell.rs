//! What a machine has written, and its clock.

use super::{Call, Reply, get, text};
use crate::lab::world::World;

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
    if world.machine_at(call.node).is_none() {
        return call.unreachable("error fetching time: ");
    }
    let now = text::time(world);
    let server = call.typed.flag("check").unwrap_or("time.cloudflare.com").to_owned();
    Reply::said(text::table(
        &["NODE", "NTP-SERVER", "NODE-TIME", "NTP-SERVER-TIME"],
        &[vec![call.node.to_owned(), server, now.clone(), now]],
    ))
}
