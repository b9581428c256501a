//! Acts on high availability.

mod maintenance;
mod resource;
mod rule;
#[cfg(test)]
mod tests;
mod wanted;
mod watch;

pub use maintenance::HaMaintenance;
pub use resource::HaResource;
pub use rule::HaRule;
