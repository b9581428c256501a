//! A world from a scenario.

use super::clock::{Agenda, Event};
use super::rng::Rng;
use super::{World, acme, backup, broadcast, guest, ha, node, pools, storage, talos};
use crate::lab::scenario::Scenario;
use crate::model::ids::Vmid;

impl World {
    /// The site as the scenario describes it, at world time 0; `epoch_secs` is the wall-clock time of that instant.
    pub fn from_scenario(scenario: &Scenario, seed: u64, epoch_secs: i64) -> Self {
        let mut rng = Rng::new(seed);
        let storages: std::collections::BTreeMap<_, _> =
            scenario.storages.iter().map(|spec| (spec.id.clone(), storage::Storage::from_spec(spec))).collect();
        let plugin =
            |id: &str| storages.get(id).map_or_else(|| "dir".to_owned(), |s: &storage::Storage| s.spec.plugin.clone());
        let guests = scenario
            .guests
            .iter()
            .map(|spec| (spec.id, guest::from_spec(spec, plugin, &mut rng, epoch_secs)))
            .collect();
        let nodes = (1..)
            .zip(&scenario.nodes)
            .map(|(id, spec)| (spec.name.clone(), node::Node::from_spec(spec, id, epoch_secs)))
            .collect();
        let mut world = Self {
            site: scenario.site.clone(),
            epoch: epoch_secs,
            now: 0,
            agenda: Agenda::default(),
            rng,
            datacenter: scenario.datacenter.clone(),
            mappings: scenario.mappings.clone(),
            pools: pools::from_spec(&scenario.pools),
            nodes,
            storages,
            guests,
            backups: Vec::new(),
            ha: ha::Ha::default(),
            acme: acme::Acme::from_spec(&scenario.acme, epoch_secs),
            tasks: Default::default(),
            published: Default::default(),
            transfers: Default::default(),
            faults: Vec::new(),
            task_delay: 0,
            quorum_lost: false,
            machines: talos::Machines::default(),
            kubernetes: Default::default(),
        };
        let running: Vec<Vmid> = scenario.guests.iter().filter(|spec| spec.running).map(|spec| spec.id).collect();
        for vmid in running {
            world.power_on(vmid);
            // They have been up for some days, not all for the same time.
            let days = 3 + world.rng.next() % 40;
            if let Some(run) = world.guests.get_mut(&vmid).and_then(|guest| guest.run.as_mut()) {
                run.since = -((days * 86_400_000 + u64::from(vmid.0) * 1_000) as i64);
            }
        }
        // Only now: they have been up for as long as their guests.
        world.machines = talos::Machines::of(scenario);
        world.backups = backup::from_spec(&scenario.backups, &world);
        scenario.tasks.iter().for_each(|upid| world.given_task(upid));
        world.ha = ha::Ha::from_spec(&scenario.ha, &world);
        world.seed_kubernetes(&scenario.kubernetes.storage);
        broadcast::refresh(&mut world);
        world.after(broadcast::PERIOD_MS, Event::Broadcast);
        world.after(ha::LRM_PERIOD_MS, Event::Lrm);
        world.after(ha::CRM_PERIOD_MS, Event::Crm);
        world
    }
}
