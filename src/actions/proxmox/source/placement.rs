//! All facts for emptying a node, from bounded parallel reads.

use std::collections::{BTreeMap, BTreeSet};

use super::ProxmoxSource;
use super::each::each;
use super::evacuation::from_row;
use crate::actions::proxmox::object::Ha;
use crate::clients::proxmox::{GuestRow, ProxmoxError, Resources};
use crate::model::failure::Failure;
use crate::model::ids::{NodeName, Vmid};
use crate::placement::evacuation::Facts;
use crate::placement::evacuation::facts::{GuestFacts, HaFacts, HaState, NodeFacts};

/// What HA makes of a guest: trouble as the manager reports it, else what is asked for.
fn ha_state(request: &str, state: &str) -> HaState {
    match (HaState::from(request.to_owned()), state) {
        (HaState::Ignored, _) => HaState::Ignored,
        (_, "error") => HaState::Error,
        (_, busy @ ("fence" | "recovery" | "freeze" | "migrate" | "relocate")) => HaState::Other(busy.to_owned()),
        (asked, _) => asked,
    }
}

/// HA states by guest.
fn ha_states(ha: &Ha) -> BTreeMap<Vmid, HaFacts> {
    let each = ha.services.values();
    each.filter_map(|s| Some((s.vmid?, HaFacts { state: ha_state(&s.request_state, &s.state) }))).collect()
}

impl ProxmoxSource {
    pub(super) async fn placement(&self, node: &NodeName) -> Result<Facts, Failure> {
        let attempted = format!("read what emptying {node} needs");
        // A guest that we may not see would be left behind, or would take room that we think is free.
        self.must_see_all_guests(&attempted).await?;
        let reads = async { tokio::try_join!(self.listing(), self.site.cluster_status()) };
        let (resources, status) = reads.await.map_err(self.failed(attempted))?;
        let (ha, ha_rules, replication) = tokio::try_join!(self.ha(), self.ha_rules(), self.replication())?;
        let nodes = self.all_nodes(&resources, &ha).await?;
        let mut guests = self.all_guests(&resources.guests, node).await?;
        let states = ha_states(&ha);
        for guest in &mut guests {
            guest.ha = states.get(&guest.vmid).cloned();
        }
        Ok(Facts { node: node.clone(), nodes, guests, ha_rules, replication, quorate: status.is_quorate() })
    }

    async fn all_nodes(&self, resources: &Resources, ha: &Ha) -> Result<Vec<NodeFacts>, Failure> {
        each(resources.nodes.clone(), |row| {
            let maintenance = row.hastate.as_deref() == Some("maintenance")
                || ha.is_in_maintenance(&row.node)
                || ha.is_maintenance_requested(&row.node);
            let source = self.clone();
            async move { source.node_facts(row, maintenance).await }
        })
        .await
    }

    /// Those of the node in full, the others as loads. One that left meanwhile is taken as the load it is elsewhere.
    async fn all_guests(&self, rows: &[GuestRow], node: &NodeName) -> Result<Vec<GuestFacts>, Failure> {
        let (here, elsewhere): (Vec<GuestRow>, Vec<GuestRow>) = rows.iter().cloned().partition(|row| &row.node == node);
        let mut guests: Vec<GuestFacts> = elsewhere.iter().map(from_row).collect();
        let read = each(here, |row| {
            let source = self.clone();
            async move {
                let vmid = row.vmid;
                match source.facts_of(row).await? {
                    Some(facts) => Ok(Some(facts)),
                    None => source.guest_evacuation(vmid).await,
                }
            }
        });
        guests.extend(read.await?.into_iter().flatten());
        guests.sort_by_key(|g| g.vmid);
        Ok(guests)
    }

    /// Guests with storage replication and the nodes that hold a replica.
    async fn replication(&self) -> Result<BTreeMap<Vmid, BTreeSet<NodeName>>, Failure> {
        let read = async {
            let answer = self.site.get("/cluster/replication", &[]).await?;
            let mut jobs: BTreeMap<Vmid, BTreeSet<NodeName>> = BTreeMap::new();
            for row in answer.rows()? {
                if !row.flag("disable")? {
                    let guest = row.parsed("guest", "a VMID")?;
                    jobs.entry(guest).or_default().insert(row.text("target")?.into());
                }
            }
            Ok::<_, ProxmoxError>(jobs)
        };
        read.await.map_err(self.failed("read the replication jobs"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_weighs_more_than_what_is_asked_for() {
        assert_eq!(ha_state("started", "started"), HaState::Started);
        assert_eq!(ha_state("started", "error"), HaState::Error);
        assert_eq!(ha_state("started", "migrate"), HaState::Other("migrate".into()));
        assert_eq!(ha_state("stopped", "stopped"), HaState::Stopped);
        assert_eq!(ha_state("disabled", "queued"), HaState::Disabled);
        assert_eq!(ha_state("ignored", "error"), HaState::Ignored);
    }
}
