mod broken;
mod broken_steps;
mod catalogue;
mod config;
mod examples;
mod notify;
mod schema;
mod values;

use super::*;
use catalogue::catalogue;

/// All diagnostics of a runbook called `x`, as plain text.
fn report(text: &str) -> String {
    let source = Source::new("x.yaml", text);
    let loaded = read_runbook(&source, &catalogue());
    assert_eq!(loaded.runbook.is_none(), loaded.diagnostics.iter().any(|d| d.severity == Severity::Error));
    loaded.diagnostics.iter().map(|d| d.plain(&source)).collect::<Vec<_>>().join("\n")
}

/// [`report`] of a file with these steps; line 4 is `steps:`.
fn steps(text: &str) -> String {
    report(&format!("runbook: x\nschema: 1\ntarget: proxmox\nsteps:\n{text}"))
}
