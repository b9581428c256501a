//! Acts on one guest, and what can be read of guests.

#[cfg(test)]
mod acts_tests;
mod boot_order;
mod change;
mod clone;
mod create;
mod delete;
#[cfg(test)]
mod life_tests;
mod list;
mod made;
mod migrate;
mod power;
mod protect;
mod reading;
mod reboot;
mod resize;
mod set;
mod shutdown;
mod snapshot;
mod start;
mod stop;
mod suspend;
mod tag;
mod template;
mod templates;
#[cfg(test)]
mod tests;
pub(super) mod trace;
mod unlock;

pub use boot_order::BootOrder;
pub use clone::GuestClone;
pub use create::GuestCreate;
pub use delete::GuestDelete;
pub use list::Guests;
pub use migrate::GuestMigrate;
pub use protect::GuestProtect;
pub use reading::{GuestConfigRead, GuestStatusRead};
pub use reboot::GuestReboot;
pub use resize::GuestResize;
pub use set::GuestSet;
pub use shutdown::GuestShutdown;
pub use snapshot::{GuestRollback, GuestSnapshot, GuestSnapshotDelete, GuestSnapshots};
pub use start::GuestStart;
pub use stop::GuestStop;
pub use suspend::{GuestResume, GuestSuspend};
pub use tag::GuestTag;
pub use template::GuestTemplate;
pub use templates::{TemplateEnsure, Templates};
pub use unlock::GuestUnlock;
