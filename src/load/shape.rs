//! What a file may hold: tables of keys with the shape of each. The checker and the JSON Schema read the same ones.

use crate::model::param::ValueType;

/// A map with known keys.
pub struct Table {
    /// As messages call it: `a step`.
    pub what: &'static str,
    pub keys: &'static [Key],
}

pub struct Key {
    pub name: &'static str,
    pub shape: Shape,
    pub required: bool,
    pub help: &'static str,
}

/// What may stand behind a key.
pub enum Shape {
    Text,
    Bool,
    Int {
        min: i64,
        max: i64,
    },
    Number,
    Any,
    /// A bare expression.
    Expr,
    /// A value that may hold `{{ }}` anywhere.
    Template,
    Value(ValueType),
    /// A size; a bare number is MiB. Read as bytes.
    Mebibytes,
    /// `100-999`, read as `{first, last}`.
    VmidRange,
    /// A host's name or address.
    Host,
    /// `host` or `host:port`
    HostPort,
    /// SHA-256 as 32 pairs with colons.
    Fingerprint,
    /// 64 hexadecimal digits.
    Schematic,
    /// `n` or `n%`
    Amount,
    Choice(&'static [&'static str]),
    List(&'static Shape),
    /// Free names.
    Map(&'static Shape),
    Table(&'static Table),
    OneOf(&'static [Shape]),
    /// The name of an action or a runbook.
    Uses,
    Id,
    /// A list of steps: by name, since a table cannot hold itself.
    Steps,
}

impl Key {
    pub const fn new(name: &'static str, shape: Shape, help: &'static str) -> Self {
        Self { name, shape, required: false, help }
    }

    pub const fn required(name: &'static str, shape: Shape, help: &'static str) -> Self {
        Self { name, shape, required: true, help }
    }
}
