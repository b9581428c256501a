//! The files that a cluster's profile says are there: in a rehearsal, machine configurations that differ from what runs, in a
//! folder that goes with it.

use std::path::{Path, PathBuf};

use crate::app::error::{AppError, Exit};
use crate::lab::world::World;
use crate::sys::files;

/// What each machine's differs in, which needs no reboot, and what some differ in beside it, which does.
const ALL: &str = "    sysctls:\n        vm.max_map_count: \"262144\"\n";
const SOME: &str = "    env:\n        GODEBUG: madvdontneed=1\n";
const REBOOT: [&str; 2] = ["cp1", "w1"];
/// Before this line they stand.
const PLACE: &str = "    network:\n";

/// The folder of one rehearsal.
pub(super) struct Configs(PathBuf);

impl Configs {
    /// # Errors
    /// It cannot be written.
    pub fn of(world: &World) -> Result<Self, AppError> {
        let cannot = |e: files::FileError| AppError::new(Exit::Failed, "lab::start", e.to_string());
        let name = format!("runbook-test-{}-{:08x}", std::process::id(), rand::random::<u32>());
        let own = Self(std::env::temp_dir().join(name));
        for folder in [own.0.clone(), own.machines(), own.0.join("keep")] {
            files::make_private_dir(folder).map_err(cannot)?;
        }
        for (name, text) in world.machine_configs() {
            let some = if REBOOT.contains(&name.as_str()) { SOME } else { "" };
            let text = text.replacen(PLACE, &format!("{ALL}{some}{PLACE}"), 1);
            files::write_private(own.machines().join(format!("{name}.yaml")), text.as_bytes()).map_err(cannot)?;
        }
        Ok(own)
    }

    /// Where the configuration would be.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    fn machines(&self) -> PathBuf {
        self.0.join("machines")
    }

    /// The profile with its files in there.
    pub fn profile(&self, text: &str) -> String {
        text.replacen("~/talos/prod", &self.machines().display().to_string(), 1)
    }
}

impl Drop for Configs {
    #[allow(clippy::disallowed_methods, reason = "it is this rehearsal's own folder")]
    fn drop(&mut self) {
        // One that is left over harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
