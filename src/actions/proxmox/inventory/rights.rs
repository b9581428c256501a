//! What we may see of guests, and what is told where that is not all: a list never says that something was left out.

use crate::actions::proxmox::failures;
use crate::clients::proxmox::{GuestRow, Permissions};
use crate::model::ids::{GuestKind, Vmid};

/// 9 has parted the one right that 8 has for all that an agent does.
const AGENT: [&str; 3] = ["VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted", "VM.Monitor"];

pub struct Rights(Permissions);

impl Rights {
    pub fn new(permissions: Permissions) -> Self {
        Self(permissions)
    }

    /// A path on which guests would be left out of lists.
    pub fn hides_guests(&self) -> Option<String> {
        (!self.0.may("/vms/0", "VM.Audit")).then(|| "/vms".to_owned())
    }

    /// Why there may be guests that no list shows.
    pub fn hidden(&self, we: &str) -> Option<String> {
        let lacks = |path: String| failures::lacks(we, "VM.Audit", &path);
        self.hides_guests().map(|path| format!("{}: guests that it may not see are left out", lacks(path)))
    }

    pub fn may_ask_agent(&self, vmid: Vmid) -> bool {
        AGENT.iter().any(|right| self.0.may(&format!("/vms/{vmid}"), right))
    }

    /// What is missing that a person may not know of.
    pub fn notes(&self, we: &str, rows: &[GuestRow]) -> Vec<String> {
        let mut notes: Vec<String> = self.hidden(we).into_iter().collect();
        let asks = |row: &&GuestRow| row.kind == GuestKind::Qemu && row.status == "running" && !row.template;
        let silent = rows.iter().filter(asks).filter(|row| !self.may_ask_agent(row.vmid)).count();
        if silent > 0 {
            let right = "VM.GuestAgent.Audit (on Proxmox VE 8: VM.Monitor)";
            notes.push(format!(
                "{}: {silent} running VMs are not asked for their addresses",
                failures::lacks(we, right, "/vms")
            ));
        }
        notes
    }

    /// Why a guest's agent is not asked.
    pub fn lacks_agent(we: &str, vmid: Vmid) -> String {
        failures::lacks(we, "VM.GuestAgent.Audit (on Proxmox VE 8: VM.Monitor)", &format!("/vms/{vmid}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn rights(path: &str, privileges: &[&str]) -> Rights {
        let held = privileges.iter().map(|name| ((*name).to_owned(), true)).collect();
        Rights::new(Permissions { paths: BTreeMap::from([(path.to_owned(), held)]) })
    }

    #[test]
    fn agents_may_be_asked_by_the_right_of_each_version() {
        for right in ["VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted", "VM.Monitor"] {
            assert!(rights("/vms", &["VM.Audit", right]).may_ask_agent(Vmid(104)), "{right}");
        }
        let only = rights("/vms/104", &["VM.Audit", "VM.Monitor"]);
        assert!(only.may_ask_agent(Vmid(104)) && !only.may_ask_agent(Vmid(105)));
        assert_eq!(only.hides_guests().as_deref(), Some("/vms"));
        assert_eq!(rights("/", &["VM.Audit"]).hides_guests(), None);
        assert_eq!(rights("/vms", &["VM.Audit"]).hidden("the token"), None);
        let hidden = only.hidden("the token").unwrap();
        assert!(hidden.contains("lacks VM.Audit on /vms: guests that it may not see are left out"), "{hidden}");
        assert_eq!(only.notes("the token", &[]), [hidden], "a token that is narrow on purpose is told, and no more");
    }
}
