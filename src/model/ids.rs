//! Names of things. Each id is a type of its own, so that a node is never passed where a storage is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not the id it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {got:?}: {expected}")]
pub struct BadId {
    pub what: &'static str,
    pub got: String,
    pub expected: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// A Proxmox node's name as the cluster knows it (`pve2`), not its address.
    NodeName
);
text_id!(
    /// A Proxmox storage id (`local-lvm`).
    StorageId
);
text_id!(
    /// The id of a run: twelve lower-case letters and digits, random; any unique prefix names it.
    RunId
);
text_id!(
    /// Where a step stands in the expanded graph: ids and keys (`move[104]`, `prepare/check`, `move[104]/undo`).
    StepPath
);
text_id!(
    /// A thing of the world that is read and predicted as one (`proxmox/guest/104`); `/` goes from wide to narrow.
    ResourceKey
);

impl StepPath {
    pub const UNDO: &str = "undo";
    pub const FINALLY: &str = "finally";
    pub const REQUIRE: &str = "require";

    /// What stands in paths for something other than a step's id: no step is called so. A fan-out's `gate[1]` is no such
    /// word, since a fan-out has no steps beside its items.
    pub const RESERVED: [&str; 3] = [Self::UNDO, Self::FINALLY, Self::REQUIRE];

    /// The step `id` inside this scope; the root scope is the empty path.
    pub fn child(&self, id: &str) -> Self {
        if self.0.is_empty() { Self(id.to_owned()) } else { Self(format!("{}/{id}", self.0)) }
    }

    /// The item `key` of this fan-out.
    pub fn item(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    /// The undo of this step, a step of its own.
    pub fn undo(&self) -> Self {
        self.child(Self::UNDO)
    }

    /// Its ids from the outermost to the innermost, an item's with its key: `move[104]`. A key may hold a `/`.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        let mut in_key = false;
        self.0.split(move |c| {
            in_key = c == '[' || in_key && c != ']';
            c == '/' && !in_key
        })
    }

    /// The key of this item of a fan-out.
    pub fn key(&self) -> Option<&str> {
        self.parts().last()?.split_once('[')?.1.strip_suffix(']')
    }

    /// Whether it is the undo of a step, or a step of one.
    pub fn is_undo(&self) -> bool {
        self.parts().skip(1).any(is_undo)
    }

    /// Whether it is the undo of a step itself, no step of one.
    pub fn ends_as_undo(&self) -> bool {
        self.parts().skip(1).last().is_some_and(is_undo)
    }
}

/// A rollback that is asked for again makes a second undo of the same step.
fn is_undo(part: &str) -> bool {
    part == StepPath::UNDO || part.starts_with("undo[")
}

/// A Proxmox guest id, 100 to 999999999, unique in its cluster at any one time but reused over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Vmid(pub u32);

impl fmt::Display for Vmid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Vmid {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        match text.parse::<u32>() {
            Ok(n) if (100..=999_999_999).contains(&n) => Ok(Self(n)),
            _ => Err(BadId { what: "VMID", got: text.into(), expected: "a whole number from 100 to 999999999" }),
        }
    }
}

/// What a guest is; as Proxmox names it in paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestKind {
    Qemu,
    Lxc,
}

impl GuestKind {
    /// `qemu` or `lxc`, the path segment of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Lxc => "lxc",
        }
    }

    /// `vm` or `ct`, the prefix of an HA service id.
    pub fn ha_prefix(self) -> &'static str {
        match self {
            Self::Qemu => "vm",
            Self::Lxc => "ct",
        }
    }
}

impl fmt::Display for GuestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A Proxmox task id: `UPID:node:pid:pstart:starttime:type:id:user:`, numbers in hexadecimal.
///
/// Source: PVE/UPID.pm.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Upid {
    text: String,
    node_end: usize,
}

impl Upid {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The node that ran the task; its status and log are asked of that node only.
    pub fn node(&self) -> NodeName {
        NodeName::new(&self.text[5..self.node_end])
    }

    fn field(&self, n: usize) -> &str {
        self.text.split(':').nth(n).unwrap_or_default()
    }

    /// The kind of task (`qmigrate`).
    pub fn task_type(&self) -> &str {
        self.field(5)
    }

    /// What the task is about, often a VMID; may be empty.
    pub fn object(&self) -> &str {
        self.field(6)
    }

    /// Who started it (`root@pam`, `ops@pve!token`).
    pub fn user(&self) -> &str {
        self.field(7)
    }

    /// When it started: seconds since 1970 by the node's own clock.
    pub fn start_time(&self) -> i64 {
        i64::from_str_radix(self.field(4), 16).unwrap_or_default()
    }
}

impl FromStr for Upid {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { what: "UPID", got: text.into(), expected: "UPID:node:pid:pstart:starttime:type:id:user:" };
        let parts: Vec<&str> = text.split(':').collect();
        let hex = |s: &str, lengths: &[usize]| lengths.contains(&s.len()) && s.bytes().all(|b| b.is_ascii_hexdigit());
        let fits = parts.len() == 9
            && parts[0] == "UPID"
            && !parts[1].is_empty()
            && parts[1].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && hex(parts[2], &[8])
            && hex(parts[3], &[8, 9])
            && hex(parts[4], &[8])
            && !parts[5].is_empty()
            && !parts[7].is_empty()
            && parts[8].is_empty()
            && !text.contains(|c: char| c.is_whitespace() || c == '/');
        if fits { Ok(Self { text: text.to_owned(), node_end: 5 + parts[1].len() }) } else { Err(bad()) }
    }
}

impl TryFrom<String> for Upid {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<Upid> for String {
    fn from(upid: Upid) -> Self {
        upid.text
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// A certificate's SHA-256 as Proxmox writes it: 32 upper-case pairs joined by colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl FromStr for Fingerprint {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId {
            what: "fingerprint",
            got: text.into(),
            expected: "32 hexadecimal pairs joined by colons (SHA-256)",
        };
        let mut bytes = [0; 32];
        let pairs: Vec<&str> = text.trim().split(':').collect();
        if pairs.len() != 32 || pairs.iter().any(|p| p.len() != 2) {
            return Err(bad());
        }
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_upid_is_taken_apart() {
        let upid: Upid = "UPID:pve-2:0001ABCD:00A1B2C3:67400000:qmigrate:104:ops@pve!runbook:".parse().unwrap();
        assert_eq!(upid.node().as_str(), "pve-2");
        assert_eq!((upid.task_type(), upid.object(), upid.user()), ("qmigrate", "104", "ops@pve!runbook"));
        assert_eq!(upid.start_time(), 0x6740_0000);
    }

    #[test]
    fn what_is_no_upid_is_refused() {
        for text in
            ["", "UPID:pve2", "UPID:pve2:1:2:3:qmstart:1:root@pam:", "UPID:a/b:00000001:00000002:00000003:t:1:u:"]
        {
            assert!(text.parse::<Upid>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_fingerprint_reads_back_as_it_was_written() {
        let text = format!("{}AB", "00:".repeat(31));
        assert_eq!(text.parse::<Fingerprint>().unwrap().to_string(), text);
        assert!("AB:CD".parse::<Fingerprint>().is_err());
    }

    #[test]
    fn a_path_is_taken_apart_by_step_and_key() {
        let path = StepPath::from("disks[nfs:100/undo[1]/copy[a/b]");
        assert_eq!(path.parts().collect::<Vec<_>>(), ["disks[nfs:100/undo[1]", "copy[a/b]"]);
        assert_eq!((path.key(), path.child("check").key()), (Some("a/b"), None));
        assert!(!path.is_undo() && path.undo().is_undo() && path.undo().item("2").ends_as_undo());
        assert!(path.undo().child("start").is_undo() && !path.undo().child("start").ends_as_undo());
        assert!(!StepPath::from("undo").is_undo());
    }

    #[test]
    fn a_vmid_is_at_least_100() {
        assert!("99".parse::<Vmid>().is_err());
        assert_eq!("104".parse::<Vmid>().unwrap(), Vmid(104));
    }
}
