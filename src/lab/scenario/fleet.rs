//! Makes the nodes and guests of a large site from a few numbers. The same numbers give the same site.

use super::{AgentSpec, FleetSpec, GuestSpec, InsideSpec, NodeSpec, Scenario};
use std::collections::BTreeMap;

use crate::model::ids::{GuestKind, NodeName, Vmid};

/// Memory of a guest, MiB, and how many in 32 have it.
const SIZES: [(u64, u64); 5] = [(2048, 12), (4096, 10), (8192, 6), (16384, 3), (32768, 1)];

/// Adds the nodes `pve01`… and the guests 1000… round by round, so that every node holds about the same.
pub(super) fn fill(scenario: &mut Scenario, spec: &FleetSpec) {
    let names: Vec<NodeName> = (1..=spec.nodes).map(|n| NodeName::new(format!("pve{n:02}"))).collect();
    scenario.nodes.extend(names.iter().map(|name| NodeSpec {
        name: name.clone(),
        version: spec.version.clone(),
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
        let mut guest = guest(n, node, draw);
        if n.wrapping_mul(2_654_435_761) % 1000 < spec.dead_agents {
            guest.agent = AgentSpec::Dead;
        }
        scenario.guests.push(guest);
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
        ip: Some(address(n)),
        agent: AgentSpec::default(),
        inside: if n % 8 == 3 { of_containers(n) } else { Vec::new() },
        pool: None,
        snapshots: Vec::new(),
        // Every sixteenth has a second card.
        config: if n % 16 == 5 { BTreeMap::from([second_card(n, kind)]) } else { BTreeMap::new() },
        shutdown_seconds: None,
    }
}

fn address(n: u32) -> String {
    format!("10.{}.{}.{}", 1 + n / 62_500, n / 250 % 250, 1 + n % 250)
}

fn second_card(n: u32, kind: GuestKind) -> (String, String) {
    let mac = format!("BC:24:22:{:02X}:{:02X}:{:02X}", n >> 16 & 255, n >> 8 & 255, n & 255);
    let line = match kind {
        GuestKind::Qemu => format!("virtio={mac},bridge=vmbr0,tag=20"),
        GuestKind::Lxc => format!("name=eth1,bridge=vmbr0,hwaddr={mac},ip=manual,tag=20,type=veth"),
    };
    ("net1".to_owned(), line)
}

/// What a guest reports in which containers run.
fn of_containers(n: u32) -> Vec<InsideSpec> {
    let own = |name: &str, net, mac: Option<&str>, addresses: &[&str]| InsideSpec {
        name: name.to_owned(),
        net,
        mac: mac.map(str::to_owned),
        addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
    };
    vec![
        own("eth0", Some(0), None, &[&format!("{}/24", address(n))]),
        own("docker0", None, Some("02:42:ac:11:00:01"), &["172.17.0.1/16"]),
        own("veth5a1c9e2", None, Some("66:0a:5b:11:22:33"), &["fe80::640a:5bff:fe11:2233/64"]),
    ]
}

/// Takes `nodes=10,guests=1000,dead=10,version=8.4.2` over.
pub(super) fn resize(spec: &mut FleetSpec, size: &str) -> Result<(), String> {
    for part in size.split(',') {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let number = |most: u32| match value.parse::<u32>() {
            Ok(n) if n <= most => Ok(n),
            _ => Err(format!("{key}={value}: expected a whole number up to {most}")),
        };
        match key {
            "nodes" => spec.nodes = number(200)?.max(1),
            "guests" => spec.guests = number(100_000)?,
            "dead" => spec.dead_agents = number(1000)?,
            "version" => spec.version = value.to_owned(),
            _ => return Err(format!("{part}: expected nodes=, guests=, dead= (of a thousand agents) or version=")),
        }
    }
    spec.memory_gib = spec.memory_gib.max(f64::from(8 * spec.guests.div_ceil(spec.nodes) + 64));
    Ok(())
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
