//! The official Proxmox VE API schemas: is this call one that a server of that version takes, and if not, in what words
//! does it refuse?
//!
//! Used by the lab (as the server's own check), by our client in debug builds, and when a runbook is loaded. It knows
//! nothing of the state of a site and must do no I/O: the schemas are compressed data inside the binary.
//!
//! Source of the rules and texts: PVE::JSONSchema, PVE::RESTHandler and PVE::RPCEnvironment (libpve-common-perl 9.2,
//! libpve-access-control 9.1), read as facts.

mod formats;
mod method;
mod pattern;
mod permission;
mod property;
mod property_string;
mod schema;
mod secret;
mod shape;
pub mod talos;
pub mod talosctl;
#[cfg(test)]
mod tests;
mod validate;
mod verb;
mod violation;

pub use method::Method;
pub use permission::{Expression, Needed, Permission};
pub use property::{Format, Kind, Property};
pub use schema::Schema;
pub use secret::{SECRET_NAMES, secret_in};
pub use shape::{PathPart, VERSIONS, check_shape};
pub use verb::Verb;
pub use violation::{Violation, check_call};

/// The newest version that the data is of.
pub const NEWEST: &str = "9.2.3";

/// The privileges that a method asks for, flattened: for messages such as "needs VM.Migrate on /vms/104".
///
/// Empty where the method is unknown, open to every user, or for root alone.
pub fn privileges_of(version: &str, verb: Verb, template: &str) -> Vec<Needed> {
    Schema::version(version).method(verb, template).map(|m| m.permissions.needed()).unwrap_or_default()
}
