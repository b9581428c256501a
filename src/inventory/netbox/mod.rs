//! Guests as a NetBox has them: what each should be there, and how that differs from what it is.

mod diff;
mod host;
mod record;
#[cfg(test)]
mod tests;

pub use diff::{diff, title};
pub use host::{Built, Clash, Host, records};
pub use record::{FIELDS, MARK, Nic, Record, host_of};
