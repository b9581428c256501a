//! The network for actions, with the secrets that their headers name, the store of secrets itself, and the nodes of
//! Talos and Kubernetes.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use super::config::Config;
use super::settings::Settings;
use crate::actions::kubernetes::Clusters;
use crate::actions::talos::{Machine, TalosSource};
use crate::clients::keeper::{Keeper, Keeps, Kept};
use crate::clients::kubernetes::{self, Kubernetes};
use crate::clients::net::{Keys, Net};
use crate::clients::talos::{SharedStandIn, Talos, Via};
use crate::model::cluster::{Assignment, Cluster, NodeGroup};
use crate::secrets::{Entry, Redactor, SecretRef, Secrets};
use crate::sys::files;

/// References as a site's configuration has them.
const SCHEMES: [&str; 7] = ["pass:", "env:", "file:", "cmd:", "op:", "vault:", "sops:"];

struct Own(Secrets);

#[async_trait]
impl Keys for Own {
    async fn secret(&self, text: &str) -> Result<Option<SecretString>, String> {
        if !SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
            return Ok(None);
        }
        let reference = text.parse::<SecretRef>().map_err(|e| e.to_string())?;
        self.0.resolve(&reference).await.map(Some).map_err(|e| e.to_string())
    }

    fn redact(&self, text: &str) -> String {
        self.0.redactor().redact(text).into_owned()
    }
}

/// As this process reaches it.
pub(in crate::app) fn net(redactor: &Redactor) -> Net {
    Net::new(Arc::new(Own(Secrets::new(redactor.clone()))))
}

/// Secrets by their references, for a client that logs in with one.
pub(in crate::app) fn keys(redactor: &Redactor) -> Arc<dyn Keys> {
    Arc::new(Own(Secrets::new(redactor.clone())))
}

fn reference(text: &str) -> Result<SecretRef, String> {
    text.parse().map_err(|e: crate::secrets::BadRef| e.to_string())
}

#[async_trait]
impl Keeps for Own {
    async fn kept(&self, text: &str) -> Result<Kept, String> {
        let entry = self.0.entry(&reference(text)?).await.map_err(|e| e.to_string())?;
        Ok(match entry {
            Entry::Nothing => Kept::Nothing,
            Entry::Place(id) => Kept::Token { id, whole: false },
            Entry::Token(id) => Kept::Token { id, whole: true },
            Entry::Other => Kept::Other,
        })
    }

    async fn secret(&self, text: &str) -> Result<SecretString, String> {
        self.0.resolve(&reference(text)?).await.map_err(|e| e.to_string())
    }

    async fn text(&self, text: &str) -> Result<SecretString, String> {
        self.0.text(&reference(text)?).await.map_err(|e| e.to_string())
    }

    async fn token(&self, text: &str) -> Result<(String, SecretString), String> {
        let pair = self.0.token(&reference(text)?).await.map_err(|e| e.to_string())?;
        Ok((pair.id, pair.secret))
    }

    async fn keep(&self, text: &str, id: &str, secret: Option<&SecretString>) -> Result<(), String> {
        self.0.keep(&reference(text)?, id, secret).await.map_err(|e| e.to_string())
    }

    async fn forget(&self, text: &str) -> Result<(), String> {
        self.0.forget(&reference(text)?).await.map_err(|e| e.to_string())
    }

    fn conceal(&self, secret: &SecretString) {
        self.0.redactor().register(secret.expose_secret());
    }
}

/// The stores that this process's user has.
pub(in crate::app) fn keeper(redactor: &Redactor) -> Keeper {
    Keeper::new(Arc::new(Own(Secrets::new(redactor.clone()))))
}

/// The clusters with a profile of type talos. Nobody has been asked yet; `direct` answers instead of the program.
pub(in crate::app) fn talos(config: &Config, settings: &Settings, direct: Option<SharedStandIn>) -> TalosSource {
    let expand = |path: &str| files::expand_home(path, settings.home.as_deref());
    let via = match direct {
        Some(lab) => Via::Direct(lab),
        None => {
            let programs = config.site.talos.tools.talosctl.iter();
            Via::System(programs.map(|(minor, path)| (minor.clone(), expand(path))).collect())
        }
    };
    let talos = Talos::new(via, None);
    let clusters = config.clusters.iter().filter_map(|cluster| Some((cluster, cluster.talos.as_ref()?)));
    clusters.fold(TalosSource::default(), |source, (cluster, given)| {
        let folder = given.config_dir.as_ref().map(|path| config.folder().join(expand(path)));
        // Where there is none, talosctl looks for its own.
        let own = folder.as_ref().map(|folder| folder.join("talosconfig")).filter(|path| path.exists());
        source
            .with(&cluster.name, talos.with_config(own), machines(cluster))
            .configs_in(&cluster.name, folder.map(|folder| settings.cwd.join(folder)))
    })
}

/// Kubernetes on the clusters with a profile of type talos. Nobody has been asked yet; `direct` answers instead of the
/// program.
pub(in crate::app) fn kubernetes(
    config: &Config,
    settings: &Settings,
    direct: Option<kubernetes::SharedStandIn>,
) -> Clusters {
    let expand = |path: &str| files::expand_home(path, settings.home.as_deref());
    let via = match direct {
        Some(lab) => kubernetes::Via::Direct(lab),
        None => kubernetes::Via::System(expand(&config.site.talos.tools.kubectl)),
    };
    let clusters = config.clusters.iter().filter_map(|cluster| Some((cluster, cluster.talos.as_ref()?)));
    let each = clusters.map(|(cluster, given)| {
        let folder = given.config_dir.as_ref().map(|path| config.folder().join(expand(path)));
        // Another than the cluster's own could lead to another cluster: without it nothing is asked.
        let own = folder.map(|folder| folder.join("kubeconfig")).filter(|path| path.exists());
        let planes = machines(cluster).into_iter().filter(|machine| machine.control_plane);
        let servers = planes.filter_map(|machine| machine.address).collect();
        (cluster.name.clone(), Kubernetes::new(via.clone(), own, servers))
    });
    Clusters(each.collect())
}

fn machines(cluster: &Cluster) -> Vec<Machine> {
    let groups = [(&cluster.nodes.controlplane, true), (&cluster.nodes.workers, false)];
    let members = groups.into_iter().flat_map(|(group, control_plane)| {
        group.iter().flat_map(NodeGroup::members).map(move |member| (member, control_plane)).collect::<Vec<_>>()
    });
    let machine = |(member, control_plane): (Assignment, bool)| Machine {
        name: member.name,
        vmid: member.vmid,
        address: member.ip.as_ref().map(|ip| ip.split('/').next().unwrap_or_default().to_owned()),
        ip: member.ip,
        host: member.node.map(|node| node.to_string()),
        control_plane,
    };
    members.map(machine).collect()
}
