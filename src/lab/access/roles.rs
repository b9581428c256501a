//! Privileges and the roles that hold them.
//!
//! Source: PVE::AccessControl; 9.0 split `VM.Monitor` into `VM.GuestAgent.*` and added `VM.Replicate`.

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

/// What comes before a privilege in the name of the role that is `RUNBOOK` without it.
const WITHOUT: &str = "Runbook-without-";

/// The role of a token called `without-PRIVILEGE`: that of the lab's own token, less one privilege.
pub(super) fn lacking(token: &str) -> Option<String> {
    let privilege = token.strip_prefix("without-")?;
    PRIVILEGES.contains(&privilege).then(|| format!("{WITHOUT}{privilege}"))
}

/// Whether a server of this major version knows the privilege.
pub fn exists(privilege: &str, major: u32) -> bool {
    let of_nine = privilege.starts_with("VM.GuestAgent.") || privilege == "VM.Replicate";
    PRIVILEGES.contains(&privilege) && (major >= 9 || !of_nine) && (major < 9 || privilege != "VM.Monitor")
}

/// The built-in roles that the lab knows, and its own.
pub const ROLES: &[&str] =
    &["Administrator", "NoAccess", "PVEAdmin", "PVEAuditor", "PVEDatastoreAdmin", "PVEVMAdmin", RUNBOOK, NO_POOLS];

/// Whether a role holds a privilege, of either major version. A role that is not holds nothing.
pub fn holds(role: &str, privilege: &str) -> bool {
    let for_root = ROOT_ONLY.contains(&privilege);
    match role {
        "Administrator" => true,
        "PVEAdmin" => !for_root,
        RUNBOOK => !for_root || ["Sys.Modify", "Sys.PowerMgmt", "Sys.AccessNetwork"].contains(&privilege),
        NO_POOLS => holds(RUNBOOK, privilege) && privilege != "Pool.Allocate",
        _ if role.starts_with(WITHOUT) => holds(RUNBOOK, privilege) && role.strip_prefix(WITHOUT) != Some(privilege),
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
        assert!(holds(RUNBOOK, "Sys.Modify") && !holds(RUNBOOK, "Permissions.Modify"));
        assert!(holds("PVEAuditor", "VM.Audit") && !holds("PVEAuditor", "VM.Migrate"));
        assert!(!holds("NoAccess", "VM.Audit") && !holds("Nobody", "VM.Audit"));
    }

    #[test]
    fn a_role_may_lack_one_privilege() {
        let role = lacking("without-VM.Migrate").unwrap();
        assert!(!holds(&role, "VM.Migrate") && holds(&role, "VM.Audit") && !holds(&role, "Permissions.Modify"));
        assert_eq!((lacking("without-VM.Fly"), lacking("runbook")), (None, None));
    }

    #[test]
    fn versions_name_agent_rights_differently() {
        assert!(exists("VM.Monitor", 8) && !exists("VM.Monitor", 9));
        assert!(exists("VM.GuestAgent.Audit", 9) && !exists("VM.GuestAgent.Audit", 8));
    }
}
