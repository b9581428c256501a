//! Acts on high availability.

mod maintenance;
mod resource;
#[cfg(test)]
mod tests;
mod watch;

pub use maintenance::HaMaintenance;
pub use resource::HaResource;
