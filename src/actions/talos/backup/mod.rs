//! Backups of a cluster's etcd: taken, checked, encrypted, brought to a second place, and thinned out.

mod copy;
mod discard;
mod drill;
mod encrypt;
mod prune;
mod read;
pub(super) mod resource;
mod snapshot;

pub use copy::EtcdCopy;
pub use discard::EtcdDiscard;
pub use drill::EtcdDrill;
pub use encrypt::EtcdEncrypt;
pub use prune::EtcdPrune;
pub use read::{EtcdBackups, EtcdVerify};
pub use resource::BackupSource;
pub use snapshot::EtcdSnapshot;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::clients::talos::TalosError;
use crate::clients::talos::backup::BackupError;
use crate::engine::ports::Call;
use crate::event::Invocation;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::model::world::Identity;

/// What reads or writes files of backups needs of the machine.
const FILES: &str = "none of Proxmox: files of this machine, as the user of runbook";

fn path_param(help: &str) -> Param {
    Param::new("path", ValueType::Path).required().help(help)
}

fn folder_param() -> Param {
    Param::new("folder", ValueType::Path)
        .required()
        .help("The folder, which must be there; a relative one begins at the configuration's folder")
}

fn cluster_param() -> Param {
    Param::new("cluster", ValueType::String).required().help("Its profile's name")
}

/// An absolute path below the configuration's folder, or wherever it says.
fn absolute(call: &Call, name: &str, folder: &std::path::Path) -> Result<PathBuf, Failure> {
    let path: PathBuf = call.arg(name)?;
    if path.as_os_str().is_empty() {
        return Err(Failure::new(Class::Precondition, "look at backups of etcd", format!("`{name}` is empty")));
    }
    Ok(folder.join(path))
}

/// That a file is the one that the plan was made for.
fn identity(path: &std::path::Path, sha256: &str) -> Identity {
    Identity {
        object: format!("the backup {}", path.display()),
        resource: resource::file(path),
        expect: vec![("/sha256".into(), json!(sha256))],
    }
}

/// The name of a file in its folder.
fn last_part(path: &std::path::Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Nothing of it was done, or no name was given to it.
fn failure(attempted: &str, error: &BackupError) -> Failure {
    let class = match error {
        BackupError::Talos(error @ TalosError::Said { .. }) if error.is_unreachable() => Class::Unreachable,
        BackupError::Talos(error) if error.is_denied() => Class::Refused,
        BackupError::Talos(TalosError::Deadline { .. }) => Class::Timeout,
        BackupError::Talos(TalosError::Program(_)) | BackupError::Program(_) => Class::Precondition,
        _ => Class::Failed,
    };
    let failure = Failure::new(class, attempted, error.to_string());
    match error {
        BackupError::Talos(error) if error.is_denied() => {
            failure.remedy("a snapshot needs a talosconfig with the role os:admin, os:operator or os:etcd:backup")
        }
        BackupError::Program(_) => failure.remedy("install age: apt-get install age"),
        _ => failure,
    }
}

/// Takes away the file that a step made, and no other.
fn discard(outputs: Option<&Value>) -> Option<Invocation> {
    let (path, sha256) = (outputs?["path"].as_str()?, outputs?["sha256"].as_str()?);
    Some(Invocation { uses: "talos.etcd_discard".into(), with: json!({"path": path, "sha256": sha256}) })
}
