//! Whole procedures handed to the tools that an operator has already: ansible-playbook, go-task and git.
//!
//! What a tool can say beforehand is read for the plan; what it says afterwards is read from what it wrote, never taken
//! from its exit code alone. Their files are never edited.

mod ansible;
mod git;
mod listing;
mod recap;
mod resource;
mod setup;
mod source;
mod task;

pub use ansible::AnsiblePlaybook;
pub use git::GitCommit;
pub use setup::{AnsibleSetup, ProxmoxToken};
pub use source::ToolSource;
pub use task::TaskRun;
