//! Whether etcd is well, and whether it would keep its quorum without one of its members: what every member says, laid
//! side by side. What is not known is not well.

use std::collections::BTreeSet;

/// What one control plane says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The machine's name.
    pub name: String,
    /// Why nothing is known of it.
    pub unknown: Option<String>,
    /// Its own member's id.
    pub id: String,
    /// Ids of all members that it lists, learners among them.
    pub members: Vec<String>,
    pub learners: Vec<String>,
    pub leader: String,
    pub raft_index: u64,
    pub raft_applied: u64,
    /// `NOSPACE` and the like, with the member's id.
    pub alarms: Vec<(String, String)>,
    pub errors: String,
}

impl Told {
    /// Whether it sees a leader, which only a member of a quorum does.
    pub fn has_leader(&self) -> bool {
        self.unknown.is_none() && !self.leader.is_empty() && self.leader != NOBODY
    }
}

/// An id that stands for nobody.
const NOBODY: &str = "0000000000000000";
/// So many entries behind its own log a member may be while it works.
const BEHIND: u64 = 1000;

/// What is not as it should be, worst first; nothing: every member is well and all agree.
pub fn findings(told: &[Told]) -> Vec<String> {
    let mut found = Vec::new();
    for one in told {
        if let Some(why) = &one.unknown {
            found.push(format!("{}: nothing is known of its etcd: {why}", one.name));
        }
    }
    let known: Vec<&Told> = told.iter().filter(|one| one.unknown.is_none()).collect();
    let lists: BTreeSet<Vec<&String>> = known.iter().map(|one| sorted(&one.members)).collect();
    if lists.len() > 1 {
        let each = known.iter().map(|one| format!("{} lists {}", one.name, one.members.len()));
        found.push(format!("the members do not agree who is one: {}", each.collect::<Vec<_>>().join(", ")));
    }
    if let Some(members) = lists.first() {
        if members.len() != told.len() {
            found.push(format!("etcd has {} members, and there are {} control planes", members.len(), told.len()));
        }
        if members.len() == 2 {
            found.push("etcd has two members: it loses its quorum with either of them".into());
        }
    }
    let leaders: BTreeSet<&String> = known.iter().map(|one| &one.leader).collect();
    match leaders.len() {
        0 => {}
        1 if leaders.first().is_some_and(|leader| *leader == NOBODY) => found.push("etcd has no leader".into()),
        1 => {}
        _ => found.push("the members do not agree who leads".into()),
    }
    for one in known {
        found.extend(of_member(one));
    }
    found.dedup();
    found
}

/// What is not as it should be with one member, as far as it says itself.
pub fn findings_of(told: &[Told], name: &str) -> Vec<String> {
    let Some(own) = told.iter().find(|one| one.name == name) else { return vec![format!("{name} is no member")] };
    if let Some(why) = &own.unknown {
        return vec![format!("{name}: nothing is known of its etcd: {why}")];
    }
    let mut found = of_member(own);
    found.extend((!own.has_leader()).then(|| format!("{name}: its etcd sees no leader")));
    found
}

/// Whether etcd goes on without this member, as far as is known; why not.
///
/// # Errors
/// Too few of the others would be left, or it is not known how many are.
pub fn goes_on_without(told: &[Told], name: &str) -> Result<(), String> {
    let voters: BTreeSet<&String> = told
        .iter()
        .filter(|one| one.unknown.is_none())
        .flat_map(|one| one.members.iter().filter(|id| !one.learners.contains(id)))
        .collect();
    let well = told.iter().filter(|one| one.has_leader() && of_member(one).is_empty() && voters.contains(&one.id));
    let left = well.filter(|one| one.name != name).count();
    let needed = voters.len() / 2 + 1;
    if voters.is_empty() {
        return Err("it is not known who the members of etcd are".into());
    }
    if left < needed {
        let own = format!("{name}:");
        let others: Vec<String> = findings(told).into_iter().filter(|line| !line.starts_with(&own)).collect();
        let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join("; ")) };
        return Err(format!(
            "etcd has {} voting members and needs {needed}: without {name}, {left} are well{others}",
            voters.len()
        ));
    }
    Ok(())
}

fn of_member(one: &Told) -> Vec<String> {
    let mut found = Vec::new();
    if !one.errors.is_empty() {
        found.push(format!("{}: etcd says: {}", one.name, one.errors));
    }
    if one.learners.contains(&one.id) {
        found.push(format!("{}: it is a learner and does not vote yet", one.name));
    }
    if one.raft_applied.saturating_add(BEHIND) < one.raft_index {
        found.push(format!("{}: it is {} entries behind its own log", one.name, one.raft_index - one.raft_applied));
    }
    for (member, alarm) in one.alarms.iter().filter(|(member, _)| *member == one.id) {
        found.push(format!("{}: alarm {alarm} (member {member})", one.name));
    }
    found
}

fn sorted(members: &[String]) -> Vec<&String> {
    let mut members: Vec<&String> = members.iter().collect();
    members.sort();
    members
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
            raft_index: 5000,
            raft_applied: 5000,
            alarms: Vec::new(),
            errors: String::new(),
        }
    }

    fn all() -> Vec<Told> {
        (1..=3).map(told).collect()
    }

    #[test]
    fn three_who_agree_are_well() {
        assert_eq!(findings(&all()), Vec::<String>::new());
    }

    #[test]
    fn etcd_goes_on_without_one_only_where_enough_others_are_well() {
        assert_eq!(goes_on_without(&all(), "cp2"), Ok(()));
        let without = |change: fn(&mut Vec<Told>), name| {
            let mut all = all();
            change(&mut all);
            goes_on_without(&all, name)
        };
        let silent: fn(&mut Vec<Told>) = |all| all[0].unknown = Some("no answer".into());
        let why = without(silent, "cp2").unwrap_err();
        assert!(why.contains("without cp2, 1 are well (cp1: nothing is known of its etcd: no answer"), "{why}");
        assert_eq!(without(silent, "w1"), Ok(()), "two of three go on without a worker");
        let blind: fn(&mut Vec<Told>) = |all| all[2].leader = NOBODY.into();
        assert!(without(blind, "cp2").is_err(), "one that sees no leader is not well");
        assert_eq!(without(silent, "cp1"), Ok(()), "the one that is down may go");
        let learner: fn(&mut Vec<Told>) =
            |all| all.iter_mut().for_each(|one| one.learners = vec![format!("{:016x}", 3)]);
        assert!(without(learner, "cp1").unwrap_err().contains("2 voting members and needs 2"));
        assert!(without(|all| all[2].raft_applied = 0, "cp1").is_err());
        assert!(without(|all| all.clear(), "cp1").unwrap_err().contains("not known"));
    }

    #[test]
    fn whatever_is_not_as_it_should_be_is_said() {
        let said = |change: fn(&mut Vec<Told>)| {
            let mut all = all();
            change(&mut all);
            findings(&all).join("; ")
        };
        for (change, wanted) in [
            ((|all| all[1].unknown = Some("no answer".into())) as fn(&mut Vec<Told>), "cp2: nothing is known"),
            (|all| all[2].members.truncate(2), "do not agree who is one"),
            (|all| all.iter_mut().for_each(|one| one.leader = NOBODY.into()), "no leader"),
            (|all| all[0].leader = "f".into(), "do not agree who leads"),
            (|all| all[0].errors = "corrupt".into(), "cp1: etcd says: corrupt"),
            (|all| all[1].learners = vec![format!("{:016x}", 2)], "cp2: it is a learner"),
            (|all| all[2].raft_applied = 100, "cp3: it is 4900 entries behind"),
            (
                |all| all.iter_mut().for_each(|one| one.alarms = vec![(format!("{:016x}", 3), "NOSPACE".into())]),
                "cp3: alarm NOSPACE",
            ),
            (
                |all| {
                    all.pop();
                },
                "etcd has 3 members, and there are 2 control planes",
            ),
        ] {
            let found = said(change);
            assert!(found.contains(wanted), "{wanted}: {found}");
        }
        let two: Vec<Told> = all()
            .into_iter()
            .take(2)
            .map(|mut one| {
                one.members.truncate(2);
                one
            })
            .collect();
        assert!(findings(&two)[0].contains("two members"));
    }
}
