//! `runbook inventory`: who is there with which addresses, what changed, and the same in other programs' words.

mod keep;
mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::error::{AppError, Exit};
use super::open::OpenSite;
use super::settings::Settings;
use crate::actions::inventory::gather;
use crate::actions::proxmox::inventory::{HowToCollect, ProxmoxCollector};
use crate::inventory::format::{self, Whole};
use crate::inventory::{self, Choice, Memory};
use crate::model::ids::{GuestKind, NodeName, Vmid};
use crate::model::inventory::{DiscoveredHost, Inventory};
use crate::secrets::Redactor;
use crate::sys::{clock, files};

pub use crate::inventory::{Change, Diff};
pub use watch::{Watch, Watched};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Ask {
    pub node: Option<NodeName>,
    pub tags: Vec<String>,
    pub kind: Option<GuestKind>,
    pub status: Option<String>,
    pub pool: Option<String>,
    pub all_addresses: bool,
    /// For [`Format::Ansible`]: what configurations and guests said word by word.
    pub details: bool,
    /// For one call about one guest.
    pub deadline: Duration,
    /// How long an answer of an earlier run holds.
    pub max_age: Duration,
}

/// A format of another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Yaml,
    Csv,
    Ansible,
    Netbox,
    Prometheus { port: Option<u16> },
    Hosts,
}

/// What was found, and what a person should know of it.
pub struct Found {
    pub inventory: Inventory,
    pub notes: Vec<String>,
}

impl Found {
    /// Whether all is there that was asked for.
    pub fn exit(&self) -> Exit {
        if self.inventory.missing.is_empty() { Exit::Done } else { Exit::Partial }
    }
}

/// A site that is asked, once or again and again.
pub struct Asking {
    site: OpenSite,
    ask: Ask,
    scale: f64,
    file: Option<keep::MemoryFile>,
    memory: Memory,
    notes: Vec<String>,
}

impl Asking {
    /// Opens the site and reads what earlier runs have kept; asks nobody.
    ///
    /// # Errors
    /// Configuration or credential.
    pub async fn open(settings: &Settings, redactor: &Redactor, ask: Ask) -> Result<Self, AppError> {
        // One more than what goes through pvedaemon, so that configurations are read meanwhile.
        let how = HowToCollect::default();
        let site = OpenSite::connect_with(settings, how.at_once as u32, redactor).await?;
        let file = keep::MemoryFile::of(settings, &site);
        let mut notes: Vec<String> = site.warning().into_iter().collect();
        let (memory, note) = file.as_ref().map_or_else(|| (Memory::new(), None), keep::MemoryFile::read);
        notes.extend(note);
        let scale = settings.lab_scale.unwrap_or(1.0);
        Ok(Self { site, ask, scale, file, memory, notes })
    }

    /// Asks for all of it.
    ///
    /// # Errors
    /// The site cannot be reached, refuses us, or shows us nothing.
    pub async fn collect(&mut self) -> Result<Found, AppError> {
        self.collect_but(BTreeMap::new()).await
    }

    /// Asks for what is not as it is in `keep`.
    async fn collect_but(&mut self, keep: BTreeMap<Vmid, DiscoveredHost>) -> Result<Found, AppError> {
        let Some(proxmox) = self.site.proxmox.as_deref().cloned() else {
            return Err(AppError::new(Exit::Configuration, "config::site", "the configuration names no Proxmox site"));
        };
        let Ask { node, tags, kind, status, pool, all_addresses, details, deadline, max_age } = self.ask.clone();
        let how = HowToCollect {
            choice: Choice { node, tags, kind, status, pool },
            all_addresses,
            details,
            deadline,
            max_age,
            now: clock::now_ms().unsigned_abs(),
            scale: self.scale,
            keep,
            ..HowToCollect::default()
        };
        let now = how.now;
        let collector = ProxmoxCollector::new(proxmox, how, std::mem::take(&mut self.memory));
        let gathered = gather(&self.site.config.site.cluster.name, &[&collector]).await;
        self.memory = collector.into_memory();
        let (inventory, notes) = gathered.map_err(AppError::from)?;
        let mut all = std::mem::take(&mut self.notes);
        all.extend(notes);
        if let Some(file) = &self.file {
            self.memory.forget(now, keep::LONGEST);
            all.extend(file.write(&self.memory));
        }
        Ok(Found { inventory, notes: all })
    }
}

/// The inventory as JSON, piece by piece: as one text it would be the largest thing that this program ever holds.
///
/// # Errors
/// It cannot be written.
pub fn write_json(inventory: &Inventory, on_one_line: bool, to: &mut dyn std::io::Write) -> std::io::Result<()> {
    let whole = Whole::of(inventory);
    let written =
        if on_one_line { serde_json::to_writer(to, &whole) } else { serde_json::to_writer_pretty(to, &whole) };
    Ok(written?)
}

/// The inventory in another program's format, or as YAML; a whole text.
pub fn written(inventory: &Inventory, wanted: Format) -> String {
    let json = |value: &serde_json::Value| serde_json::to_string_pretty(value).unwrap_or_default();
    match wanted {
        Format::Yaml => super::to_yaml(&Whole::of(inventory)),
        Format::Csv => format::csv(inventory),
        Format::Ansible => json(&format::ansible(inventory)),
        Format::Netbox => json(&format::netbox(inventory)),
        Format::Prometheus { port } => json(&format::prometheus(inventory, port)),
        Format::Hosts => format::hosts(inventory),
    }
}

/// What Ansible is answered about one host.
pub fn of_ansible_host(inventory: &Inventory, name: &str) -> String {
    serde_json::to_string_pretty(&format::ansible_host(inventory, name)).unwrap_or_default()
}

/// What is different between two files of `runbook inventory -o json`.
///
/// # Errors
/// One cannot be read, or is something else.
pub fn diff_files(before: &Path, after: &Path) -> Result<Vec<Diff>, AppError> {
    Ok(inventory::diff(&read(before)?, &read(after)?))
}

fn read(path: &Path) -> Result<Inventory, AppError> {
    let failed = |exit, message: String| AppError::new(exit, "inventory::file", message);
    let text = files::read_text(path)
        .map_err(|e| failed(if e.is_not_found() { Exit::NotFound } else { Exit::Configuration }, e.to_string()))?;
    format::read(&text).map_err(|e| {
        failed(Exit::Usage, format!("{}: {e}", path.display())).hint("make one with: runbook inventory -o json >FILE")
    })
}
