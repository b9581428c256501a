//! The World's source of Proxmox resources: reads through the client, answers in our own field names.
//!
//! It never changes anything. "May not see" is a failure that names the privilege, never an empty list.

mod access;
mod accounts;
mod acme;
mod each;
mod evacuation;
mod guest;
mod ha;
mod inventory;
mod node_facts;
mod nodes;
mod placement;
mod storage;
mod tasks;

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::failures;
use super::resource::Resource;
use crate::clients::proxmox::{ProxmoxError, Resources, Site};
use crate::engine::ports::{Observed, Source, World};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;

pub(in crate::actions::proxmox) use accounts::acl_key;
pub use evacuation::guest_facts;
pub(in crate::actions::proxmox) use guest::{disk, is_disk, is_numbered};

/// Reads the resources of one site. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ProxmoxSource {
    site: Site,
    /// The cluster's list, read once for all that one plan asks for. A run looks each time.
    listing: Option<Arc<OnceCell<Arc<Resources>>>>,
}

impl ProxmoxSource {
    pub fn new(site: Site) -> Self {
        Self { site, listing: None }
    }

    /// For one plan, which reads each thing once: what is where is read once, too, and the objects themselves each time.
    pub fn for_a_plan(site: Site) -> Self {
        Self { site, listing: Some(Arc::default()) }
    }

    /// The cluster's list, which may be the one that this plan has read already.
    async fn listing(&self) -> Result<Arc<Resources>, ProxmoxError> {
        match &self.listing {
            Some(shared) => shared.get_or_try_init(|| self.listing_now()).await.cloned(),
            None => self.listing_now().await,
        }
    }

    async fn listing_now(&self) -> Result<Arc<Resources>, ProxmoxError> {
        self.site.resources().await.map(Arc::new)
    }

    fn failed(&self, attempted: impl Into<String>) -> impl FnOnce(ProxmoxError) -> Failure {
        let we = self.we();
        move |error| failures::proxmox(&we, attempted, &error)
    }

    /// Who we are to the site, for messages.
    fn we(&self) -> String {
        failures::we(&self.site)
    }

    async fn resource(&self, resource: Resource) -> Result<Value, Failure> {
        match resource {
            Resource::Site => json(&self.site_info().await?),
            Resource::Nodes => json(&self.nodes().await?),
            Resource::Node(node) => json(&self.node(&node).await?),
            Resource::NodeMemory(node) => self.node_memory(&node).await,
            Resource::NodeGuests(node) => json(&self.node_guests(&node).await?),
            Resource::ActiveTasks(node) => json(&self.active_tasks(&node).await?),
            Resource::GuestTasks(node, vmid) => json(&self.guest_tasks(&node, vmid).await?),
            Resource::TasksOf(node, kind) => json(&self.tasks_of(&node, &kind).await?),
            Resource::Guests => json(&self.guests().await?),
            Resource::Guest(vmid) => json(&self.guest(vmid).await?),
            Resource::GuestConfig(vmid) => json(&self.guest_config(vmid).await?),
            Resource::GuestState(vmid) => json(&self.guest_state(vmid).await?),
            Resource::GuestEvacuation(vmid) => json(&self.guest_evacuation(vmid).await?),
            Resource::GuestSnapshots(vmid) => json(&self.guest_snapshots(vmid).await?),
            Resource::Storages(node) => json(&self.storages(&node).await?),
            Resource::Content(node, storage) => json(&self.content(&node, &storage).await?),
            Resource::Api(path, params) => self.api(&path, &params).await,
            Resource::Inventory(params) => json(&self.inventory(&params).await?),
            Resource::Placement(node) => json(&self.placement(&node).await?),
            Resource::Ha => json(&self.ha().await?),
            Resource::HaRules => json(&self.ha_rules().await?),
            Resource::Task(upid) => json(&self.task(&upid).await?),
            Resource::Permissions => json(&self.permissions().await?.paths),
            Resource::PermissionsOf(id) => json(&self.permissions_of(&id).await?.paths),
            Resource::Roles => self.roles().await,
            Resource::Users => self.users().await,
            Resource::Tokens => self.tokens().await,
            Resource::Acl => self.acl().await,
            Resource::NodeConfig(node) => json(&self.node_config(&node).await?),
            Resource::Certificates(node) => json(&self.certificates(&node).await?),
            Resource::Shown(node) => json(&self.shown(&node).await?),
            Resource::AcmeAccounts => self.acme_accounts().await,
            Resource::AcmeAccount(name) => self.acme_account(&name).await,
            Resource::AcmePlugins => self.acme_plugins().await,
        }
    }
}

impl ProxmoxSource {
    async fn api(&self, path: &str, params: &[(String, String)]) -> Result<Value, Failure> {
        let params: Vec<(&str, &str)> = params.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let answer = self.site.get(path, &params).await.map_err(self.failed(format!("GET {path}")))?;
        Ok(answer.data)
    }
}

fn json<T: Serialize>(value: &T) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|e| Failure::new(Class::Internal, "write a resource as JSON", e.to_string()))
}

/// The site as it is, with nothing laid over it: for looks of an act that has just been made.
#[async_trait]
impl World for ProxmoxSource {
    async fn read(&self, resource: &ResourceKey) -> Result<Observed, Failure> {
        Ok(Observed::Known(Arc::new(self.fetch(resource).await?)))
    }
}

#[async_trait]
impl Source for ProxmoxSource {
    async fn fetch(&self, resource: &ResourceKey) -> Result<Value, Failure> {
        let parsed: Result<Resource, _> = resource.as_str().parse();
        match parsed {
            Ok(resource) => self.resource(resource).await,
            Err(error) => Err(Failure::new(Class::Internal, format!("read {resource}"), error.to_string())),
        }
    }
}
