//! `kubernetes.storage_health`: whether a node may go without the last copy of anything going with it.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use super::look::{PRIVILEGES, cluster};
use super::read;
use crate::clients::kubernetes::{Ceph, Volume};
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};

/// The reading.
pub struct StorageHealth {
    spec: ActionSpec,
}

impl Default for StorageHealth {
    fn default() -> Self {
        let spec = ActionSpec::new(
            "kubernetes.storage_health",
            Effect::Read,
            "See whether Longhorn's volumes and Rook's Ceph are well, where there are any",
        )
        .param(cluster())
        .param(
            Param::new("healthy", ValueType::Bool)
                .default_value(true)
                .help("Whether to fail where anything is not well, or where that is not known"),
        )
        .output("longhorn", ValueType::Any, "volumes (how many), attached; null where it is not installed")
        .output("rook", ValueType::Any, "By NAMESPACE/NAME its health; null where it is not installed")
        .output("findings", ValueType::List, "What is not well, in words")
        .output("healthy", ValueType::Bool, "Whether there is nothing of that kind")
        .needs_privilege(PRIVILEGES);
        Self { spec }
    }
}

#[derive(Deserialize)]
struct Storage {
    longhorn: Option<Vec<Volume>>,
    rook: Option<Vec<Ceph>>,
}

/// What is not well with a volume. One that nobody uses has no robustness, and nothing to lose by a node that goes.
fn of_volume(volume: &Volume) -> Option<String> {
    let name = format!("Longhorn volume {}", volume.name);
    match (volume.state.as_deref(), volume.robustness.as_deref()) {
        (_, Some("healthy")) | (Some("detached"), Some("unknown") | None) => None,
        (_, None | Some("unknown")) => Some(format!("{name}: nobody knows how it is")),
        (_, Some(other)) => Some(format!("{name} is {other}")),
    }
}

fn of_ceph(ceph: &Ceph) -> Option<String> {
    let name = format!("Ceph {}/{}", ceph.namespace, ceph.name);
    match ceph.health.as_deref() {
        Some("HEALTH_OK") => None,
        None => Some(format!("{name}: nobody knows how it is")),
        Some(other) if ceph.details.is_empty() => Some(format!("{name}: {other}")),
        Some(other) => Some(format!("{name}: {other}: {}", ceph.details.join("; "))),
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[async_trait]
impl Action for StorageHealth {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let cluster: String = call.arg("cluster")?;
        let key = ResourceKey::new(format!("kubernetes/{cluster}/storage"));
        let storage: Storage = read(world, &key, "the storage of the cluster").await?;
        let mut findings: Vec<String> = Vec::new();
        findings.extend(storage.longhorn.iter().flatten().filter_map(of_volume));
        findings.extend(storage.rook.iter().flatten().filter_map(of_ceph));
        let longhorn = match &storage.longhorn {
            Some(volumes) => format!("Longhorn with {}", count(volumes.len(), "volume")),
            None => "no Longhorn".into(),
        };
        let rook = match &storage.rook {
            Some(clusters) => format!("Rook with {}", count(clusters.len(), "Ceph cluster")),
            None => "no Rook".into(),
        };
        let well = match (findings.is_empty(), storage.longhorn.is_none() && storage.rook.is_none()) {
            (_, true) => "nothing that could be looked at".to_owned(),
            (true, false) => "all is well".to_owned(),
            (false, false) => format!("{} not well", findings.len()),
        };
        let summary = format!("{cluster}: {longhorn}, {rook}; {well}");
        if call.get("healthy") == true && !findings.is_empty() {
            let attempted = format!("see that the storage of {cluster} is well");
            let failure = Failure::new(Class::Precondition, attempted, findings[0].clone()).details(findings);
            return Err(failure.remedy("wait until rebuilds have ended, or repair it, before a node goes").into());
        }
        let attached =
            |volumes: &Vec<Volume>| volumes.iter().filter(|volume| volume.state.as_deref() == Some("attached")).count();
        let rook: Option<serde_json::Map<_, _>> = storage
            .rook
            .as_ref()
            .map(|all| all.iter().map(|one| (format!("{}/{}", one.namespace, one.name), json!(one.health))).collect());
        let outputs = json!({
            "longhorn": storage.longhorn.as_ref().map(|all| json!({"volumes": all.len(), "attached": attached(all)})),
            "rook": rook, "healthy": findings.is_empty(), "findings": findings,
        });
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}
