//! From configuration lines and what guests say of themselves to hosts with addresses, and from hosts to the formats that
//! other programs read. Pure: whoever reads the lines, and whoever keeps what was read, is elsewhere.

mod agenda;
mod body;
mod choice;
mod diff;
pub mod format;
mod host;
mod join;
mod memory;
mod merge;
mod names;
pub mod netbox;
mod nic;
mod noise;
mod primary;
mod refusal;

pub use agenda::{Agenda, Next};
pub use body::{AgentSaid, BadBody, agent, container};
pub use choice::Choice;
pub use diff::{Change, Diff, diff};
pub use host::{Facts, Told, host, is_read, without_noise};
pub use memory::{Boot, MEMORY_VERSION, Memory};
pub use merge::merge;
pub use names::unique_names;
pub use nic::{Nic, agent_enabled, nics};
pub use primary::{primary, primary_of};
pub use refusal::refusal;

#[cfg(test)]
mod tests;
