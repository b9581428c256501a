//! What a step asks to be run on a host, read from its parameters.

use crate::actions::local::order as local;
use crate::clients::ssh::Job;
use crate::engine::ports::Call;
use crate::model::failure::{Class, Failure};
use crate::model::shell;

/// A command on a host and when it has worked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub host: String,
    pub argv: Vec<String>,
    /// In the place of words: text for the host's `/bin/sh -eu`.
    pub script: Option<String>,
    pub env: Vec<(String, Option<String>)>,
    pub stdin: String,
    /// Absolute, on the host.
    pub creates: Option<String>,
    pub ok: Vec<i32>,
    pub unchanged: Vec<i32>,
}

impl Order {
    /// # Errors
    /// Not exactly one of `argv` and `script`, a word or variable that is no text, or a path that is not absolute.
    pub fn of(call: &Call) -> Result<Self, Failure> {
        let refuse = |cause: String| Failure::new(Class::Precondition, "run a command over SSH", cause);
        let (argv, script) = local::asked(call, refuse)?;
        let env = local::variables(&call.arg::<Option<_>>("env")?.unwrap_or_default()).map_err(refuse)?;
        // They are set by the host's shell, which takes no others.
        let plain = |name: &str| {
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        if let Some((name, _)) = env.iter().find(|(name, _)| !plain(name)) {
            return Err(refuse(format!("env: {name:?} is no name of a variable for a shell")));
        }
        let creates: Option<String> = call.arg("creates")?;
        if let Some(path) = creates.as_ref().filter(|path| !path.starts_with('/')) {
            return Err(refuse(format!("creates: {path:?} is not absolute; expected a path of the host, as /etc/x")));
        }
        Ok(Self {
            host: call.arg("host")?,
            argv,
            script,
            env,
            stdin: call.arg::<Option<_>>("stdin")?.unwrap_or_default(),
            creates,
            ok: call.arg::<Option<_>>("ok_codes")?.unwrap_or_else(|| vec![0]),
            unchanged: call.arg::<Option<_>>("unchanged_codes")?.unwrap_or_default(),
        })
    }

    pub fn job(&self) -> Job {
        Job {
            argv: local::program(&self.argv, self.script.as_deref()),
            env: self.env.clone(),
            stdin: self.stdin.clone().into_bytes(),
            keep: local::KEEP,
        }
    }

    pub fn title(&self) -> String {
        local::title(&self.argv, self.script.as_deref())
    }

    /// `` run `uptime` on pve1 ``
    pub fn attempted(&self) -> String {
        format!("run `{}` on {}", self.title(), self.host)
    }

    /// What a person would type.
    pub fn typed(&self) -> String {
        let mut words = Vec::new();
        if !self.env.is_empty() {
            words.push("env".to_owned());
            for (name, value) in self.env.iter().filter(|(_, value)| value.is_none()).chain(&self.env) {
                match value {
                    Some(value) => words.push(format!("{name}={value}")),
                    None if !words.contains(name) => words.extend(["-u".to_owned(), name.clone()]),
                    None => {}
                }
            }
        }
        words.extend(local::program(&self.argv, self.script.as_deref()));
        let line = over(&self.host, &shell::line(words));
        if self.stdin.is_empty() { line } else { format!("printf %s {} | {line}", shell::quote(&self.stdin)) }
    }
}

/// `ssh HOST -- COMMAND`: quoted once for this shell and once for the host's.
pub fn over(host: &str, command: &str) -> String {
    format!("ssh {} -- {}", shell::quote(host), shell::quote(command))
}
