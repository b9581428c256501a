//! All actions by name, and what an author of runbooks sees of them.

use std::sync::Arc;

use super::deps::Deps;
use super::local::LocalRun;
use super::proxmox::One;
use super::proxmox::api::ApiCall;
use super::proxmox::backup::{Backups, BackupsPrune, GuestBackup, GuestRestore};
use super::proxmox::evacuation::{CheckEvacuation, PlanEvacuation};
use super::proxmox::guest::{GuestMigrate, GuestShutdown, GuestStart, GuestUnlock, Guests};
use super::proxmox::ha::{HaMaintenance, HaResource};
use super::proxmox::node::{NodeEmpty, NodeReboot, Nodes, Updates};
use super::proxmox::storage::{Orphans, Storages};
use super::proxmox::task::{TaskLog, TaskWait, Tasks};
use crate::engine::ports::{Action, Actions};
use crate::model::action_spec::Catalogue;

/// The actions, ready to be used with a site.
pub fn catalogue(deps: &Deps) -> Actions {
    let all: Vec<Arc<dyn Action>> = vec![
        Arc::new(LocalRun::new(deps.folder.clone())),
        Arc::new(PlanEvacuation::new(deps.placement.clone())),
        Arc::new(CheckEvacuation::default()),
        Arc::new(HaMaintenance::new(deps.timing)),
        Arc::new(GuestMigrate::new(deps.timing)),
        Arc::new(GuestShutdown::new(deps.timing)),
        Arc::new(One(GuestStart::new(deps.timing))),
        Arc::new(GuestUnlock::new(deps.timing)),
        Arc::new(NodeEmpty::default()),
        Arc::new(One(ApiCall::new(deps.timing))),
        Arc::new(Guests::default()),
        Arc::new(One(HaResource::new(deps.timing))),
        Arc::new(One(NodeReboot::new(deps.timing))),
        Arc::new(Nodes::default()),
        Arc::new(Updates::default()),
        Arc::new(Orphans::default()),
        Arc::new(Storages::default()),
        Arc::new(TaskLog::default()),
        Arc::new(TaskWait::new(deps.timing)),
        Arc::new(Tasks::default()),
        Arc::new(Backups::default()),
        Arc::new(One(BackupsPrune::new(deps.timing))),
        Arc::new(One(GuestBackup::new(deps.timing))),
        Arc::new(One(GuestRestore::new(deps.timing))),
    ];
    all.into_iter().map(|action| (action.spec().name.clone(), action)).collect()
}

/// What each of them is, for checks of runbooks: needs no site.
pub fn specs() -> Catalogue {
    let all = catalogue(&Deps::default());
    all.into_iter().map(|(name, action)| (name, action.spec().clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::effect::Effect;

    #[test]
    fn every_action_says_what_it_is_and_what_it_needs() {
        let specs = specs();
        let names: Vec<&str> = specs.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "local.run",
                "proxmox.api",
                "proxmox.backups",
                "proxmox.backups_prune",
                "proxmox.check_evacuation",
                "proxmox.guest_backup",
                "proxmox.guest_migrate",
                "proxmox.guest_restore",
                "proxmox.guest_shutdown",
                "proxmox.guest_start",
                "proxmox.guest_unlock",
                "proxmox.guests",
                "proxmox.ha_maintenance",
                "proxmox.ha_resource",
                "proxmox.node_empty",
                "proxmox.node_reboot",
                "proxmox.nodes",
                "proxmox.orphans",
                "proxmox.plan_evacuation",
                "proxmox.storages",
                "proxmox.task_log",
                "proxmox.task_wait",
                "proxmox.tasks",
                "proxmox.updates",
            ]
        );
        for spec in specs.values() {
            assert!(!spec.title.is_empty() && !spec.privileges.is_empty() && !spec.outputs.is_empty(), "{}", spec.name);
            assert!(spec.params.iter().all(|p| p.help.is_some()), "{}", spec.name);
            assert!(spec.params.iter().all(|p| !(p.required && p.default.is_some())), "{}", spec.name);
            assert!(spec.effect != Effect::Read || !spec.undoable, "{}", spec.name);
        }
    }
}
