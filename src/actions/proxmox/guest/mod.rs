//! Acts on one guest, and what can be read of guests.

#[cfg(test)]
mod acts_tests;
mod boot_order;
mod change;
mod list;
mod migrate;
mod power;
mod protect;
mod reading;
mod reboot;
mod resize;
mod set;
mod shutdown;
mod start;
mod stop;
mod suspend;
mod tag;
#[cfg(test)]
mod tests;
pub(super) mod trace;
mod unlock;

pub use boot_order::BootOrder;
pub use list::Guests;
pub use migrate::GuestMigrate;
pub use protect::GuestProtect;
pub use reading::{GuestConfigRead, GuestStatusRead};
pub use reboot::GuestReboot;
pub use resize::GuestResize;
pub use set::GuestSet;
pub use shutdown::GuestShutdown;
pub use start::GuestStart;
pub use stop::GuestStop;
pub use suspend::{GuestResume, GuestSuspend};
pub use tag::GuestTag;
pub use unlock::GuestUnlock;
