//! etcd as its members tell of it.

use super::bootstrap::{self, KEYS, PAGES};
use super::{Call, Reply, text};
use crate::lab::fault::SnapshotFault;
use crate::lab::world::World;
use crate::lab::world::talos::{Etcd, Ill, Machine, Stage};

/// The member behind a call, or what is said instead.
fn member<'a>(world: &'a World, call: &Call<'_>, doing: &str) -> Result<(&'a Machine, &'a Etcd), Box<Reply>> {
    let Some((_, machine)) = world.machine_at(call.node) else { return Err(Box::new(call.unreachable(doing))) };
    match &machine.etcd {
        // The machine is there, its etcd is not.
        Some(etcd) if machine.stage != Stage::Running || is_sick(machine) || etcd.wiped => {
            let why = "connection error: desc = \"transport: Error while dialing: dial unix /etcd/etcd.sock: connect: connection refused\"";
            Err(Box::new(Reply::failed(format_args!("{doing}rpc error: code = Unavailable desc = {why}"))))
        }
        Some(etcd) if etcd.removed => {
            let why = "etcdserver: the member has been permanently removed from the cluster";
            Err(Box::new(Reply::failed(format_args!("{doing}rpc error: code = Unknown desc = {why}"))))
        }
        Some(etcd) => Ok((machine, etcd)),
        None => Err(Box::new(Reply::failed(format_args!(
            "{doing}rpc error: code = Unimplemented desc = method not supported on machine type {:?}",
            "worker"
        )))),
    }
}

fn is_sick(machine: &Machine) -> bool {
    machine.ills.contains(&Ill::EtcdUnhealthy) || machine.ills.contains(&Ill::EtcdBroken)
}

pub(super) fn members(world: &World, call: &Call<'_>) -> Reply {
    let doing = "error getting members: ";
    if let Err(reply) = member(world, call, doing) {
        return *reply;
    }
    if !world.etcd_has_quorum() {
        return Reply::failed(format_args!("{doing}rpc error: code = Unknown desc = context deadline exceeded"));
    }
    let rows: Vec<Vec<String>> = world
        .etcd()
        .into_iter()
        .map(|(machine, etcd, _)| {
            let url = |port: u16| format!("https://{}:{port}", machine.address);
            vec![
                call.node.to_owned(),
                format!("{:016x}", etcd.id),
                machine.hostname.clone(),
                url(2380),
                url(2379),
                etcd.learner.to_string(),
            ]
        })
        .collect();
    Reply::said(text::table(&["NODE", "ID", "HOSTNAME", "PEER URLS", "CLIENT URLS", "LEARNER"], &rows))
}

pub(super) fn status(world: &World, call: &Call<'_>) -> Reply {
    let doing = "error getting status: ";
    let (_, etcd) = match member(world, call, doing) {
        Ok(found) => found,
        Err(reply) => return *reply,
    };
    let leader = world.etcd_leader();
    let errors = if leader.is_none() { "etcdserver: no leader" } else { "" };
    let share = 100.0 * etcd.used as f64 / etcd.size.max(1) as f64;
    let index = world.raft_index().to_string();
    let mut head = vec![
        "NODE",
        "MEMBER",
        "DB SIZE",
        "IN USE",
        "LEADER",
        "RAFT INDEX",
        "RAFT TERM",
        "RAFT APPLIED INDEX",
        "LEARNER",
    ];
    let mut row = vec![
        call.node.to_owned(),
        format!("{:016x}", etcd.id),
        text::size(etcd.size),
        format!("{} ({share:.2}%)", text::size(etcd.used)),
        format!("{:016x}", leader.unwrap_or(0)),
        index.clone(),
        world.raft_term().to_string(),
        index,
        etcd.learner.to_string(),
    ];
    if !call.contract.tag.starts_with("v1.9.") {
        head.extend(["PROTOCOL", "STORAGE"]);
        row.extend(["3.6.5".to_owned(), "3.6.0".to_owned()]);
    }
    head.push("ERRORS");
    row.push(errors.to_owned());
    Reply::said(text::table(&head, &[row]))
}

/// Nothing at all is written where there are none.
pub(super) fn alarms(world: &World, call: &Call<'_>) -> Reply {
    if let Err(reply) = member(world, call, "error getting alarms: ") {
        return *reply;
    }
    let rows: Vec<Vec<String>> = world
        .etcd()
        .into_iter()
        .filter_map(|(_, etcd, _)| Some(vec![call.node.to_owned(), format!("{:016x}", etcd.id), etcd.alarm.clone()?]))
        .collect();
    if rows.is_empty() { Reply::default() } else { Reply::said(text::table(&["NODE", "MEMBER", "ALARM"], &rows)) }
}

pub(super) fn snapshot(world: &mut World, call: &Call<'_>) -> Reply {
    if let Err(reply) = member(world, call, "error reading: ") {
        return *reply;
    }
    let Some(path) = call.typed.args.first() else { return Reply::failed("accepts 1 arg(s), received 0") };
    if !world.etcd_has_quorum() {
        return Reply::failed("error reading: rpc error: code = Unknown desc = etcdserver: no leader");
    }
    let revision = world.etcd_revision();
    let (mut bytes, hash) = bootstrap::snapshot(revision);
    match world.take_bad_snapshot() {
        Some(SnapshotFault::Cut) => {
            bytes.truncate(bytes.len() / 2);
            let text = format!("sha256 checksum not found (size {})", bytes.len());
            return Reply { file: Some((format!("{path}.part"), bytes)), ..Reply::failed(text) };
        }
        // As by a disk that returns what was not written to it.
        Some(SnapshotFault::Damaged) => bytes[PAGES / 2] ^= 1,
        None => {}
    }
    let said = format!(
        "etcd snapshot saved to {path:?} ({} bytes)\nsnapshot info: hash {hash:08x}, revision {revision}, total keys {KEYS}, total size {PAGES}\n",
        bytes.len()
    );
    Reply { file: Some((path.clone(), bytes)), ..Reply::said(said) }
}

/// The leader hands over; nothing is said.
pub(super) fn forfeit(world: &mut World, call: &Call<'_>) -> Reply {
    if let Err(reply) = member(world, call, "error forfeiting leadership: ") {
        return *reply;
    }
    if let Some((vmid, _)) = world.machine_at(call.node) {
        world.forfeit_leadership(vmid);
    }
    changed()
}

pub(super) fn remove(world: &mut World, call: &Call<'_>) -> Reply {
    let doing = "error removing member: ";
    if let Err(reply) = member(world, call, doing) {
        return *reply;
    }
    let text = call.typed.args.first().map_or("", String::as_str);
    let Ok(id) = u64::from_str_radix(text, 16) else {
        return Reply::failed(format_args!(
            "error parsing member ID: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ));
    };
    if !world.etcd_has_quorum() {
        return Reply::failed(format_args!("{doing}rpc error: code = Unknown desc = etcdserver: no leader"));
    }
    let of =
        world.machines().find(|(_, one)| one.etcd.as_ref().is_some_and(|etcd| etcd.id == id)).map(|(vmid, _)| vmid);
    if let Some(vmid) = of {
        world.about_to_take_down(&[vmid], &format!("`talosctl etcd remove-member {text}`"));
    }
    if world.remove_member(id) {
        return changed();
    }
    Reply::failed(format_args!("{doing}rpc error: code = NotFound desc = etcdserver: member not found"))
}

pub(super) fn defrag(world: &mut World, call: &Call<'_>) -> Reply {
    if let Err(reply) = member(world, call, "error defragmenting: ") {
        return *reply;
    }
    if let Some((vmid, _)) = world.machine_at(call.node) {
        world.defragment(vmid);
    }
    changed()
}

/// Which alarms are gone, as they are listed.
pub(super) fn disarm(world: &mut World, call: &Call<'_>) -> Reply {
    if let Err(reply) = member(world, call, "error disarming alarms: ") {
        return *reply;
    }
    let row = |(id, alarm): (u64, String)| vec![call.node.to_owned(), format!("{id:016x}"), alarm];
    let rows: Vec<Vec<String>> = world.disarm().into_iter().map(row).collect();
    let said = if rows.is_empty() { String::new() } else { text::table(&["NODE", "MEMBER", "ALARM"], &rows) };
    Reply { stdout: said, ..changed() }
}

fn changed() -> Reply {
    Reply { mutating: true, ..Reply::default() }
}
