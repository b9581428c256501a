//! Where the answers of guests are kept between runs: a file for this user alone, which may be lost at any time.

use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::app::open::OpenSite;
use crate::app::settings::Settings;
use crate::inventory::{MEMORY_VERSION, Memory};
use crate::sys::files;

/// Nothing is kept for longer, whatever is asked for.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The file of one site, as one user sees it.
pub struct MemoryFile(PathBuf);

impl MemoryFile {
    /// None where the environment does not say where caches are.
    pub fn of(settings: &Settings, site: &OpenSite) -> Option<Self> {
        let folder = settings.cache.as_ref()?.join("inventory");
        let cluster = &site.config.site.cluster;
        let mut of = Sha256::new();
        of.update(cluster.name.as_bytes());
        // Another token may see other guests; another lab of the same name has other ones.
        of.update(site.proxmox.as_ref().map(|proxmox| proxmox.user()).unwrap_or_default());
        for node in &cluster.nodes {
            of.update(format!("\n{} {}:{}", node.name, node.host, node.port));
        }
        let name: String = of.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        Some(Self(folder.join(format!("{name}.json"))))
    }

    /// What is in it; where it cannot be used, nothing, and why.
    pub fn read(&self) -> (Memory, Option<String>) {
        let ignored = |why: String| (Memory::new(), Some(format!("the cache is not used: {why}")));
        let text = match files::read_private_text(&self.0) {
            Ok(text) => text,
            Err(error) if error.is_not_found() => return (Memory::new(), None),
            Err(error) => return ignored(error.to_string()),
        };
        match serde_json::from_str::<Memory>(&text) {
            Ok(memory) if memory.version == MEMORY_VERSION => (memory, None),
            // Of another version of this program: its own business, and soon written anew.
            Ok(_) => (Memory::new(), None),
            Err(error) => ignored(format!("{}: {error}", self.0.display())),
        }
    }

    /// Why it could not be written, which is no reason to fail.
    pub fn write(&self, memory: &Memory) -> Option<String> {
        let folder = self.0.parent()?;
        let written = files::make_private_dir(folder)
            .and_then(|()| files::write_private_by(&self.0, |to| Ok(serde_json::to_writer(to, memory)?)));
        written.err().map(|error| format!("the cache is not written: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_for_its_user_alone_and_a_broken_one_is_ignored_with_a_word() {
        let dir = tempfile::tempdir().unwrap();
        let file = MemoryFile(dir.path().join("inventory/site.json"));
        assert_eq!(file.read(), (Memory::new(), None));
        assert_eq!(file.write(&Memory::new()), None);
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file.0), mode(file.0.parent().unwrap())), (0o600, 0o700));
        assert_eq!(file.read(), (Memory::new(), None));
        files::write_private(&file.0, b"{\"version\": 1, \"gue").unwrap();
        assert!(file.read().1.unwrap().contains("site.json"));
        files::write_private(&file.0, b"{\"version\": 99, \"guests\": {}}").unwrap();
        assert_eq!(file.read(), (Memory::new(), None));
        files::write_atomic(&file.0, b"{}", 0o644).unwrap();
        assert!(file.read().1.unwrap().contains("chmod 600"));
    }
}
