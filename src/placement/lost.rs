//! Whether etcd has lost its quorum for good: what each control plane's etcd is doing, as far as anybody can tell. What
//! cannot be told may still be alive, and so is never lost; only a person can say otherwise.

use serde::{Deserialize, Serialize};

/// What the etcd of one control plane does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Standing {
    /// Its member answers. `leader`: whether it sees one.
    Member { leader: bool },
    /// It has no data and waits for an etcd to join, or for a bootstrap.
    Empty,
    /// It has ended and is not started again.
    Ended { why: String },
    /// The machine answers, and its etcd may or may not come up.
    Unsure { why: String },
    /// The machine does not answer.
    Silent { why: String },
}

/// One control plane of the profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plane {
    pub name: String,
    pub standing: Standing,
    /// Whether a person says that its etcd will not come back as it was.
    pub named: bool,
}

impl Plane {
    /// Why its member may take part in a quorum, now or later; nothing: it will not.
    fn alive(&self) -> Option<String> {
        match &self.standing {
            Standing::Member { leader: true } => Some("its etcd sees a leader".into()),
            Standing::Member { leader: false } => Some("its etcd runs, without a leader".into()),
            Standing::Unsure { .. } | Standing::Silent { .. } if self.named => None,
            Standing::Unsure { why } => Some(format!("its etcd may still come up: {why}")),
            Standing::Silent { why } => Some(format!("it does not answer, and its etcd may run: {why}")),
            Standing::Empty | Standing::Ended { .. } => None,
        }
    }

    /// Whether nobody can wipe it now.
    pub fn is_absent(&self) -> bool {
        matches!(self.standing, Standing::Silent { .. })
    }
}

const BRING_UP: &str = "bring them up, and see `runbook run talos-status`; one that never comes back as it was (its machine \
                        or its data are gone) is named in `lost`";

/// Why the quorum is not known to be lost, what is to be done, and what is known of each control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotLost {
    pub cause: String,
    pub remedy: &'static str,
    pub details: Vec<String>,
}

/// Says that no majority of the control planes can ever be one again.
///
/// # Errors
/// There is a quorum, or there may be one.
pub fn is_lost(planes: &[Plane]) -> Result<(), NotLost> {
    let told = || planes.iter().map(line).collect::<Vec<_>>();
    let not = |cause: String| Err(NotLost { cause, remedy: BRING_UP, details: told() });
    if planes.is_empty() {
        return not("the profile has no control plane".into());
    }
    if let Some(one) = planes.iter().find(|one| one.standing == Standing::Member { leader: true }) {
        return Err(NotLost {
            cause: format!("etcd has its quorum: {} sees a leader", one.name),
            remedy: "a restore would throw away what it has written since. A member that is ill is mended or replaced: \
                     `runbook run talos-diagnose`, `runbook plan talos-node-replace`",
            details: told(),
        });
    }
    let alive: Vec<&str> = planes.iter().filter(|one| one.alive().is_some()).map(|one| one.name.as_str()).collect();
    let needed = planes.len() / 2 + 1;
    if alive.len() >= needed {
        let cause = format!(
            "that the quorum is lost is not known: {} of {} control planes are needed for one, and {} may be alive",
            needed,
            planes.len(),
            alive.join(", ")
        );
        return not(cause);
    }
    // What cannot be wiped and nobody answers for may come back with the data of before.
    match planes.iter().find(|one| one.is_absent() && !one.named) {
        Some(one) => {
            not(format!("{} does not answer: it cannot be wiped, and may come back with its old data", one.name))
        }
        None => Ok(()),
    }
}

/// What is known of one, as a person reads it.
pub fn line(one: &Plane) -> String {
    let said = match &one.standing {
        Standing::Empty => "its etcd has no data, and waits".to_owned(),
        Standing::Ended { why } => format!("its etcd has ended: {why}"),
        Standing::Unsure { why } | Standing::Silent { why } if one.named => format!("named as lost: {why}"),
        _ => one.alive().unwrap_or_default(),
    };
    format!("{}: {said}", one.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planes(standings: [Standing; 3], named: &[usize]) -> Vec<Plane> {
        let one = |(n, standing)| Plane { name: format!("cp{}", n + 1), standing, named: named.contains(&(n + 1)) };
        standings.into_iter().enumerate().map(one).collect()
    }

    fn silent() -> Standing {
        Standing::Silent { why: "no answer".into() }
    }

    fn unsure() -> Standing {
        Standing::Unsure { why: "Waiting".into() }
    }

    const RUNS: Standing = Standing::Member { leader: false };
    const LEADS: Standing = Standing::Member { leader: true };

    #[test]
    fn what_is_not_known_is_not_lost() {
        let why = |standings, named: &[usize]| is_lost(&planes(standings, named)).unwrap_err().cause;
        assert!(why([LEADS, silent(), silent()], &[2, 3]).contains("has its quorum: cp1"));
        assert!(why([RUNS, silent(), silent()], &[]).contains("cp1, cp2, cp3 may be alive"));
        assert!(why([RUNS, unsure(), Standing::Empty], &[]).contains("cp1, cp2 may be alive"));
        assert!(why([RUNS, RUNS, silent()], &[3]).contains("cp1, cp2 may be alive"), "two that run may find a leader");
        assert!(
            why([RUNS, RUNS, silent()], &[1, 2, 3]).contains("may be alive"),
            "one that runs is not lost by a word"
        );
        assert!(
            why([Standing::Empty, Standing::Empty, silent()], &[]).contains("cp3 does not answer: it cannot be wiped")
        );
        assert!(is_lost(&[]).is_err());
    }

    #[test]
    fn a_majority_that_is_gone_is_lost() {
        for (standings, named) in [
            ([Standing::Empty, Standing::Empty, Standing::Empty], &[][..]),
            ([RUNS, Standing::Ended { why: "x".into() }, Standing::Empty], &[]),
            ([RUNS, silent(), silent()], &[2, 3]),
            ([RUNS, unsure(), silent()], &[2, 3]),
            ([unsure(), Standing::Empty, Standing::Empty], &[]),
        ] {
            assert_eq!(is_lost(&planes(standings, named)), Ok(()));
        }
    }
}
