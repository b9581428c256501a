//! `GET /version`.

use crate::clients::proxmox::{Answer, ProxmoxError, Site, seg};
use crate::model::ids::NodeName;

/// The API server's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// `9.2.11`
    pub version: String,
    /// `9.2`
    pub release: String,
    pub major: u32,
    pub minor: u32,
}

impl Version {
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }

    fn read(answer: &Answer) -> Result<Self, ProxmoxError> {
        let row = answer.row()?;
        let version = row.text("version")?;
        // Before 6.x the version was "5.4-15": the minor number ends at the first thing that is no digit.
        let mut numbers = version.split(['.', '-']).map(str::parse::<u32>);
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            return Err(row.error("version", "MAJOR.MINOR…"));
        };
        let release = row.opt_text("release")?.unwrap_or_else(|| format!("{major}.{minor}"));
        Ok(Self { version, release, major, minor })
    }
}

impl Site {
    /// The version of the node that answers; remembered for the check of calls.
    pub async fn version(&self) -> Result<Version, ProxmoxError> {
        let version = Version::read(&self.get("/version", &[]).await?)?;
        self.learn_version(&version.version);
        Ok(version)
    }

    /// The version of that node.
    pub async fn node_version(&self, node: &NodeName) -> Result<Version, ProxmoxError> {
        Version::read(&self.get(&format!("/nodes/{}/version", seg(node)), &[]).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::answer;
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_compare_by_number() {
        let read = |v: &str| Version::read(&answer(json!({"version": v, "release": "9.2", "repoid": "x"})));
        let version = read("9.10.1").unwrap();
        assert!(version.at_least(9, 2) && !version.at_least(10, 0));
        assert_eq!(read("5.4-15").map(|v| (v.major, v.minor)).unwrap(), (5, 4));
        assert!(read("new").is_err());
    }
}
