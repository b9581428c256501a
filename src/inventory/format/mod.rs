//! An inventory as other programs read it.

mod ansible;
mod csv;
mod hosts;
mod netbox;
mod prometheus;

use serde_json::Value;

use crate::model::inventory::Inventory;

pub use ansible::{ansible, ansible_host};
pub use csv::csv;
pub use hosts::hosts;
pub use netbox::netbox;
pub use prometheus::prometheus;

/// The version of the JSON: a minor one adds, a major one breaks.
pub const VERSION: &str = "1.0";

/// Why a text is no inventory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadInventory {
    #[error("it is no output of `runbook inventory -o json`: {0}")]
    Shape(String),
    #[error("it has format_version {0}, and this program reads {VERSION}")]
    Version(String),
}

/// The whole, as `-o json` and `-o yaml` write it: no tree in between, which for ten thousand guests would be tens of
/// megabytes.
#[derive(serde::Serialize)]
pub struct Whole<'a> {
    format_version: &'static str,
    #[serde(flatten)]
    inventory: &'a Inventory,
}

impl<'a> Whole<'a> {
    pub fn of(inventory: &'a Inventory) -> Self {
        Self { format_version: VERSION, inventory }
    }

    pub fn json(&self) -> String {
        // Nothing of it can fail to be written: no map has other keys than texts.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// An inventory from the text of an earlier run.
///
/// # Errors
/// It is something else, or of another version.
pub fn read(text: &str) -> Result<Inventory, BadInventory> {
    let shape = |e: serde_json::Error| BadInventory::Shape(e.to_string());
    let value: Value = serde_json::from_str(text).map_err(shape)?;
    let version = value.get("format_version").and_then(Value::as_str);
    let Some(version) = version else { return Err(BadInventory::Shape("it has no format_version".into())) };
    if version.split('.').next() != VERSION.split('.').next() {
        return Err(BadInventory::Version(version.to_owned()));
    }
    serde_json::from_value(value).map_err(shape)
}
