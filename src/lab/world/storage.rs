//! Storages: where they are, what is on them. What is used follows from the guests' disks.

use std::collections::BTreeMap;

use super::{World, config};
use crate::lab::scenario::StorageSpec;
use crate::model::ids::{NodeName, StorageId, Vmid};

#[derive(Debug, Clone)]
pub(super) struct Storage {
    pub spec: StorageSpec,
    /// Bytes, on a node that has no size of its own.
    size: u64,
    node_sizes: BTreeMap<NodeName, u64>,
    pub base_used: u64,
    /// Files that came or went since the beginning, by where they are; absent: gone.
    changed: BTreeMap<(Option<NodeName>, String), Option<u64>>,
}

/// A guest's volume as a storage lists it.
#[derive(Debug, Clone)]
pub(super) struct Volume {
    pub volid: String,
    pub storage: StorageId,
    pub node: NodeName,
    pub vmid: Vmid,
    pub size: u64,
    /// `images` or `rootdir`.
    pub content: &'static str,
}

/// Bytes that guests' volumes use: one sum for a shared storage, one for each node of a local one.
#[derive(Debug, Default)]
pub(super) struct Usage {
    shared: BTreeMap<StorageId, u64>,
    local: BTreeMap<StorageId, BTreeMap<NodeName, u64>>,
}

/// What thin volumes really hold of their size.
const THIN_SHARE: f64 = 0.4;

impl Storage {
    pub fn from_spec(spec: &StorageSpec) -> Self {
        let bytes = |gib: f64| (gib * 1_073_741_824.0) as u64;
        let files: u64 = spec.files.values().sum();
        let node_sizes = spec.node_sizes_gib.iter().map(|(node, gib)| (node.clone(), bytes(*gib))).collect();
        Self {
            size: bytes(spec.size_gib),
            node_sizes,
            base_used: bytes(spec.used_gib) + (files << 20),
            spec: spec.clone(),
            changed: BTreeMap::new(),
        }
    }

    pub fn on(&self, node: &str) -> bool {
        self.spec.nodes.is_empty() || self.spec.nodes.iter().any(|name| name.as_str() == node)
    }

    /// Bytes that it has as seen on this node.
    pub fn size_on(&self, node: &NodeName) -> u64 {
        self.node_sizes.get(node).copied().unwrap_or(self.size)
    }

    pub fn has_content(&self, content: &str) -> bool {
        self.spec.content.split(',').any(|part| part == content)
    }

    /// A shared storage is one for all nodes.
    fn place(&self, node: &NodeName) -> Option<NodeName> {
        (!self.spec.shared).then(|| node.clone())
    }

    /// Volumes that belong to no guest, as seen on this node: `iso/x.iso` and its bytes.
    pub fn files_on(&self, node: &NodeName) -> BTreeMap<String, u64> {
        let mut files: BTreeMap<String, u64> =
            self.spec.files.iter().map(|(path, mib)| (path.clone(), mib << 20)).collect();
        let place = self.place(node);
        for ((_, path), size) in self.changed.iter().filter(|((at, _), _)| *at == place) {
            match size {
                Some(size) => files.insert(path.clone(), *size),
                None => files.remove(path),
            };
        }
        files
    }

    pub fn add_file(&mut self, node: &NodeName, path: &str, size: u64) {
        self.changed.insert((self.place(node), path.to_owned()), Some(size));
    }

    /// Whether it was there.
    pub fn take_file(&mut self, node: &NodeName, path: &str) -> bool {
        let there = self.files_on(node).contains_key(path);
        if there {
            self.changed.insert((self.place(node), path.to_owned()), None);
        }
        there
    }

    /// Takes a guest's volume away, whatever its configuration says.
    pub fn free(&mut self, node: &NodeName, path: &str) {
        self.changed.insert((self.place(node), path.to_owned()), None);
    }

    fn is_freed(&self, node: &NodeName, volid: &str) -> bool {
        let path = volid.split_once(':').map_or(volid, |(_, path)| path);
        !self.changed.is_empty() && self.changed.get(&(self.place(node), path.to_owned())) == Some(&None)
    }

    /// Bytes of the host's own things and of files.
    fn own_use(&self, node: &NodeName) -> u64 {
        let at_first: u64 = self.spec.files.values().sum();
        let now: u64 = self.files_on(node).values().sum();
        (self.base_used + now).saturating_sub(at_first << 20)
    }

    /// Content types in the server's order of the moment: as configured.
    pub fn content(&self) -> &str {
        &self.spec.content
    }
}

impl World {
    pub(super) fn plugin(&self, storage: &str) -> &str {
        self.storages.get(storage).map_or("dir", |storage| &storage.spec.plugin)
    }

    pub(super) fn is_shared(&self, storage: &str) -> bool {
        self.storages.get(storage).is_some_and(|storage| storage.spec.shared)
    }

    /// Whether that node has that storage.
    pub(super) fn available(&self, storage: &str, node: &NodeName) -> bool {
        self.storages.get(storage).is_some_and(|storage| storage.on(node.as_str()))
    }

    /// Every volume that a guest's configuration names and that is there, local ISO images left out.
    pub(super) fn volumes(&self) -> impl Iterator<Item = Volume> + '_ {
        self.guests.values().flat_map(|guest| {
            let content = if guest.kind == crate::model::ids::GuestKind::Lxc { "rootdir" } else { "images" };
            let there = |disk: &config::Disk| {
                self.storages.get(&disk.storage).is_none_or(|storage| !storage.is_freed(&guest.node, &disk.volid))
            };
            let own = guest.config.disks().into_iter().filter(|disk| !disk.cdrom || disk.cloudinit);
            own.filter(there).collect::<Vec<_>>().into_iter().map(move |disk| Volume {
                volid: disk.volid,
                storage: disk.storage,
                node: guest.node.clone(),
                vmid: guest.vmid,
                size: disk.size,
                content,
            })
        })
    }

    /// What guests use of every storage.
    pub(super) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for guest in self.guests.values() {
            for disk in guest.config.disk_lines().filter(|disk| !disk.cdrom || disk.cloudinit()) {
                let Some((id, storage)) = self.storages.get_key_value(disk.storage) else { continue };
                let thin = storage.spec.plugin != "lvm";
                let bytes = if thin { (disk.size as f64 * THIN_SHARE) as u64 } else { disk.size };
                if storage.spec.shared {
                    *usage.shared.entry(id.clone()).or_default() += bytes;
                } else {
                    *usage.local.entry(id.clone()).or_default().entry(guest.node.clone()).or_default() += bytes;
                }
            }
        }
        usage
    }

    /// Bytes used of this storage as seen on this node.
    pub(super) fn used(&self, usage: &Usage, id: &StorageId, node: &NodeName) -> u64 {
        let Some(storage) = self.storages.get(id) else { return 0 };
        let local = usage.local.get(id).and_then(|nodes| nodes.get(node));
        let volumes = usage.shared.get(id).or(local).copied().unwrap_or(0);
        (storage.own_use(node) + volumes).min(storage.size_on(node))
    }
}
