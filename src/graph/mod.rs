//! The step graph: what needs what, what is ready, what can no longer run. It knows nothing of runbooks' work.

mod flow;

pub use flow::{Flow, Point};
