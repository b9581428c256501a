//! `talosctl bootstrap`: a control plane begins an etcd of its own, from nothing or from a snapshot; and what a snapshot of
//! the lab looks like.

use sha2::{Digest, Sha256};

use super::{Call, Reply};
use crate::lab::world::World;
use crate::lab::world::talos::Stage;
use crate::sys::files;

/// Bytes of the database that a snapshot of the lab holds; a real one has megabytes.
pub(super) const PAGES: usize = 16 * 4096;
const SUM: usize = 32;
const MAGIC: u32 = 0xED0C_DAED;
/// Tells a snapshot of the lab from one of a real etcd.
const OURS: &[u8; 8] = b"lab etcd";
/// How many keys are said to be in each.
pub(super) const KEYS: u32 = 1287;

/// A snapshot at a revision, and its hash.
pub(super) fn snapshot(revision: u64) -> (Vec<u8>, u32) {
    let mut bytes: Vec<u8> = (0..PAGES).map(|at| (at / 64) as u8).collect();
    bytes[..8].copy_from_slice(OURS);
    bytes[16..20].copy_from_slice(&MAGIC.to_le_bytes());
    bytes[24..32].copy_from_slice(&revision.to_le_bytes());
    let sum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&sum);
    (bytes, u32::from_be_bytes([sum[0], sum[1], sum[2], sum[3]]))
}

/// What talosctl itself sees in a snapshot before it sends it: `whole REVISION HASH`, or why it is none of the lab's.
pub(super) fn look(path: &str) -> Option<String> {
    let bytes = files::read_bytes(path).ok()?;
    if bytes.len() != PAGES + SUM || bytes[..8] != *OURS {
        return Some("foreign".into());
    }
    let sum = Sha256::digest(&bytes[..PAGES]);
    if sum[..] != bytes[PAGES..] {
        return Some("damaged".into());
    }
    let revision = bytes[24..32].try_into().map_or(0, u64::from_le_bytes);
    Some(seen(revision))
}

/// The same of a snapshot that is nowhere a file: a rehearsal has none.
pub(super) fn seen(revision: u64) -> String {
    format!("whole {revision} {:08x}", snapshot(revision).1)
}

pub(super) fn bootstrap(world: &mut World, call: &Call<'_>, file: Option<&str>) -> Reply {
    let doing = "error executing bootstrap: ";
    let refused = |code: &str, why: &str| Reply::failed(format_args!("{doing}rpc error: code = {code} desc = {why}"));
    let (mut revision, mut stdout) = (1, String::new());
    if let Some(path) = call.typed.flag("recover-from") {
        let Some(seen) = file else {
            return Reply::failed(format_args!("error opening snapshot file: open {path}: no such file or directory"));
        };
        let words: Vec<&str> = seen.split(' ').collect();
        let ["whole", own, hash] = words[..] else {
            return Reply::failed(format_args!(
                "the lab does not stand in for a recovery from a snapshot that is not whole, or not of the lab: {path} is {seen}"
            ));
        };
        if call.typed.is_on("recover-skip-hash-check") {
            return Reply::failed("the lab does not stand in for `talosctl bootstrap --recover-skip-hash-check`");
        }
        revision = own.parse().unwrap_or(1);
        stdout = format!(
            "recovering from snapshot {path:?}: hash {hash}, revision {own}, total keys {KEYS}, total size {PAGES}\n"
        );
    }
    let Some((vmid, machine)) = world.machine_at(call.node) else { return call.unreachable(doing) };
    let Some(etcd) = &machine.etcd else {
        return refused("FailedPrecondition", "bootstrap can only be performed on a control plane node");
    };
    let (has_data, recovers) = (!etcd.wiped || etcd.begins.is_some(), !stdout.is_empty());
    let ready = machine.stage == Stage::Running;
    let unsynced = machine.is_unsynced();
    let reply = match (ready, recovers, unsynced, has_data) {
        (false, true, ..) => Some(refused("FailedPrecondition", "etcd service is not ready for recovery yet")),
        (false, false, ..) => Some(refused("FailedPrecondition", "bootstrap is not available yet")),
        (true, _, true, _) => Some(refused("FailedPrecondition", "time is not in sync yet")),
        (true, _, false, true) => Some(refused("AlreadyExists", "etcd data directory is not empty")),
        (true, _, false, false) => None,
    };
    if let Some(reply) = reply {
        return Reply { stdout, ..reply };
    }
    world.bootstrap_etcd(vmid, revision);
    Reply { mutating: true, ..Reply::said(stdout) }
}

/// `list /var/lib/etcd`: whether there is a member's data.
pub(super) fn list(world: &World, call: &Call<'_>) -> Reply {
    let doing = "error fetching logs: ";
    let Some((_, machine)) = world.machine_at(call.node) else { return call.unreachable(doing) };
    let more = ["depth", "humanize", "long", "recurse", "type"].iter().any(|flag| call.typed.flag(flag).is_some());
    if call.typed.args.first().map(String::as_str) != Some("/var/lib/etcd") || more {
        return Reply::failed("the lab does not stand in for `talosctl list` but of /var/lib/etcd");
    }
    let Some(etcd) = &machine.etcd else {
        return Reply {
            stderr: format!("{}: lstat /var/lib/etcd: no such file or directory\n", call.node),
            ..Reply::said("NODE   NAME\n".into())
        };
    };
    let mut rows = vec![vec![call.node.to_owned(), ".".to_owned()]];
    if !etcd.wiped || etcd.begins.is_some() {
        rows.push(vec![call.node.to_owned(), "member".to_owned()]);
    }
    Reply::said(super::text::table(&["NODE", "NAME"], &rows))
}
