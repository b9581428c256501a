//! References to secrets as configuration writes them: `pass:PATH#last`, `env:NAME`, `file:PATH`, `cmd:["a","b"]`.

use std::fmt;
use std::str::FromStr;

/// Which part of a pass entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassPart {
    /// The first line: pass's own convention for a password.
    First,
    /// Line N, from 1 (`#line=2`).
    Line(usize),
    /// The last line that is not blank (`#last`).
    Last,
    /// The value of a line `key: value` (`#key`).
    Key(String),
}

/// Where a secret is. Holds no secret itself, so it can be shown and stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    Pass {
        path: String,
        part: Option<PassPart>,
    },
    Env(String),
    /// `~` is the home folder.
    File(String),
    Cmd(Vec<String>),
}

/// Why a text is no usable reference. A mistake in configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRef {
    /// The text is not repeated: it may be the secret itself, put in the place of a reference.
    #[error("expected a reference to a secret: pass:PATH, env:NAME, file:PATH or cmd:[\"PROGRAM\",\"ARGUMENT\"]")]
    NoReference,
    #[error(
        "{scheme}: references are not supported yet; use cmd:[…] with that tool's own command, for example {example}"
    )]
    NotYet { scheme: &'static str, example: &'static str },
    #[error("{scheme}: {expected}")]
    Wrong { scheme: &'static str, expected: &'static str },
}

const LATER: [(&str, &str); 3] = [
    ("op", r#"cmd:["op","read","op://vault/item/field"]"#),
    ("vault", r#"cmd:["vault","kv","get","-field=NAME","secret/PATH"]"#),
    ("sops", r#"cmd:["sops","decrypt","--extract","[\"NAME\"]","FILE"]"#),
];

impl FromStr for SecretRef {
    type Err = BadRef;

    fn from_str(text: &str) -> Result<Self, BadRef> {
        let (scheme, rest) = text.trim().split_once(':').ok_or(BadRef::NoReference)?;
        let rest = rest.trim();
        match scheme {
            "pass" => pass(rest),
            "env" => env(rest),
            "file" if rest.is_empty() => Err(BadRef::Wrong { scheme: "file", expected: "expected a path" }),
            "file" => Ok(Self::File(rest.to_owned())),
            "cmd" => command(rest),
            other => match LATER.iter().find(|(scheme, _)| *scheme == other) {
                Some((scheme, example)) => Err(BadRef::NotYet { scheme, example }),
                None => Err(BadRef::NoReference),
            },
        }
    }
}

fn pass(rest: &str) -> Result<SecretRef, BadRef> {
    let wrong = |expected| Err(BadRef::Wrong { scheme: "pass", expected });
    let (path, part) = match rest.split_once('#') {
        None => (rest, None),
        Some((path, "last")) => (path, Some(PassPart::Last)),
        Some((path, selector)) => match selector.strip_prefix("line=").map(str::parse::<usize>) {
            Some(Ok(1)) => (path, Some(PassPart::First)),
            Some(Ok(n)) if n > 1 => (path, Some(PassPart::Line(n))),
            Some(_) => return wrong("after #line= expected a number from 1"),
            None if selector.is_empty() => return wrong("after # expected line=N, last or a key"),
            None => (path, Some(PassPart::Key(selector.to_owned()))),
        },
    };
    // A leading dash would be an option of pass's; `..` would leave the store.
    if path.is_empty() || path.starts_with(['-', '/']) || path.split('/').any(|s| s == "..") {
        return wrong("expected the path of an entry inside the store");
    }
    Ok(SecretRef::Pass { path: path.to_owned(), part })
}

fn env(name: &str) -> Result<SecretRef, BadRef> {
    let fits = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match fits {
        true => Ok(SecretRef::Env(name.to_owned())),
        false => Err(BadRef::Wrong { scheme: "env", expected: "expected the name of an environment variable" }),
    }
}

fn command(list: &str) -> Result<SecretRef, BadRef> {
    match serde_json::from_str::<Vec<String>>(list) {
        Ok(words) if words.first().is_some_and(|w| !w.is_empty()) => Ok(SecretRef::Cmd(words)),
        _ => Err(BadRef::Wrong { scheme: "cmd", expected: r#"expected a list of words, as in cmd:["op","read","x"]"# }),
    }
}

impl SecretRef {
    /// Whether it runs a program that the configuration names: such a reference must be trusted once.
    pub fn needs_trust(&self) -> bool {
        matches!(self, Self::Cmd(_))
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass { path, part } => {
                write!(f, "pass:{path}")?;
                match part {
                    None => Ok(()),
                    Some(PassPart::First) => f.write_str("#line=1"),
                    Some(PassPart::Line(n)) => write!(f, "#line={n}"),
                    Some(PassPart::Last) => f.write_str("#last"),
                    Some(PassPart::Key(key)) => write!(f, "#{key}"),
                }
            }
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
            Self::Cmd(words) => write!(f, "cmd:{}", serde_json::Value::from(words.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_read_back_as_they_were_written() {
        for text in [
            "pass:lab.example/pve/api-token",
            "pass:a/b#line=1",
            "pass:a/b#line=3",
            "pass:a/b#last",
            "pass:a/b#password",
            "env:PVE_TOKEN",
            "file:~/.config/token",
            r#"cmd:["op","read","op://v/i/f"]"#,
        ] {
            assert_eq!(text.parse::<SecretRef>().unwrap().to_string(), text);
        }
        assert!(r#"cmd:["x"]"#.parse::<SecretRef>().unwrap().needs_trust());
    }

    #[test]
    fn what_is_not_supported_says_what_to_do() {
        for text in ["op://v/i/f", "vault:secret/pve#token", "sops:x.yaml#pve"] {
            let error = text.parse::<SecretRef>().unwrap_err().to_string();
            assert!(error.contains("not supported yet") && error.contains("cmd:["), "{error}");
        }
    }

    #[test]
    fn wrong_references_are_refused_and_never_repeated() {
        for text in [
            "hunter2-hunter2",
            "nothing:here",
            "pass:",
            "pass:-c/x",
            "pass:../x",
            "pass:a#line=0",
            "pass:a#",
            "env:A B",
            "env:1A",
            "file:",
            "cmd:op read",
            "cmd:[]",
            "cmd:[1]",
        ] {
            let error = text.parse::<SecretRef>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
