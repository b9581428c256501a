//! Acts on one guest.

mod migrate;
mod shutdown;
#[cfg(test)]
mod tests;
mod trace;
mod unlock;

pub use migrate::GuestMigrate;
pub use shutdown::GuestShutdown;
pub use unlock::GuestUnlock;
