//! What a step asks to be run, read from its parameters.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::clients::local::Command;
use crate::engine::ports::Call;
use crate::model::failure::{Class, Failure};
use crate::model::shell::quote as quoted;

/// Bytes kept of each stream: enough for what a step hands on, little enough for every step of a large run.
pub const KEEP: usize = 64 << 10;

/// Between TERM and KILL: within what a step that is told to stop at its timeout is given.
pub const GRACE: Duration = Duration::from_secs(3);

/// A command and when it has worked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub argv: Vec<String>,
    /// In the place of words: text for `/bin/sh -eu`.
    pub script: Option<String>,
    pub env: Vec<(String, Option<String>)>,
    /// Absolute.
    pub cwd: PathBuf,
    /// Whether `cwd` depends on where runbook was started.
    pub relative: bool,
    pub stdin: String,
    /// Absolute.
    pub creates: Option<PathBuf>,
    pub ok: Vec<i32>,
    pub unchanged: Vec<i32>,
}

impl Order {
    /// `folder`: where relative paths begin.
    ///
    /// # Errors
    /// Not exactly one of `argv` and `script`, or a word or variable that is no text.
    pub fn of(call: &Call, folder: &Path) -> Result<Self, Failure> {
        let refuse = |cause: String| Failure::new(Class::Precondition, "run a local command", cause);
        let (argv, script) = asked(call, refuse)?;
        let given: Option<PathBuf> = call.arg("cwd")?;
        Ok(Self {
            argv,
            script,
            env: variables(&call.arg::<Option<_>>("env")?.unwrap_or_default()).map_err(refuse)?,
            relative: given.as_ref().is_none_or(|cwd| cwd.is_relative()),
            cwd: given.map_or_else(|| folder.to_owned(), |cwd| folder.join(cwd)),
            stdin: call.arg::<Option<_>>("stdin")?.unwrap_or_default(),
            creates: call.arg::<Option<PathBuf>>("creates")?.map(|path| folder.join(path)),
            ok: call.arg::<Option<_>>("ok_codes")?.unwrap_or_else(|| vec![0]),
            unchanged: call.arg::<Option<_>>("unchanged_codes")?.unwrap_or_default(),
        })
    }

    pub fn command(&self) -> Command {
        Command {
            argv: program(&self.argv, self.script.as_deref()),
            env: self.env.clone(),
            cwd: self.cwd.clone(),
            stdin: self.stdin.clone().into_bytes(),
            keep: KEEP,
            grace: GRACE,
        }
    }

    /// `systemctl restart x`, or a script's first line; one line that is not too long.
    pub fn title(&self) -> String {
        title(&self.argv, self.script.as_deref())
    }

    /// What a person would type.
    pub fn typed(&self) -> String {
        let mut words = vec!["cd".to_owned(), quoted(&self.cwd.display().to_string()), "&&".into()];
        let set = self.env.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let unset: Vec<&String> = self.env.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        if !unset.is_empty() {
            words.push("env".into());
            words.extend(unset.into_iter().map(|name| format!("-u {name}")));
        }
        words.extend(set.map(|(name, value)| format!("{name}={}", quoted(value))));
        words.extend(self.command().argv.iter().map(|word| quoted(word)));
        let line = words.join(" ");
        if self.stdin.is_empty() { line } else { format!("printf %s {} | ({line})", quoted(&self.stdin)) }
    }
}

/// The words, or the script, that a step gives.
///
/// # Errors
/// What `refuse` makes of it: not exactly one of them, or a word that is no text.
pub fn asked(call: &Call, refuse: impl Fn(String) -> Failure) -> Result<(Vec<String>, Option<String>), Failure> {
    let argv: Option<Vec<Value>> = call.arg("argv")?;
    let script: Option<String> = call.arg("script")?;
    if argv.is_some() == script.is_some() {
        return Err(refuse("give one of `argv` (words) and `script` (text for /bin/sh -eu)".into()));
    }
    let argv = words(&argv.unwrap_or_default()).map_err(&refuse)?;
    if script.is_none() && argv.first().is_none_or(String::is_empty) {
        return Err(refuse("`argv` names no program".into()));
    }
    Ok((argv, script))
}

/// # Errors
/// Which of them is no word.
pub fn words(given: &[Value]) -> Result<Vec<String>, String> {
    given.iter().map(|value| text(value).ok_or_else(|| format!("argv: {value} is no word"))).collect()
}

/// What is run.
pub fn program(argv: &[String], script: Option<&str>) -> Vec<String> {
    match script {
        // The word behind the script is its name in the shell's messages.
        Some(script) => ["/bin/sh", "-eu", "-c", script, "script"].map(str::to_owned).to_vec(),
        None => argv.to_vec(),
    }
}

/// `systemctl restart x`, or a script's first line; one line that is not too long.
pub fn title(argv: &[String], script: Option<&str>) -> String {
    const MOST: usize = 100;
    let text = match script {
        Some(script) => {
            let mut lines = script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            let first = lines.next().unwrap_or("(empty)");
            format!("script: {first}{}", if lines.next().is_some() { " …" } else { "" })
        }
        None => argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
    };
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect();
    if line.len() < text.len() {
        line.push('…');
    }
    line
}

/// A text, a number or a truth as one word; nothing else is one.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Null takes a variable away.
pub fn variables(given: &Map<String, Value>) -> Result<Vec<(String, Option<String>)>, String> {
    let fits = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
    let one = |(name, value): (&String, &Value)| match (fits(name), value, text(value)) {
        (false, ..) => Err(format!("env: {name:?} is no name of a variable")),
        (true, Value::Null, _) => Ok((name.clone(), None)),
        (true, _, Some(text)) => Ok((name.clone(), Some(text))),
        (true, _, None) => Err(format!("env: the value of {name} is neither text nor number")),
    };
    given.iter().map(one).collect()
}
