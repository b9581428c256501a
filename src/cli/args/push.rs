//! The words of `runbook inventory push`.

use clap::{Args as ClapArgs, Subcommand};

use super::Act;

/// Where the inventory goes.
#[derive(Debug, Clone, Subcommand)]
pub enum Push {
    /// The NetBox of the configuration: `runbook run inventory-sync` in fewer words
    Netbox(PushNetbox),
}

#[derive(Debug, Clone, ClapArgs)]
pub struct PushNetbox {
    /// Takes away what carries our mark there and is no guest any more
    #[arg(long)]
    pub delete_orphans: bool,
    /// Takes over machines of that cluster that have a guest's name and no mark
    #[arg(long)]
    pub adopt: bool,
    /// Templates, too
    #[arg(long)]
    pub templates: bool,
    /// Another cluster there than the configuration's
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    #[command(flatten)]
    pub act: Act,
}
