//! The use cases, and the composition root: the only place that knows which implementation stands behind which port.
//!
//! Every face (command line, later web and MCP) calls these; none goes round them.

pub mod books;
pub mod doctor;
pub mod error;
pub mod inspect;
pub mod lint;
pub mod open;
pub mod planning;
pub mod policy;
pub mod running;
pub mod settings;

pub use error::{AppError, Exit};
pub use settings::Settings;

/// What a face hands in, so that it need not know the engine.
pub mod ports {
    pub use crate::engine::inject::Inject;
    pub use crate::engine::ports::{Answer, Approver, Observer};
}
