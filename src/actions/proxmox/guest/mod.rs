//! Acts on one guest.

mod migrate;
mod shutdown;
mod trace;
mod unlock;

pub use migrate::GuestMigrate;
pub use shutdown::GuestShutdown;
pub use unlock::GuestUnlock;
