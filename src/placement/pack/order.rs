//! In which order to place: few targets first, then big first; later starts shake the sizes.

use super::items::Item;
use crate::placement::problem::Problem;

/// A small generator (splitmix64): the same on every platform and for ever, as plans must be.
struct Shake(u64);

impl Shake {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Items in the order of the start number `restart`; 0 is the plain rule.
pub(super) fn order(problem: &Problem, items: &[Item], restart: u32, trouble: &[u32]) -> Vec<usize> {
    let total = |of: fn(&crate::placement::problem::Target) -> u64| -> u64 {
        problem.targets.iter().map(of).sum::<u64>().max(1)
    };
    let (memory, vcpus) = (total(|t| t.memory), total(|t| t.vcpus));
    let disk: u64 = problem.targets.iter().flat_map(|t| &t.rooms).map(|r| r.free).sum::<u64>().max(1);
    let few = problem.targets.len() / 3;
    let mut shake = Shake(u64::from(restart));
    // Up to plus or minus 5 % at first, 40 % at last: near orders first, then farther ones.
    let width = if restart == 0 { 0 } else { 100 + u64::from(restart.min(16)) * 50 };
    let mut keyed: Vec<(bool, u64, u32, usize)> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let parts = item.disks.iter().map(|(_, amount)| amount).sum::<u64>();
        let share = |need: u64, all: u64| (u128::from(need) * 1_000_000_000 / u128::from(all)) as u64;
        let shares = [share(item.memory, memory), share(item.vcpus, vcpus), share(parts, disk)];
        let size = if restart % 4 == 3 { shares.iter().sum() } else { shares.into_iter().max().unwrap_or(0) };
        let factor = 1_000 - width / 2 + if width == 0 { 0 } else { shake.next() % (width + 1) };
        let eligible = eligible(problem, item);
        // Every fifth start forgets the constrained-first rule; it is sometimes what stands in the way.
        let constrained = eligible <= few.max(1) && restart % 5 != 4;
        keyed.push((constrained, size * factor / 1_000, trouble[index], index));
    }
    keyed.sort_by(|a, b| (b.2, b.0, b.1).cmp(&(a.2, a.0, a.1)).then(a.3.cmp(&b.3)));
    keyed.into_iter().map(|(.., index)| index).collect()
}

fn eligible(problem: &Problem, item: &Item) -> usize {
    item.allowed
        .iter()
        .filter(|&t| item.disks.iter().all(|(class, _)| problem.targets[t].room_for(*class).is_some()))
        .count()
}
