//! By which versions a Talos cluster gets from where it is to where it is to be: no minor version of either is skipped,
//! and at every moment Kubernetes is one that Talos goes with.

use std::collections::BTreeMap;

use crate::model::talos::{Minor, Support, Version};

/// One upgrade of the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hop {
    Talos(Version),
    Kubernetes(Version),
}

impl Hop {
    pub fn version(&self) -> &Version {
        let (Self::Talos(version) | Self::Kubernetes(version)) = self;
        version
    }

    /// `Talos 1.13.9`
    pub fn title(&self) -> String {
        match self {
            Self::Talos(version) => format!("Talos {version}"),
            Self::Kubernetes(version) => format!("Kubernetes {version}"),
        }
    }
}

/// The versions of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    pub talos: Version,
    pub kubernetes: Version,
}

/// Why there is no way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct NoWay {
    pub cause: String,
    pub remedy: String,
}

fn no<T>(cause: String, remedy: impl Into<String>) -> Result<T, NoWay> {
    Err(NoWay { cause, remedy: remedy.into() })
}

struct Way<'a> {
    matrix: &'a [Support],
    /// Patches to go through, where the owner has named them: of Talos, and of Kubernetes.
    talos: BTreeMap<Minor, Version>,
    kubernetes: BTreeMap<Minor, Version>,
    at: Versions,
    to: &'a Versions,
    hops: Vec<Hop>,
}

/// All upgrades in their order; none where it is so already. `via`: patches of minor versions in between; where none is
/// named the newest that is known is taken.
///
/// # Errors
/// A downgrade, versions that do not go together, or a version in between of which no patch is known.
pub fn hops(
    matrix: &[Support],
    from: &Versions,
    to: &Versions,
    talos: &[Version],
    kubernetes: &[Version],
) -> Result<Vec<Hop>, NoWay> {
    let by_minor = |all: &[Version]| all.iter().map(|version| (version.minor(), version.clone())).collect();
    let mut way = Way {
        matrix,
        talos: by_minor(talos),
        kubernetes: by_minor(kubernetes),
        at: from.clone(),
        to,
        hops: Vec::new(),
    };
    way.check()?;
    while way.at != *to {
        way.step()?;
    }
    Ok(way.hops)
}

impl Way<'_> {
    fn support(&self, talos: Minor) -> Result<&Support, NoWay> {
        let known = || {
            let ends = self.matrix.first().zip(self.matrix.last());
            ends.map_or_else(String::new, |(first, last)| format!("{} to {}", first.talos, last.talos))
        };
        let found = self.matrix.iter().find(|row| row.talos == talos);
        found
            .map_or_else(|| no(format!("Talos {talos} is not known here ({} are)", known()), "name another target"), Ok)
    }

    /// What makes any way impossible.
    fn check(&self) -> Result<(), NoWay> {
        for (what, at, to) in
            [("Talos", &self.at.talos, &self.to.talos), ("Kubernetes", &self.at.kubernetes, &self.to.kubernetes)]
        {
            if to < at {
                let remedy = "going back is no upgrade: `talosctl rollback` of a node whose last upgrade failed, or a restored cluster";
                return no(format!("{what} {at} runs, and {to} is older"), remedy);
            }
        }
        let end = self.support(self.to.talos.minor())?;
        if !end.takes(self.to.kubernetes.minor()) {
            let cause = format!(
                "Talos {} goes with Kubernetes {} to {}, not with {}",
                self.to.talos, end.k8s_min, end.k8s_max, self.to.kubernetes
            );
            return no(cause, "name targets that go together");
        }
        Ok(())
    }

    /// The next upgrade: Talos as long as Kubernetes goes with it, else Kubernetes by one.
    fn step(&mut self) -> Result<(), NoWay> {
        let here = self.at.talos.minor();
        if self.at.talos < self.to.talos {
            let next = if here == self.to.talos.minor() { here } else { here.next() };
            let row = self.support(next)?;
            if row.takes(self.at.kubernetes.minor()) {
                let version = self.talos_of(next)?;
                if self.at.talos < row.from {
                    return no(
                        format!("the installer of Talos {version} takes {} and newer, not {}", row.from, self.at.talos),
                        format!("name a patch of {here} to go through first"),
                    );
                }
                self.hops.push(Hop::Talos(version.clone()));
                self.at.talos = version;
                return Ok(());
            }
            if self.at.kubernetes.minor() > row.k8s_max {
                let cause =
                    format!("Kubernetes {} is newer than Talos {next} goes with ({})", self.at.kubernetes, row.k8s_max);
                return no(cause, "the cluster is in a state that Talos does not support: upgrade it by hand");
            }
        }
        self.kubernetes_by_one()
    }

    fn kubernetes_by_one(&mut self) -> Result<(), NoWay> {
        let (is, to) = (&self.at.kubernetes, &self.to.kubernetes);
        let next = if is.minor() == to.minor() { is.minor() } else { is.minor().next() };
        if is >= to {
            // Only the target is too old for a Talos that is to come.
            let row = self.support(self.at.talos.minor().next())?;
            let cause = format!("Talos {} needs Kubernetes {} or newer, and {to} is to stay", row.talos, row.k8s_min);
            return no(cause, "name a newer Kubernetes, too");
        }
        let here = self.support(self.at.talos.minor())?;
        if !here.takes(next) {
            let cause = format!(
                "Kubernetes {next} does not go with Talos {}: only {} to {}",
                here.talos, here.k8s_min, here.k8s_max
            );
            return no(cause, "name a newer Talos, too");
        }
        let version = self.kubernetes_of(next)?;
        self.hops.push(Hop::Kubernetes(version.clone()));
        self.at.kubernetes = version;
        Ok(())
    }

    fn talos_of(&self, minor: Minor) -> Result<Version, NoWay> {
        if minor == self.to.talos.minor() {
            return Ok(self.to.talos.clone());
        }
        let known = self.talos.get(&minor).cloned().or_else(|| self.support(minor).ok()?.newest.clone());
        known.map_or_else(|| unnamed("Talos", minor), Ok)
    }

    fn kubernetes_of(&self, minor: Minor) -> Result<Version, NoWay> {
        if minor == self.to.kubernetes.minor() {
            return Ok(self.to.kubernetes.clone());
        }
        let default = || self.matrix.iter().filter_map(|row| row.default_k8s.clone()).find(|v| v.minor() == minor);
        self.kubernetes.get(&minor).cloned().or_else(default).map_or_else(|| unnamed("Kubernetes", minor), Ok)
    }
}

fn unnamed(what: &str, minor: Minor) -> Result<Version, NoWay> {
    no(format!("the way goes through {what} {minor}, and no patch of it is known here"), "name the one to go through")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(talos: u32, k8s: (u32, u32), newest: u32) -> Support {
        Support {
            talos: Minor(1, talos),
            k8s_min: Minor(1, k8s.0),
            k8s_max: Minor(1, k8s.1),
            from: Version { major: 1, minor: talos - 2, patch: 0, candidate: None },
            newest: format!("1.{talos}.{newest}").parse().ok(),
            default_k8s: format!("1.{}.4", k8s.1).parse().ok(),
        }
    }

    fn matrix() -> Vec<Support> {
        vec![
            row(10, (28, 33), 9),
            row(11, (29, 34), 6),
            row(12, (30, 35), 11),
            row(13, (31, 36), 9),
            row(14, (32, 37), 0),
        ]
    }

    fn at(talos: &str, kubernetes: &str) -> Versions {
        Versions { talos: talos.parse().unwrap(), kubernetes: kubernetes.parse().unwrap() }
    }

    fn way(from: (&str, &str), to: (&str, &str)) -> Result<Vec<String>, String> {
        let hops = hops(&matrix(), &at(from.0, from.1), &at(to.0, to.1), &[], &[]);
        hops.map(|hops| hops.iter().map(Hop::title).collect()).map_err(|no| no.cause)
    }

    #[test]
    fn no_minor_version_is_skipped_and_both_are_interleaved() {
        let via: Vec<Version> = ["1.30.1", "1.31.1", "1.32.1"].iter().map(|text| text.parse().unwrap()).collect();
        let (from, to) = (at("1.10.2", "1.29.1"), at("1.14.0", "1.37.0"));
        let way: Vec<String> = hops(&matrix(), &from, &to, &[], &via).unwrap().iter().map(Hop::title).collect();
        let wanted = "Talos 1.11.6, Kubernetes 1.30.1, Talos 1.12.11, Kubernetes 1.31.1, Talos 1.13.9, Kubernetes 1.32.1, \
                      Talos 1.14.0, Kubernetes 1.33.4, Kubernetes 1.34.4, Kubernetes 1.35.4, Kubernetes 1.36.4, \
                      Kubernetes 1.37.0";
        assert_eq!(way.join(", "), wanted);
        let unknown = hops(&matrix(), &from, &to, &[], &[]).unwrap_err();
        assert!(unknown.cause.contains("through Kubernetes 1.30, and no patch"), "{unknown}");
    }

    #[test]
    fn a_patch_is_one_hop_and_what_is_so_already_is_none() {
        assert_eq!(way(("1.13.2", "1.36.0"), ("1.13.9", "1.36.3")).unwrap(), ["Talos 1.13.9", "Kubernetes 1.36.3"]);
        assert!(way(("1.13.9", "1.36.3"), ("1.13.9", "1.36.3")).unwrap().is_empty());
    }

    #[test]
    fn kubernetes_goes_first_where_the_next_talos_does_not_go_with_it() {
        let way = way(("1.12.1", "1.30.2"), ("1.13.9", "1.31.9")).unwrap();
        assert_eq!(way, ["Kubernetes 1.31.9", "Talos 1.13.9"]);
    }

    #[test]
    fn what_leads_nowhere_is_said() {
        for (from, to, said) in [
            (("1.13.9", "1.36.3"), ("1.12.11", "1.36.3"), "1.12.11 is older"),
            (("1.13.9", "1.36.3"), ("1.13.9", "1.37.0"), "goes with Kubernetes 1.31 to 1.36"),
            (("1.13.9", "1.33.0"), ("1.20.0", "1.36.0"), "is not known here"),
            (("1.12.0", "1.30.0"), ("1.13.9", "1.30.0"), "goes with Kubernetes 1.31 to 1.36"),
        ] {
            let cause = way(from, to).unwrap_err();
            assert!(cause.contains(said), "{from:?} -> {to:?}: {cause}");
        }
    }

    proptest::proptest! {
        /// At every moment of every way the two go together, and each hop is of one minor version at most.
        #[test]
        fn every_way_keeps_to_the_matrix(
            os in 10u32..=14, steps in 0u32..=4, k in 28u32..=37, steps_k in 0u32..=9, patch in 0u32..3,
        ) {
            let matrix = matrix();
            let (end, end_k) = ((os + steps).min(14), (k + steps_k).min(37));
            let from = at(&format!("1.{os}.{patch}"), &format!("1.{k}.0"));
            let to = at(&format!("1.{end}.12"), &format!("1.{end_k}.9"));
            let via: Vec<Version> = (28..=37).map(|minor| format!("1.{minor}.1").parse().unwrap()).collect();
            let takes = |v: &Versions| {
                matrix.iter().any(|row| row.talos == v.talos.minor() && row.takes(v.kubernetes.minor()))
            };
            let Ok(all) = hops(&matrix, &from, &to, &[], &via) else {
                // A way is refused only where an end is not supported, or the ends cannot be joined.
                let joined = takes(&from) && takes(&to);
                proptest::prop_assert!(!joined, "{from:?} -> {to:?}");
                return Ok(());
            };
            proptest::prop_assume!(takes(&from));
            let mut now = from;
            for hop in all {
                match hop {
                    Hop::Talos(version) => {
                        proptest::prop_assert!(version > now.talos && version.minor().1 <= now.talos.minor + 1);
                        now.talos = version;
                    }
                    Hop::Kubernetes(version) => {
                        proptest::prop_assert!(version > now.kubernetes && version.minor().1 <= now.kubernetes.minor + 1);
                        now.kubernetes = version;
                    }
                }
                proptest::prop_assert!(takes(&now), "{now:?}");
            }
            proptest::prop_assert_eq!(now, to);
        }
    }
}
