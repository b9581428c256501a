//! Acts on one guest.

mod clone;
mod create;
mod delete;
#[cfg(test)]
mod life_tests;
mod made;
mod migrate;
mod shutdown;
mod snapshot;
mod start;
mod template;
mod templates;
#[cfg(test)]
mod tests;
pub(super) mod trace;
mod unlock;

pub use clone::GuestClone;
pub use create::GuestCreate;
pub use delete::GuestDelete;
pub use migrate::GuestMigrate;
pub use shutdown::GuestShutdown;
pub use snapshot::{GuestRollback, GuestSnapshot, GuestSnapshotDelete, GuestSnapshots};
pub use start::GuestStart;
pub use template::GuestTemplate;
pub use templates::{TemplateEnsure, Templates};
pub use unlock::GuestUnlock;
