//! What we may see: Proxmox leaves out of lists what a token may not, so that a list proves nothing by itself.

use super::ProxmoxSource;
use crate::actions::proxmox::failures;
use crate::clients::proxmox::Permissions;
use crate::model::failure::Failure;
use crate::model::ids::{NodeName, Vmid};

/// The first path where guests would be hidden from us: `/vms`, or a guest whose own ACL takes the right away.
fn hidden_guests(rights: &Permissions) -> Option<String> {
    if !rights.may("/vms/0", "VM.Audit") {
        return Some("/vms".to_owned());
    }
    let below = rights.paths.keys().filter(|path| path.starts_with("/vms/"));
    below.filter(|path| !rights.may(path, "VM.Audit")).map(ToOwned::to_owned).next()
}

impl ProxmoxSource {
    pub(super) async fn permissions(&self) -> Result<Permissions, Failure> {
        self.site.permissions(None).await.map_err(self.failed("read our own privileges"))
    }

    /// That a list of guests is complete.
    pub(super) async fn must_see_all_guests(&self, attempted: &str) -> Result<(), Failure> {
        match hidden_guests(&self.permissions().await?) {
            Some(path) => Err(failures::hidden(attempted, &self.we(), "VM.Audit", &path)),
            None => Ok(()),
        }
    }

    /// That a guest which is in no list is not there.
    pub(super) async fn must_see_guest(&self, vmid: Vmid) -> Result<(), Failure> {
        let path = format!("/vms/{vmid}");
        if self.permissions().await?.may(&path, "VM.Audit") {
            return Ok(());
        }
        Err(failures::hidden(&format!("look for guest {vmid}"), &self.we(), "VM.Audit", &path))
    }

    /// That the tasks of others are in a node's list.
    pub(super) async fn must_see_tasks(&self, node: &NodeName) -> Result<(), Failure> {
        let path = format!("/nodes/{node}");
        if self.permissions().await?.may(&path, "Sys.Audit") {
            return Ok(());
        }
        Err(failures::hidden(&format!("list the tasks of {node}"), &self.we(), "Sys.Audit", &path))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn rights(paths: &[(&str, &[&str])]) -> Permissions {
        let inner = |names: &[&str]| names.iter().map(|n| (n.to_string(), true)).collect::<BTreeMap<_, _>>();
        Permissions { paths: paths.iter().map(|(p, names)| (p.to_string(), inner(names))).collect() }
    }

    #[test]
    fn guests_may_be_hidden_as_a_whole_or_one_by_one() {
        assert_eq!(hidden_guests(&rights(&[("/", &["VM.Audit"])])), None);
        assert_eq!(hidden_guests(&rights(&[])).as_deref(), Some("/vms"));
        assert_eq!(hidden_guests(&rights(&[("/vms/104", &["VM.Audit"])])).as_deref(), Some("/vms"));
        let one = rights(&[("/vms", &["VM.Audit"]), ("/vms/104", &["VM.Migrate"])]);
        assert_eq!(hidden_guests(&one).as_deref(), Some("/vms/104"));
    }
}
