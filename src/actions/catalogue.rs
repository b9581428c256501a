//! All actions by name, and what an author of runbooks sees of them.

use std::sync::Arc;

use super::deps::Deps;
use super::files::{FileWrite, YamlSet};
use super::inventory::InventoryCollect;
use super::kubernetes::{self, Cordon, Drain, StorageHealth};
use super::local::LocalRun;
use super::net::{HttpGet, HttpRequest, WaitTcp};
use super::netbox::{NetboxCompare, NetboxGuest, NetboxSetup};
use super::proxmox::One;
use super::proxmox::access::{Accounts, Acl, Ensure, PermissionsRead, Role, TokenMake, User};
use super::proxmox::acme::{AcmeAccount, AcmeDomains, AcmePlugin, CertificateOrder, Certificates};
use super::proxmox::api::ApiCall;
use super::proxmox::backup::{Backups, BackupsPrune, GuestBackup, GuestRestore};
use super::proxmox::evacuation::{CheckEvacuation, PlanEvacuation};
use super::proxmox::guest::{
    BootOrder, GuestClone, GuestConfigRead, GuestCreate, GuestDelete, GuestMigrate, GuestProtect, GuestReboot,
    GuestResize, GuestResume, GuestRollback, GuestSet, GuestShutdown, GuestSnapshot, GuestSnapshotDelete,
    GuestSnapshots, GuestStart, GuestStatusRead, GuestStop, GuestSuspend, GuestTag, GuestTemplate, GuestUnlock, Guests,
    TemplateEnsure, Templates,
};
use super::proxmox::ha::{HaMaintenance, HaResource, HaRule};
use super::proxmox::image::{ImageDelete, ImageDownload, ImageUpload, Images};
use super::proxmox::node::{NodeEmpty, NodeReboot, Nodes, Updates};
use super::proxmox::storage::{Orphans, Storages, VolumeDelete};
use super::proxmox::task::{TaskLog, TaskStop, TaskWait, Tasks};
use super::ssh::{SshCopy, SshRun, SshWait};
use super::talos::{
    EtcdBackups, EtcdCopy, EtcdDefragment, EtcdDisarm, EtcdDiscard, EtcdDrill, EtcdEncrypt, EtcdMembers, EtcdPrune,
    EtcdSnapshot, EtcdVerify, LostQuorum, RecoverEtcd, ResetNode, TalosApplyConfig, TalosDiagnose, TalosGoesOnWithout,
    TalosJoinNode, TalosPlanConfig, TalosPlanReplace, TalosPlanUpgrade, TalosPullImage, TalosRemoveMember,
    TalosRollbackNode, TalosStatus, TalosUpgradeKubernetes, TalosUpgradeNode, WipeEtcd,
};
use super::tools::{AnsiblePlaybook, GitCommit, TaskRun};
use crate::engine::ports::{Action, Actions};
use crate::model::action_spec::Catalogue;

/// The actions, ready to be used with a site.
pub fn catalogue(deps: &Deps) -> Actions {
    let all: Vec<Arc<dyn Action>> = vec![
        Arc::new(AnsiblePlaybook::new(deps.ansible.clone())),
        Arc::new(FileWrite::new(deps.folder.clone())),
        Arc::new(GitCommit::new(deps.folder.clone())),
        Arc::new(HttpGet::new(deps.files.clone())),
        Arc::new(HttpRequest::new(deps.files.clone())),
        Arc::new(InventoryCollect::default()),
        Arc::new(Cordon::on()),
        Arc::new(Cordon::off()),
        Arc::new(kubernetes::DeleteNode::default()),
        Arc::new(Drain::new(deps.timing)),
        Arc::new(kubernetes::Nodes::default()),
        Arc::new(kubernetes::Servers::default()),
        Arc::new(kubernetes::Pods::default()),
        Arc::new(StorageHealth::default()),
        Arc::new(kubernetes::Versions::default()),
        Arc::new(LocalRun::new(deps.folder.clone())),
        Arc::new(NetboxCompare::new(deps.netbox.clone())),
        Arc::new(NetboxGuest::default()),
        Arc::new(NetboxSetup::new(deps.netbox.clone())),
        Arc::new(PlanEvacuation::new(deps.placement.clone())),
        Arc::new(CheckEvacuation::default()),
        Arc::new(HaMaintenance::new(deps.timing)),
        Arc::new(GuestMigrate::new(deps.timing)),
        Arc::new(GuestShutdown::new(deps.timing)),
        Arc::new(One(GuestStart::new(deps.timing))),
        Arc::new(One(GuestStop::new(deps.timing))),
        Arc::new(One(GuestReboot::new(deps.timing))),
        Arc::new(One(GuestSuspend::new(deps.timing))),
        Arc::new(One(GuestResume::new(deps.timing))),
        Arc::new(One(GuestSet::new(deps.timing))),
        Arc::new(One(GuestResize::new(deps.timing))),
        Arc::new(One(GuestTag::on(deps.timing))),
        Arc::new(One(GuestTag::off(deps.timing))),
        Arc::new(One(GuestProtect::new(deps.timing))),
        Arc::new(Guests::default()),
        Arc::new(GuestStatusRead::default()),
        Arc::new(GuestConfigRead::default()),
        Arc::new(BootOrder::default()),
        Arc::new(GuestUnlock::new(deps.timing)),
        Arc::new(NodeEmpty::default()),
        Arc::new(One(ApiCall::new(deps.timing))),
        Arc::new(One(Ensure::<Acl>::new(deps.timing))),
        Arc::new(One(Ensure::<Role>::new(deps.timing))),
        Arc::new(One(Ensure::<User>::new(deps.timing))),
        Arc::new(TokenMake::new(deps.timing)),
        Arc::new(PermissionsRead::default()),
        Arc::new(One(AcmeAccount::new(deps.timing))),
        Arc::new(One(AcmeDomains::new(deps.timing))),
        Arc::new(One(AcmePlugin::new(deps.timing))),
        Arc::new(One(CertificateOrder::new(deps.timing))),
        Arc::new(Certificates::default()),
        Arc::new(Accounts::roles()),
        Arc::new(Accounts::tokens()),
        Arc::new(Accounts::users()),
        Arc::new(One(HaResource::new(deps.timing))),
        Arc::new(One(HaRule::new(deps.timing))),
        Arc::new(One(NodeReboot::new(deps.timing))),
        Arc::new(Nodes::default()),
        Arc::new(Updates::default()),
        Arc::new(Orphans::default()),
        Arc::new(Storages::default()),
        Arc::new(One(VolumeDelete::new(deps.timing))),
        Arc::new(TaskLog::default()),
        Arc::new(One(TaskStop::new(deps.timing))),
        Arc::new(TaskWait::new(deps.timing)),
        Arc::new(Tasks::default()),
        Arc::new(Backups::default()),
        Arc::new(One(BackupsPrune::new(deps.timing))),
        Arc::new(One(GuestBackup::new(deps.timing))),
        Arc::new(One(GuestRestore::new(deps.timing))),
        Arc::new(One(GuestCreate::new(deps.timing, deps.vmid_ranges))),
        Arc::new(One(GuestClone::new(deps.timing, deps.vmid_ranges))),
        Arc::new(One(GuestDelete::new(deps.timing))),
        Arc::new(One(GuestTemplate::new(deps.timing))),
        Arc::new(Templates::default()),
        Arc::new(TemplateEnsure::default()),
        Arc::new(GuestSnapshots::default()),
        Arc::new(One(GuestSnapshot::new(deps.timing))),
        Arc::new(One(GuestSnapshotDelete::new(deps.timing))),
        Arc::new(One(GuestRollback::new(deps.timing))),
        Arc::new(Images::default()),
        Arc::new(One(ImageDownload::new(deps.timing))),
        Arc::new(One(ImageUpload::new(deps.timing, deps.files.clone()))),
        Arc::new(One(ImageDelete::new(deps.timing))),
        Arc::new(SshCopy::new(deps.files.clone())),
        Arc::new(SshRun::default()),
        Arc::new(SshWait::new(deps.timing)),
        Arc::new(WaitTcp::new(deps.timing)),
        Arc::new(TalosDiagnose::default()),
        Arc::new(TalosGoesOnWithout::default()),
        Arc::new(TalosApplyConfig::new(deps.timing, deps.files.clone())),
        Arc::new(TalosPlanConfig::new(deps.files.clone())),
        Arc::new(TalosJoinNode::new(deps.timing, deps.files.clone())),
        Arc::new(TalosPlanReplace::new(deps.files.clone())),
        Arc::new(TalosRemoveMember::default()),
        Arc::new(TalosPlanUpgrade::default()),
        Arc::new(EtcdBackups::new(deps.files.clone())),
        Arc::new(EtcdCopy::new(deps.files.clone())),
        Arc::new(EtcdDefragment::new(deps.timing)),
        Arc::new(EtcdDisarm::new(deps.timing)),
        Arc::new(EtcdDiscard::new(deps.files.clone())),
        Arc::new(EtcdDrill::new(deps.files.clone())),
        Arc::new(EtcdEncrypt::new(deps.files.clone())),
        Arc::new(EtcdMembers::default()),
        Arc::new(EtcdPrune::new(deps.files.clone())),
        Arc::new(EtcdSnapshot::new(deps.files.clone())),
        Arc::new(EtcdVerify::new(deps.files.clone())),
        Arc::new(LostQuorum::default()),
        Arc::new(ResetNode::new(deps.timing)),
        Arc::new(WipeEtcd::new(deps.timing)),
        Arc::new(RecoverEtcd::new(deps.timing, deps.files.clone())),
        Arc::new(TalosStatus::default()),
        Arc::new(TalosUpgradeNode::new(deps.timing)),
        Arc::new(TalosPullImage::default()),
        Arc::new(TalosRollbackNode::new(deps.timing)),
        Arc::new(TalosUpgradeKubernetes::new(deps.timing)),
        Arc::new(TaskRun::new(deps.taskfile.clone())),
        Arc::new(YamlSet::new(deps.folder.clone())),
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
                "ansible.playbook",
                "file.write",
                "git.commit",
                "http.get",
                "http.request",
                "inventory.collect",
                "kubernetes.cordon",
                "kubernetes.delete_node",
                "kubernetes.drain",
                "kubernetes.nodes",
                "kubernetes.pods",
                "kubernetes.servers",
                "kubernetes.storage_health",
                "kubernetes.uncordon",
                "kubernetes.versions",
                "local.run",
                "netbox.compare",
                "netbox.guest",
                "netbox.setup",
                "proxmox.acl",
                "proxmox.acme_account",
                "proxmox.acme_domains",
                "proxmox.acme_plugin",
                "proxmox.api",
                "proxmox.backups",
                "proxmox.backups_prune",
                "proxmox.boot_order",
                "proxmox.certificate_order",
                "proxmox.certificates",
                "proxmox.check_evacuation",
                "proxmox.guest_backup",
                "proxmox.guest_clone",
                "proxmox.guest_config",
                "proxmox.guest_create",
                "proxmox.guest_delete",
                "proxmox.guest_migrate",
                "proxmox.guest_protect",
                "proxmox.guest_reboot",
                "proxmox.guest_resize",
                "proxmox.guest_restore",
                "proxmox.guest_resume",
                "proxmox.guest_rollback",
                "proxmox.guest_set",
                "proxmox.guest_shutdown",
                "proxmox.guest_snapshot",
                "proxmox.guest_snapshot_delete",
                "proxmox.guest_snapshots",
                "proxmox.guest_start",
                "proxmox.guest_status",
                "proxmox.guest_stop",
                "proxmox.guest_suspend",
                "proxmox.guest_tag",
                "proxmox.guest_template",
                "proxmox.guest_unlock",
                "proxmox.guest_untag",
                "proxmox.guests",
                "proxmox.ha_maintenance",
                "proxmox.ha_resource",
                "proxmox.ha_rule",
                "proxmox.image_delete",
                "proxmox.image_download",
                "proxmox.image_upload",
                "proxmox.images",
                "proxmox.node_empty",
                "proxmox.node_reboot",
                "proxmox.nodes",
                "proxmox.orphans",
                "proxmox.permissions",
                "proxmox.plan_evacuation",
                "proxmox.role",
                "proxmox.roles",
                "proxmox.storages",
                "proxmox.task_log",
                "proxmox.task_stop",
                "proxmox.task_wait",
                "proxmox.tasks",
                "proxmox.template_ensure",
                "proxmox.templates",
                "proxmox.token",
                "proxmox.tokens",
                "proxmox.updates",
                "proxmox.user",
                "proxmox.users",
                "proxmox.volume_delete",
                "ssh.copy",
                "ssh.run",
                "ssh.wait",
                "talos.apply_config",
                "talos.diagnose",
                "talos.etcd_backups",
                "talos.etcd_copy",
                "talos.etcd_defragment",
                "talos.etcd_disarm",
                "talos.etcd_discard",
                "talos.etcd_drill",
                "talos.etcd_encrypt",
                "talos.etcd_members",
                "talos.etcd_prune",
                "talos.etcd_snapshot",
                "talos.etcd_verify",
                "talos.goes_on_without",
                "talos.join_node",
                "talos.lost_quorum",
                "talos.plan_config",
                "talos.plan_replace",
                "talos.plan_upgrade",
                "talos.pull_image",
                "talos.recover_etcd",
                "talos.remove_member",
                "talos.reset_node",
                "talos.rollback_node",
                "talos.status",
                "talos.upgrade_kubernetes",
                "talos.upgrade_node",
                "talos.wipe_etcd",
                "task.run",
                "wait.tcp",
                "yaml.set",
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
