//! What of machine configurations the World may see.
//!
//! | key | value |
//! |---|---|
//! | `talos/CLUSTER/folder` | where its profile says that its files are; null: nowhere |
//! | `talos/CLUSTER/configs/FOLDER` | the names of which there is a file |
//! | `talos/CLUSTER/config/NAME` | [`Running`]: what is in force there; `why` instead where it does not answer |
//! | `talos/CLUSTER/config-file/PATH` | [`File`]: what a file is; `why` it is none |
//! | `talos/CLUSTER/config-trial/NAME/MODE/PATH` | [`Trial`]: what the file would do there; `why` it is refused |

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Facts, MachineConfig};
use crate::clients::talos::{self, Mode, Talos, TalosError};
use crate::engine::ports::{Unreadable, World};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;

/// What is in force on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub facts: Facts,
    /// The digest of what its next boot takes; nothing: a Talos that does not show it.
    pub stored: Option<String>,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub facts: Facts,
}

/// What a file would do on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// In talosctl's words.
    pub mode: String,
    pub reboot: bool,
    /// A line each, values only where they are no secret.
    pub changes: Vec<String>,
    pub warnings: Vec<String>,
}

pub fn running_key(cluster: &str, name: &str) -> ResourceKey {
    ResourceKey::new(format!("talos/{cluster}/config/{name}"))
}

pub fn file_key(cluster: &str, path: &Path) -> ResourceKey {
    ResourceKey::new(format!("talos/{cluster}/config-file{}", path.display()))
}

pub fn trial_key(cluster: &str, name: &str, mode: &str, path: &Path) -> ResourceKey {
    ResourceKey::new(format!("talos/{cluster}/config-trial/{name}/{mode}{}", path.display()))
}

/// The folder with the files: the given one below `files`, or the profile's.
pub async fn folder(world: &dyn World, cluster: &str, given: &str, files: &Path) -> Result<PathBuf, Unreadable> {
    if !given.is_empty() {
        return Ok(files.join(given));
    }
    let key = ResourceKey::new(format!("talos/{cluster}/folder"));
    let own = world.read(&key).await?.known("the folder of the cluster")?;
    let own = own.as_str().map(PathBuf::from);
    let none = || {
        Failure::new(Class::Precondition, "look for machine configurations", "no folder is known")
            .remedy(format!("say folder, or talos.config_dir in clusters/{cluster}.yaml"))
    };
    Ok(own.ok_or_else(none)?)
}

/// How a configuration takes effect, by the word for it.
pub fn mode_of(word: &str) -> Option<Mode> {
    [Mode::Auto, Mode::NoReboot, Mode::Staged].into_iter().find(|mode| mode.word() == word)
}

/// A file read, or why it is none, in words without its contents.
pub fn read(path: &Path) -> Result<MachineConfig, String> {
    let text = talos::config_file(path).map_err(|e| e.to_string())?;
    MachineConfig::read(&text).map_err(|why| format!("{}: {why}", path.display()))
}

async fn running(talos: &Talos, address: &str) -> Result<Result<(MachineConfig, Running), TalosError>, Failure> {
    let both = async {
        let minor = talos.version(address).await?.version.minor();
        talos.machine_configs(minor, address).await
    };
    let both = match both.await {
        Ok(both) => both,
        Err(error) => return Ok(Err(error)),
    };
    let read = |text| {
        MachineConfig::read(text)
            .map_err(|why| Failure::new(Class::Failed, format!("read what is in force on {address}"), why))
    };
    let config = read(&both.in_force)?;
    let stored = both.stored.as_ref().map(|text| Ok(read(text)?.digest())).transpose()?;
    let running = Running { facts: config.facts(), stored };
    Ok(Ok((config, running)))
}

async fn trial(talos: &Talos, address: &str, mode: Mode, path: &Path) -> Result<Value, Failure> {
    let new = match read(path) {
        Ok(new) => new,
        Err(why) => return Ok(json!({"why": why})),
    };
    let old = match running(talos, address).await? {
        Ok((old, _)) => old,
        Err(error) => return Ok(json!({"why": error.to_string()})),
    };
    let server = match talos.version(address).await {
        Ok(version) => version.version.minor(),
        Err(error) => return Ok(json!({"why": error.to_string()})),
    };
    Ok(match talos.try_config(server, address, &path.display().to_string(), mode).await {
        Ok(tried) => json!(Trial {
            reboot: tried.reboot,
            changes: old.changes(&new),
            warnings: tried.warnings.iter().map(|line| new.conceal(line)).collect(),
            mode: tried.mode,
        }),
        // Talos repeats what it does not understand.
        Err(error) => json!({"why": new.conceal(&error.to_string())}),
    })
}

/// Whether a machine is reached, and how.
type Way<'a> = Result<(&'a Talos, Result<&'a str, String>), Failure>;

/// What such a key leads to; nothing: it is none of these.
pub async fn fetch<'a>(
    key: &str,
    own: impl Fn() -> Result<Option<PathBuf>, Failure>,
    way: impl Fn(&str) -> Way<'a>,
) -> Result<Option<Value>, Failure> {
    let (kind, rest) = key.split_once('/').unwrap_or((key, ""));
    Ok(Some(match kind {
        "folder" => json!(own()?),
        "configs" => {
            let folder = format!("/{rest}");
            let names = talos::config_names(Path::new(&folder)).map_err(|e| {
                Failure::new(Class::Precondition, format!("look for machine configurations in {folder}"), e.to_string())
            });
            json!(names?)
        }
        "config-file" => match read(Path::new(&format!("/{rest}"))) {
            Ok(config) => json!(File { facts: config.facts() }),
            Err(why) => json!({"why": why}),
        },
        "config" => match way(rest)? {
            (talos, Ok(address)) => match running(talos, address).await? {
                Ok((_, running)) => json!(running),
                Err(error) => json!({"why": error.to_string()}),
            },
            (_, Err(why)) => json!({"why": why}),
        },
        "config-trial" => {
            let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
            let (mode, path) = rest.split_once('/').unwrap_or((rest, ""));
            let mode = mode_of(mode)
                .ok_or_else(|| Failure::new(Class::Internal, format!("try {path} on {name}"), "there is no such mode"));
            match way(name)? {
                (talos, Ok(address)) => trial(talos, address, mode?, Path::new(&format!("/{path}"))).await?,
                (_, Err(why)) => json!({"why": why}),
            }
        }
        _ => return Ok(None),
    }))
}
