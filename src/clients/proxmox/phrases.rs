//! The literal texts by which Proxmox says what kind of error it is. Its statuses say little: most are 500.
//!
//! Source: the `die` texts of qemu-server, pve-container, pve-cluster, pve-ha-manager, pve-storage (8.4 and 9.2).

use std::sync::LazyLock;

use regex::Regex;

/// What the text of a 400 or 500 says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Locked(String),
    NotFound,
    NoQuorum,
    Changed,
    Else,
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns of this file are constants and tested")
}

static LOCKED: LazyLock<Regex> = LazyLock::new(|| regex(r"\b(?:VM|CT) (?:\d+ )?is locked \(([^)]+)\)"));
static LOCK_FILE: LazyLock<Regex> = LazyLock::new(|| regex(r"can't lock file '([^']+)' - got timeout"));
static CFS_LOCK: LazyLock<Regex> = LazyLock::new(|| regex(r"cfs-lock '([^']+)' error: got lock (?:request )?timeout"));
static PERMISSION: LazyLock<Regex> = LazyLock::new(|| regex(r"Permission check failed \((/[^,)]*), ([^)]+)\)"));
static POOL_EXISTS: LazyLock<Regex> = LazyLock::new(|| regex(r"pool '[^']+' already exists"));
static NOT_FOUND: LazyLock<Regex> = LazyLock::new(|| {
    regex(concat!(
        r"^(?:(?:delete|update) pools? failed: )?(?:Configuration file '[^']+' does not exist",
        r"|(?:storage|snapshot|pool|disk|volume|interface|user|group|role|token) '[^']+' does not exist",
        r"|no such (?:resource|ha rule|ha group|cluster node|task|user|group|pool|storage|volume|VM)\b",
        r"|(?:VM|CT) \d+ (?:does not exist|not found)",
        r"|hostname lookup '[^']+' failed)",
    ))
});

/// Texts of a 500 by which a handler that starts a task says no before it has forked a worker.
///
/// Source: the `die`s of migrate, start, stop, shutdown, create, clone, destroy and template in PVE::API2::Qemu,
/// PVE::API2::LXC and PVE::QemuMigrate, and of download-url in PVE::API2::Storage::Status.
static REFUSAL: LazyLock<Regex> = LazyLock::new(|| {
    regex(concat!(
        r"^(?:(?:VM|CT) (?:\d+ )?(?:is )?(?:not running|already running|paused)",
        r"|can't migrate running (?:VM|CT) without --",
        r"|target is local node",
        r"|storage '[^']+' is not available on node",
        r"|failed to parse storage map",
        r"|you can't (?:start|migrate|convert)\b",
        r"|unable to create (?:VM|CT|template)\b|unable to (?:destroy|remove) (?:VM|CT) \d+",
        r"|can't (?:clone|remove) (?:VM|CT)\b|(?:VM|CT) \d+ is running - destroy failed",
        r"|(?:Linked|Full) clone (?:feature is not supported|of a running)",
        r"|can't upload to storage type|storage '[^']+' is not configured for content-type)",
    ))
});

/// Whether the text of a 5xx says that nothing was begun. Any other may come from behind the act: a worker whose start
/// could not be reported, or a proxy in between.
pub(super) fn is_refusal(message: &str) -> bool {
    REFUSAL.is_match(message)
}

/// `create pool failed: pool 'x' already exists` (PVE::API2::Pool), which is a 500 like any other.
pub(super) fn pool_exists(message: &str) -> bool {
    POOL_EXISTS.is_match(message)
}

pub(super) fn said(message: &str) -> Said {
    if let Some(found) = LOCKED.captures(message) {
        return Said::Locked(found[1].to_owned());
    }
    if message.contains("no quorum") {
        return Said::NoQuorum;
    }
    if let Some(found) = LOCK_FILE.captures(message).or_else(|| CFS_LOCK.captures(message)) {
        return Said::Locked(found[1].to_owned());
    }
    if message.contains("by other user?") {
        return Said::Changed;
    }
    if NOT_FOUND.is_match(message) { Said::NotFound } else { Said::Else }
}

/// `(/vms/100, VM.Migrate)` of a 403; empty texts when it does not say.
pub(super) fn permission(message: &str) -> (String, String) {
    PERMISSION.captures(message).map(|c| (c[1].to_owned(), c[2].to_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_told_apart() {
        for text in ["VM is locked (backup)", "CT is locked (backup)"] {
            assert_eq!(said(text), Said::Locked("backup".into()));
        }
        let file = "/var/lock/qemu-server/lock-100.conf";
        assert_eq!(said(&format!("can't lock file '{file}' - got timeout")), Said::Locked(file.into()));
        assert_eq!(said("cfs-lock 'domain-ha' error: got lock request timeout"), Said::Locked("domain-ha".into()));
        for text in ["cluster not ready - no quorum?", "cfs-lock 'file-x' error: no quorum!"] {
            assert_eq!(said(text), Said::NoQuorum);
        }
        for text in [
            "checksum mismatch (file change by other user?)",
            "detected modified configuration - file changed by other user? Try again.",
        ] {
            assert_eq!(said(text), Said::Changed, "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_known_by_its_text() {
        for text in [
            "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist",
            "storage 'x' does not exist",
            "no such resource 'vm:100'",
            "no such ha rule 'x'",
            "no such cluster node 'x'",
            "no such task",
            "hostname lookup 'x' failed - Name or service not known",
            "snapshot 'x' does not exist",
            "pool 'x' does not exist",
            "delete pool failed: pool 'x' does not exist",
        ] {
            assert_eq!(said(text), Said::NotFound, "{text}");
        }
        for text in ["VM 100 not running", "unable to create VM 100 - VM 100 already exists on node 'pve1'"] {
            assert_eq!(said(text), Said::Else, "{text}");
        }
    }

    #[test]
    fn a_plain_no_is_told_from_what_may_have_come_afterwards() {
        for text in [
            "VM 104 not running",
            "CT 101 already running",
            "VM is paused - cannot shutdown",
            "can't migrate running VM without --online",
            "storage 'x' is not available on node 'pve3'",
            "unable to create VM 100 - VM 100 already exists on node 'pve1'",
            "can't clone VM to node 'pve3' (VM uses local storage)",
            "VM 100 is running - destroy failed",
            "can't remove VM 100 - protection mode enabled",
            "unable to create template, because VM contains snapshots",
        ] {
            assert!(is_refusal(text), "{text}");
        }
        for text in ["got no worker upid - start worker failed", "got timeout", "Bad Gateway", ""] {
            assert!(!is_refusal(text), "{text}");
        }
    }

    #[test]
    fn a_pool_that_exists_is_known_by_its_text() {
        assert!(pool_exists("create pool failed: pool 'x' already exists"));
        assert!(!pool_exists("create pool failed: parent 'a' of pool 'a/b' does not exist"));
        assert!(!pool_exists("unable to create VM 100 - VM 100 already exists on node 'pve1'"));
    }

    #[test]
    fn the_missing_privilege_is_read() {
        let got = permission("Permission check failed (/vms/100, VM.Audit|VM.Config.Disk)");
        assert_eq!(got, ("/vms/100".into(), "VM.Audit|VM.Config.Disk".into()));
        assert_eq!(permission("Permission check failed (user != root@pam)"), Default::default());
    }
}
