//! What guests said in earlier runs, so that a repeated run need not ask each again: good as long as the configuration's
//! digest is the same, the guest has not been started anew, and it is not too long ago.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::host::Told;
use crate::model::ids::Vmid;
use crate::model::inventory::Reason;

/// Of the file's form.
pub const MEMORY_VERSION: u32 = 1;

/// A no is soon out of date: an agent that starts, a lease that comes.
const NO: Duration = Duration::from_secs(30);

/// How far apart two readings of one uptime may be: the cluster's list is up to 10 s old.
const SLACK: f64 = 30.0;

/// When a guest was started: its uptime at a moment, and how fast its seconds pass (more than one of ours in a lab).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boot {
    /// Seconds.
    pub uptime: u64,
    /// Milliseconds since 1970.
    pub now: u64,
    pub scale: f64,
}

impl Boot {
    /// The same number for as long as the guest runs.
    fn key(self) -> f64 {
        self.uptime as f64 - self.now as f64 / 1000.0 * self.scale
    }
}

/// Answers of guests, by VMID.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    pub version: u32,
    guests: BTreeMap<u32, Remembered>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Remembered {
    digest: String,
    boot: f64,
    /// Milliseconds since 1970.
    asked: u64,
    told: Told,
}

impl Memory {
    pub fn new() -> Self {
        Self { version: MEMORY_VERSION, guests: BTreeMap::new() }
    }

    /// What the guest said, and how many seconds ago, if that still holds.
    pub fn recall(&self, vmid: Vmid, digest: &str, boot: Boot, most: Duration) -> Option<(Told, u64)> {
        let known = self.guests.get(&vmid.0)?;
        let age = boot.now.checked_sub(known.asked)?;
        let most = if known.told.is_an_address() { most } else { most.min(NO) };
        let same = known.digest == digest && (known.boot - boot.key()).abs() <= SLACK * boot.scale.max(1.0);
        (same && u128::from(age) < most.as_millis()).then(|| (known.told.clone(), age / 1000))
    }

    /// Keeps what it said. What only our own side kept from us is not kept.
    pub fn keep(&mut self, vmid: Vmid, digest: &str, boot: Boot, told: &Told) {
        let settled = match told {
            Told::Interfaces(_) => true,
            Told::Nothing(unknown) => matches!(unknown.reason, Reason::AgentNotRunning | Reason::AgentBlocked),
        };
        if settled {
            let (digest, boot, asked, told) = (digest.to_owned(), boot.key(), boot.now, told.clone());
            self.guests.insert(vmid.0, Remembered { digest, boot, asked, told });
        }
    }

    /// Forgets what is older than `most`, so that guests that are gone do not stay for ever.
    pub fn forget(&mut self, now: u64, most: Duration) {
        self.guests.retain(|_, known| u128::from(now.saturating_sub(known.asked)) < most.as_millis());
    }

    pub fn len(&self) -> usize {
        self.guests.len()
    }

    pub fn is_empty(&self) -> bool {
        self.guests.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::inventory::{Seen, SeenAddress, Unknown};

    const MOST: Duration = Duration::from_secs(300);

    fn at(uptime: u64, seconds: u64) -> Boot {
        Boot { uptime, now: 1_795_262_400_000 + seconds * 1000, scale: 1.0 }
    }

    #[test]
    fn an_answer_holds_for_the_same_boot_and_digest_and_not_for_long() {
        let mut memory = Memory::new();
        let seen = Seen { name: "eth0".into(), mac: None, addresses: vec![address("10.0.0.4")] };
        let told = Told::Interfaces(vec![seen]);
        memory.keep(Vmid(104), "d1", at(1000, 0), &told);
        let recall = |memory: &Memory, digest, boot| memory.recall(Vmid(104), digest, boot, MOST);
        assert_eq!(recall(&memory, "d1", at(1060, 60)), Some((told.clone(), 60)));
        assert_eq!(recall(&memory, "d1", at(1052, 60)), Some((told, 60)), "the list is some seconds old");
        assert_eq!(recall(&memory, "d2", at(1060, 60)), None, "another configuration");
        assert_eq!(recall(&memory, "d1", at(20, 60)), None, "started anew");
        assert_eq!(recall(&memory, "d1", at(1300, 300)), None, "too long ago");
        assert_eq!(memory.recall(Vmid(105), "d1", at(1060, 60), MOST), None);
        assert_eq!(memory.recall(Vmid(104), "d1", at(1060, 60), Duration::ZERO), None, "asked for anew");
        memory.forget(at(0, 300).now, MOST);
        assert!(memory.is_empty());
    }

    fn address(text: &str) -> SeenAddress {
        SeenAddress { address: text.parse().unwrap(), prefix: Some(24), zone: None }
    }

    #[test]
    fn a_no_is_asked_again_soon() {
        let mut memory = Memory::new();
        let inner = Seen { name: "lo".into(), mac: None, addresses: vec![address("127.0.0.1")] };
        let none = Told::Nothing(Unknown::new(Reason::AgentNotRunning, "it does not run"));
        for told in [none, Told::Interfaces(vec![inner])] {
            memory.keep(Vmid(104), "d", at(20, 0), &told);
            let recall = |seconds| memory.recall(Vmid(104), "d", at(20 + seconds, seconds), MOST).is_some();
            assert!(recall(29) && !recall(31), "{told:?}");
        }
    }

    #[test]
    fn what_our_side_kept_from_us_is_not_kept() {
        let mut memory = Memory::new();
        for (reason, kept) in [
            (Reason::AgentNotRunning, true),
            (Reason::AgentTimeout, false),
            (Reason::Forbidden, false),
            (Reason::Deadline, false),
        ] {
            let told = Told::Nothing(Unknown::new(reason, "x"));
            memory.keep(Vmid(100), "d", at(5, 0), &told);
            assert_eq!(memory.len(), usize::from(kept || !memory.is_empty()), "{reason:?}");
            memory.forget(u64::MAX, MOST);
        }
    }

    #[test]
    fn a_labs_faster_time_is_no_new_boot() {
        let mut memory = Memory::new();
        let lab = |uptime, seconds| Boot { scale: 60.0, ..at(uptime, seconds) };
        memory.keep(Vmid(104), "d", lab(1000, 0), &Told::Interfaces(Vec::new()));
        assert!(memory.recall(Vmid(104), "d", lab(1000 + 600, 10), MOST).is_some());
        assert!(memory.recall(Vmid(104), "d", lab(1000 + 60_000, 10), MOST).is_none());
    }
}
