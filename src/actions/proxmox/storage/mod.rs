//! Storages: how full they are, what on them belongs to nobody, and taking that away.

mod delete;
mod list;
mod orphans;
#[cfg(test)]
mod tests;
mod uses;

pub use delete::VolumeDelete;
pub use list::Storages;
pub use orphans::Orphans;
