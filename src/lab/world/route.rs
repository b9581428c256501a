//! Which handler answers which path: the one table.

use super::life::{clone, create, destroy, image, snapshot, template};
use super::{
    World, acme, backup, cluster, cluster_rows, config_api, guest_api, ha::api as ha, ha::rules, inside, lifecycle,
    mapping, migrate, pending,
};
use super::{node_api, node_config, pools, resize, storage_api, suspend, task_api};
use crate::lab::call::{Call, PveError, Reply, Verb};

pub(super) type Handler = fn(&mut World, &Call) -> Result<Reply, PveError>;

use Verb::{Delete, Get, Post, Put};

const TABLE: &[(Verb, &str, Handler)] = &[
    (Get, "/version", node_api::version),
    (Get, "/cluster/status", cluster::status),
    (Get, "/cluster/resources", cluster_rows::resources),
    (Get, "/cluster/nextid", cluster::next_id),
    (Get, "/cluster/options", cluster::options),
    (Get, "/cluster/tasks", task_api::cluster_list),
    (Get, "/cluster/config/nodes", cluster::corosync_nodes),
    (Get, "/cluster/config/qdevice", cluster::no_qdevice),
    (Get, "/cluster/replication", cluster::nothing),
    (Get, "/cluster/backup", cluster::nothing),
    (Get, "/cluster/acme/account", acme::accounts),
    (Post, "/cluster/acme/account", acme::register),
    (Get, "/cluster/acme/account/{name}", acme::account),
    (Put, "/cluster/acme/account/{name}", acme::change_account),
    (Delete, "/cluster/acme/account/{name}", acme::remove_account),
    (Get, "/cluster/acme/directories", acme::directories),
    (Get, "/cluster/acme/meta", acme::meta),
    (Get, "/cluster/acme/tos", acme::terms),
    (Get, "/cluster/acme/plugins", acme::plugins),
    (Post, "/cluster/acme/plugins", acme::add_plugin),
    (Get, "/cluster/acme/plugins/{id}", acme::plugin),
    (Put, "/cluster/acme/plugins/{id}", acme::change_plugin),
    (Delete, "/cluster/acme/plugins/{id}", acme::remove_plugin),
    (Get, "/cluster/mapping/pci", mapping::pci),
    (Get, "/cluster/mapping/usb", mapping::usb),
    (Get, "/cluster/mapping/dir", mapping::dir),
    (Get, "/cluster/ha/resources", ha::resources),
    (Post, "/cluster/ha/resources", ha::add_resource),
    (Get, "/cluster/ha/resources/{sid}", ha::resource),
    (Put, "/cluster/ha/resources/{sid}", ha::change_resource),
    (Delete, "/cluster/ha/resources/{sid}", ha::remove_resource),
    (Post, "/cluster/ha/resources/{sid}/migrate", ha::migrate),
    (Post, "/cluster/ha/resources/{sid}/relocate", ha::relocate),
    (Get, "/cluster/ha/rules", rules::list),
    (Post, "/cluster/ha/rules", rules::create),
    (Get, "/cluster/ha/rules/{rule}", rules::read),
    (Put, "/cluster/ha/rules/{rule}", rules::change),
    (Delete, "/cluster/ha/rules/{rule}", rules::remove),
    (Get, "/cluster/ha/groups", rules::groups),
    (Post, "/cluster/ha/groups", rules::create_group),
    (Get, "/cluster/ha/groups/{group}", rules::group),
    (Put, "/cluster/ha/groups/{group}", rules::change_group),
    (Delete, "/cluster/ha/groups/{group}", rules::remove_group),
    (Get, "/cluster/ha/status/current", super::ha::status::current),
    (Get, "/cluster/ha/status/manager_status", super::ha::status::manager),
    (Get, "/storage", storage_api::definitions),
    (Get, "/storage/{storage}", storage_api::definition),
    (Get, "/pools", pools::list),
    (Post, "/pools", pools::create),
    (Put, "/pools", pools::change),
    (Delete, "/pools", pools::remove),
    (Get, "/pools/{poolid}", pools::read),
    (Put, "/pools/{poolid}", pools::change),
    (Delete, "/pools/{poolid}", pools::remove),
    (Get, "/nodes", cluster_rows::nodes),
    (Get, "/nodes/{node}/status", node_api::status),
    (Post, "/nodes/{node}/status", node_api::command),
    (Get, "/nodes/{node}/config", node_config::read),
    (Put, "/nodes/{node}/config", node_config::change),
    (Get, "/nodes/{node}/certificates/info", acme::info),
    (Post, "/nodes/{node}/certificates/acme/certificate", acme::order),
    (Put, "/nodes/{node}/certificates/acme/certificate", acme::renew),
    (Delete, "/nodes/{node}/certificates/acme/certificate", acme::revoke),
    (Delete, "/nodes/{node}/certificates/custom", acme::remove_custom),
    (Get, "/nodes/{node}/apt/update", node_api::updates),
    (Get, "/nodes/{node}/version", node_api::version),
    (Get, "/nodes/{node}/network", node_api::network),
    (Get, "/nodes/{node}/capabilities/qemu/machines", node_api::machines),
    (Get, "/nodes/{node}/capabilities/qemu/cpu-flags", node_api::cpu_flags),
    (Get, "/nodes/{node}/capabilities/qemu/migration", node_api::migration),
    (Get, "/nodes/{node}/storage", storage_api::list),
    (Get, "/nodes/{node}/storage/{storage}/status", storage_api::status),
    (Get, "/nodes/{node}/storage/{storage}/content", storage_api::content),
    (Delete, "/nodes/{node}/storage/{storage}/content/{volume}", image::remove),
    (Post, "/nodes/{node}/storage/{storage}/download-url", image::download),
    (Post, "/nodes/{node}/storage/{storage}/upload", image::upload),
    (Get, "/nodes/{node}/query-url-metadata", image::metadata),
    (Get, "/nodes/{node}/storage/{storage}/prunebackups", backup::prune::preview),
    (Delete, "/nodes/{node}/storage/{storage}/prunebackups", backup::prune::take),
    (Post, "/nodes/{node}/vzdump", backup::dump::take),
    (Get, "/nodes/{node}/vzdump/extractconfig", backup::restore::config),
    (Get, "/nodes/{node}/time", node_api::time),
    (Get, "/nodes/{node}/tasks", task_api::list),
    (Get, "/nodes/{node}/tasks/{upid}/status", task_api::status),
    (Get, "/nodes/{node}/tasks/{upid}/log", task_api::log),
    (Delete, "/nodes/{node}/tasks/{upid}", task_api::stop),
    (Get, "/nodes/{node}/qemu", guest_api::list),
    (Get, "/nodes/{node}/lxc", guest_api::list),
    (Post, "/nodes/{node}/qemu", create::take),
    (Post, "/nodes/{node}/lxc", create::take),
];

/// What follows `/nodes/{node}/qemu/{vmid}` or `/nodes/{node}/lxc/{vmid}`.
const GUEST_TABLE: &[(Verb, &str, Handler)] = &[
    (Get, "/config", config_api::read),
    (Put, "/config", config_api::change),
    (Get, "/pending", pending::read),
    (Get, "/status/current", guest_api::current),
    (Post, "/status/start", lifecycle::start),
    (Post, "/status/stop", lifecycle::stop),
    (Post, "/status/shutdown", lifecycle::shutdown),
    (Post, "/status/reboot", lifecycle::reboot),
    (Put, "/resize", resize::take),
    (Get, "/snapshot", guest_api::snapshots),
    (Post, "/snapshot", snapshot::take),
    (Delete, "/snapshot/{snapname}", snapshot::delete),
    (Post, "/snapshot/{snapname}/rollback", snapshot::rollback),
    (Post, "/clone", clone::take),
    (Post, "/template", template::take),
    (Delete, "", destroy::take),
    (Get, "/migrate", migrate::precondition::read),
    (Post, "/migrate", migrate::request::take),
];

/// The handler of a call's path and verb.
pub(super) fn find(call: &Call) -> Option<Handler> {
    let table = |table: &[(Verb, &str, Handler)], path: &str| {
        table.iter().find(|(verb, known, _)| *verb == call.verb && *known == path).map(|(_, _, handler)| *handler)
    };
    for kind in ["qemu", "lxc"] {
        if let Some(rest) = call.template.strip_prefix(&format!("/nodes/{{node}}/{kind}/{{vmid}}")) {
            return match (kind, call.verb, rest) {
                ("qemu", Post, "/config") => Some(config_api::change_in_task),
                ("qemu", Post, "/status/suspend") => Some(suspend::suspend),
                ("qemu", Post, "/status/resume") => Some(suspend::resume),
                ("qemu", Post, "/status/reset") => Some(suspend::reset),
                ("qemu", Get, "/agent/network-get-interfaces") => Some(inside::agent_interfaces),
                ("lxc", Get, "/interfaces") => Some(inside::container_interfaces),
                _ => table(GUEST_TABLE, rest),
            };
        }
    }
    table(TABLE, &call.template)
}

/// Paths that a node on 8 has not.
pub(super) fn nine_only(call: &Call) -> bool {
    matches!(
        (call.verb, call.template.as_str()),
        (Get, "/nodes/{node}/lxc/{vmid}/migrate")
            | (_, "/nodes/{node}/capabilities/qemu/cpu-flags" | "/nodes/{node}/capabilities/qemu/migration")
            | (_, "/cluster/ha/rules" | "/cluster/ha/rules/{rule}")
    )
}

/// Changes that need no write to the cluster's configuration.
pub(super) fn works_without_quorum(call: &Call) -> bool {
    call.template.ends_with("/status/stop")
        || call.template.ends_with("/status/shutdown")
        || call.verb == Delete && call.template.ends_with("/tasks/{upid}")
}

/// Every route, for the test that holds them against the schema.
#[cfg(test)]
pub(super) fn all() -> Vec<(Verb, String)> {
    let guests = ["qemu", "lxc"].into_iter().flat_map(|kind| {
        GUEST_TABLE.iter().map(move |(verb, rest, _)| (*verb, format!("/nodes/{{node}}/{kind}/{{vmid}}{rest}")))
    });
    let single = [
        (Post, "/nodes/{node}/qemu/{vmid}/config"),
        (Post, "/nodes/{node}/qemu/{vmid}/status/suspend"),
        (Post, "/nodes/{node}/qemu/{vmid}/status/resume"),
        (Post, "/nodes/{node}/qemu/{vmid}/status/reset"),
        (Get, "/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces"),
        (Get, "/nodes/{node}/lxc/{vmid}/interfaces"),
    ];
    let single = single.into_iter().map(|(verb, path)| (verb, path.to_owned()));
    TABLE.iter().map(|(verb, path, _)| (*verb, (*path).to_owned())).chain(guests).chain(single).collect()
}
