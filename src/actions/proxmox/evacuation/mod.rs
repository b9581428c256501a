//! Emptying a node: the plan, and whether it still holds.

mod check;
mod guards;
mod plan;
mod refusal;
#[cfg(test)]
mod tests;

pub use check::CheckEvacuation;
pub use plan::PlanEvacuation;
