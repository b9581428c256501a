//! Acts on the machine that runbook runs on, and the source of what is read of it.

pub(in crate::actions) mod order;
pub mod resource;
mod run;
pub(in crate::actions) mod source;
#[cfg(test)]
mod tests;
pub(in crate::actions) mod work;

pub use run::LocalRun;
pub use source::LocalSource;
