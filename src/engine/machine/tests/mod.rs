//! The machine against worlds that nobody made up: random graphs, failures, orders, repeats and crashes.

mod language;
mod model;
pub mod puppet;
mod random;
mod rules;
