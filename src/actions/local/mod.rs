//! Acts on the machine that runbook runs on, and the source of what is read of it.

pub(super) mod order;
pub mod resource;
mod run;
mod source;
#[cfg(test)]
mod tests;
pub(super) mod work;

pub use run::LocalRun;
pub use source::LocalSource;
