//! Reads a command line as cobra and pflag do.

use std::collections::BTreeMap;

use super::data::{Command, Contract, Flag};

/// Stands for what is not known yet, as the whole word or a part of it: it is taken for what would be right. No argument of a
/// program can have it.
pub const OPEN: char = '\u{0}';

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Typed {
    /// `["etcd", "snapshot"]`
    pub path: Vec<String>,
    /// By the flag's long name, each value as it was given; a flag of several values has each on its own.
    pub flags: BTreeMap<String, Vec<String>>,
    pub args: Vec<String>,
    /// Help was asked for, or a head of other commands was named: nothing is done and nothing fails.
    pub help: bool,
    /// What is said of flags that are not to be used any more, on stderr.
    pub warnings: Vec<String>,
}

impl Typed {
    /// The last value of a flag.
    pub fn flag(&self, name: &str) -> Option<&str> {
        self.flags.get(name)?.last().map(String::as_str)
    }

    /// Whether a flag is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.flag(name).is_some_and(is_true)
    }

    /// All values of a flag.
    pub fn all(&self, name: &str) -> &[String] {
        self.flags.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Why it is refused: one line on stderr, exit code 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub message: String,
}

fn refuse<T>(message: String) -> Result<T, Refusal> {
    Err(Refusal { message })
}

impl Contract {
    /// Reads what comes after the program's name.
    ///
    /// # Errors
    /// What this version of talosctl refuses before it has spoken to anybody.
    pub fn parse(&self, words: &[String]) -> Result<Typed, Refusal> {
        let mut reading = Reading { contract: self, typed: Typed::default(), command: None, open: false };
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            if reading.open {
                break;
            }
            match word.as_str() {
                "--" => {
                    reading.typed.args.extend(rest.cloned());
                    break;
                }
                "--help" | "-h" => reading.typed.help = true,
                long if long.starts_with("--") => reading.long(&long[2..], &mut rest)?,
                short if short.starts_with('-') && short.len() > 1 => reading.shorthands(&short[1..], &mut rest)?,
                plain => reading.word(plain)?,
            }
        }
        reading.end()
    }
}

struct Reading<'a> {
    contract: &'a Contract,
    typed: Typed,
    command: Option<&'a Command>,
    /// What comes is not to be judged.
    open: bool,
}

impl Reading<'_> {
    /// A word that is no flag: a command, or what it is about.
    fn word(&mut self, word: &str) -> Result<(), Refusal> {
        // Which command it will be is not known, nor then what may follow.
        if word.contains(OPEN) && self.typed.args.is_empty() && self.contract.has_below(&self.typed.path) {
            self.open = true;
        }
        if self.typed.args.is_empty()
            && let Some(next) = self.below(word)
        {
            self.typed.path.push(next);
            self.command = self.contract.commands.iter().find(|command| command.path == self.typed.path);
            return Ok(());
        }
        if self.typed.path.is_empty() && !self.open {
            return refuse(format!("unknown command {word:?} for \"talosctl\""));
        }
        self.typed.args.push(word.to_owned());
        Ok(())
    }

    /// The command of this name, or alias, under what was typed so far.
    fn below(&self, word: &str) -> Option<String> {
        let (depth, path) = (self.typed.path.len(), &self.typed.path);
        let under = self.contract.commands.iter().filter(|c| c.path.len() > depth && c.path.starts_with(path));
        let mut under = under.filter(|c| {
            c.path[depth] == word || c.path.len() == depth + 1 && c.aliases.iter().any(|alias| alias == word)
        });
        under.next().map(|command| command.path[depth].clone())
    }

    fn find(&self, fits: impl Fn(&Flag) -> bool) -> Option<&Flag> {
        match self.command {
            Some(command) => self.contract.flags_of(command).find(|flag| fits(flag)),
            // Before the command only those of every command can stand.
            None => self.contract.globals.iter().find(|flag| fits(flag)),
        }
    }

    fn long<'a>(&mut self, text: &str, rest: &mut impl Iterator<Item = &'a String>) -> Result<(), Refusal> {
        let (name, given) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let Some(flag) = self.find(|flag| flag.name == name) else {
            self.open = name.contains(OPEN);
            return if self.open { Ok(()) } else { refuse(format!("unknown flag: --{name}")) };
        };
        let value = match given {
            Some(value) => value.to_owned(),
            None if flag.is_bool() => "true".to_owned(),
            None => match rest.next() {
                Some(next) => next.clone(),
                None => return refuse(format!("flag needs an argument: --{name}")),
            },
        };
        let (name, values, warning) = taken(flag, &value)?;
        self.keep(name, values, warning);
        Ok(())
    }

    /// `-in`, `-n10.0.0.2`, `-n=10.0.0.2`, `-n 10.0.0.2`.
    fn shorthands<'a>(&mut self, text: &str, rest: &mut impl Iterator<Item = &'a String>) -> Result<(), Refusal> {
        let mut at = text;
        while let Some(letter) = at.chars().next() {
            if letter == OPEN {
                self.open = true;
                return Ok(());
            }
            let Some(flag) = self.find(|flag| flag.short == Some(letter)) else {
                return refuse(format!("unknown shorthand flag: '{letter}' in -{at}"));
            };
            let after = &at[letter.len_utf8()..];
            let (value, next) = match after.strip_prefix('=') {
                Some(value) => (value.to_owned(), ""),
                None if flag.is_bool() => ("true".to_owned(), after),
                None if !after.is_empty() => (after.to_owned(), ""),
                None => match rest.next() {
                    Some(next) => (next.clone(), ""),
                    None => return refuse(format!("flag needs an argument: '{letter}' in -{at}")),
                },
            };
            let (name, values, warning) = taken(flag, &value)?;
            self.keep(name, values, warning);
            at = next;
        }
        Ok(())
    }

    fn keep(&mut self, name: String, values: Vec<String>, warning: Option<String>) {
        self.typed.flags.entry(name).or_default().extend(values);
        self.typed.warnings.extend(warning);
    }

    fn end(mut self) -> Result<Typed, Refusal> {
        let runnable = self.command.filter(|command| command.runnable);
        // A head of other commands shows its help and is content with anything.
        self.typed.help |= runnable.is_none() && !self.open;
        // A word of which nothing is known may as well be a flag.
        let countable = !self.open && !self.typed.args.iter().any(|word| word.starts_with(OPEN));
        if !self.typed.help
            && let Some(command) = runnable
            && countable
        {
            counted(command, &self.typed.args)?;
            complete(&self.typed)?;
        }
        Ok(self.typed)
    }
}

/// A flag's name, its values, and what is said of its use.
fn taken(flag: &Flag, value: &str) -> Result<(String, Vec<String>, Option<String>), Refusal> {
    let bad = |why: String| refuse(format!("invalid argument {value:?} for {:?} flag: {why}", flag.title()));
    let number = |of: &str| format!("strconv.Parse{of}: parsing {value:?}: invalid syntax");
    match flag.kind.as_str() {
        _ if value.contains(OPEN) => {}
        "bool" if !is_bool(value) => return bad(number("Bool")),
        "int" | "int32" if value.parse::<i32>().is_err() => return bad(number("Int")),
        "uint" | "uint16" if value.parse::<u32>().is_err() => return bad(number("Uint")),
        "float" if value.parse::<f64>().is_err() => return bad(number("Float")),
        "duration" if !is_duration(value) => return bad(format!("time: invalid duration {value:?}")),
        choices if choices.contains(", ") && !choices.split(", ").any(|choice| choice == value) => {
            return bad(format!("must be one of [{choices}]"));
        }
        _ => {}
    }
    let values = match flag.kind.as_str() {
        "strings" => value.split(',').map(str::to_owned).collect(),
        _ => vec![value.to_owned()],
    };
    let warning = flag.deprecated.as_ref().map(|why| format!("Flag --{} has been deprecated, {why}", flag.name));
    Ok((flag.name.clone(), values, warning))
}

fn counted(command: &Command, args: &[String]) -> Result<(), Refusal> {
    let Some(rule) = &command.args else { return Ok(()) };
    let (name, numbers) = rule.split_once('(').unwrap_or((rule, ""));
    let numbers: Vec<usize> =
        numbers.split(|c: char| !c.is_ascii_digit()).filter_map(|text| text.parse().ok()).collect();
    let (first, second, n) = (numbers.first().copied(), numbers.get(1).copied(), args.len());
    match (name, first, second) {
        ("NoArgs", ..) => match args.first() {
            Some(word) => refuse(format!("unknown command {word:?} for \"talosctl {}\"", command.path.join(" "))),
            None => Ok(()),
        },
        ("ExactArgs" | "MatchAll", Some(k), _) if n != k => refuse(format!("accepts {k} arg(s), received {n}")),
        ("MaximumNArgs", Some(k), _) if n > k => refuse(format!("accepts at most {k} arg(s), received {n}")),
        ("MinimumNArgs", Some(k), _) if n < k => refuse(format!("requires at least {k} arg(s), only received {n}")),
        ("RangeArgs", Some(a), Some(b)) if n < a || n > b => {
            refuse(format!("accepts between {a} and {b} arg(s), received {n}"))
        }
        _ => Ok(()),
    }
}

/// Flags that a command does not do without, of all versions; cobra names them sorted.
///
/// Source: `cmd/talosctl/cmd/mgmt/gen`, `MarkFlagRequired`.
const REQUIRED: [(&[&str], &[&str]); 5] = [
    (&["gen", "ca"], &["organization"]),
    (&["gen", "crt"], &["ca", "csr", "name"]),
    (&["gen", "csr"], &["ip", "key"]),
    (&["gen", "key"], &["name"]),
    (&["gen", "keypair"], &["organization"]),
];

fn complete(typed: &Typed) -> Result<(), Refusal> {
    let wanted = REQUIRED.iter().find(|(path, _)| typed.path == *path).map_or(&[][..], |(_, flags)| flags);
    let missing: Vec<&str> = wanted.iter().copied().filter(|flag| !typed.flags.contains_key(*flag)).collect();
    match missing[..] {
        [] => Ok(()),
        _ => refuse(format!("required flag(s) \"{}\" not set", missing.join("\", \""))),
    }
}

fn is_true(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// As Go's `strconv.ParseBool` reads it.
fn is_bool(value: &str) -> bool {
    is_true(value) || matches!(value, "0" | "f" | "F" | "false" | "FALSE" | "False")
}

/// As Go's `time.ParseDuration` reads it: `1h30m`, `500ms`, `0`.
fn is_duration(value: &str) -> bool {
    let mut rest = value.strip_prefix(['-', '+']).unwrap_or(value);
    if rest == "0" {
        return true;
    }
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = &rest[..rest.len() - digits.len()];
        let unit = ["ns", "us", "µs", "ms", "s", "m", "h"].into_iter().filter(|unit| digits.starts_with(unit));
        // The longest that fits: `ms` before `m`.
        let Some(unit) = unit.max_by_key(|unit| unit.len()) else { return false };
        if number.parse::<f64>().is_err() {
            return false;
        }
        (rest, any) = (&digits[unit.len()..], true);
    }
    any
}
