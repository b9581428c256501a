//! A guest's snapshots, and the machine types a node's QEMU has.

use crate::clients::proxmox::{Answer, ProxmoxError, Site, seg};
use crate::model::ids::{GuestKind, NodeName, Vmid};

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub name: String,
    pub description: Option<String>,
    pub parent: Option<String>,
    /// Seconds since 1970.
    pub snaptime: Option<i64>,
    /// Whether memory is in it.
    pub vmstate: bool,
}

fn list(answer: &Answer) -> Result<Vec<Snapshot>, ProxmoxError> {
    let mut all = answer.each(|row| {
        Ok(Snapshot {
            name: row.text("name")?,
            description: row.opt_text("description")?,
            parent: row.opt_text("parent")?,
            snaptime: row.opt_int("snaptime")?,
            vmstate: row.flag("vmstate")?,
        })
    })?;
    // The list always has this entry for the present state; the name is reserved.
    all.retain(|s| s.name != "current");
    Ok(all)
}

/// A machine type (`pc-q35-9.2+pve1`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub id: String,
    /// `q35`, `i440fx`, `virt`.
    pub kind: String,
    pub version: Option<String>,
}

impl Site {
    /// Without the entry `current`.
    pub async fn snapshots(&self, node: &NodeName, kind: GuestKind, vmid: Vmid) -> Result<Vec<Snapshot>, ProxmoxError> {
        list(&self.get(&format!("/nodes/{}/{kind}/{vmid}/snapshot", seg(node)), &[]).await?)
    }

    /// What the node's QEMU can run: a VM with a newer pinned machine cannot move there.
    pub async fn machines(&self, node: &NodeName) -> Result<Vec<Machine>, ProxmoxError> {
        let answer = self.get(&format!("/nodes/{}/capabilities/qemu/machines", seg(node)), &[]).await?;
        answer
            .each(|row| Ok(Machine { id: row.text("id")?, kind: row.text("type")?, version: row.opt_text("version")? }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::recorded;
    use super::*;

    #[test]
    fn recorded_snapshots_come_without_the_present() {
        let all = list(&recorded("gp-lxc-snapshot.json")).unwrap();
        let names: Vec<_> = all.iter().map(|s| (s.name.as_str(), s.parent.as_deref())).collect();
        assert_eq!(names, [("snapshot1", None), ("snapshot2", Some("parent1"))]);
    }
}
