//! A partial placement with its running sums; cheap to change and to undo.

use super::items::Item;
use crate::placement::problem::{Problem, utilisation};

/// Where each item is and what each target holds.
#[derive(Clone)]
pub(super) struct State<'a> {
    pub problem: &'a Problem,
    pub items: &'a [Item],
    pub place: Vec<Option<usize>>,
    pub on: Vec<Vec<usize>>,
    /// (memory, vCPU) that a target may reach.
    limits: Vec<(u64, u64)>,
    memory: Vec<u64>,
    vcpus: Vec<u64>,
    rooms: Vec<Vec<u64>>,
    groups: Vec<Vec<u32>>,
}

impl<'a> State<'a> {
    /// `ceiling`: the utilisation, in 1/10000, that no target may exceed by what is added; 10000 is its capacity.
    pub fn new(problem: &'a Problem, items: &'a [Item], ceiling: u64) -> Self {
        let targets = &problem.targets;
        let part = |capacity: u64| (u128::from(capacity) * u128::from(ceiling.min(10_000)) / 10_000) as u64;
        Self {
            problem,
            items,
            place: vec![None; items.len()],
            on: vec![Vec::new(); targets.len()],
            limits: targets.iter().map(|t| (part(t.memory), part(t.vcpus))).collect(),
            memory: targets.iter().map(|t| t.memory_held).collect(),
            vcpus: targets.iter().map(|t| t.vcpus_held).collect(),
            rooms: targets.iter().map(|t| vec![0; t.rooms.len()]).collect(),
            groups: problem.apart.iter().map(|g| (0..targets.len()).map(|t| g.held_by(t)).collect()).collect(),
        }
    }

    /// Let targets be filled up to `ceiling` from now on.
    pub fn lift(&mut self, ceiling: u64) {
        self.limits = Self::new(self.problem, self.items, ceiling).limits;
    }

    /// Whether the item has its place there beside what is there now.
    pub fn fits(&self, item: usize, to: usize) -> bool {
        let (it, limit) = (&self.items[item], self.limits[to]);
        it.allowed.contains(to)
            && (it.memory == 0 || self.memory[to] + it.memory <= limit.0)
            && (it.vcpus == 0 || self.vcpus[to] + it.vcpus <= limit.1)
            && it.groups.iter().all(|&(g, n)| self.groups[g][to] + n <= self.problem.apart[g].at_most)
            && self.disks_fit(it, to)
    }

    fn disks_fit(&self, it: &Item, to: usize) -> bool {
        let target = &self.problem.targets[to];
        // Two classes may share a room, so each room is summed.
        it.disks.iter().all(|&(class, _)| {
            let Some(room) = target.room_for(class) else { return false };
            let here = it.disks.iter().filter(|(c, _)| target.room_for(*c) == Some(room));
            let added: u64 = here.map(|(_, amount)| amount).sum();
            added == 0 || self.rooms[to][room] + added <= target.rooms[room].free
        })
    }

    pub fn put(&mut self, item: usize, to: usize) {
        let it = &self.items[item];
        self.place[item] = Some(to);
        self.on[to].push(item);
        self.memory[to] += it.memory;
        self.vcpus[to] += it.vcpus;
        for &(group, n) in &it.groups {
            self.groups[group][to] += n;
        }
        for &(class, amount) in &it.disks {
            if let Some(room) = self.problem.targets[to].room_for(class) {
                self.rooms[to][room] += amount;
            }
        }
    }

    /// Take an item away again; returns where it was.
    pub fn take(&mut self, item: usize) -> Option<usize> {
        let it = &self.items[item];
        let from = self.place[item].take()?;
        self.on[from].retain(|&other| other != item);
        self.memory[from] -= it.memory;
        self.vcpus[from] -= it.vcpus;
        for &(group, n) in &it.groups {
            self.groups[group][from] -= n;
        }
        for &(class, amount) in &it.disks {
            if let Some(room) = self.problem.targets[from].room_for(class) {
                self.rooms[from][room] -= amount;
            }
        }
        Some(from)
    }

    /// Utilisation in 1/10000, rounded up: the worse of memory and vCPU.
    pub fn load(&self, target: usize) -> u64 {
        self.load_with(target, (0, 0), (0, 0))
    }

    /// The same with `added` (memory, vCPU) there and `gone` away.
    pub fn load_with(&self, target: usize, added: (u64, u64), gone: (u64, u64)) -> u64 {
        let there = &self.problem.targets[target];
        utilisation(self.memory[target] + added.0 - gone.0, there.memory)
            .max(utilisation(self.vcpus[target] + added.1 - gone.1, there.vcpus))
    }

    pub fn size(&self, item: usize) -> (u64, u64) {
        (self.items[item].memory, self.items[item].vcpus)
    }

    /// The allowed target that is least loaded after taking the item; `skip` is left out.
    pub fn least_loaded(&self, item: usize, skip: Option<usize>) -> Option<usize> {
        let all = 0..self.problem.targets.len();
        all.filter(|&to| Some(to) != skip && self.fits(item, to))
            .min_by_key(|&to| (self.load_with(to, self.size(item), (0, 0)), self.slow_if(item, to), to))
    }

    /// How much disk the item brings into slow rooms of that target.
    pub fn slow_if(&self, item: usize, to: usize) -> u64 {
        let target = &self.problem.targets[to];
        let slow = |class| target.room_for(class).is_some_and(|room| target.rooms[room].slow);
        self.items[item].disks.iter().filter(|(class, _)| slow(*class)).map(|(_, amount)| amount).sum()
    }

    /// The worst load of all targets.
    pub fn worst(&self) -> u64 {
        (0..self.on.len()).map(|target| self.load(target)).max().unwrap_or(0)
    }

    pub fn assignment(&self) -> Vec<Option<usize>> {
        let mut placed = vec![None; self.problem.guests.len()];
        for (item, &to) in self.items.iter().zip(&self.place) {
            for &guest in &item.guests {
                placed[guest] = to;
            }
        }
        placed
    }
}
