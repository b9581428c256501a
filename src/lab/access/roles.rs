//! Privileges and the roles that hold them.
//!
//! Source: PVE::AccessControl; 9.0 split `VM.Monitor` into `VM.GuestAgent.*` and added `VM.Replicate`.

use std::collections::BTreeSet;

/// Every privilege of both major versions; `exists` tells which has which.
const PRIVILEGES: &[&str] = &[
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Audit",
    "Group.Allocate",
    "Mapping.Audit",
    "Mapping.Modify",
    "Mapping.Use",
    "Permissions.Modify",
    "Pool.Allocate",
    "Pool.Audit",
    "Realm.Allocate",
    "Realm.AllocateUser",
    "SDN.Allocate",
    "SDN.Audit",
    "SDN.Use",
    "Sys.AccessNetwork",
    "Sys.Audit",
    "Sys.Console",
    "Sys.Incoming",
    "Sys.Modify",
    "Sys.PowerMgmt",
    "Sys.Syslog",
    "User.Modify",
    "VM.Allocate",
    "VM.Audit",
    "VM.Backup",
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.Console",
    "VM.GuestAgent.Audit",
    "VM.GuestAgent.FileRead",
    "VM.GuestAgent.FileSystemMgmt",
    "VM.GuestAgent.FileWrite",
    "VM.GuestAgent.Unrestricted",
    "VM.Migrate",
    "VM.Monitor",
    "VM.PowerMgmt",
    "VM.Replicate",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
];

/// What only `Administrator` has of the built-in roles.
const ROOT_ONLY: &[&str] =
    &["Permissions.Modify", "Realm.Allocate", "Sys.AccessNetwork", "Sys.Incoming", "Sys.Modify", "Sys.PowerMgmt"];

/// The role of the lab's own token: `PVEAdmin` and what evacuations and downloads need beyond it.
pub(super) const RUNBOOK: &str = "Runbook";
/// The same without the right to create pools.
pub(super) const NO_POOLS: &str = "RunbookNoPools";

/// The role of a token called `without-PRIVILEGE`, and what it holds: as the lab's own token, less one privilege.
pub(super) fn lacking(token: &str) -> Option<(String, BTreeSet<String>)> {
    let privilege = token.strip_prefix("without-").filter(|privilege| PRIVILEGES.contains(privilege))?;
    let mut held = of_own(RUNBOOK);
    held.remove(privilege);
    Some((format!("{RUNBOOK}-without-{privilege}"), held))
}

/// Whether a server of this major version knows the privilege.
pub fn exists(privilege: &str, major: u32) -> bool {
    let of_nine = privilege.starts_with("VM.GuestAgent.") || privilege == "VM.Replicate";
    PRIVILEGES.contains(&privilege) && (major >= 9 || !of_nine) && (major < 9 || privilege != "VM.Monitor")
}

/// The built-in roles that the lab knows.
pub const ROLES: &[&str] = &["Administrator", "NoAccess", "PVEAdmin", "PVEAuditor", "PVEDatastoreAdmin", "PVEVMAdmin"];

/// The lab's own, which are as any that somebody has made.
pub(super) const OWN: [&str; 2] = [RUNBOOK, NO_POOLS];

pub(super) fn is_built_in(role: &str) -> bool {
    ROLES.contains(&role)
}

/// What one of the lab's own holds, of either major version.
pub(super) fn of_own(role: &str) -> BTreeSet<String> {
    let for_us = |privilege: &str| {
        let beyond = ["Sys.Modify", "Sys.PowerMgmt", "Sys.AccessNetwork"].contains(&privilege);
        (holds("PVEAdmin", privilege) || beyond) && !(role == NO_POOLS && privilege == "Pool.Allocate")
    };
    PRIVILEGES.iter().filter(|privilege| for_us(privilege)).map(|privilege| (*privilege).to_owned()).collect()
}

/// Whether a built-in role holds a privilege, of either major version. A role that is not holds nothing.
pub fn holds(role: &str, privilege: &str) -> bool {
    let for_root = ROOT_ONLY.contains(&privilege);
    match role {
        "Administrator" => true,
        "PVEAdmin" => !for_root,
        "PVEAuditor" => privilege.ends_with(".Audit"),
        "PVEVMAdmin" => privilege.starts_with("VM."),
        "PVEDatastoreAdmin" => privilege.starts_with("Datastore."),
        _ => false,
    }
}

/// The privileges that a major version has.
pub fn all(major: u32) -> impl Iterator<Item = &'static str> {
    PRIVILEGES.iter().copied().filter(move |privilege| exists(privilege, major))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_hold_what_the_real_ones_do() {
        assert!(
            holds("PVEAdmin", "VM.Migrate") && holds("PVEAdmin", "Sys.Console") && !holds("PVEAdmin", "Sys.Modify")
        );
        let (own, fewer) = (of_own(RUNBOOK), of_own(NO_POOLS));
        assert!(own.contains("Sys.Modify") && !own.contains("Permissions.Modify"));
        assert!(own.contains("Pool.Allocate") && !fewer.contains("Pool.Allocate"));
        assert!(holds("PVEAuditor", "VM.Audit") && !holds("PVEAuditor", "VM.Migrate"));
        assert!(!holds("NoAccess", "VM.Audit") && !holds("Nobody", "VM.Audit"));
    }

    #[test]
    fn a_role_may_lack_one_privilege() {
        let (_, held) = lacking("without-VM.Migrate").unwrap();
        assert!(!held.contains("VM.Migrate") && held.contains("VM.Audit") && !held.contains("Permissions.Modify"));
        assert_eq!((lacking("without-VM.Fly"), lacking("runbook")), (None, None));
    }

    #[test]
    fn versions_name_agent_rights_differently() {
        assert!(exists("VM.Monitor", 8) && !exists("VM.Monitor", 9));
        assert!(exists("VM.GuestAgent.Audit", 9) && !exists("VM.GuestAgent.Audit", 8));
    }
}
