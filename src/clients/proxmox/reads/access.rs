//! `GET /access/permissions`: what we may do. Lists leave out what we may not see, so an empty one proves nothing
//! without this.

use std::collections::BTreeMap;

use crate::clients::proxmox::{Answer, ProxmoxError, Site};

/// Privileges by ACL path; the value says whether the privilege holds below the path, too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Permissions {
    pub paths: BTreeMap<String, BTreeMap<String, bool>>,
}

impl Permissions {
    /// Whether a privilege holds on a path. The nearest path that is listed decides: an entry replaces what comes
    /// from above. Source: pve-access-control `RPCEnvironment.pm`.
    pub fn may(&self, path: &str, privilege: &str) -> bool {
        if let Some(here) = self.paths.get(path) {
            return here.contains_key(privilege);
        }
        let mut above = path;
        while let Some((parent, _)) = above.rsplit_once('/') {
            let key = if parent.is_empty() { "/" } else { parent };
            if let Some(listed) = self.paths.get(key) {
                return listed.get(privilege).copied().unwrap_or(false);
            }
            above = parent;
        }
        false
    }

    /// No right at all: a token without an ACL of its own (privilege separation).
    pub fn is_empty(&self) -> bool {
        self.paths.values().all(BTreeMap::is_empty)
    }

    fn read(answer: &Answer) -> Result<Self, ProxmoxError> {
        // Perl's JSON has an empty list for an empty hash in places.
        if answer.data.as_array().is_some_and(Vec::is_empty) {
            return Ok(Self::default());
        }
        let row = answer.row()?;
        let mut paths = BTreeMap::new();
        for path in row.fields().keys() {
            let privileges = row.object(path)?;
            let names = privileges.fields().keys();
            let inner: Result<_, ProxmoxError> = names.map(|p| Ok((p.clone(), privileges.flag(p)?))).collect();
            paths.insert(path.clone(), inner?);
        }
        Ok(Self { paths })
    }
}

impl Site {
    /// Our own rights: on `path` only, or on all paths that an ACL names.
    pub async fn permissions(&self, path: Option<&str>) -> Result<Permissions, ProxmoxError> {
        let params: Vec<(&str, &str)> = path.map(|p| ("path", p)).into_iter().collect();
        Permissions::read(&self.get("/access/permissions", &params).await?)
    }

    /// The rights of another user or token, on all paths that an ACL names.
    pub async fn permissions_of(&self, id: &str) -> Result<Permissions, ProxmoxError> {
        Permissions::read(&self.get("/access/permissions", &[("userid", id)]).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answer, recorded};
    use super::*;
    use serde_json::json;

    #[test]
    fn recorded_rights_of_root_reach_every_guest() {
        let all = Permissions::read(&recorded("gp-access-permissions.json")).unwrap();
        assert!(all.may("/vms/104", "VM.Migrate") && all.may("/vms", "VM.Audit"));
        assert!(!all.may("/vms/104", "No.Such") && !all.is_empty());
    }

    #[test]
    fn the_nearest_path_decides() {
        let data = json!({"/": {"VM.Audit": 1, "Sys.Audit": 0}, "/vms/100": {"VM.Migrate": 0}});
        let some = Permissions::read(&answer(data)).unwrap();
        assert!(some.may("/vms/101", "VM.Audit") && !some.may("/vms/100", "VM.Audit"));
        assert!(some.may("/vms/100", "VM.Migrate"));
        assert!(some.may("/", "Sys.Audit") && !some.may("/nodes/pve1", "Sys.Audit"));
        assert!(Permissions::read(&answer(json!({}))).unwrap().is_empty());
    }
}
