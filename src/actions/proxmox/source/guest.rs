//! Guests: the cluster's list, a node's own list, and one guest as its own node says it is.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ProxmoxSource;
use crate::actions::proxmox::config::GuestConfig;
use crate::actions::proxmox::object::{Disk, Guest, GuestEntry, Net};
use crate::actions::proxmox::property::Property;
use crate::actions::proxmox::state::GuestState;
use crate::clients::proxmox::{GuestConfig as Lines, GuestRow, GuestStatus, ProxmoxError, Site, seg};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{GuestKind, NodeName, Vmid};

/// How often a guest that moves between two reads is looked for again.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// `scsi0`, `net1`: one of these words and a number.
pub(in crate::actions::proxmox) fn is_numbered(key: &str, words: &[&str]) -> bool {
    let word = key.trim_end_matches(|c: char| c.is_ascii_digit());
    word.len() < key.len() && words.contains(&word)
}

/// Keys that hold volumes, detached ones included.
pub(in crate::actions::proxmox) fn is_disk(kind: GuestKind, key: &str) -> bool {
    match kind {
        GuestKind::Qemu => is_numbered(key, &["ide", "sata", "scsi", "virtio", "efidisk", "tpmstate", "unused"]),
        GuestKind::Lxc => key == "rootfs" || is_numbered(key, &["mp", "unused"]),
    }
}

/// MiB of `8192` or `current=8192`; 512 by default for both kinds.
pub(super) fn memory(config: &Lines) -> u64 {
    let property = config.get("memory").map(Property::parse).unwrap_or_default();
    property.main(&["current"]).and_then(|m| m.parse::<u64>().ok()).unwrap_or(512) << 20
}

/// vCPUs; `None` for a container that may use all of its node's.
pub(super) fn cores(kind: GuestKind, config: &Lines) -> Option<u64> {
    let number = |key: &str| config.get(key).and_then(|t| t.parse::<u64>().ok());
    match kind {
        GuestKind::Lxc => number("cores"),
        GuestKind::Qemu => {
            let all = number("cores").unwrap_or(1) * number("sockets").unwrap_or(1);
            Some(number("vcpus").unwrap_or(all))
        }
    }
}

pub(in crate::actions::proxmox) fn disk(text: &str) -> Disk {
    let property = Property::parse(text);
    let volid = property.main(&["file", "volume"]).unwrap_or_default().to_owned();
    let storage = volid.split_once(':').filter(|_| !volid.starts_with('/')).map(|(id, _)| id.into());
    Disk { storage, bytes: property.size(), cdrom: property.get("media") == Some("cdrom"), volid }
}

fn net(text: &str) -> Net {
    let property = Property::parse(text);
    Net { bridge: property.get("bridge").map(ToOwned::to_owned), mac: property.mac() }
}

/// A guest from its row (where it is), its configuration and its status.
fn assemble(row: &GuestRow, config: &Lines, status: GuestStatus) -> Guest {
    let each = || config.values.iter();
    let nets: BTreeMap<String, Net> =
        each().filter(|(k, _)| is_numbered(k, &["net"])).map(|(k, v)| (k.clone(), net(v))).collect();
    let name = config.get("name").or(config.get("hostname")).map(ToOwned::to_owned);
    let smbios = config.get("smbios1").map(Property::parse);
    Guest {
        vmid: row.vmid,
        kind: row.kind,
        name: name.or(status.name).or(row.name.clone()).unwrap_or_default(),
        node: row.node.clone(),
        status: status.status,
        qmpstatus: status.qmpstatus,
        lock: status.lock.or_else(|| config.get("lock").map(ToOwned::to_owned)),
        template: config.get("template") == Some("1"),
        uuid: smbios.and_then(|s| s.get("uuid").map(str::to_ascii_lowercase)),
        rootfs: config.get("rootfs").map(|text| disk(text).volid),
        macs: nets.values().filter_map(|n| n.mac.clone()).collect(),
        memory: memory(config),
        cores: cores(row.kind, config),
        tags: config.get("tags").map(crate::clients::proxmox::loose::split_list).unwrap_or_default(),
        startup: config.get("startup").map(ToOwned::to_owned),
        protection: config.get("protection") == Some("1"),
        disks: each().filter(|(k, _)| is_disk(row.kind, k)).map(|(k, v)| (k.clone(), disk(v))).collect(),
        nets,
        digest: config.digest.clone(),
        description: config.get("description").map(ToOwned::to_owned),
        generation: config.get("vmgenid").map(ToOwned::to_owned),
        parent: config.get("parent").map(ToOwned::to_owned),
        ha: status.ha.state.filter(|_| status.ha.managed),
    }
}

fn entry(row: GuestRow) -> GuestEntry {
    GuestEntry {
        vmid: row.vmid,
        kind: row.kind,
        name: row.name.unwrap_or_default(),
        node: Some(row.node),
        status: row.status,
        template: row.template,
        tags: row.tags,
        pool: row.pool,
        lock: row.lock,
        maxmem: row.maxmem,
        cpus: row.maxcpu,
        hastate: row.hastate,
    }
}

impl ProxmoxSource {
    /// The cluster's list. An empty one is believed only where we may see all.
    pub(super) async fn guests(&self) -> Result<BTreeMap<Vmid, GuestEntry>, Failure> {
        let attempted = "list the guests of the site";
        let listing = self.listing().await.map_err(self.failed(attempted))?;
        if listing.guests.is_empty() {
            self.must_see_all_guests(attempted).await?;
        }
        Ok(listing.guests.iter().cloned().map(|row| (row.vmid, entry(row))).collect())
    }

    /// What the node itself has, whatever the cluster says.
    pub(super) async fn node_guests(&self, node: &NodeName) -> Result<BTreeMap<Vmid, GuestEntry>, Failure> {
        let attempted = format!("list the guests of {node}");
        self.must_see_all_guests(&attempted).await?;
        let mut all = BTreeMap::new();
        for kind in [GuestKind::Qemu, GuestKind::Lxc] {
            let rows = self.listed(node, kind).await.map_err(self.failed(attempted.clone()))?;
            all.extend(rows.into_iter().map(|entry| (entry.vmid, entry)));
        }
        Ok(all)
    }

    async fn listed(&self, node: &NodeName, kind: GuestKind) -> Result<Vec<GuestEntry>, ProxmoxError> {
        let answer = self.site.get(&format!("/nodes/{}/{kind}", seg(node)), &[]).await?;
        answer.each(|row| {
            Ok(GuestEntry {
                vmid: row.parsed("vmid", "a VMID")?,
                kind,
                name: row.opt_text("name")?.unwrap_or_default(),
                node: Some(node.clone()),
                status: row.opt_text("status")?.unwrap_or_else(|| "unknown".into()),
                template: row.flag("template")?,
                tags: Vec::new(),
                pool: None,
                lock: row.opt_text("lock")?.filter(|l| !l.is_empty()),
                maxmem: row.opt_uint("maxmem")?,
                cpus: row.opt_float("cpus")?,
                hastate: None,
            })
        })
    }

    /// The guest, asked of the node that has it.
    pub(in crate::actions) async fn guest(&self, vmid: Vmid) -> Result<Option<Guest>, Failure> {
        let read = |site: Site, row: GuestRow| async move {
            let config = site.guest_config(&row.node, row.kind, vmid, false);
            let status = site.guest_status(&row.node, row.kind, vmid);
            let (config, status) = tokio::try_join!(config, status)?;
            Ok(assemble(&row, &config, status))
        };
        self.of_guest(vmid, read).await
    }

    /// Its configuration in force, and what waits for its next start.
    pub(super) async fn guest_config(&self, vmid: Vmid) -> Result<Option<GuestConfig>, Failure> {
        let read = |site: Site, row: GuestRow| async move {
            // In this order: a change between the two makes the digest stale, never what is shown.
            let config = site.guest_config(&row.node, row.kind, vmid, true).await?;
            let pending = site.guest_pending(&row.node, row.kind, vmid).await?;
            Ok(GuestConfig::of(config, pending))
        };
        self.of_guest(vmid, read).await
    }

    /// Whether it runs, for how long, and on what.
    pub(super) async fn guest_state(&self, vmid: Vmid) -> Result<Option<GuestState>, Failure> {
        let read = |site: Site, row: GuestRow| async move {
            let status = site.guest_status(&row.node, row.kind, vmid).await?;
            Ok(GuestState::of(row, status))
        };
        self.of_guest(vmid, read).await
    }

    /// Reads something of a guest from the node that has it. One that moves in between is looked for again.
    async fn of_guest<T, R>(&self, vmid: Vmid, read: impl Fn(Site, GuestRow) -> R) -> Result<Option<T>, Failure>
    where
        R: Future<Output = Result<T, ProxmoxError>> + Send,
    {
        let attempted = format!("read guest {vmid}");
        let mut node = None;
        for look in 0..LOOKS {
            if node.is_some() {
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
            // A list that was read before may be wrong about this guest: the second look is a new one.
            let shared = look == 0 && self.listing.is_some();
            let listing = if shared { self.listing().await } else { self.listing_now().await };
            let listing = listing.map_err(self.failed(attempted.clone()))?;
            let Some(row) = listing.guest(vmid) else {
                if shared {
                    continue;
                }
                self.must_see_guest(vmid).await?;
                return Ok(None);
            };
            match read(self.site.clone(), row.clone()).await {
                Ok(found) => return Ok(Some(found)),
                Err(error) if error.is_not_found() => node = Some(row.node.clone()),
                Err(error) => return Err(self.failed(attempted)(error)),
            }
        }
        let node = node.map(|n| n.to_string()).unwrap_or_default();
        let cause = format!("the cluster says it is on {node}, which does not have it, {LOOKS} times in a row");
        Err(Failure::new(Class::Transient, attempted, cause).remedy("it may be moving: look again in a minute"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_volumes_are_known() {
        for key in ["scsi0", "efidisk0", "unused12", "tpmstate0"] {
            assert!(is_disk(GuestKind::Qemu, key), "{key}");
        }
        for key in ["scsihw", "ide", "rootfs", "net0", "scsi"] {
            assert!(!is_disk(GuestKind::Qemu, key), "{key}");
        }
        assert!(
            is_disk(GuestKind::Lxc, "rootfs") && is_disk(GuestKind::Lxc, "mp3") && !is_disk(GuestKind::Lxc, "ide0")
        );
    }

    #[test]
    fn volumes_paths_and_empty_drives_are_told_apart() {
        let plain = disk("local-lvm:vm-104-disk-0,size=32G");
        assert_eq!((plain.storage, plain.bytes, plain.cdrom), (Some("local-lvm".into()), Some(32 << 30), false));
        assert_eq!(disk("none,media=cdrom").storage, None);
        assert_eq!(disk("/srv/media,mp=/media").storage, None);
        assert!(disk("local:iso/x.iso,media=cdrom").cdrom);
    }

    #[test]
    fn memory_and_cores_have_defaults() {
        let config = |pairs: &[(&str, &str)]| Lines {
            digest: None,
            values: pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        };
        assert_eq!(memory(&config(&[("memory", "8192")])), 8 << 30);
        assert_eq!(memory(&config(&[("memory", "current=2048")])), 2 << 30);
        assert_eq!(memory(&config(&[])), 512 << 20);
        assert_eq!(cores(GuestKind::Qemu, &config(&[("cores", "4"), ("sockets", "2")])), Some(8));
        assert_eq!(cores(GuestKind::Qemu, &config(&[("cores", "4"), ("vcpus", "2")])), Some(2));
        assert_eq!(cores(GuestKind::Lxc, &config(&[])), None);
    }
}
