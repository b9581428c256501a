//! YAML text to a scenario, through the one file that names the YAML crate.

use super::Scenario;
use crate::load::yaml::typed;

/// Reads one document; the error is a text with line and column.
pub(super) fn yaml(text: &str) -> Result<Scenario, String> {
    typed(text)
}
