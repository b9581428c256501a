//! The words of `runbook schedule`.

use clap::{Args as ClapArgs, Subcommand};

use super::What;

#[derive(Debug, Clone, Subcommand)]
pub enum Schedule {
    /// Approves a runbook with its parameters for good, and writes the timer; shows it, --apply does it
    Install(ScheduleInstall),
    /// What is scheduled: when next, how the last run went, whether the approval still holds
    List,
    /// Takes an approval back and the timer away; shows it, --apply does it
    Remove {
        /// As `schedule list` names it
        name: String,
        /// Leaves systemd itself alone
        #[arg(long)]
        no_enable: bool,
        #[arg(long)]
        apply: bool,
    },
    /// What the timer does: runs it if it is still what was approved
    Run {
        /// As `schedule list` names it
        name: String,
    },
}

#[derive(Debug, Clone, ClapArgs)]
pub struct ScheduleInstall {
    #[command(flatten)]
    pub what: What,
    /// When, as systemd.time(7) has it: "daily", "*-*-* 03:00:00"
    #[arg(long, value_name = "WHEN")]
    pub on_calendar: String,
    /// The schedule's name [default: the runbook's and the cluster's]
    #[arg(long, value_name = "NAME")]
    pub called: Option<String>,
    /// A timer of your own [default, except for root]
    #[arg(long, conflicts_with = "system")]
    pub user: bool,
    /// A timer of the system's [default for root]
    #[arg(long)]
    pub system: bool,
    /// Writes the files and leaves systemd itself alone
    #[arg(long)]
    pub no_enable: bool,
    /// Does it
    #[arg(long)]
    pub apply: bool,
}
