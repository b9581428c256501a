//! A tool's command line: what stands by its place and what by its name, as the schema has it.
//!
//! Source: PVE::JSONSchema::get_options.

use std::collections::BTreeMap;

use super::table::Command;
use crate::contracts::{Kind, Method};

/// What was given.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Of the API's call, those of its path included.
    pub params: BTreeMap<String, String>,
    /// Of the tool alone (`--verbose`, `--output-format json`).
    pub own: BTreeMap<String, String>,
}

impl Line {
    pub fn own(&self, name: &str) -> Option<&str> {
        self.own.get(name).map(String::as_str)
    }

    pub fn has(&self, name: &str) -> bool {
        self.own(name) == Some("1")
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    #[error("Unknown option: {0}\n400 unable to parse option")]
    Unknown(String),
    #[error("Option {0} requires an argument\n400 unable to parse option")]
    NoValue(String),
    #[error("400 unable to parse boolean option")]
    Boolean,
    #[error("400 not enough arguments")]
    TooFew,
    #[error("400 too many arguments")]
    TooMany,
}

/// What an option is to the parser: whether it may stand without a value, and whose it is.
struct Known {
    boolean: bool,
    own: bool,
}

fn known(name: &str, method: &Method, command: &Command) -> Option<Known> {
    if let Some(own) = command.own.iter().find(|own| own.name == name) {
        return Some(Known { boolean: own.boolean, own: true });
    }
    let taken = command.args.contains(&name) || command.fixed.iter().any(|(fixed, _)| *fixed == name);
    if taken || method.path_names().any(|path| path == name) {
        return None;
    }
    Some(Known { boolean: method.property(name)?.kind == Kind::Boolean, own: false })
}

/// Options may stand anywhere, with one dash or two.
pub(super) fn parse(words: &[String], method: &Method, command: &Command) -> Result<Line, Wrong> {
    let (mut line, mut places) = (Line::default(), Vec::new());
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            places.push(word.clone());
            continue;
        };
        let option = option.strip_prefix('-').unwrap_or(option);
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        let known = known(name, method, command).ok_or_else(|| Wrong::Unknown(name.to_owned()))?;
        let mut next = || words.next_if(|next| !known.boolean || !next.starts_with('-')).cloned();
        let value = value.map(str::to_owned).or_else(&mut next);
        let value = match value {
            Some(value) if known.boolean => flag(&value)?.to_owned(),
            Some(value) => value,
            None if known.boolean => "1".to_owned(),
            None => return Err(Wrong::NoValue(name.to_owned())),
        };
        let place = if known.own { &mut line.own } else { &mut line.params };
        let joined = place.get(name).filter(|_| !known.boolean).map(|before| format!("{before},{value}"));
        place.insert(name.to_owned(), joined.unwrap_or(value));
    }
    by_place(&mut line, places, command)?;
    Ok(line)
}

fn by_place(line: &mut Line, places: Vec<String>, command: &Command) -> Result<(), Wrong> {
    if command.rest {
        if let (Some(name), false) = (command.args.first(), places.is_empty()) {
            line.params.insert((*name).to_owned(), places.join(","));
        }
        return Ok(());
    }
    if places.len() > command.args.len() {
        return Err(Wrong::TooMany);
    }
    if places.len() < command.args.len() {
        return Err(Wrong::TooFew);
    }
    line.params.extend(command.args.iter().map(|name| (*name).to_owned()).zip(places));
    Ok(())
}

fn flag(text: &str) -> Result<&'static str, Wrong> {
    match text.to_ascii_lowercase().as_str() {
        "" | "1" | "on" | "yes" | "true" => Ok("1"),
        "0" | "off" | "no" | "false" => Ok("0"),
        _ => Err(Wrong::Boolean),
    }
}
