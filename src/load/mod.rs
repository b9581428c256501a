//! Text to model: runbooks, the site's configuration and cluster profiles, strictly and with places.
//!
//! Reports all problems of a file at once, as plain data. It reads no files and contacts nothing: texts come in as
//! [`Source`], and the catalogue of actions is handed over.

mod api_call;
mod checks;
mod cluster;
mod config;
mod config_keys;
mod cycles;
pub mod diagnostic;
mod keys;
mod library;
mod names;
mod notify;
mod params;
mod procedures;
mod profiles;
mod reader;
mod rehearsal;
pub mod runbook;
pub mod schema;
mod shape;
pub mod shipped;
mod site;
mod step;
mod talosctl_call;
mod template;
mod uses;
pub mod values;
pub mod yaml;
pub mod yaml_edit;

pub use cluster::load_cluster;
pub use diagnostic::{Diagnostic, Findings, Severity, Source, Span, code};
pub use library::{Library, NoOthers, NotFound};
pub use params::fill_defaults;
pub use profiles::check_profiles;
pub use rehearsal::load_rehearsal;
pub use runbook::{Head, Loaded, head_of, load_runbook, read_runbook};
pub use site::{load_site, scope_of};
pub use values::bind_params;

pub use crate::model::value::{ParamError, coerce, coerce_text};

#[cfg(test)]
mod tests;
