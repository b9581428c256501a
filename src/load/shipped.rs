//! The runbooks that are part of the binary. A file of the same name beside the configuration overrides one.

use super::diagnostic::Source;

const SHIPPED: [(&str, &str); 3] = [
    ("backup-guests", include_str!("../../runbooks/backup-guests.yaml")),
    ("node-evacuation", include_str!("../../runbooks/node-evacuation.yaml")),
    ("restore-guest", include_str!("../../runbooks/restore-guest.yaml")),
];

/// How each of them is rehearsed.
const REHEARSALS: [(&str, &str); 3] = [
    ("backup-guests", include_str!("../../runbooks/tests/backup-guests.yaml")),
    ("node-evacuation", include_str!("../../runbooks/tests/node-evacuation.yaml")),
    ("restore-guest", include_str!("../../runbooks/tests/restore-guest.yaml")),
];

/// Names of all shipped runbooks, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// The text of a shipped runbook.
pub fn source(name: &str) -> Option<Source> {
    let (name, text) = SHIPPED.iter().find(|(known, _)| *known == name)?;
    Some(Source::new(format!("runbooks/{name}.yaml"), *text))
}

/// How a shipped runbook is rehearsed.
pub fn rehearsal(name: &str) -> Option<Source> {
    let (name, text) = REHEARSALS.iter().find(|(known, _)| *known == name)?;
    Some(Source::new(format!("runbooks/tests/{name}.yaml"), *text))
}
