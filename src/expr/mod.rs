//! Expressions: minijinja, strict, without I/O and with fuel, over values that may be unknown yet.
//!
//! A value that only an applied step can give is *unknown*. Whatever touches it while it is evaluated is unknown
//! too; what short-circuits before touching it stays known. This module does not know what a step is and reads
//! nothing: it must not do I/O.

mod engine;
mod filters;
mod names;
mod scope;
mod text;

pub use engine::{eval, parse_check, render, truth};
pub use names::{FUNCTIONS, Reference, references, template_references};
pub use scope::{Datum, Ready, Scope};
pub use text::{Segment, segments};

pub use crate::model::nearest::nearest;
use serde_json::Value;

/// What an evaluation gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Evaluated {
    Known(Value),
    /// It rests on something that only an applied step can give.
    Unknown,
}

impl Evaluated {
    /// The value, if it is known.
    pub fn known(self) -> Option<Value> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown => None,
        }
    }
}

/// Why an expression cannot be read or evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// What was expected and what to do, without the place.
    pub message: String,
    /// Bytes from the start of the expression's source.
    pub offset: usize,
}

impl ExprError {
    pub(crate) fn new(message: impl Into<String>, offset: usize) -> Self {
        Self { message: message.into(), offset }
    }
}

#[cfg(test)]
mod tests;
