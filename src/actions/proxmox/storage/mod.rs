//! Storages: how full they are, and what on them belongs to nobody.

mod list;
mod orphans;

pub use list::Storages;
pub use orphans::Orphans;
