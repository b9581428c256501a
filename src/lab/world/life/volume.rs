//! New volumes: what `store:32`, `store:cloudinit` and `import-from` become.

use crate::lab::call::PveError;
use crate::lab::world::World;
use crate::lab::world::config::{self, Config};
use crate::model::ids::{GuestKind, NodeName, Vmid};

/// The line of a disk, and how many bytes are copied for it.
pub(super) struct Laid {
    pub line: String,
    pub copied: u64,
}

/// Where a guest's disks are to be.
pub(super) struct Place<'a> {
    pub world: &'a World,
    pub kind: GuestKind,
    pub vmid: Vmid,
    pub node: &'a NodeName,
}

pub(super) fn is_disk(key: &str) -> bool {
    matches!(key, "rootfs" | "efidisk0" | "tpmstate0")
        || (matches!(config::stem(key), "scsi" | "sata" | "ide" | "virtio" | "mp") && config::stem(key) != key)
}

/// File first, the rest in order.
fn line(volid: &str, options: &[String]) -> String {
    let mut options: Vec<&str> = options.iter().map(String::as_str).filter(|one| !one.is_empty()).collect();
    options.sort_unstable();
    std::iter::once(volid).chain(options).collect::<Vec<_>>().join(",")
}

/// `32G`, `670M`
pub(super) fn size_text(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 30) { format!("{}G", bytes >> 30) } else { format!("{}M", bytes.div_ceil(1 << 20)) }
}

impl Place<'_> {
    /// # Errors
    /// A storage, a volume or a spelling that there is not.
    pub fn lay(&self, config: &Config, key: &str, value: &str) -> Result<Laid, PveError> {
        let (volume, options) = value.split_once(',').unwrap_or((value, ""));
        let volume = volume.trim_start_matches("file=").trim_start_matches("volume=");
        let Some((storage, what)) = volume.split_once(':').filter(|(storage, _)| !storage.starts_with('/')) else {
            return Ok(Laid { line: value.to_owned(), copied: 0 });
        };
        self.check_storage(storage)?;
        let mut options: Vec<String> = options.split(',').map(str::to_owned).collect();
        let source = config::option(value, "import-from").map(str::to_owned);
        options.retain(|one| !one.starts_with("import-from="));
        if what == "cloudinit" {
            options.retain(|one| !one.starts_with("media="));
            options.extend(["media=cdrom".to_owned(), "size=4M".to_owned()]);
            return Ok(Laid { line: line(&self.cloudinit(storage), &options), copied: 0 });
        }
        let Ok(gib) = what.parse::<f64>() else { return self.there(volume, value, options) };
        self.check_content(key, storage)?;
        let size = match (&source, key) {
            (Some(_), _) if gib != 0.0 => {
                let text = "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>";
                return Err(PveError::parameter(key, text));
            }
            (Some(source), _) => self.imported(key, source)?,
            (None, "efidisk0" | "tpmstate0") => 4 << 20,
            (None, _) => (gib * 1_073_741_824.0) as u64,
        };
        options.retain(|one| !one.starts_with("size="));
        options.push(format!("size={}", size_text(size)));
        let copied = if source.is_some() { size } else { 0 };
        Ok(Laid { line: line(&self.free_name(config, storage), &options), copied })
    }

    /// A volume that is named must be there; an image in a drive gets its size.
    fn there(&self, volid: &str, value: &str, mut options: Vec<String>) -> Result<Laid, PveError> {
        if config::option(value, "media") != Some("cdrom") {
            return Ok(Laid { line: value.to_owned(), copied: 0 });
        }
        let size = self.file(volid).ok_or_else(|| PveError::die(format!("volume '{volid}' does not exist")))?;
        options.retain(|one| !one.starts_with("size="));
        options.push(format!("size={}", size_text(size)));
        Ok(Laid { line: line(volid, &options), copied: 0 })
    }

    /// Bytes of a file on a storage of this node.
    pub fn file(&self, volid: &str) -> Option<u64> {
        let (storage, path) = volid.split_once(':')?;
        self.world.storages.get(storage)?.files_on(self.node).get(path).copied()
    }

    fn imported(&self, key: &str, source: &str) -> Result<u64, PveError> {
        let kind = source.split_once(':').and_then(|(_, path)| path.split_once('/')).map(|(kind, _)| kind);
        if let Some(kind @ ("iso" | "vztmpl" | "backup" | "snippets")) = kind {
            let text = format!("'{source}' has wrong type '{kind}' - needs to be 'images' or 'import'");
            return Err(PveError::parameter(key, text));
        }
        let of_guest = || self.world.volumes().find(|volume| volume.volid == source).map(|volume| volume.size);
        let missing = || PveError::die(format!("volume '{source}' does not exist"));
        self.file(source).or_else(of_guest).ok_or_else(missing)
    }

    pub fn check_storage(&self, storage: &str) -> Result<(), PveError> {
        if !self.world.storages.contains_key(storage) {
            return Err(PveError::die(format!("storage '{storage}' does not exist")));
        }
        if !self.world.available(storage, self.node) {
            return Err(PveError::die(format!("storage '{storage}' is not available on node '{}'", self.node)));
        }
        Ok(())
    }

    pub fn check_content(&self, key: &str, storage: &str) -> Result<(), PveError> {
        let (content, text) = match self.kind {
            GuestKind::Qemu => ("images", "vm images"),
            GuestKind::Lxc => ("rootdir", "container directories"),
        };
        if self.world.storages.get(storage).is_some_and(|storage| storage.has_content(content)) {
            return Ok(());
        }
        Err(PveError::parameter(key, format!("storage '{storage}' does not support {text}")))
    }

    pub fn cloudinit(&self, storage: &str) -> String {
        let vmid = self.vmid;
        match self.world.plugin(storage) {
            "dir" | "nfs" | "cifs" => format!("{storage}:{vmid}/vm-{vmid}-cloudinit"),
            _ => format!("{storage}:vm-{vmid}-cloudinit"),
        }
    }

    pub fn free_name(&self, config: &Config, storage: &str) -> String {
        let taken: Vec<String> = config.disks().into_iter().map(|disk| disk.volid).collect();
        let plugin = self.world.plugin(storage);
        let mut names = (0..).map(|n| format!("{storage}:{}", config::volume_name(plugin, self.kind, self.vmid, n)));
        names.find(|volid| !taken.contains(volid)).unwrap_or_default()
    }
}
