//! The runbooks that are part of the binary. A file of the same name beside the configuration overrides one.

use super::diagnostic::Source;

const SHIPPED: [(&str, &str); 5] = [
    ("node-evacuation", include_str!("../../runbooks/node-evacuation.yaml")),
    ("snapshot-by-tag", include_str!("../../runbooks/snapshot-by-tag.yaml")),
    ("template-cloudinit", include_str!("../../runbooks/template-cloudinit.yaml")),
    ("template-iso", include_str!("../../runbooks/template-iso.yaml")),
    ("template-qcow2", include_str!("../../runbooks/template-qcow2.yaml")),
];

/// How each of them is rehearsed.
const REHEARSALS: [(&str, &str); 5] = [
    ("node-evacuation", include_str!("../../runbooks/tests/node-evacuation.yaml")),
    ("snapshot-by-tag", include_str!("../../runbooks/tests/snapshot-by-tag.yaml")),
    ("template-cloudinit", include_str!("../../runbooks/tests/template-cloudinit.yaml")),
    ("template-iso", include_str!("../../runbooks/tests/template-iso.yaml")),
    ("template-qcow2", include_str!("../../runbooks/tests/template-qcow2.yaml")),
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
