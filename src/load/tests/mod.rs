mod api_call;
mod broken;
mod broken_steps;
mod calls;
mod catalogue;
mod config;
mod examples;
mod notify;
mod recursion;
mod schema;
mod talosctl_call;
mod values;

use super::*;
use crate::model::action_spec::Catalogue;
use catalogue::catalogue;

/// All diagnostics of a runbook called `x`, as plain text.
fn report(text: &str) -> String {
    report_of(&[("x.yaml", text)])
}

/// [`report`] of the first of these files, which may call the others.
fn report_of(files: &[(&str, &str)]) -> String {
    let loaded = read_of(files);
    assert_eq!(loaded.runbook.is_none(), loaded.found.is_broken());
    said(&loaded.found)
}

fn said(found: &Findings) -> String {
    let plain = |d: &Diagnostic| d.plain(found.source_of(d).unwrap());
    found.diagnostics.iter().map(plain).collect::<Vec<_>>().join("\n")
}

/// Reads the first of these files, which may call the others: by stem, or beside itself.
fn read_of(files: &[(&str, &str)]) -> Loaded {
    read_with(files, &catalogue())
}

fn read_with(files: &[(&str, &str)], catalogue: &Catalogue) -> Loaded {
    let library = |from: &Source, uses: &str| {
        let folder = from.name.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let beside = format!("{folder}{}", uses.trim_start_matches("./"));
        let sources = files.iter().map(|(name, text)| Source::new(*name, *text));
        let wanted = |source: &Source| match uses.strip_prefix("runbook:") {
            Some(name) => source.stem() == name || head_of(source).aliases.iter().any(|alias| alias == name),
            None => source.name == beside,
        };
        let found = sources.into_iter().find(wanted);
        found.ok_or_else(|| NotFound { message: format!("there is no `{uses}`"), hint: Some("write one".into()) })
    };
    read_runbook(&Source::new(files[0].0, files[0].1), catalogue, &library)
}

/// [`report`] of a file with these steps; line 4 is `steps:`.
fn steps(text: &str) -> String {
    report(&format!("runbook: x\nschema: 1\ntarget: proxmox\nsteps:\n{text}"))
}
