//! The verifier: does an assignment keep every hard limit? Independent of the packer, integers only.
//!
//! It shares no arithmetic with the search on purpose: a mistake there must not be able to hide here.

use super::problem::Problem;

/// A hard limit that an assignment breaks. Indexes are those of the problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("{got} assignments for {expected} guests")]
    Length { expected: usize, got: usize },
    #[error("guest {guest} is on target {target}, which does not exist")]
    NoSuchTarget { guest: usize, target: usize },
    #[error("guest {guest} may not be on target {target}")]
    NotAllowed { guest: usize, target: usize },
    #[error("target {target} has no storage for a disk of guest {guest}")]
    NoRoom { guest: usize, target: usize },
    #[error("memory of target {target}: {used} of {capacity}")]
    Memory { target: usize, used: u64, capacity: u64 },
    #[error("vCPUs of target {target}: {used} of {capacity}")]
    Vcpus { target: usize, used: u64, capacity: u64 },
    #[error("storage {room} of target {target}: {used} of {capacity}")]
    Disk { target: usize, room: usize, used: u64, capacity: u64 },
    #[error("target {target} has {members} of group {group}, at most {at_most}")]
    Apart { group: usize, target: usize, members: u32, at_most: u32 },
    #[error("group {group} must share one target")]
    Together { group: usize },
}

/// Check an assignment (`placed[guest]` = target).
///
/// A target that its residents overfill already breaks a limit only if something is added to that very sum.
///
/// # Errors
/// Every limit that is broken, in the order of guests, targets, groups.
pub fn check(problem: &Problem, placed: &[usize]) -> Result<(), Vec<Broken>> {
    if placed.len() != problem.guests.len() {
        return Err(vec![Broken::Length { expected: problem.guests.len(), got: placed.len() }]);
    }
    let mut broken = each_guest(problem, placed);
    if broken.iter().any(|b| matches!(b, Broken::NoSuchTarget { .. })) {
        return Err(broken);
    }
    for target in 0..problem.targets.len() {
        sums(problem, placed, target, &mut broken);
    }
    groups(problem, placed, &mut broken);
    if broken.is_empty() { Ok(()) } else { Err(broken) }
}

fn each_guest(problem: &Problem, placed: &[usize]) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (guest, (facts, &target)) in problem.guests.iter().zip(placed).enumerate() {
        let Some(there) = problem.targets.get(target) else {
            broken.push(Broken::NoSuchTarget { guest, target });
            continue;
        };
        if !facts.allowed.contains(target) {
            broken.push(Broken::NotAllowed { guest, target });
        }
        if facts.disks.iter().any(|&(class, _)| there.room_for(class).is_none()) {
            broken.push(Broken::NoRoom { guest, target });
        }
    }
    broken
}

fn sums(problem: &Problem, placed: &[usize], target: usize, broken: &mut Vec<Broken>) {
    let there = &problem.targets[target];
    let (mut memory, mut vcpus, mut disk) = (0, 0, vec![0; there.rooms.len()]);
    for (guest, _) in problem.guests.iter().zip(placed).filter(|(_, at)| **at == target) {
        memory += guest.memory;
        vcpus += guest.vcpus;
        for &(class, amount) in &guest.disks {
            if let Some(room) = there.room_for(class) {
                disk[room] += amount;
            }
        }
    }
    if memory > 0 && memory + there.memory_held > there.memory {
        broken.push(Broken::Memory { target, used: memory + there.memory_held, capacity: there.memory });
    }
    if vcpus > 0 && vcpus + there.vcpus_held > there.vcpus {
        broken.push(Broken::Vcpus { target, used: vcpus + there.vcpus_held, capacity: there.vcpus });
    }
    for (room, &used) in disk.iter().enumerate() {
        if used > there.rooms[room].free {
            broken.push(Broken::Disk { target, room, used, capacity: there.rooms[room].free });
        }
    }
}

fn groups(problem: &Problem, placed: &[usize], broken: &mut Vec<Broken>) {
    for (group, apart) in problem.apart.iter().enumerate() {
        for target in 0..problem.targets.len() {
            let added = apart.members.iter().filter(|&&g| placed[g] == target).count() as u32;
            let members = added + apart.held_by(target);
            if added > 0 && members > apart.at_most {
                broken.push(Broken::Apart { group, target, members, at_most: apart.at_most });
            }
        }
    }
    for (group, members) in problem.together.iter().enumerate() {
        if members.windows(2).any(|pair| placed[pair[0]] != placed[pair[1]]) {
            broken.push(Broken::Together { group });
        }
    }
}
