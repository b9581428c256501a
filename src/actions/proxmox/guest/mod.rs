//! Acts on one guest.

mod list;
mod migrate;
mod shutdown;
mod start;
#[cfg(test)]
mod tests;
pub(super) mod trace;
mod unlock;

pub use list::Guests;
pub use migrate::GuestMigrate;
pub use shutdown::GuestShutdown;
pub use start::GuestStart;
pub use unlock::GuestUnlock;
