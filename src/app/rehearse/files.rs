//! The files that say how runbooks are rehearsed: shipped ones, and `runbooks/tests/` beside the configuration, which
//! overrides.

use std::path::PathBuf;

use super::super::books;
use super::super::config;
use super::super::error::{AppError, Exit};
use super::super::settings::Settings;
use crate::lab::scenario::Scenario;
use crate::load::diagnostic::Source;
use crate::load::{Findings, load_rehearsal, shipped};
use crate::model::rehearsal::Rehearsal;

/// Names of the runbooks that have such a file, sorted.
pub fn names(settings: &Settings) -> Vec<String> {
    let mut names: Vec<String> =
        shipped::names().filter(|name| shipped::rehearsal(name).is_some()).map(str::to_owned).collect();
    names.extend(own(settings).iter().filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())));
    names.sort();
    names.dedup();
    names
}

fn own(settings: &Settings) -> Vec<PathBuf> {
    books::folder(settings).map(|folder| config::yaml_files(&folder.join("tests"))).unwrap_or_default()
}

fn source(settings: &Settings, name: &str) -> Result<Option<Source>, AppError> {
    let file = own(settings).into_iter().find(|path| path.file_stem().is_some_and(|stem| stem == name));
    match file {
        Some(path) => config::read(&path).map(Some),
        None => Ok(shipped::rehearsal(name)),
    }
}

/// How a runbook is rehearsed, where something says so.
///
/// # Errors
/// The file has problems: all of them.
pub(super) fn rehearsal(settings: &Settings, name: &str) -> Result<Option<Rehearsal>, AppError> {
    let Some(source) = source(settings, name)? else { return Ok(None) };
    let read = load_rehearsal(&source);
    read.map(Some).map_err(|found| AppError::invalid(Exit::Usage, "test::invalid", &source, found))
}

/// What is wrong with these files.
///
/// # Errors
/// One cannot be read.
pub fn lint(settings: &Settings, names: &[String]) -> Result<Vec<Findings>, AppError> {
    let mut all = Vec::new();
    for name in names {
        let Some(source) = source(settings, name)? else { continue };
        let diagnostics = match load_rehearsal(&source) {
            Err(found) => found,
            Ok(rehearsal) => unknown(&source, &rehearsal),
        };
        all.push(Findings { diagnostics, sources: vec![source] });
    }
    Ok(all)
}

/// Scenarios that there are not: only the lab knows them.
fn unknown(source: &Source, rehearsal: &Rehearsal) -> Vec<crate::load::diagnostic::Diagnostic> {
    use crate::load::diagnostic::{Diagnostic, Severity, code};
    let known = Scenario::names();
    let wrong = rehearsal.cases.iter().filter(|case| !known.contains(&case.scenario.as_str()));
    wrong
        .map(|case| {
            let at = source.text.find(&case.scenario).unwrap_or_default();
            Diagnostic {
                severity: Severity::Error,
                code: code::WRONG_VALUE,
                message: format!("case {}: no scenario is called {:?}", case.name, case.scenario),
                help: Some(format!("one of {}", known.join(", "))),
                file: source.name.clone(),
                span: source.span_at(at, case.scenario.len()),
                labels: Vec::new(),
                conceal: false,
            }
        })
        .collect()
}

/// `*` is any text, `?` any character, all else itself.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let mut fits = vec![false; text.len() + 1];
    fits[0] = true;
    for sign in pattern {
        let before = fits.clone();
        for end in 0..=text.len() {
            fits[end] = match sign {
                '*' => before[end] || (end > 0 && fits[end - 1]),
                '?' => end > 0 && before[end - 1],
                sign => end > 0 && before[end - 1] && text[end - 1] == sign,
            };
        }
    }
    fits[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_brackets_as_they_are() {
        for (pattern, fits) in [
            ("*", true),
            ("a/fail:move[104]", true),
            ("*:move[1??]", true),
            ("a/fail:*", true),
            ("fail:*", false),
            ("", false),
        ] {
            assert_eq!(matches(pattern, "a/fail:move[104]"), fits, "{pattern}");
        }
    }
}
