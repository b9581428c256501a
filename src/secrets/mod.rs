//! Secrets: references to them, where they come from, and keeping them out of everything that is shown or stored.
//!
//! A value is fetched when it is used, lives in a `SecretString` and is known to the redactor from then on. Errors
//! name the reference, never the value.

mod keep;
mod provider;
mod redact;
mod reference;
mod token;
mod writer;

pub use keep::Entry;
pub use provider::{SecretError, Secrets};
pub use redact::{MASK, Redactor};
pub use reference::{BadRef, PassPart, SecretRef};
pub use token::TokenPair;
pub use writer::{RedactingMakeWriter, RedactingWriter};
