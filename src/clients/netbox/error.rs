//! Why a NetBox did not do what it was asked for, in its own words.

use std::time::Duration;

use crate::clients::Class;
use crate::sys::http::HttpError;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetboxError {
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Nothing was sent.
    #[error("{0}")]
    Wrong(String),
    #[error("{attempted}: NetBox says {status}{}", words(said))]
    Status { attempted: String, status: u16, said: Vec<String>, retry_after: Option<u64> },
    /// An answer, but none that can be read.
    #[error("{0}")]
    Shape(String),
}

fn words(said: &[String]) -> String {
    if said.is_empty() { String::new() } else { format!(": {}", said.join("; ")) }
}

impl NetboxError {
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether what was asked for may have been carried out, or may yet be.
    pub fn may_be_done(&self) -> bool {
        match self {
            Self::Http(error) => error.sent(),
            Self::Status { status, .. } => *status >= 500,
            Self::Shape(_) => true,
            Self::Wrong(_) => false,
        }
    }

    /// Whether asking again may go better.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Http(error) => !error.is_trust(),
            Self::Status { status, said, .. } => {
                // An object that a filter names has gone meanwhile.
                let stale = said.iter().any(|line| line.contains("is not one of the available choices"));
                matches!(status, 429 | 502 | 503 | 504) || (*status == 400 && stale)
            }
            Self::Wrong(_) | Self::Shape(_) => false,
        }
    }

    /// It was not taken, since there were too many before it.
    pub fn is_throttled(&self) -> bool {
        self.status() == Some(429)
    }

    /// How long the server wants to be left alone.
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => retry_after.map(Duration::from_secs),
            _ => None,
        }
    }

    /// Whether a name that is wanted is another object's at the moment.
    pub fn is_name_taken(&self) -> bool {
        matches!(self, Self::Status { status: 400, said, .. } if said.iter().any(|line| line.contains("name must be unique per")))
    }

    /// Whether an address that is wanted is there already.
    pub fn is_address_taken(&self) -> bool {
        matches!(self, Self::Status { status: 400, said, .. } if said.iter().any(|line| line.contains("Duplicate IP address")))
    }

    /// Whether what it was asked to keep has no place there: a custom field that is not made.
    pub fn lacks_field(&self) -> bool {
        matches!(self, Self::Status { status: 400, said, .. } if said.iter().any(|line| line.contains("Unknown field name")))
    }

    pub fn class(&self) -> Class {
        match self {
            Self::Http(HttpError::Timeout { sent: true, .. }) => Class::Timeout,
            Self::Http(error) if error.is_trust() => Class::Refused,
            Self::Http(error) if error.is_connect() => Class::Unreachable,
            Self::Http(HttpError::Reset { .. }) => Class::Transient,
            Self::Http(_) | Self::Shape(_) => Class::Failed,
            Self::Wrong(_) => Class::Precondition,
            Self::Status { status: 401 | 403, .. } => Class::Refused,
            Self::Status { status: 412 | 429 | 502 | 503 | 504, .. } => Class::Transient,
            _ if self.is_name_taken() || self.is_address_taken() => Class::Locked,
            _ if self.lacks_field() => Class::Precondition,
            Self::Status { .. } => Class::Failed,
        }
    }
}
