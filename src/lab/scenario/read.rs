//! YAML text to a scenario. The one file of the lab that names the YAML crate.

use super::Scenario;

/// Reads one document; the error is a text with line and column.
pub(super) fn yaml(text: &str) -> Result<Scenario, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}
