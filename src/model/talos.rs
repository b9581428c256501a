//! Versions of Talos and Kubernetes, and which go together.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `1.13.9`, `v1.14.0-rc.1`. One that is a candidate comes before the release of its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
    /// `rc.1`
    pub candidate: Option<String>,
}

/// What is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version: expected three numbers, as 1.13.9")]
pub struct BadVersion(String);

impl Version {
    /// `1.13`
    pub fn minor(&self) -> Minor {
        Minor(self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let bad = || BadVersion(text.to_owned());
        let bare = text.strip_prefix('v').unwrap_or(text);
        // What comes behind a plus is of a build and orders nothing.
        let bare = bare.split('+').next().unwrap_or(bare);
        let (numbers, candidate) = bare.split_once('-').map_or((bare, None), |(n, rest)| (n, Some(rest.to_owned())));
        let mut numbers = numbers.split('.').map(str::parse::<u32>);
        let mut next = || numbers.next().ok_or_else(bad)?.map_err(|_| bad());
        let (major, minor, patch) = (next()?, next()?, next()?);
        if numbers.next().is_some() || candidate.as_deref() == Some("") {
            return Err(bad());
        }
        Ok(Self { major, minor, patch, candidate })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        self.candidate.as_ref().map_or(Ok(()), |candidate| write!(f, "-{candidate}"))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let numbers = |v: &Self| (v.major, v.minor, v.patch, v.candidate.is_none());
        // Candidates of one number are told apart by their own numbers where they have some: rc.9 before rc.10.
        let words = |v: &Self| -> Vec<(u64, String)> {
            let each = v.candidate.iter().flat_map(|text| text.split('.'));
            each.map(|word| word.parse().map_or((u64::MAX, word.to_owned()), |n| (n, String::new()))).collect()
        };
        numbers(self).cmp(&numbers(other)).then_with(|| words(self).cmp(&words(other)))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// `1.13`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minor(pub u32, pub u32);

impl Minor {
    pub fn next(self) -> Self {
        Self(self.0, self.1 + 1)
    }
}

impl FromStr for Minor {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let parsed =
            text.split_once('.').and_then(|(major, minor)| Some(Self(major.parse().ok()?, minor.parse().ok()?)));
        parsed.ok_or_else(|| BadVersion(text.to_owned()))
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// As texts in every file and message.
macro_rules! as_text {
    ($($ty:ty),*) => { $(
        impl Serialize for $ty {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $ty {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )* };
}
as_text!(Version, Minor);

/// What one minor version of Talos goes with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Support {
    pub talos: Minor,
    /// The oldest and the newest minor version of Kubernetes, both included.
    pub k8s_min: Minor,
    pub k8s_max: Minor,
    /// The oldest Talos that its installer takes.
    pub from: Version,
    /// The newest patch of it that is known.
    pub newest: Option<Version>,
    /// The Kubernetes that a new cluster gets, of `k8s_max`.
    pub default_k8s: Option<Version>,
}

impl Support {
    pub fn takes(&self, kubernetes: Minor) -> bool {
        self.k8s_min <= kubernetes && kubernetes <= self.k8s_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_ordered() {
        let v = |text: &str| text.parse::<Version>().unwrap();
        let sorted = ["1.9.6", "1.10.0-alpha.2", "1.10.0-rc.2", "1.10.0-rc.10", "1.10.0", "1.10.9", "v1.11.0"];
        for pair in sorted.windows(2) {
            assert!(v(pair[0]) < v(pair[1]), "{pair:?}");
        }
        assert_eq!(
            (v("v1.14.0-rc.1").to_string(), v("1.32.4+k3s1").to_string()),
            ("1.14.0-rc.1".into(), "1.32.4".into())
        );
        for text in ["1.13", "1.13.x", "", "1.2.3.4", "1.2.3-", "latest"] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
    }
}
