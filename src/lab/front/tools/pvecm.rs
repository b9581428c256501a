//! `pvecm status` and `pvecm nodes`: the words of `corosync-quorumtool`, which they run.

use jiff::Timestamp;
use serde_json::Value;

use super::desk::Desk;
use super::show::plain;
use super::{failed, refusal, unknown};
use crate::lab::call::CommandReply;

/// A member as corosync counts it.
struct Member {
    id: u64,
    name: String,
    ip: String,
    here: bool,
}

pub(super) fn run(desk: &mut Desk<'_>, words: &[String]) -> CommandReply {
    let what = match words {
        [what] if what == "status" || what == "nodes" => what.as_str(),
        [what, _, ..] if what == "status" || what == "nodes" => {
            return refusal(255, format!("400 too many arguments\npvecm {what}\n"));
        }
        _ => return unknown("pvecm", words),
    };
    let rows = match desk.read("/cluster/status", &[]) {
        Ok(rows) => rows,
        Err(error) => return failed(&error, ""),
    };
    let rows = rows.as_array().cloned().unwrap_or_default();
    let Some(cluster) = rows.iter().find(|row| row["type"] == "cluster") else {
        let file = "/etc/pve/corosync.conf";
        let text = format!("Error: Corosync config '{file}' does not exist - is this node part of a cluster?\n");
        return refusal(2, text);
    };
    let all = rows.iter().filter(|row| row["type"] == "node").count();
    let seen = rows.iter().filter(|row| row["type"] == "node" && row["online"] == 1);
    let mut members: Vec<Member> = seen.map(member).collect();
    members.sort_by_key(|member| member.id);
    let quorate = cluster["quorate"] == 1;
    let stdout = if what == "nodes" { nodes(&members) } else { status(desk, cluster, &members, all, quorate) };
    // Source: corosync-quorumtool(8): 2 without a quorum.
    let exit = if quorate || what == "nodes" { 0 } else { 2 };
    CommandReply { exit, stdout, stderr: String::new(), mutating: false }
}

fn member(row: &Value) -> Member {
    Member {
        id: row["nodeid"].as_u64().unwrap_or_default(),
        name: plain(&row["name"]),
        ip: plain(&row["ip"]),
        here: row["local"] == 1,
    }
}

fn local(member: &Member) -> &'static str {
    if member.here { " (local)" } else { "" }
}

fn nodes(members: &[Member]) -> String {
    let of = |member: &Member| format!("{:>10} {:>10} {}{}\n", member.id, 1, member.name, local(member));
    let rows: String = members.iter().map(of).collect();
    format!("\nMembership information\n----------------------\n    Nodeid      Votes Name\n{rows}")
}

fn status(desk: &Desk<'_>, cluster: &Value, members: &[Member], all: usize, quorate: bool) -> String {
    let here = members.iter().find(|member| member.here).map_or(0, |member| member.id);
    let now = i64::try_from(desk.world.now_ms()).unwrap_or_default();
    let date =
        Timestamp::from_millisecond(now).map_or_else(|_| String::new(), |t| t.strftime("%a %b %e %T %Y").to_string());
    let ring = members.first().map_or(0, |member| member.id);
    let of = |member: &Member| format!("0x{:08x} {:>10} {}{}\n", member.id, 1, member.ip, local(member));
    let rows: String = members.iter().map(of).collect();
    let (yes, blocked, flags) = if quorate { ("Yes", " ", "Quorate") } else { ("No", " Activity blocked", "") };
    format!(
        "Cluster information\n-------------------\n\
         Name:             {}\nConfig Version:   {}\nTransport:        knet\nSecure auth:      on\n\n\
         Quorum information\n------------------\n\
         Date:             {date}\nQuorum provider:  corosync_votequorum\nNodes:            {}\n\
         Node ID:          0x{here:08x}\nRing ID:          {ring:x}.{:x}\nQuorate:          {yes}\n\n\
         Votequorum information\n----------------------\n\
         Expected votes:   {all}\nHighest expected: {all}\nTotal votes:      {}\n\
         Quorum:           {}{blocked}\nFlags:            {flags}\n\n\
         Membership information\n----------------------\n    Nodeid      Votes Name\n{rows}",
        plain(&cluster["name"]),
        plain(&cluster["version"]),
        members.len(),
        all,
        members.len(),
        all / 2 + 1,
    )
}
