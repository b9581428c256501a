//! Random orders at random times: nothing panics, everything comes to an end, nothing is left behind.

use proptest::prelude::*;

use super::*;
use crate::model::ids::GuestKind;

#[derive(Debug, Clone)]
enum Order {
    Migrate { guest: usize, target: usize, flags: u8 },
    Power { guest: usize, verb: &'static str },
    Maintenance { node: usize, on: bool },
    Node { node: usize, up: bool },
    Config { guest: usize, memory: u64 },
    Wait(u64),
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        4 => (0..34_usize, 0..3_usize, any::<u8>())
            .prop_map(|(guest, target, flags)| Order::Migrate { guest, target, flags }),
        2 => (0..34_usize, prop::sample::select(vec!["start", "stop", "shutdown", "reboot"]))
            .prop_map(|(guest, verb)| Order::Power { guest, verb }),
        1 => (0..3_usize, any::<bool>()).prop_map(|(node, on)| Order::Maintenance { node, on }),
        1 => (0..3_usize, any::<bool>()).prop_map(|(node, up)| Order::Node { node, up }),
        1 => (0..34_usize, 256..40_000_u64).prop_map(|(guest, memory)| Order::Config { guest, memory }),
        4 => (0..90_000_u64).prop_map(Order::Wait),
    ]
}

fn path_of(world: &World, guest: usize) -> String {
    let guests = world.guests();
    let guest = &world.guests[&guests[guest % guests.len()]];
    format!("/nodes/{}/{}/{}", guest.node, guest.kind, guest.vmid)
}

/// Carries an order out; refusals are answers too.
fn obey(world: &mut World, order: &Order) {
    let nodes = world.nodes();
    match order {
        Order::Migrate { guest, target, flags } => {
            let path = path_of(world, *guest);
            let mut params = vec![("target", nodes[*target].as_str())];
            let names = ["online", "with-local-disks", "restart"];
            params.extend(names.iter().enumerate().filter(|(n, _)| flags >> n & 1 == 1).map(|(_, name)| (*name, "1")));
            let _ = post(world, &format!("{path}/migrate"), &params);
        }
        Order::Power { guest, verb } => {
            let path = path_of(world, *guest);
            let _ = post(world, &format!("{path}/status/{verb}"), &[]);
        }
        Order::Maintenance { node, on } => {
            let how = if *on { "enable" } else { "disable" };
            let words =
                ["ha-manager", "crm-command", "node-maintenance", how, nodes[*node].as_str()].map(str::to_owned);
            world.command(&nodes[0], &words);
        }
        Order::Node { node, up } => world.set_node_up(&nodes[*node], *up),
        Order::Config { guest, memory } => {
            let path = path_of(world, *guest);
            let _ = world.handle(&call(Verb::Put, &format!("{path}/config"), &[("memory", &memory.to_string())]));
        }
        Order::Wait(ms) => {
            let until = world.now_ms() + ms;
            world.advance_to(until);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    #[test]
    fn every_storm_ends(orders in prop::collection::vec(order(), 1..40)) {
        let mut world = site("three-node");
        let mut twin = world.clone();
        let mut crashed = false;
        for order in &orders {
            crashed |= matches!(order, Order::Node { up: false, .. });
            obey(&mut world, order);
            obey(&mut twin, order);
        }
        for name in world.nodes() {
            world.set_node_up(&name, true);
            twin.set_node_up(&name, true);
        }
        run(&mut world, 2 * 3600);
        run(&mut twin, 2 * 3600);
        prop_assert!(world.transfers.is_empty());
        // The HA manager may be at something again and again (a start that cannot succeed), but no task lasts.
        for (_, task) in world.running_tasks() {
            prop_assert!(world.now - task.started < 3_600_000, "{} goes on and on", task.upid);
        }
        for guest in world.guests.values() {
            let lock = guest.config.get("lock");
            let left = lock == Some("migrate") && !crashed && !world.ha.manages(&guest.sid());
            prop_assert!(!left, "{} is still locked", guest.vmid);
            prop_assert!(guest.held_by.is_none() || world.ha.manages(&guest.sid()));
            for disk in guest.config.disks().iter().filter(|_| guest.kind == GuestKind::Qemu) {
                prop_assert!(world.available(disk.storage.as_str(), &guest.node));
            }
        }
        prop_assert_eq!(diff(&world.snapshot_state(), &twin.snapshot_state()), Vec::<String>::new());
    }
}
