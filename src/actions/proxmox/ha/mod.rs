//! Acts on high availability.

mod maintenance;
#[cfg(test)]
mod tests;
mod watch;

pub use maintenance::HaMaintenance;
