//! Acts on the machine that runbook runs on, and the source of what is read of it.

mod order;
pub mod resource;
mod run;
mod source;
#[cfg(test)]
mod tests;
mod work;

pub use run::LocalRun;
pub use source::LocalSource;
