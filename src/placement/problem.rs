//! A packing problem without any Proxmox in it: plain numbers and indexes.
//!
//! Units are the caller's, as long as they agree: the evacuation planner uses MiB for memory and disks.

/// A set of target indexes. At most [`NodeSet::MAX`] targets: corosync clusters are far smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct NodeSet(pub u128);

impl NodeSet {
    pub const MAX: usize = 128;

    pub fn contains(self, node: usize) -> bool {
        self.0 >> node & 1 == 1
    }

    pub fn insert(&mut self, node: usize) {
        self.0 |= 1 << node;
    }

    pub fn intersect(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, smallest first.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let next = left.trailing_zeros() as usize;
            left &= left - 1;
            Some(next)
        })
    }
}

impl FromIterator<usize> for NodeSet {
    fn from_iter<I: IntoIterator<Item = usize>>(nodes: I) -> Self {
        let mut set = Self::default();
        for node in nodes {
            set.insert(node);
        }
        set
    }
}

/// A storage of one target that can receive local disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    pub free: u64,
    /// The storage, or the link to it, is slow: fewer bytes there is better.
    pub slow: bool,
}

/// Where guests may go, with what its residents hold already.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// Usable memory, host reserve already taken off.
    pub memory: u64,
    pub vcpus: u64,
    pub memory_held: u64,
    pub vcpus_held: u64,
    pub rooms: Vec<Room>,
    /// For each class of disk, the index in `rooms` that would take it here; `None`: this target cannot.
    pub room_of_class: Vec<Option<usize>>,
}

impl Target {
    pub fn room_for(&self, class: usize) -> Option<usize> {
        self.room_of_class.get(class).copied().flatten()
    }
}

/// What must be placed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guest {
    pub memory: u64,
    pub vcpus: u64,
    /// Local disks as (class, amount); a class is what maps to one storage on each target.
    pub disks: Vec<(usize, u64)>,
    pub allowed: NodeSet,
}

/// Guests of which one target may hold `at_most` so many (1: anti-affinity).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Apart {
    pub members: Vec<usize>,
    pub at_most: u32,
    /// Members that each target has already and that do not move; shorter than the targets means none.
    pub held: Vec<u32>,
}

impl Apart {
    pub fn held_by(&self, target: usize) -> u32 {
        self.held.get(target).copied().unwrap_or(0)
    }
}

/// A packing problem. Indexes in `apart` and `together` are indexes of `guests`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problem {
    pub targets: Vec<Target>,
    pub guests: Vec<Guest>,
    pub apart: Vec<Apart>,
    /// Guests that must share one target.
    pub together: Vec<Vec<usize>>,
}

/// `used` of `capacity` in 1/10000, rounded up; more than any real value when there is no capacity at all.
pub fn utilisation(used: u64, capacity: u64) -> u64 {
    match (used, capacity) {
        (0, _) => 0,
        (_, 0) => u64::from(u32::MAX),
        _ => (used * 10_000).div_ceil(capacity),
    }
}

impl Problem {
    /// The worst utilisation over the targets (memory or vCPU, 1/10000, rounded up) once `placed` is done.
    pub fn worst(&self, placed: &[usize]) -> u64 {
        let mut memory: Vec<u64> = self.targets.iter().map(|t| t.memory_held).collect();
        let mut vcpus: Vec<u64> = self.targets.iter().map(|t| t.vcpus_held).collect();
        for (guest, &to) in self.guests.iter().zip(placed) {
            memory[to] += guest.memory;
            vcpus[to] += guest.vcpus;
        }
        let each = self.targets.iter().enumerate();
        each.map(|(i, t)| utilisation(memory[i], t.memory).max(utilisation(vcpus[i], t.vcpus))).max().unwrap_or(0)
    }

    /// How much disk would land in slow rooms.
    pub fn slow(&self, placed: &[usize]) -> u64 {
        let mut sum = 0;
        for (guest, &to) in self.guests.iter().zip(placed) {
            let target = &self.targets[to];
            for &(class, amount) in &guest.disks {
                if target.room_for(class).is_some_and(|room| target.rooms[room].slow) {
                    sum += amount;
                }
            }
        }
        sum
    }
}
