//! The words of `runbook init`.

use clap::Args as ClapArgs;

use crate::model::ids::Fingerprint;

#[derive(Debug, Clone, ClapArgs)]
pub struct Init {
    /// One node of the site: a name or an address, with :PORT where it is not 8006
    pub host: String,
    /// The site's name [default: the cluster's own, or HOST]
    #[arg(long)]
    pub name: Option<String>,
    /// The SHA-256 fingerprint of the node's certificate: no other one is believed, and nobody is asked
    #[arg(long, value_name = "AA:BB:...")]
    pub fingerprint: Option<Fingerprint>,
    /// A reference to an API token: pass:PATH, env:NAME, file:PATH [default: the configuration's, or asked for]
    #[arg(long, value_name = "REFERENCE")]
    pub token: Option<String>,
    /// Writes the file without asking; a certificate only --fingerprint answers for
    #[arg(short, long)]
    pub yes: bool,
}
