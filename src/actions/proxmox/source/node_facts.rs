//! What the planner needs of a node: processor, memory, bridges, machine types, storages.

use std::collections::BTreeSet;

use super::ProxmoxSource;
use crate::clients::proxmox::loose::Row;
use crate::clients::proxmox::{Answer, NodeRow, NodeStorage, ProxmoxError, seg};
use crate::model::failure::{Class, Failure};
use crate::placement::evacuation::facts::{CpuFacts, NodeFacts, PveVersion, StorageFacts};

/// The vendor as `/proc/cpuinfo` spells it, from the model's name: Proxmox reports only that.
fn vendor(model: &str) -> String {
    let known = [("AMD", "AuthenticAMD"), ("Intel", "GenuineIntel")];
    let found = known.iter().find(|(word, _)| model.contains(word)).map(|(_, vendor)| *vendor);
    found.map_or_else(|| model.split_whitespace().next().unwrap_or_default().to_owned(), ToOwned::to_owned)
}

fn cpu(info: &Row<'_>) -> Result<CpuFacts, ProxmoxError> {
    let model = info.opt_text("model")?.unwrap_or_default();
    let flags = info.opt_text("flags")?.unwrap_or_default();
    Ok(CpuFacts { vendor: vendor(&model), model, flags: flags.split_whitespace().map(ToOwned::to_owned).collect() })
}

/// `pc-q35-9.2` of `pc-q35-9.2+pve1`: what a VM runs with and what a node lists differ in that ending.
pub(super) fn plain_machine(id: &str) -> String {
    id.split('+').next().unwrap_or(id).to_owned()
}

fn storage(row: NodeStorage) -> StorageFacts {
    StorageFacts {
        id: row.storage,
        kind: row.kind,
        shared: row.shared,
        content: row.content.into_iter().collect(),
        total: row.total.unwrap_or_default(),
        avail: row.avail.unwrap_or_default(),
        active: row.active && row.enabled,
        slow: false,
    }
}

/// The node's own report (`GET /nodes/{node}/status`).
fn report(row: &NodeRow, maintenance: bool, answer: &Answer) -> Result<NodeFacts, ProxmoxError> {
    let status = answer.row()?;
    let memory = status.object("memory")?;
    let info = status.opt_object("cpuinfo")?;
    let threads = info.as_ref().map(|i| i.opt_uint("cpus")).transpose()?.flatten().or(row.maxcpu);
    let version = status.text("pveversion")?;
    Ok(NodeFacts {
        name: row.node.clone(),
        online: true,
        maintenance,
        version: version.parse().map_err(|_| status.error("pveversion", "pve-manager/9.1.4/…"))?,
        memory_total: memory.uint("total")?,
        memory_used: memory.opt_uint("used")?,
        ksm_shared: status.opt_object("ksm")?.map(|k| k.opt_uint("shared")).transpose()?.flatten(),
        threads: threads.and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
        cpu: info.as_ref().map(cpu).transpose()?,
        machines: BTreeSet::new(),
        bridges: BTreeSet::new(),
        storages: Vec::new(),
    })
}

/// A node that is not up: it takes nothing, so nothing more is asked.
fn offline(row: &NodeRow, maintenance: bool) -> NodeFacts {
    NodeFacts {
        name: row.node.clone(),
        online: false,
        maintenance,
        version: PveVersion(0, 0, 0),
        memory_total: row.maxmem.unwrap_or_default(),
        memory_used: None,
        ksm_shared: None,
        threads: row.maxcpu.and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
        cpu: None,
        machines: BTreeSet::new(),
        bridges: BTreeSet::new(),
        storages: Vec::new(),
    }
}

impl ProxmoxSource {
    pub(super) async fn node_facts(&self, row: NodeRow, maintenance: bool) -> Result<NodeFacts, Failure> {
        if !row.is_online() {
            return Ok(offline(&row, maintenance));
        }
        let node = &row.node;
        let read = async {
            let (status, bridges) = (format!("/nodes/{}/status", seg(node)), format!("/nodes/{}/network", seg(node)));
            let (status, bridges, machines, storages) = tokio::try_join!(
                self.site.get(&status, &[]),
                self.site.get(&bridges, &[("type", "any_bridge")]),
                self.site.machines(node),
                self.site.node_storages(node),
            )?;
            let mut facts = report(&row, maintenance, &status)?;
            facts.bridges = bridges.each(|r| r.text("iface"))?.into_iter().collect();
            facts.machines = machines.iter().map(|m| plain_machine(&m.id)).collect();
            facts.storages = storages.into_iter().map(storage).collect();
            Ok(facts)
        };
        let facts: NodeFacts = read.await.map_err(self.failed(format!("read what {node} has")))?;
        if facts.memory_total == 0 {
            return Err(Failure::new(Class::Failed, format!("read what {node} has"), "it reports no memory"));
        }
        Ok(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendor_is_in_the_models_name() {
        assert_eq!(vendor("AMD EPYC 7302P 16-Core Processor"), "AuthenticAMD");
        assert_eq!(vendor("12th Gen Intel(R) Core(TM) i5-12500T"), "GenuineIntel");
        assert_eq!(vendor("Ampere Altra"), "Ampere");
    }

    #[test]
    fn machine_versions_are_compared_without_the_package_ending() {
        assert_eq!(plain_machine("pc-q35-9.2+pve1"), "pc-q35-9.2");
        assert_eq!(plain_machine("pc-i440fx-10.0"), "pc-i440fx-10.0");
    }
}
