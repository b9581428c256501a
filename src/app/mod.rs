//! The use cases, and the composition root: the only place that knows which implementation stands behind which port.
//!
//! Every face (command line, later web and MCP) calls these; none goes round them.

pub mod audit;
pub mod books;
pub mod config;
pub mod control;
pub mod doctor;
pub mod doing;
pub mod error;
pub mod export;
pub mod freeze;
pub mod handing;
pub mod init;
pub mod inspect;
pub mod inventory;
pub mod lab;
pub mod lint;
mod listener;
pub mod locks;
pub mod metrics;
mod naming;
pub mod needs;
pub mod notify;
pub mod open;
pub mod planning;
pub mod policy;
mod reach;
pub mod rehearse;
pub mod retention;
pub mod running;
pub mod schedule;
pub mod settings;
pub mod site_lock;

pub use error::{AppError, Exit, exit_of, problems};
pub use settings::Settings;

/// What a face hands in, so that it need not know the engine.
pub mod ports {
    pub use crate::engine::inject::Inject;
    pub use crate::engine::ports::{Answer, Approver, Observer};
}

/// Nothing leaves the process but through one of these.
pub mod redact {
    pub use crate::secrets::{RedactingMakeWriter, RedactingWriter, Redactor};
}

/// The catalogue of actions.
pub fn action_specs() -> crate::model::action_spec::Catalogue {
    crate::actions::specs()
}

/// The name of whoever runs this process.
pub fn user() -> String {
    crate::sys::user()
}

/// This machine's name.
pub fn host() -> String {
    crate::sys::host()
}

/// Seconds east of Greenwich, here and now.
pub fn utc_offset() -> i32 {
    crate::sys::clock::utc_offset()
}

/// A moment as messages name it, in this machine's time.
fn moment(at: u64) -> String {
    let offset = utc_offset();
    format!("{} {}", crate::report::date(at, offset), crate::report::clock(at, offset))
}

/// This moment, as messages name it.
pub fn moment_now() -> String {
    moment(crate::sys::clock::now_ms().unsigned_abs())
}

/// Columns of the terminal, if there is one.
pub fn terminal_width() -> Option<usize> {
    crate::sys::terminal_width()
}

/// Does it while the terminal of stdin shows nothing of what is typed.
///
/// # Errors
/// Its settings cannot be read or changed; nothing was done.
pub fn without_echo<T>(act: impl FnOnce() -> T) -> std::io::Result<T> {
    crate::sys::without_echo(act)
}

/// A default as an author would write it.
pub fn shown_value(param: &crate::model::param::Param, value: &serde_json::Value) -> String {
    crate::model::value::written(param.ty, value)
}

/// JSON as YAML.
pub fn to_yaml(value: &impl serde::Serialize) -> String {
    crate::load::yaml::write(value)
}
