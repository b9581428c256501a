//! A machine of a cluster replaced by another one: what is needed for it, its member of etcd struck from the list, and a new
//! machine that joins.

mod join;
mod member;
mod plan;

pub use join::TalosJoinNode;
pub use member::TalosRemoveMember;
pub use plan::TalosPlanReplace;

use crate::actions::talos::source::Etcd;
use crate::actions::talos::survey::{Answer, Survey};

/// What the control planes but this one say of etcd, with the names of those that do not answer.
fn others<'a>(survey: &'a Survey, name: &str) -> (Vec<(&'a str, &'a Etcd)>, Vec<&'a str>) {
    let planes = survey.nodes.iter().filter(|(machine, _)| machine.control_plane).map(|(machine, _)| machine);
    let (mut said, mut silent) = (Vec::new(), Vec::new());
    for (machine, answer) in planes.zip(&survey.etcd).filter(|(machine, _)| machine.name != name) {
        match answer {
            Answer::Said(etcd) => said.push((machine.name.as_str(), etcd)),
            Answer::Not(_) => silent.push(machine.name.as_str()),
        }
    }
    (said, silent)
}

/// Members of that name, as any of the others lists them.
fn members_called(others: &[(&str, &Etcd)], name: &str) -> Vec<String> {
    let all = others.iter().flat_map(|(_, etcd)| &etcd.members).filter(|member| member.hostname == name);
    let mut ids: Vec<String> = all.map(|member| member.id.clone()).collect();
    ids.sort();
    ids.dedup();
    ids
}

/// Whether any of the others still lists this member.
fn is_listed(others: &[(&str, &Etcd)], id: &str) -> bool {
    others.iter().any(|(_, etcd)| etcd.members.iter().any(|member| member.id == id))
}

/// What is not well with etcd apart from this control plane.
fn troubles(survey: &Survey, name: &str) -> Vec<String> {
    let rest: Vec<_> = survey.told.iter().filter(|one| one.name != name).cloned().collect();
    let mut found = crate::placement::quorum::findings(&rest);
    // Of the rest alone it is no finding that the list has one more.
    found.retain(|line| !(line.starts_with("etcd has ") && line.contains("control planes")));
    found
}
