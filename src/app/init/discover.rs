//! What a site says of itself: nodes, storages, bridges, numbers in use.

use std::time::Duration;

use super::{PORT, Place};
use crate::actions;
use crate::app::error::AppError;
use crate::clients::proxmox::{self, NodeRow, ProxmoxError, Site};
use crate::model::ids::{Fingerprint, NodeName};

/// For a node beside the one that was named to show its certificate: it may well not be reached from here.
const PATIENCE: Duration = Duration::from_secs(3);

/// A node, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundNode {
    pub name: String,
    /// Absent where nobody says an address.
    pub place: Option<Place>,
    pub fingerprint: Option<Fingerprint>,
    /// What a person should know of it.
    pub note: Option<String>,
}

/// A storage of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundStorage {
    pub name: String,
    pub kind: String,
    pub shared: bool,
    /// Whether disks of guests may lie there.
    pub disks: bool,
}

/// What a site says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The cluster's name; absent on a node alone.
    pub cluster: Option<String>,
    pub version: String,
    /// The one that was named first.
    pub nodes: Vec<FoundNode>,
    pub storages: Vec<FoundStorage>,
    pub bridges: Vec<String>,
    /// Sorted.
    pub vmids: Vec<u32>,
}

pub(super) async fn discover(site: &Site, place: &Place, pinned: Fingerprint) -> Result<Found, AppError> {
    let failed = |what: &'static str| move |e: ProxmoxError| AppError::from(actions::proxmox::failure(site, what, &e));
    let version = site.version().await.map_err(failed("ask for the version"))?.version;
    let status = site.cluster_status().await.map_err(failed("ask for the nodes of the cluster"))?;
    let rows = site.nodes().await.map_err(failed("list the nodes"))?;
    let local = status.nodes.iter().find(|node| node.local).or(status.nodes.first());
    let mut nodes = Vec::new();
    for member in &status.nodes {
        if local.is_some_and(|local| local.name == member.name) {
            let name = member.name.to_string();
            let (place, fingerprint) = (Some(place.clone()), Some(pinned));
            nodes.insert(0, FoundNode { name, place, fingerprint, note: None });
        } else {
            nodes.push(beside(&member.name, member.ip.as_deref(), &rows).await);
        }
    }
    let storages = site.storage_configs().await.map_err(failed("list the storages"))?;
    let storages = storages.into_iter().filter(|storage| !storage.disabled).map(|storage| FoundStorage {
        name: storage.storage.to_string(),
        kind: storage.kind,
        shared: storage.shared,
        disks: storage.content.iter().any(|content| content == "images"),
    });
    let network = match local {
        Some(local) => site.node_network(&local.name).await.map_err(failed("list the bridges"))?,
        None => Vec::new(),
    };
    let bridges = network.iter().filter(|row| row.is_bridge()).map(|row| row.iface.clone());
    let guests = site.resources().await.map_err(failed("list the guests"))?.guests;
    let mut vmids: Vec<u32> = guests.iter().map(|guest| guest.vmid.0).collect();
    vmids.sort_unstable();
    Ok(Found {
        cluster: status.cluster.map(|cluster| cluster.name),
        version,
        nodes,
        storages: storages.collect(),
        bridges: bridges.collect(),
        vmids,
    })
}

/// A node that was not named. It is believed by the word of the one that was; what it shows itself must be the same.
async fn beside(name: &NodeName, ip: Option<&str>, rows: &[NodeRow]) -> FoundNode {
    let said = rows.iter().find(|row| row.node == *name).and_then(|row| row.ssl_fingerprint.as_deref());
    let said = said.and_then(|text| text.parse::<Fingerprint>().ok());
    let Some(ip) = ip else {
        let note = Some("the cluster says no address of it: give `host`".to_owned());
        return FoundNode { name: name.to_string(), place: None, fingerprint: said, note };
    };
    let shown = proxmox::certificate(ip, PORT, PATIENCE).await;
    let (fingerprint, note) = match (shown, said) {
        (Ok(shown), Some(said)) if shown == said => (Some(said), None),
        (Ok(shown), _) => {
            let note = format!(
                "it shows the certificate {shown}, which is not the one that the cluster has for it: pin it if it is yours"
            );
            (None, Some(note))
        }
        (Err(error), said) => (said, Some(format!("not reached from here: {error}"))),
    };
    FoundNode { name: name.to_string(), place: Some(Place { host: ip.to_owned(), port: PORT }), fingerprint, note }
}
