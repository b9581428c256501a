//! The resources of a Proxmox site, as probes, guards and predictions name them. Field names are ours.
//!
//! | key | value |
//! |---|---|
//! | `proxmox/site` | `{name, version, quorate, nodes: [name]}` |
//! | `proxmox/nodes` | map by name of `{name, online, maintenance, version, memory_total, memory_used, threads, cpu_model, uptime}`; bytes, seconds; what is not known is absent |
//! | `proxmox/node/NAME` | one of these, null when there is no such node |
//! | `proxmox/node/NAME/memory` | `{total, used, free}` in bytes |
//! | `proxmox/node/NAME/guests` | map by VMID of `{vmid, kind, name, status, lock, template}`: what the node itself lists |
//! | `proxmox/node/NAME/active_tasks` | `[{upid, kind, id, user, start}]` |
//! | `proxmox/node/NAME/tasks/VMID` | `[{upid, kind, start, running, status}]`, running ones included |
//! | `proxmox/node/NAME/tasks_of/TYPE` | the same of all tasks of a type (`vzdump`), whatever they are about |
//! | `proxmox/guests` | map by VMID of `{vmid, kind, name, node, status, template, tags, pool, lock, maxmem, cpus, hastate}`: the cluster's list, up to 10 s old but for `node` and `lock` |
//! | `proxmox/guest/VMID` | [`Guest`](super::object::Guest), asked of its own node; null when it exists nowhere |
//! | `proxmox/guest/VMID/config` | `GuestConfig`: `{digest, values, pending}`, null as above |
//! | `proxmox/guest/VMID/state` | `GuestState`, null as above |
//! | `proxmox/guest/VMID/evacuation` | [`GuestFacts`](crate::placement::evacuation::facts::GuestFacts), null as above |
//! | `proxmox/guest/VMID/snapshots` | [`Snapshots`](super::object::Snapshots): the guest and its snapshots by name, null as above |
//! | `proxmox/node/NAME/storages` | map by name of [`NodeStorage`](super::object::NodeStorage) |
//! | `proxmox/node/NAME/content/STORAGE` | map by volume id of [`Volume`](super::object::Volume) |
//! | `proxmox/api/PATH?NAME=VALUE…` | what a GET of that path answers, as it comes |
//! | `proxmox/inventory?NAME=VALUE…` | [`Inventory`](crate::model::inventory::Inventory) of the guests that `node`, `tag`, `type`, `status` and `pool` name |
//! | `proxmox/placement/NODE` | [`Facts`](crate::placement::evacuation::Facts) for emptying that node |
//! | `proxmox/ha` | [`Ha`](super::object::Ha) |
//! | `proxmox/ha/rules` | `[HaRule]` as the planner takes them, groups of 8.x included |
//! | `proxmox/task/UPID` | `{upid, kind, running, outcome: ok \| failed \| unexpected, cause, log}`, null when there is no such task |
//! | `proxmox/permissions` | map of ACL path to `{privilege: propagates}` |
//! | `proxmox/permissions/ID` | the same of another user or token |
//! | `proxmox/roles` | map by name of `{privileges: [name], special}`; `special` only where it is built in |
//! | `proxmox/users` | map by `user@realm` of `{enable, expire, comment, email, firstname, lastname}` |
//! | `proxmox/tokens` | map by `user@realm!name` of `{privsep, expire, comment}` |
//! | `proxmox/node/NAME/config` | [`NodeConfig`](super::object::NodeConfig): the node's own, not its guests' |
//! | `proxmox/node/NAME/certificates` | map by file name of [`Certificate`](super::object::Certificate) |
//! | `proxmox/node/NAME/shown` | [`ShownCertificate`](super::object::ShownCertificate), by a new connection; null where that is not known |
//! | `proxmox/acme/accounts` | map by name of `{}` |
//! | `proxmox/acme/account/NAME` | `{contact: [address], directory}`, null where there is none; for root@pam alone |
//! | `proxmox/acme/plugins` | map by id of `{type, api, nodes, validation_delay, disable, has_data}`, never their data |
//! | `proxmox/acl` | map by `PATH KIND ID ROLE` of `{propagate}`; KIND is user, group or token |

use std::fmt;
use std::str::FromStr;

use crate::clients::proxmox::{plain_seg, seg};
use crate::model::ids::{NodeName, ResourceKey, StorageId, Upid, Vmid};

/// One of the keys above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    Site,
    Nodes,
    Node(NodeName),
    NodeMemory(NodeName),
    NodeGuests(NodeName),
    ActiveTasks(NodeName),
    GuestTasks(NodeName, Vmid),
    TasksOf(NodeName, String),
    Guests,
    Guest(Vmid),
    GuestConfig(Vmid),
    GuestState(Vmid),
    GuestEvacuation(Vmid),
    GuestSnapshots(Vmid),
    Storages(NodeName),
    Content(NodeName, StorageId),
    /// A path, percent-encoded, and parameters.
    Api(String, Vec<(String, String)>),
    /// Which guests, and how much of each: `node`, `tag`, `type`, `status`, `pool`, `all`.
    Inventory(Vec<(String, String)>),
    Placement(NodeName),
    Ha,
    HaRules,
    Task(Upid),
    Permissions,
    PermissionsOf(String),
    Roles,
    Users,
    Tokens,
    Acl,
    NodeConfig(NodeName),
    Certificates(NodeName),
    Shown(NodeName),
    AcmeAccounts,
    AcmeAccount(String),
    AcmePlugins,
}

impl Resource {
    pub fn key(&self) -> ResourceKey {
        ResourceKey::new(self.to_string())
    }
}

impl Resource {
    /// In words, for plans and messages.
    pub fn title(&self) -> String {
        match self {
            Self::Site => "the site".to_owned(),
            Self::Nodes => "the nodes".to_owned(),
            Self::Node(node) => format!("node {node}"),
            Self::NodeMemory(node) => format!("the memory of {node}"),
            Self::NodeGuests(node) => format!("the guests on {node}"),
            Self::ActiveTasks(node) => format!("the running tasks of {node}"),
            Self::GuestTasks(node, vmid) => format!("the tasks of guest {vmid} on {node}"),
            Self::TasksOf(node, kind) => format!("the {kind} tasks of {node}"),
            Self::Guests => "the guests of the site".to_owned(),
            Self::Guest(vmid) | Self::GuestEvacuation(vmid) => format!("guest {vmid}"),
            Self::GuestConfig(vmid) => format!("the configuration of guest {vmid}"),
            Self::GuestState(vmid) => format!("the state of guest {vmid}"),
            Self::GuestSnapshots(vmid) => format!("the snapshots of guest {vmid}"),
            Self::Storages(node) => format!("the storages of {node}"),
            Self::Content(node, storage) => format!("what is on {storage} of {node}"),
            Self::Api(path, _) => format!("GET {path}"),
            Self::Inventory(_) => "the inventory".to_owned(),
            Self::Placement(node) => format!("where the guests of {node} fit"),
            Self::Ha => "the HA manager's state".to_owned(),
            Self::HaRules => "the HA rules".to_owned(),
            Self::Task(upid) => format!("task {upid}"),
            Self::Permissions => "our own privileges".to_owned(),
            Self::PermissionsOf(id) => format!("the privileges of {id}"),
            Self::Roles => "the roles".to_owned(),
            Self::Users => "the users".to_owned(),
            Self::Tokens => "the API tokens".to_owned(),
            Self::Acl => "the access control list".to_owned(),
            Self::NodeConfig(node) => format!("the configuration of node {node}"),
            Self::Certificates(node) => format!("the certificates of {node}"),
            Self::Shown(node) => format!("the certificate that {node} shows"),
            Self::AcmeAccounts => "the ACME accounts".to_owned(),
            Self::AcmeAccount(name) => format!("the ACME account {name}"),
            Self::AcmePlugins => "the ACME plugins".to_owned(),
        }
    }
}

/// All placements: what taints one taints every one.
pub fn all_placements() -> ResourceKey {
    ResourceKey::from("proxmox/placement")
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site => f.write_str("proxmox/site"),
            Self::Nodes => f.write_str("proxmox/nodes"),
            Self::Node(node) => write!(f, "proxmox/node/{node}"),
            Self::NodeMemory(node) => write!(f, "proxmox/node/{node}/memory"),
            Self::NodeGuests(node) => write!(f, "proxmox/node/{node}/guests"),
            Self::ActiveTasks(node) => write!(f, "proxmox/node/{node}/active_tasks"),
            Self::GuestTasks(node, vmid) => write!(f, "proxmox/node/{node}/tasks/{vmid}"),
            Self::TasksOf(node, kind) => write!(f, "proxmox/node/{node}/tasks_of/{kind}"),
            Self::Guests => f.write_str("proxmox/guests"),
            Self::Guest(vmid) => write!(f, "proxmox/guest/{vmid}"),
            Self::GuestConfig(vmid) => write!(f, "proxmox/guest/{vmid}/config"),
            Self::GuestState(vmid) => write!(f, "proxmox/guest/{vmid}/state"),
            Self::GuestEvacuation(vmid) => write!(f, "proxmox/guest/{vmid}/evacuation"),
            Self::GuestSnapshots(vmid) => write!(f, "proxmox/guest/{vmid}/snapshots"),
            Self::Storages(node) => write!(f, "proxmox/node/{node}/storages"),
            Self::Content(node, storage) => write!(f, "proxmox/node/{node}/content/{storage}"),
            Self::Api(path, params) => {
                write!(f, "proxmox/api{path}")?;
                query(f, params)
            }
            Self::Inventory(params) => {
                f.write_str("proxmox/inventory")?;
                query(f, params)
            }
            Self::Placement(node) => write!(f, "proxmox/placement/{node}"),
            Self::Ha => f.write_str("proxmox/ha"),
            Self::HaRules => f.write_str("proxmox/ha/rules"),
            Self::Task(upid) => write!(f, "proxmox/task/{upid}"),
            Self::Permissions => f.write_str("proxmox/permissions"),
            Self::PermissionsOf(id) => write!(f, "proxmox/permissions/{id}"),
            Self::Roles => f.write_str("proxmox/roles"),
            Self::Users => f.write_str("proxmox/users"),
            Self::Tokens => f.write_str("proxmox/tokens"),
            Self::Acl => f.write_str("proxmox/acl"),
            Self::NodeConfig(node) => write!(f, "proxmox/node/{node}/config"),
            Self::Certificates(node) => write!(f, "proxmox/node/{node}/certificates"),
            Self::Shown(node) => write!(f, "proxmox/node/{node}/shown"),
            Self::AcmeAccounts => f.write_str("proxmox/acme/accounts"),
            Self::AcmeAccount(name) => write!(f, "proxmox/acme/account/{name}"),
            Self::AcmePlugins => f.write_str("proxmox/acme/plugins"),
        }
    }
}

fn query(f: &mut fmt::Formatter<'_>, params: &[(String, String)]) -> fmt::Result {
    for (i, (name, value)) in params.iter().enumerate() {
        write!(f, "{}{}={}", if i == 0 { '?' } else { '&' }, seg(name), seg(value))?;
    }
    Ok(())
}

/// The key names nothing that a Proxmox site has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no resource {0:?}: expected one of actions/proxmox/resource.rs")]
pub struct NoSuchResource(pub String);

impl FromStr for Resource {
    type Err = NoSuchResource;

    fn from_str(text: &str) -> Result<Self, NoSuchResource> {
        let bad = || NoSuchResource(text.to_owned());
        let vmid = |text: &str| text.parse().map_err(|_| bad());
        if let Some(call) = text.strip_prefix("proxmox/api/") {
            return Ok(api(call));
        }
        if let Some((_, query)) = text.split_once("proxmox/inventory").filter(|(before, _)| before.is_empty()) {
            return match query.strip_prefix('?') {
                Some(query) => Ok(Self::Inventory(pairs(query))),
                None if query.is_empty() => Ok(Self::Inventory(Vec::new())),
                None => Err(bad()),
            };
        }
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            ["proxmox", "site"] => Ok(Self::Site),
            ["proxmox", "nodes"] => Ok(Self::Nodes),
            ["proxmox", "node", node] => Ok(Self::Node(node.into())),
            ["proxmox", "node", node, "memory"] => Ok(Self::NodeMemory(node.into())),
            ["proxmox", "node", node, "guests"] => Ok(Self::NodeGuests(node.into())),
            ["proxmox", "node", node, "active_tasks"] => Ok(Self::ActiveTasks(node.into())),
            ["proxmox", "node", node, "tasks", guest] => Ok(Self::GuestTasks(node.into(), vmid(guest)?)),
            ["proxmox", "node", node, "tasks_of", kind] => Ok(Self::TasksOf(node.into(), kind.to_owned())),
            ["proxmox", "guests"] => Ok(Self::Guests),
            ["proxmox", "guest", guest] => Ok(Self::Guest(vmid(guest)?)),
            ["proxmox", "guest", guest, "config"] => Ok(Self::GuestConfig(vmid(guest)?)),
            ["proxmox", "guest", guest, "state"] => Ok(Self::GuestState(vmid(guest)?)),
            ["proxmox", "guest", guest, "evacuation"] => Ok(Self::GuestEvacuation(vmid(guest)?)),
            ["proxmox", "guest", guest, "snapshots"] => Ok(Self::GuestSnapshots(vmid(guest)?)),
            ["proxmox", "node", node, "storages"] => Ok(Self::Storages(node.into())),
            ["proxmox", "node", node, "content", storage] => Ok(Self::Content(node.into(), storage.into())),
            ["proxmox", "placement", node] => Ok(Self::Placement(node.into())),
            ["proxmox", "ha"] => Ok(Self::Ha),
            ["proxmox", "ha", "rules"] => Ok(Self::HaRules),
            ["proxmox", "task", upid] => Ok(Self::Task(upid.parse().map_err(|_| bad())?)),
            ["proxmox", "permissions"] => Ok(Self::Permissions),
            ["proxmox", "permissions", id] => Ok(Self::PermissionsOf(id.to_owned())),
            ["proxmox", "roles"] => Ok(Self::Roles),
            ["proxmox", "users"] => Ok(Self::Users),
            ["proxmox", "tokens"] => Ok(Self::Tokens),
            ["proxmox", "acl"] => Ok(Self::Acl),
            ["proxmox", "node", node, "config"] => Ok(Self::NodeConfig(node.into())),
            ["proxmox", "node", node, "certificates"] => Ok(Self::Certificates(node.into())),
            ["proxmox", "node", node, "shown"] => Ok(Self::Shown(node.into())),
            ["proxmox", "acme", "accounts"] => Ok(Self::AcmeAccounts),
            ["proxmox", "acme", "account", name] => Ok(Self::AcmeAccount(name.to_owned())),
            ["proxmox", "acme", "plugins"] => Ok(Self::AcmePlugins),
            _ => Err(bad()),
        }
    }
}

fn api(call: &str) -> Resource {
    let (path, query) = call.split_once('?').unwrap_or((call, ""));
    Resource::Api(format!("/{path}"), pairs(query))
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (plain_seg(name), plain_seg(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_reads_back_as_what_it_names() {
        let (node, vmid) = (NodeName::from("pve2"), Vmid(104));
        let upid = "UPID:pve2:0001ABCD:00A1B2C3:67400000:qmigrate:104:ops@pve!runbook:".parse().unwrap();
        for resource in [
            Resource::Site,
            Resource::Nodes,
            Resource::Node(node.clone()),
            Resource::NodeMemory(node.clone()),
            Resource::NodeGuests(node.clone()),
            Resource::ActiveTasks(node.clone()),
            Resource::GuestTasks(node.clone(), vmid),
            Resource::TasksOf(node.clone(), "vzdump".into()),
            Resource::Guests,
            Resource::Guest(vmid),
            Resource::GuestConfig(vmid),
            Resource::GuestState(vmid),
            Resource::GuestEvacuation(vmid),
            Resource::GuestSnapshots(vmid),
            Resource::Storages(node.clone()),
            Resource::Content(node.clone(), "local-lvm".into()),
            Resource::Api("/version".into(), Vec::new()),
            Resource::Api(
                "/nodes/pve1/storage/local/content/local%3Aiso%2Fa.iso".into(),
                vec![("content".into(), "a&b=/".into()), ("vmid".into(), "104".into())],
            ),
            Resource::Inventory(Vec::new()),
            Resource::Inventory(vec![("tag".into(), "a&b".into()), ("tag".into(), "c".into())]),
            Resource::NodeConfig(node.clone()),
            Resource::Certificates(node.clone()),
            Resource::Shown(node.clone()),
            Resource::AcmeAccounts,
            Resource::AcmeAccount("default".into()),
            Resource::AcmePlugins,
            Resource::Placement(node),
            Resource::Ha,
            Resource::HaRules,
            Resource::Task(upid),
            Resource::Permissions,
            Resource::PermissionsOf("ops@pve!x".into()),
            Resource::Roles,
            Resource::Users,
            Resource::Tokens,
            Resource::Acl,
        ] {
            assert_eq!(resource.key().as_str().parse(), Ok(resource));
        }
        for text in ["proxmox", "proxmox/guest/x", "proxmox/task/x", "proxmox/inventoryx", "talos/node"] {
            assert!(text.parse::<Resource>().is_err(), "{text}");
        }
    }
}
