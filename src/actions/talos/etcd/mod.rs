//! Care for the databases of etcd: how full they are, given back what is not in use, and alarms disarmed once their cause is gone.

mod defragment;
mod disarm;
mod members;

pub use defragment::EtcdDefragment;
pub use disarm::EtcdDisarm;
pub use members::EtcdMembers;

use super::survey::Survey;
use crate::clients::talos::TalosError;
use crate::engine::ports::Unreadable;
use crate::model::failure::{Class, Failure};
use crate::placement::quorum::{self, Told};

/// The database has reached its quota: the alarm that goes with making it smaller.
const NOSPACE: &str = "NOSPACE";
/// A database is another than those of the others: no alarm that anybody may disarm unseen.
const CORRUPT: &str = "CORRUPT";
const ADMIN: &str = "none of Proxmox: the role os:admin or os:operator of a talosconfig";

/// The same as if no database were full: that is what is to be mended, and a member whose only fault it is serves all the same.
fn but_for_space(told: &[Told]) -> Vec<Told> {
    let mut told = told.to_vec();
    for one in &mut told {
        one.alarms.retain(|(_, alarm)| alarm != NOSPACE);
        if one.errors.contains(NOSPACE) {
            one.errors.clear();
        }
    }
    told
}

/// Which members have an alarm, by machine where it is known.
fn alarmed<'t>(told: &'t [Told], wanted: &str) -> Vec<&'t str> {
    let mut names = Vec::new();
    for (member, _) in told.iter().flat_map(|one| &one.alarms).filter(|(_, alarm)| alarm == wanted) {
        let name = told.iter().find(|one| one.id == *member).map_or(member.as_str(), |one| one.name.as_str());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Nothing is done to a cluster in which a database is another than the others'.
fn refuse_corrupt(attempted: &str, told: &[Told]) -> Result<(), Failure> {
    let names = alarmed(told, CORRUPT);
    if names.is_empty() {
        return Ok(());
    }
    let cause = format!("{} has the alarm CORRUPT: its database is not that of the others", names.join(" and "));
    Err(Failure::new(Class::Precondition, attempted, cause)
        .details(vec![
            "disarming mends nothing, and lets what is wrong be read and written on".to_owned(),
            "take a backup from a member without the alarm: `runbook run etcd-backup … --set node=NAME`".to_owned(),
            "see by hashes which copy is the odd one: `etcdctl endpoint hashkv --cluster`".to_owned(),
            "that member leaves and joins anew: `talosctl etcd remove-member ID` at another one, then `talosctl reset \
             --system-labels-to-wipe EPHEMERAL --graceful=false --reboot` at it; one member at a time"
                .to_owned(),
        ])
        .remedy("mend that member first: docs/runbooks/talos-etcd-maintenance.md says how"))
}

/// Whether etcd is whole, but for databases that are full, and goes on without this member.
fn ready(attempted: &str, told: &[Told], name: &str) -> Result<(), Failure> {
    refuse_corrupt(attempted, told)?;
    let told = but_for_space(told);
    let refused = |cause: String| {
        Failure::new(Class::Precondition, attempted, cause).remedy("`runbook run talos-diagnose` shows what is wrong")
    };
    let found = quorum::findings(&told);
    if let Some(first) = found.first() {
        return Err(refused(first.clone()).details(found));
    }
    if told.len() > 1 {
        quorum::goes_on_without(&told, name).map_err(refused)?;
    }
    Ok(())
}

/// A reading in a run, where nothing is known later.
fn settled(attempted: &str, read: Result<Survey, Unreadable>) -> Result<Survey, Failure> {
    read.map_err(|why| match why {
        Unreadable::Failed(failure) => failure,
        Unreadable::Unknown(why) | Unreadable::Later(why) => Failure::new(Class::Internal, attempted, why),
    })
}

fn broken(attempted: &str, error: &TalosError) -> Failure {
    let class = match error {
        TalosError::Program(_) => Class::Precondition,
        error if error.is_denied() => Class::Refused,
        error if error.is_unreachable() => Class::Unreachable,
        _ => Class::Failed,
    };
    Failure::new(class, attempted, error.to_string())
}

/// Bytes of a size as go-humanize words it: `20 MB`, `9.1 kB`.
fn bytes(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once(' ')?;
    let unit = ["B", "kB", "MB", "GB", "TB"].iter().position(|one| *one == unit)?;
    Some(number.parse::<f64>().ok()? * 1000_f64.powi(i32::try_from(unit).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(n: u64) -> Told {
        Told {
            name: format!("cp{n}"),
            unknown: None,
            id: format!("{n:016x}"),
            members: (1..=3).map(|n: u64| format!("{n:016x}")).collect(),
            learners: Vec::new(),
            leader: format!("{:016x}", 1),
            raft_index: 5,
            raft_applied: 5,
            alarms: Vec::new(),
            errors: String::new(),
        }
    }

    fn with(alarm: &str, members: &[u64]) -> Vec<Told> {
        let alarms: Vec<(String, String)> = members.iter().map(|n| (format!("{n:016x}"), alarm.to_owned())).collect();
        (1..=3).map(|n| Told { alarms: alarms.clone(), ..told(n) }).collect()
    }

    #[test]
    fn a_full_database_stops_nothing_and_all_else_does() {
        assert_eq!(ready("x", &with(NOSPACE, &[1, 2, 3]), "cp2"), Ok(()), "all full: just then it is wanted");
        let refused = |all: &[Told]| ready("x", all, "cp2").unwrap_err();
        let corrupt = refused(&with(CORRUPT, &[3]));
        assert!(corrupt.cause.starts_with("cp3 has the alarm CORRUPT") && corrupt.details.len() == 4, "{corrupt:?}");
        // A member that is no machine of the profile is named by its id.
        assert!(refused(&with(CORRUPT, &[7])).cause.starts_with("0000000000000007 has"));
        let mut silent = with(NOSPACE, &[2]);
        silent[0].unknown = Some("no answer".into());
        assert!(refused(&silent).cause.contains("cp1: nothing is known"), "even the one that is not touched");
        assert!(refused(&[told(1), told(2)]).cause.contains("3 members"));
        let alone = Told { members: vec![format!("{:016x}", 1)], ..told(1) };
        assert_eq!(ready("x", &[alone], "cp1"), Ok(()), "nobody can stand in for it");
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!((bytes("20 MB"), bytes("9.1 kB"), bytes("512 B")), (Some(20e6), Some(9100.0), Some(512.0)));
        assert_eq!((bytes("20"), bytes("x MB"), bytes("20 MiB")), (None, None, None));
    }
}
