//! Guests as a NetBox has them: what each should be there, and how that differs from what it is.

mod diff;
mod fill;
mod host;
mod record;
#[cfg(test)]
mod tests;

pub use diff::{diff, title};
pub use fill::fill;
pub use host::{Built, Clash, Host, keys, records};
pub use record::{FIELDS, MARK, Nic, Record, host_of};
