//! The runbooks that are part of the binary. A file of the same name beside the configuration overrides one.

use super::diagnostic::Source;

const SHIPPED: &[(&str, &str)] = &[
    ("ansible-playbook", include_str!("../../runbooks/ansible-playbook.yaml")),
    ("backup-guests", include_str!("../../runbooks/backup-guests.yaml")),
    ("bulk-shutdown", include_str!("../../runbooks/bulk-shutdown.yaml")),
    ("bulk-start", include_str!("../../runbooks/bulk-start.yaml")),
    ("etcd-backup", include_str!("../../runbooks/etcd-backup.yaml")),
    ("etcd-restore", include_str!("../../runbooks/etcd-restore.yaml")),
    ("etcd-restore-drill", include_str!("../../runbooks/etcd-restore-drill.yaml")),
    ("guest-clone", include_str!("../../runbooks/guest-clone.yaml")),
    ("inventory-sync", include_str!("../../runbooks/inventory-sync.yaml")),
    ("letsencrypt-dns", include_str!("../../runbooks/letsencrypt-dns.yaml")),
    ("node-evacuation", include_str!("../../runbooks/node-evacuation.yaml")),
    ("rbac-bootstrap", include_str!("../../runbooks/rbac-bootstrap.yaml")),
    ("restore-guest", include_str!("../../runbooks/restore-guest.yaml")),
    ("reverse-proxy", include_str!("../../runbooks/reverse-proxy.yaml")),
    ("snapshot-by-tag", include_str!("../../runbooks/snapshot-by-tag.yaml")),
    ("storage-orphans", include_str!("../../runbooks/storage-orphans.yaml")),
    ("tag-add", include_str!("../../runbooks/tag-add.yaml")),
    ("tag-remove", include_str!("../../runbooks/tag-remove.yaml")),
    ("talos-config-apply", include_str!("../../runbooks/talos-config-apply.yaml")),
    ("talos-diagnose", include_str!("../../runbooks/talos-diagnose.yaml")),
    ("talos-etcd-maintenance", include_str!("../../runbooks/talos-etcd-maintenance.yaml")),
    ("talos-node-replace", include_str!("../../runbooks/talos-node-replace.yaml")),
    ("talos-reset-node", include_str!("../../runbooks/talos-reset-node.yaml")),
    ("talos-status", include_str!("../../runbooks/talos-status.yaml")),
    ("talos-upgrade", include_str!("../../runbooks/talos-upgrade.yaml")),
    ("taskfile", include_str!("../../runbooks/taskfile.yaml")),
    ("template-cloudinit", include_str!("../../runbooks/template-cloudinit.yaml")),
    ("template-iso", include_str!("../../runbooks/template-iso.yaml")),
    ("template-qcow2", include_str!("../../runbooks/template-qcow2.yaml")),
];

/// How each of them is rehearsed.
const REHEARSALS: &[(&str, &str)] = &[
    ("ansible-playbook", include_str!("../../runbooks/tests/ansible-playbook.yaml")),
    ("backup-guests", include_str!("../../runbooks/tests/backup-guests.yaml")),
    ("bulk-shutdown", include_str!("../../runbooks/tests/bulk-shutdown.yaml")),
    ("bulk-start", include_str!("../../runbooks/tests/bulk-start.yaml")),
    ("etcd-backup", include_str!("../../runbooks/tests/etcd-backup.yaml")),
    ("etcd-restore", include_str!("../../runbooks/tests/etcd-restore.yaml")),
    ("etcd-restore-drill", include_str!("../../runbooks/tests/etcd-restore-drill.yaml")),
    ("guest-clone", include_str!("../../runbooks/tests/guest-clone.yaml")),
    ("inventory-sync", include_str!("../../runbooks/tests/inventory-sync.yaml")),
    ("letsencrypt-dns", include_str!("../../runbooks/tests/letsencrypt-dns.yaml")),
    ("node-evacuation", include_str!("../../runbooks/tests/node-evacuation.yaml")),
    ("rbac-bootstrap", include_str!("../../runbooks/tests/rbac-bootstrap.yaml")),
    ("restore-guest", include_str!("../../runbooks/tests/restore-guest.yaml")),
    ("reverse-proxy", include_str!("../../runbooks/tests/reverse-proxy.yaml")),
    ("snapshot-by-tag", include_str!("../../runbooks/tests/snapshot-by-tag.yaml")),
    ("storage-orphans", include_str!("../../runbooks/tests/storage-orphans.yaml")),
    ("tag-add", include_str!("../../runbooks/tests/tag-add.yaml")),
    ("tag-remove", include_str!("../../runbooks/tests/tag-remove.yaml")),
    ("talos-config-apply", include_str!("../../runbooks/tests/talos-config-apply.yaml")),
    ("talos-diagnose", include_str!("../../runbooks/tests/talos-diagnose.yaml")),
    ("talos-etcd-maintenance", include_str!("../../runbooks/tests/talos-etcd-maintenance.yaml")),
    ("talos-node-replace", include_str!("../../runbooks/tests/talos-node-replace.yaml")),
    ("talos-reset-node", include_str!("../../runbooks/tests/talos-reset-node.yaml")),
    ("talos-status", include_str!("../../runbooks/tests/talos-status.yaml")),
    ("talos-upgrade", include_str!("../../runbooks/tests/talos-upgrade.yaml")),
    ("taskfile", include_str!("../../runbooks/tests/taskfile.yaml")),
    ("template-cloudinit", include_str!("../../runbooks/tests/template-cloudinit.yaml")),
    ("template-iso", include_str!("../../runbooks/tests/template-iso.yaml")),
    ("template-qcow2", include_str!("../../runbooks/tests/template-qcow2.yaml")),
];

/// Names of all shipped runbooks, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// The text of a shipped runbook.
pub fn source(name: &str) -> Option<Source> {
    let (name, text) = SHIPPED.iter().find(|(known, _)| *known == name)?;
    Some(Source::new(format!("runbooks/{name}.yaml"), *text))
}

/// How a shipped runbook is rehearsed.
pub fn rehearsal(name: &str) -> Option<Source> {
    let (name, text) = REHEARSALS.iter().find(|(known, _)| *known == name)?;
    Some(Source::new(format!("runbooks/tests/{name}.yaml"), *text))
}
