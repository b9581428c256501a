//! The words of what is said to a run from elsewhere.

use clap::{Args as ClapArgs, ValueEnum};

use super::Answers;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Decide {
    Retry,
    Skip,
    Done,
    RollBack,
    Stop,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Approve {
    /// Any unique beginning of its id, or `last`
    #[arg(default_value = "last")]
    pub run: String,
    /// The step that asks, where more than one does
    pub step: Option<String>,
    /// Says no instead, and why
    #[arg(long, value_name = "WHY")]
    pub decline: Option<String>,
    /// Where a step failed and asks what is to become of it
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with = "decline")]
    pub decide: Option<Decide>,
    /// Only records the answer: whoever resumes the run goes on
    #[arg(long)]
    pub record: bool,
    #[command(flatten)]
    pub answers: Answers,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Cancel {
    /// Any unique beginning of its id, or `last`
    #[arg(default_value = "last")]
    pub run: String,
    /// Undoes what it has done
    #[arg(long)]
    pub rollback: bool,
    /// Stops what can be stopped, too: those steps are in doubt until the run is resumed
    #[arg(long)]
    pub now: bool,
    #[command(flatten)]
    pub answers: Answers,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct OfRun {
    /// Any unique beginning of its id, or `last`
    #[arg(default_value = "last")]
    pub run: String,
    #[command(flatten)]
    pub answers: Answers,
}
