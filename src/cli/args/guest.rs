//! The words of the short ways to single acts.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::{Answers, ShownAs, name_value};

/// What every act takes: as `runbook do`.
#[derive(Debug, Clone, ClapArgs)]
pub struct Act {
    /// Saves the plan, for `runbook apply FILE`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Shows it as commands that do the same by hand
    #[arg(long = "as", value_enum, value_name = "WHAT")]
    pub shown_as: Option<ShownAs>,
    /// Plans, shows, asks, and does it
    #[arg(long, conflicts_with = "shown_as")]
    pub apply: bool,
    #[command(flatten)]
    pub answers: Answers,
}

/// A guest, and how it is acted on.
#[derive(Debug, Clone, ClapArgs)]
pub struct One {
    /// A VMID, or a name that only one guest has
    pub guest: String,
    #[command(flatten)]
    pub act: Act,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Guest {
    /// The guests of the site
    List(GuestList),
    /// How a guest is
    Status {
        /// A VMID, or a name that only one guest has
        guest: String,
    },
    /// How a guest is configured
    Config {
        /// A VMID, or a name that only one guest has
        guest: String,
    },
    /// Starts a guest
    Start(One),
    /// Shuts a guest down
    Stop {
        #[command(flatten)]
        one: One,
        /// How long it may take [default: 3m]
        #[arg(long, value_name = "DURATION")]
        timeout: Option<String>,
        /// Stops it hard when its time is over
        #[arg(long)]
        force: bool,
    },
    /// Switches a guest off without asking it: what it has not written is lost
    Kill(One),
    /// Clones a guest or a template
    Clone(GuestClone),
    /// Changes a guest's configuration
    Set {
        /// A VMID, or a name that only one guest has
        guest: String,
        /// Keys of its configuration and their new values
        #[arg(value_name = "KEY=VALUE", value_parser = name_value, required_unless_present = "delete")]
        set: Vec<(String, String)>,
        /// A key to take away
        #[arg(long, value_name = "KEY")]
        delete: Vec<String>,
        #[command(flatten)]
        act: Act,
    },
    /// Makes a guest's disk larger
    Resize {
        /// A VMID, or a name that only one guest has
        guest: String,
        /// Its key: scsi0, rootfs
        disk: String,
        /// 64G: as large as that; +10G: so much larger, each time anew
        size: String,
        #[command(flatten)]
        act: Act,
    },
    /// Moves a guest to another node
    Migrate {
        /// A VMID, or a name that only one guest has
        guest: String,
        /// The node it goes to
        to: String,
        /// live: a running VM; offline: a stopped guest; restart: down for the move
        #[arg(long)]
        mode: Option<String>,
        /// Where disks on local storage go
        #[arg(long, value_name = "FROM=TO", value_parser = name_value)]
        storage: Vec<(String, String)>,
        #[command(flatten)]
        act: Act,
    },
    /// Destroys a guest and its volumes
    Delete {
        #[command(flatten)]
        one: One,
        /// A tag that it must have
        #[arg(long, value_name = "TAG")]
        tag: Vec<String>,
        /// It may be a template
        #[arg(long)]
        template: bool,
        /// Destroys volumes of its number that its configuration does not name, too
        #[arg(long)]
        unreferenced: bool,
    },
    /// Takes a left-over lock off a guest on which nothing is at work
    Unlock {
        #[command(flatten)]
        one: One,
        /// The lock that it must have [default: the one that the plan finds]
        #[arg(long)]
        lock: Option<String>,
    },
    /// Takes a snapshot of a guest; without a name: those that it has
    Snapshot {
        /// A VMID, or a name that only one guest has
        guest: String,
        /// What the snapshot is called
        name: Option<String>,
        /// Notes
        #[arg(long, value_name = "TEXT", requires = "name")]
        description: Option<String>,
        /// With the memory of a running VM, so that going back finds it running
        #[arg(long, requires = "name")]
        vmstate: bool,
        #[command(flatten)]
        act: Act,
    },
}

#[derive(Debug, Clone, ClapArgs)]
pub struct GuestList {
    /// Those that have this tag; given more than once: all of them
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Those on this node
    #[arg(long)]
    pub node: Option<String>,
    /// Those in this pool
    #[arg(long)]
    pub pool: Option<String>,
    /// running or stopped
    #[arg(long)]
    pub state: Option<String>,
    /// Those with such a name: 'web-*', 'db-?'
    #[arg(long, value_name = "PATTERN")]
    pub name: Option<String>,
    /// qemu or lxc
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct GuestClone {
    /// What is cloned: a VMID, or a name that only one guest has
    pub guest: String,
    /// What the clone is called
    pub name: String,
    /// Its number [default: the lowest free one of the configuration's range]
    #[arg(long)]
    pub vmid: Option<String>,
    /// Copies the disks of a template, too
    #[arg(long, conflicts_with = "linked")]
    pub full: bool,
    /// Rests on the template's disks
    #[arg(long)]
    pub linked: bool,
    /// Another node for it, where all its volumes are on shared storage
    #[arg(long, value_name = "NODE")]
    pub target: Option<String>,
    /// Where the copies go
    #[arg(long)]
    pub storage: Option<String>,
    /// The snapshot that is cloned
    #[arg(long)]
    pub snapshot: Option<String>,
    /// The pool that it belongs to
    #[arg(long)]
    pub pool: Option<String>,
    #[command(flatten)]
    pub act: Act,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Template {
    /// The templates of the site
    List {
        /// Those that have this tag; given more than once: all of them
        #[arg(long, value_name = "TAG")]
        tag: Vec<String>,
        /// Those on this node
        #[arg(long)]
        node: Option<String>,
    },
}
