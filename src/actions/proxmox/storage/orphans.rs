//! `proxmox.orphans`: volumes that belong to no guest any more, and disks that guests have and do not use.
//!
//! What cannot be told is no orphan: volumes of a storage that a node which does not answer has to itself, and those of
//! a VMID that this cluster does not know on a storage that other clusters may use, too, are listed apart.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Value, json};

use crate::actions::proxmox::look;
use crate::actions::proxmox::object::{Guest, GuestEntry, Node, NodeStorage, Volume};
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::ids::{NodeName, StorageId, Vmid};
use crate::model::param::{Param, ValueType};
use crate::placement::evacuation::gib;

/// The action.
pub struct Orphans {
    spec: ActionSpec,
}

impl Default for Orphans {
    fn default() -> Self {
        let columns = "Maps of volid, node, storage, vmid, size";
        let spec = ActionSpec::new("proxmox.orphans", Effect::Read, "Find volumes that belong to no guest")
            .param(Param::new("storage", ValueType::String).help("Only on this storage"))
            .output("orphans", ValueType::List, &format!("{columns}: no guest of the site has that VMID"))
            .output(
                "perhaps",
                ValueType::List,
                &format!("{columns}: the same on shared storages; another cluster may have the guest"),
            )
            .output("unnamed", ValueType::List, &format!("{columns}: the guest is there and does not name the volume"))
            .output("unused", ValueType::List, &format!("{columns}: an unused disk of the guest"))
            .output(
                "sizes",
                ValueType::List,
                "Maps of node, storage, of (orphans, perhaps, unnamed, unused), disks (how many), size (of all, bytes)",
            )
            .output("unread", ValueType::List, "Nodes that could not be asked: nothing is said of what is theirs")
            .needs_privilege("Datastore.Audit on /storage")
            .needs_privilege("VM.Audit on /vms")
            .needs_privilege("Sys.Audit on /");
        Self { spec }
    }
}

/// What the guests that are there name: those in use, and those that are unused.
#[derive(Default)]
struct Named {
    used: BTreeSet<String>,
    unused: BTreeSet<String>,
}

impl Named {
    fn add(&mut self, guest: &Guest) {
        for (key, disk) in &guest.disks {
            let set = if key.starts_with("unused") { &mut self.unused } else { &mut self.used };
            set.insert(disk.volid.clone());
        }
    }
}

/// Where a volume stands.
#[derive(Debug, PartialEq)]
enum Place {
    Used,
    Unused,
    Unnamed,
    Orphan,
    Perhaps,
}

fn place(volume: &Volume, there: bool, shared: bool, named: &Named) -> Place {
    if named.used.contains(&volume.volid) {
        Place::Used
    } else if named.unused.contains(&volume.volid) {
        Place::Unused
    } else if there {
        // Snapshots, suspended state and base images of linked clones are named elsewhere than in the configuration.
        Place::Unnamed
    } else if shared {
        Place::Perhaps
    } else {
        Place::Orphan
    }
}

const LISTS: [&str; 4] = ["orphans", "perhaps", "unnamed", "unused"];

/// How much of one list is on a storage of a node.
#[derive(Debug, Serialize)]
struct SizeOf<'a> {
    node: &'a str,
    storage: &'a str,
    of: &'a str,
    disks: usize,
    size: u64,
}

impl SizeOf<'_> {
    fn text(&self) -> String {
        let Self { node, storage, of, disks, size } = self;
        format!("{node}, {storage}: {disks} {of}, {}", gib(*size))
    }
}

fn sizes<'a>(found: &'a BTreeMap<&'a str, Vec<Value>>) -> Vec<SizeOf<'a>> {
    let mut all: BTreeMap<(&str, &str, &str), (usize, u64)> = BTreeMap::new();
    for (of, rows) in found {
        for row in rows {
            let text = |name: &str| row[name].as_str().unwrap_or_default();
            let (disks, size) = all.entry((text("node"), text("storage"), of)).or_default();
            *disks += 1;
            *size += row["size"].as_u64().unwrap_or(0);
        }
    }
    let each = all.into_iter();
    each.map(|((node, storage, of), (disks, size))| SizeOf { node, storage, of, disks, size }).collect()
}

#[async_trait]
impl Action for Orphans {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        // A runbook says nothing with an empty text.
        let only = call.arg::<Option<StorageId>>("storage")?.filter(|id| !id.as_str().is_empty());
        let guests: BTreeMap<Vmid, GuestEntry> = look::read(world, Resource::Guests).await?;
        let nodes: BTreeMap<NodeName, Node> = look::read(world, Resource::Nodes).await?;
        let unread: Vec<&NodeName> = nodes.iter().filter(|(_, node)| !node.online).map(|(name, _)| name).collect();
        let mut named = Named::default();
        // Those on nodes that do not answer cannot be read; they count as there, by the cluster's own list.
        for entry in guests.values().filter(|entry| entry.node.as_ref().is_some_and(|node| !unread.contains(&node))) {
            if let Some(guest) = look::read::<Option<Guest>>(world, Resource::Guest(entry.vmid)).await? {
                named.add(&guest);
            }
        }
        let mut found: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        let mut shared = BTreeSet::new();
        for name in nodes.keys().filter(|name| !unread.contains(name)) {
            let storages: BTreeMap<StorageId, NodeStorage> =
                look::read(world, Resource::Storages(name.clone())).await?;
            for (id, of) in storages {
                let wanted = only.as_ref().is_none_or(|only| *only == id) && of.active;
                if !wanted || (of.shared && !shared.insert(id.clone())) {
                    continue;
                }
                let content: BTreeMap<String, Volume> =
                    look::read(world, Resource::Content(name.clone(), id.clone())).await?;
                for volume in content.values().filter(|one| matches!(one.content.as_str(), "images" | "rootdir")) {
                    let Some(vmid) = volume.vmid else { continue };
                    let list = match place(volume, guests.contains_key(&vmid), of.shared, &named) {
                        Place::Used => continue,
                        Place::Unused => "unused",
                        Place::Unnamed => "unnamed",
                        Place::Orphan => "orphans",
                        Place::Perhaps => "perhaps",
                    };
                    let row =
                        json!({"volid": volume.volid, "node": name, "storage": id, "vmid": vmid, "size": volume.size});
                    found.entry(list).or_default().push(row);
                }
            }
        }
        let of = |list: &str| found.get(list).cloned().unwrap_or_default();
        let total = |list: &str| of(list).iter().filter_map(|row| row["size"].as_u64()).sum();
        let counts = LISTS.map(|list| format!("{} {list} ({})", of(list).len(), gib(total(list))));
        let sizes = sizes(&found);
        let notes = sizes.iter().map(SizeOf::text).collect();
        let outputs = json!({"orphans": of("orphans"), "perhaps": of("perhaps"), "unnamed": of("unnamed"),
            "unused": of("unused"), "sizes": sizes, "unread": unread});
        Ok(Reading { outputs, summary: counts.join(", "), guards: Vec::new(), notes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::proxmox::testing::{FakeWorld, call, node, vm};

    #[tokio::test]
    async fn what_cannot_be_told_is_no_orphan() {
        let volume = |volid: &str, vmid: u32| json!({"volid": volid, "content": "images", "size": 5, "vmid": vmid});
        let storage = |shared: bool| json!({"kind": "dir", "shared": shared, "active": true, "content": ["images"]});
        let content = |volumes: &[Value]| {
            Value::Object(volumes.iter().map(|v| (v["volid"].as_str().unwrap().to_owned(), v.clone())).collect())
        };
        let mut guest = vm();
        guest["disks"]["unused0"] = json!({"volid": "local-lvm:vm-104-disk-1", "cdrom": false});
        let entry = json!({"vmid": 104, "kind": "qemu", "name": "web", "node": "pve2", "status": "running"});
        let mut down = node("pve3");
        down["online"] = json!(false);
        let world = FakeWorld::default()
            .with("proxmox/guests", json!({"104": entry}))
            .with("proxmox/guest/104", guest)
            .with("proxmox/nodes", json!({"pve2": node("pve2"), "pve3": down}))
            .with("proxmox/node/pve2/storages", json!({"local-lvm": storage(false), "nfs": storage(true)}))
            .with(
                "proxmox/node/pve2/content/local-lvm",
                content(&[
                    volume("local-lvm:vm-104-disk-0", 104),
                    volume("local-lvm:vm-104-disk-1", 104),
                    volume("local-lvm:vm-104-state-x", 104),
                    volume("local-lvm:vm-999-disk-0", 999),
                ]),
            )
            .with("proxmox/node/pve2/content/nfs", content(&[volume("nfs:999/vm-999-disk-0.raw", 999)]));
        let reading = Orphans::default().read(&call(json!({"storage": ""})), &world).await.unwrap();
        let volids = |list: &str| -> Vec<String> {
            let rows = reading.outputs[list].as_array().unwrap();
            rows.iter().map(|row| row["volid"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(volids("orphans"), ["local-lvm:vm-999-disk-0"]);
        assert_eq!(volids("perhaps"), ["nfs:999/vm-999-disk-0.raw"]);
        assert_eq!(volids("unnamed"), ["local-lvm:vm-104-state-x"]);
        assert_eq!(volids("unused"), ["local-lvm:vm-104-disk-1"]);
        assert_eq!(reading.outputs["unread"], json!(["pve3"]));
        let first = json!({"node": "pve2", "storage": "local-lvm", "of": "orphans", "disks": 1, "size": 5});
        assert_eq!(reading.outputs["sizes"][0], first);
        assert_eq!(reading.notes[3], "pve2, nfs: 1 perhaps, 0.0 GiB");
    }
}
