//! World time: milliseconds since the site was made, and what is due when. Nothing here knows real time.

use std::collections::BTreeMap;

use super::task::TaskKey;
use super::{World, broadcast, ha, jobs, node, talos};
use crate::model::ids::{NodeName, Vmid};

/// What the site does of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// Every node publishes its figures.
    Broadcast,
    /// One round of the HA manager.
    Crm,
    /// One round of every node's local resource manager.
    Lrm,
    /// A task goes on.
    Task(TaskKey),
    /// A node goes down for a reboot, or comes up after it.
    Power(NodeName, bool),
    /// A node that came back has booted far enough to start its guests.
    Booted(NodeName),
    /// A Talos machine goes on, unless its power has changed since.
    Talos(Vmid, u64, talos::Turn),
    /// A talosctl that waits goes on.
    TalosClient(u64),
}

/// Events by instant, and by order of arrival at one instant.
#[derive(Debug, Clone, Default)]
pub(super) struct Agenda {
    sequence: u64,
    due: BTreeMap<(u64, u64), Event>,
}

impl World {
    /// World time, milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.now
    }

    /// When something will next happen of itself.
    pub fn next_event(&self) -> Option<u64> {
        self.agenda.due.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Lets everything happen that is due up to `ms`. Going back does nothing.
    pub fn advance_to(&mut self, ms: u64) {
        while let Some((&key, _)) = self.agenda.due.first_key_value() {
            if key.0 > ms {
                break;
            }
            if let Some(event) = self.agenda.due.remove(&key) {
                self.now = self.now.max(key.0);
                self.happen(event);
            }
        }
        self.now = self.now.max(ms);
    }

    pub(super) fn after(&mut self, ms: u64, event: Event) {
        let key = (self.now + ms, self.agenda.sequence);
        self.agenda.sequence += 1;
        self.agenda.due.insert(key, event);
    }

    /// Wall-clock seconds since 1970.
    pub(super) fn seconds(&self) -> i64 {
        self.epoch + (self.now / 1000) as i64
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Broadcast => {
                broadcast::refresh(self);
                // The kubelets' rounds are as long.
                self.settle_kubernetes();
                self.after(broadcast::PERIOD_MS, Event::Broadcast);
            }
            Event::Crm => {
                ha::crm::round(self);
                self.after(ha::CRM_PERIOD_MS, Event::Crm);
            }
            Event::Lrm => {
                ha::lrm::round(self);
                self.after(ha::LRM_PERIOD_MS, Event::Lrm);
            }
            Event::Task(key) => jobs::step(self, key),
            Event::Power(name, up) => {
                self.set_node_up(&name, up);
                if !up {
                    self.after(node::REBOOT_MS[1], Event::Power(name, true));
                }
            }
            Event::Booted(name) => node::booted(self, &name),
            Event::Talos(vmid, life, turn) => self.machine_turn(vmid, life, turn),
            Event::TalosClient(id) => self.talos_client_turn(id),
        }
        self.watch_talos();
    }
}
