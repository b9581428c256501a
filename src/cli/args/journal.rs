//! The words of what is done with the journal itself.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

#[derive(Debug, Clone, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Runs {
    /// At most so many
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
    #[command(subcommand)]
    pub command: Option<RunsCommand>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum RunsCommand {
    /// Deletes runs that have been over for long; shows which ones, --apply does it
    Prune(Prune),
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Prune {
    /// Whose last event is so long ago [default: 90d, without --keep]
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Option<u64>,
    /// The newest so many stay
    #[arg(long, value_name = "N")]
    pub keep: Option<u32>,
    /// Deletes them
    #[arg(long)]
    pub apply: bool,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Audit {
    /// Proves that runs are as they were written: chain of hashes, count, and that each fact follows
    Verify {
        /// Runs [default: all, and the file itself]
        runs: Vec<String>,
    },
    /// Who did what when: runs, answers, locks broken, freezes, prunes, exports
    Log {
        /// At most so many, the last ones
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Each event as it is stored, for `runbook import`
    Jsonl,
    /// One page with plan, steps, logs and timeline that needs no network
    Html,
    /// Test results, for CI
    Junit,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Export {
    /// Any unique beginning of its id, or `last`
    pub run: String,
    /// To this file [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    pub format: ExportFormat,
    /// Gives the run away with its locks: the machine that imports it goes on with it, this one does not
    #[arg(long)]
    pub hand_over: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Import {
    /// What `runbook export` wrote; `-`: stdin
    pub file: PathBuf,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Lock {
    /// The locks that are held, by which runs, and how to go on
    List,
    /// Takes a lock from a run whose process is gone and that nobody will go on with
    Break(LockBreak),
}

#[derive(Debug, Clone, ClapArgs)]
pub struct LockBreak {
    /// As `runbook lock list` names it; of a site its name is enough
    pub name: String,
    /// Kept in the audit and in the run's history
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Does not ask
    #[arg(short, long)]
    pub yes: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Freeze {
    /// Shown to whoever is refused
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// `90d`, `12h`, in milliseconds.
fn age(text: &str) -> Result<u64, String> {
    crate::model::value::duration(text).ok_or_else(|| "expected an age such as 90d or 12h".to_owned())
}
