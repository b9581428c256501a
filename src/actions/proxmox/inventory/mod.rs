//! The Proxmox collector: the cluster's list first, then each node's guests beside each other, at most so many calls at
//! once as leave a node's workers room for others.

mod node;
mod read;
mod rights;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;

use crate::actions::inventory::{Collected, Collector};
use crate::actions::proxmox::failures;
use crate::clients::proxmox::{GuestRow, Resources, Site};
use crate::inventory::{Choice, Memory};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, Vmid};
use crate::model::inventory::{DiscoveredHost, Missing, Reason, Unknown};
use node::{Outcome, ask_node};
use rights::Rights;

/// How often guests that moved meanwhile are looked for again.
const LOOKS: u32 = 3;
const ATTEMPTED: &str = "list the guests of the site";

/// How it goes about it.
#[derive(Debug, Clone)]
pub struct HowToCollect {
    pub choice: Choice,
    /// Also loopback, link-local and what container networks have.
    pub all_addresses: bool,
    /// Keeps with each host what its configuration and the guest said word by word, which only Ansible is told.
    pub details: bool,
    /// For one call about one guest.
    pub deadline: Duration,
    /// Calls at once to one node, and how many of them through pvedaemon. A node has three workers of each for everybody.
    pub at_once: usize,
    pub protected: usize,
    /// How long an answer of an earlier run holds.
    pub max_age: Duration,
    /// Milliseconds since 1970.
    pub now: u64,
    /// How many of the site's seconds pass in one of ours: more than one in a lab.
    pub scale: f64,
    /// Hosts of an earlier run that are not asked again as long as the list says the same of them.
    pub keep: BTreeMap<Vmid, DiscoveredHost>,
}

impl Default for HowToCollect {
    fn default() -> Self {
        Self {
            choice: Choice::default(),
            all_addresses: false,
            details: false,
            deadline: Duration::from_secs(10),
            at_once: 3,
            protected: 2,
            max_age: Duration::ZERO,
            now: 0,
            scale: 1.0,
            keep: BTreeMap::new(),
        }
    }
}

/// Asks one site.
pub struct ProxmoxCollector {
    site: Site,
    how: Arc<HowToCollect>,
    /// Of each guest what it said in an earlier run, or now: never both, of ten thousand guests that is megabytes.
    memory: Arc<Mutex<Memory>>,
}

/// What all nodes' guests are asked with.
pub(super) struct Asking {
    site: Site,
    how: Arc<HowToCollect>,
    rights: Rights,
    memory: Arc<Mutex<Memory>>,
}

impl ProxmoxCollector {
    /// `memory`: what earlier runs have kept.
    pub fn new(site: Site, how: HowToCollect, memory: Memory) -> Self {
        Self { site, how: Arc::new(how), memory: Arc::new(Mutex::new(memory)) }
    }

    /// What the next run may use.
    pub fn into_memory(self) -> Memory {
        std::mem::take(&mut *self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn failed(&self, error: &crate::clients::proxmox::ProxmoxError) -> Failure {
        failures::proxmox(&failures::we(&self.site), ATTEMPTED, error)
    }

    /// The list, and what we may do: asked beside each other.
    async fn begin(&self) -> Result<(Resources, Rights), Failure> {
        let (resources, rights) = tokio::join!(self.site.resources(), self.site.permissions(None));
        let resources = resources.map_err(|error| self.failed(&error))?;
        let rights = Rights::new(rights.map_err(|error| self.failed(&error))?);
        if resources.guests.is_empty()
            && let Some(path) = rights.hides_guests()
        {
            return Err(failures::hidden(ATTEMPTED, &failures::we(&self.site), "VM.Audit", &path));
        }
        // An empty list would say that it is there and has no guests.
        let names = || resources.nodes.iter().map(|row| row.node.as_str());
        if let Some(node) = self.how.choice.node.as_ref().filter(|node| names().all(|name| name != node.as_str())) {
            let failure = Failure::new(Class::Precondition, ATTEMPTED, format!("there is no node {:?}", node.as_str()));
            return Err(failure.remedy(format!("nodes of this site: {}", names().collect::<Vec<_>>().join(", "))));
        }
        Ok((resources, rights))
    }

    fn wanted(&self, mut resources: Resources) -> Vec<GuestRow> {
        let choice = &self.how.choice;
        resources.guests.retain(|g| choice.takes(&g.node, &g.tags, g.kind, &g.status, g.pool.as_deref()));
        resources.guests
    }

    /// The hosts that may stay as they were, and the guests that have to be asked.
    fn unchanged(&self, rows: Vec<GuestRow>) -> (Vec<DiscoveredHost>, Vec<GuestRow>) {
        let (mut hosts, mut rest) = (Vec::new(), Vec::new());
        for row in rows {
            match self.how.keep.get(&row.vmid).filter(|host| says_the_same(host, &row)) {
                Some(host) => hosts.push(host.clone()),
                None => rest.push(row),
            }
        }
        (hosts, rest)
    }

    /// Asks all nodes at once.
    async fn ask(&self, asking: &Arc<Asking>, offline: &[NodeName], rows: Vec<GuestRow>) -> Result<Found, Failure> {
        let mut by_node: BTreeMap<NodeName, Vec<GuestRow>> = BTreeMap::new();
        for row in rows {
            by_node.entry(row.node.clone()).or_default().push(row);
        }
        let (mut found, mut running) = (Found::default(), JoinSet::new());
        for (node, rows) in by_node {
            if offline.contains(&node) {
                found.add(asking.offline(&node, rows));
                continue;
            }
            running.spawn(ask_node(asking.clone(), node, rows));
        }
        while let Some(ended) = running.join_next().await {
            let outcome = ended.map_err(|e| Failure::new(Class::Internal, ATTEMPTED, e.to_string()))??;
            found.add(outcome);
        }
        Ok(found)
    }

    /// Those that were on another node than the list said, by a new list.
    async fn ask_again(&self, asking: &Arc<Asking>, found: &mut Found) -> Result<(), Failure> {
        for _ in 0..LOOKS {
            let moved = std::mem::take(&mut found.moved);
            if moved.is_empty() {
                return Ok(());
            }
            let resources = self.site.resources().await.map_err(|error| self.failed(&error))?;
            let offline = offline(&resources);
            // One that is in no list any more is gone, and no part of the inventory; nor is one that is not asked for where it is now.
            let mut rows = self.wanted(resources);
            rows.retain(|row| moved.iter().any(|old| old.vmid == row.vmid));
            let more = self.ask(asking, &offline, rows).await?;
            found.join(more);
        }
        for row in std::mem::take(&mut found.moved) {
            let why = format!("guest {}: the cluster says that it is on {}, which has it not", row.vmid, row.node);
            let unknown = Unknown::new(Reason::NotRead, why);
            found.add(asking.unread(vec![row], &unknown, "configuration"));
        }
        Ok(())
    }
}

fn says_the_same(host: &DiscoveredHost, row: &GuestRow) -> bool {
    host.node.as_ref() == Some(&row.node)
        && host.status == row.status
        && row.name.as_ref().is_none_or(|name| *name == host.name)
        && host.tags == row.tags
        && host.template == row.template
        && host.pool.as_deref().unwrap_or_default() == row.pool.as_deref().unwrap_or_default()
}

fn offline(resources: &Resources) -> Vec<NodeName> {
    resources.nodes.iter().filter(|row| row.status == "offline").map(|row| row.node.clone()).collect()
}

/// What nodes have given so far.
#[derive(Default)]
struct Found {
    hosts: Vec<DiscoveredHost>,
    missing: Vec<Missing>,
    moved: Vec<GuestRow>,
}

impl Found {
    fn add(&mut self, outcome: Outcome) {
        self.hosts.extend(outcome.hosts);
        self.missing.extend(outcome.missing);
        self.moved.extend(outcome.moved);
    }

    fn join(&mut self, other: Found) {
        self.hosts.extend(other.hosts);
        self.missing.extend(other.missing);
        self.moved.extend(other.moved);
    }
}

#[async_trait]
impl Collector for ProxmoxCollector {
    fn source(&self) -> &str {
        "proxmox"
    }

    async fn collect(&self) -> Result<Collected, Failure> {
        let (resources, rights) = self.begin().await?;
        let offline = offline(&resources);
        let rows = self.wanted(resources);
        let we = failures::we(&self.site);
        let notes = rights.notes(&we, &rows);
        // Who takes it for the whole site would take all others for gone.
        let part = || (self.how.choice != Choice::default()).then(|| "only some guests were asked for".to_owned());
        let hidden = rights.hidden(&we).or_else(part);
        let memory = self.memory.clone();
        let asking = Arc::new(Asking { site: self.site.clone(), how: self.how.clone(), rights, memory });
        let (kept, rows) = self.unchanged(rows);
        let mut found = self.ask(&asking, &offline, rows).await?;
        found.hosts.extend(kept);
        self.ask_again(&asking, &mut found).await?;
        found.hosts.sort_by_key(|host| host.vmid);
        found.missing.sort_by(|a, b| (&a.node, a.vmid).cmp(&(&b.node, b.vmid)));
        Ok(Collected { hosts: found.hosts, missing: found.missing, notes, hidden })
    }
}
