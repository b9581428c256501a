//! Makes the nodes and guests of a large site from a few numbers. The same numbers give the same site.

use super::{FleetSpec, GuestSpec, NodeSpec, Scenario};
use crate::model::ids::{GuestKind, NodeName, Vmid};

/// Memory of a guest, MiB, and how many in 32 have it.
const SIZES: [(u64, u64); 5] = [(2048, 12), (4096, 10), (8192, 6), (16384, 3), (32768, 1)];

/// Adds the nodes `pve01`… and the guests 1000… round by round, so that every node holds about the same.
pub(super) fn fill(scenario: &mut Scenario, spec: &FleetSpec) {
    let names: Vec<NodeName> = (1..=spec.nodes).map(|n| NodeName::new(format!("pve{n:02}"))).collect();
    scenario.nodes.extend(names.iter().map(|name| NodeSpec {
        name: name.clone(),
        version: super::newest(),
        memory_gib: spec.memory_gib,
        threads: spec.threads,
        cpu_model: super::ordinary_cpu(),
        cpu_flags: super::ordinary_flags(),
        ip: None,
        bridges: super::ordinary_bridges(),
        root_gib: super::ordinary_root(),
        config: Default::default(),
        certificate: None,
    }));
    let mut state = spec.seed;
    for n in 0..spec.guests {
        let draw = mix(&mut state);
        let node = names[n as usize % names.len()].clone();
        scenario.guests.push(guest(n, node, draw));
    }
}

fn guest(n: u32, node: NodeName, draw: u64) -> GuestSpec {
    // Most guests are virtual machines on shared storage; one in ten is a container, one in sixteen has a local disk.
    let kind = if draw % 10 == 9 { GuestKind::Lxc } else { GuestKind::Qemu };
    let storage = if (draw >> 8).is_multiple_of(16) { "local-lvm" } else { "ceph-vm" };
    let memory_mib = memory((draw >> 16) % 32);
    GuestSpec {
        id: Vmid(1000 + n),
        node,
        kind,
        name: format!("{}-{}", if kind == GuestKind::Lxc { "ct" } else { "vm" }, 1000 + n),
        running: !(draw >> 24).is_multiple_of(8),
        memory_mib: if kind == GuestKind::Lxc { memory_mib.min(4096) } else { memory_mib },
        cores: [1, 2, 2, 4, 4, 8][((draw >> 32) % 6) as usize],
        disk: format!("{storage}:{}", 8 + 8 * ((draw >> 40) % 6)),
        tags: ["", "", "dev", "prod"][((draw >> 48) % 4) as usize].into(),
        mac: None,
        ip: None,
        pool: None,
        snapshots: Vec::new(),
        config: Default::default(),
        shutdown_seconds: None,
    }
}

fn memory(mut place: u64) -> u64 {
    for (mib, share) in SIZES {
        if place < share {
            return mib;
        }
        place -= share;
    }
    SIZES[0].0
}

/// One draw of splitmix64.
fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
