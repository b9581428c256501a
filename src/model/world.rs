//! What is known of the world and what a step is expected to change in it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ids::ResourceKey;

/// A change that a step will make, as a JSON merge patch (RFC 7386) on a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    pub resource: ResourceKey,
    pub patch: Value,
}

/// How a guard compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predicate {
    Equals,
    Differs,
    AtLeast,
    AtMost,
    /// The pointer leads nowhere, or to null.
    Absent,
}

/// Something that must hold for the plan to be the right one: a comparison from a closed set, never a raw
/// number that moves by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    /// As a person reads it: `pve3 has at least 12.0 GiB of memory free`.
    pub text: String,
    pub resource: ResourceKey,
    /// A JSON pointer (RFC 6901) into the resource.
    pub pointer: String,
    pub predicate: Predicate,
    pub value: Value,
}

/// Who an object is beyond its number, checked again before each change: never act on a bare VMID.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// `VM 104 (web-1)`
    pub object: String,
    pub resource: ResourceKey,
    /// JSON pointers and what they must lead to.
    pub expect: Vec<(String, Value)>,
}
