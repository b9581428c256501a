//! What a site has of ACME when it starts. Its accounts are with the staging directory of Let's Encrypt.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcmeSpec {
    /// By name: the address that the authority writes to.
    #[serde(default)]
    pub accounts: BTreeMap<String, String>,
    #[serde(default)]
    pub plugins: BTreeMap<String, PluginSpec>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginSpec {
    /// The DNS provider: `cf`.
    pub api: String,
    /// Lines of `NAME=VALUE`.
    #[serde(default)]
    pub data: String,
}

/// A custom certificate that a node has.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateSpec {
    pub names: Vec<String>,
    /// How long it is still good for.
    pub days: i64,
}
