//! Fetching a secret from where a reference says it is. No shell is involved, and no error shows a value.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::{PassPart, Redactor, SecretRef, TokenPair};
use crate::sys::files::{self, FileError};
use crate::sys::process::{self, Captured, Ended, ProcessError, Spec};

/// Why a secret could not be had. All are mistakes in configuration or on the machine.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("{reference}: the variable is not set")]
    NotSet { reference: String },
    #[error("{reference}: it is empty")]
    Empty { reference: String },
    #[error("{reference}: no {part} in the entry")]
    NoPart { reference: String, part: String },
    #[error("{reference}: {source}")]
    File { reference: String, source: FileError },
    #[error("{reference}: {source}")]
    Program { reference: String, source: ProcessError },
    #[error("{reference}: {program} failed ({how}){}", .message.as_ref().map(|m| format!(": {m}")).unwrap_or_default())]
    Failed { reference: String, program: String, how: Ended, message: Option<String> },
    #[error("{reference}: not UTF-8 text")]
    NotText { reference: String },
    #[error(
        "{reference}: not an API token; expected the token id (user@realm!name) in the first line and the secret in \
         the last, or one line ID=SECRET"
    )]
    NoToken { reference: String },
    #[error("{reference}: nothing can be kept there; expected pass:PATH or file:PATH")]
    ReadOnly { reference: String },
    #[error("{reference}: what was written does not read back as it was")]
    NotKept { reference: String },
}

/// Fetches secrets and tells the redactor of each.
#[derive(Debug, Clone)]
pub struct Secrets {
    redactor: Redactor,
    /// Over the process's own environment, for `env:` and for children.
    vars: BTreeMap<String, String>,
    timeout: Duration,
}

impl Secrets {
    /// With the process's own environment; a program has two minutes, for a person may have to type a PIN.
    pub fn new(redactor: Redactor) -> Self {
        Self { redactor, vars: BTreeMap::new(), timeout: Duration::from_secs(120) }
    }

    /// Adds variables over the process's own (`PATH` included).
    pub fn with_vars(mut self, vars: impl IntoIterator<Item = (String, String)>) -> Self {
        self.vars.extend(vars);
        self
    }

    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// The value, without the line's end behind it. Known to the redactor when this returns.
    pub async fn resolve(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let whole = self.whole(reference).await?;
        let value = match reference {
            SecretRef::Pass { part, .. } => part_of(reference, &whole, part.as_ref().unwrap_or(&PassPart::First))?,
            _ => whole.expose_secret().trim_end_matches(['\r', '\n']).to_owned().into(),
        };
        self.known(reference, value)
    }

    /// All of it, which may be many lines of `NAME=VALUE`. Known to the redactor when this returns, the values alone too.
    pub async fn text(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let whole = match reference {
            SecretRef::Pass { part: Some(_), .. } => self.resolve(reference).await?,
            _ => self.whole(reference).await?,
        };
        for line in whole.expose_secret().lines().map(str::trim) {
            self.redactor.register(line);
            line.split_once('=').into_iter().for_each(|(_, value)| _ = self.redactor.register(value.trim()));
        }
        self.known(reference, whole)
    }

    /// An API token: of a pass entry without a selector the first line is the id and the last line the secret.
    pub async fn token(&self, reference: &SecretRef) -> Result<TokenPair, SecretError> {
        let whole = match reference {
            SecretRef::Pass { part: Some(_), .. } => self.resolve(reference).await?,
            _ => self.whole(reference).await?,
        };
        let no_token = || SecretError::NoToken { reference: reference.to_string() };
        let pair = TokenPair::from_text(&whole).ok_or_else(no_token)?;
        self.redactor.register(pair.secret.expose_secret());
        Ok(pair)
    }

    fn known(&self, reference: &SecretRef, value: SecretString) -> Result<SecretString, SecretError> {
        let text = value.expose_secret();
        if text.trim().is_empty() {
            return Err(SecretError::Empty { reference: reference.to_string() });
        }
        if !self.redactor.register(text) {
            tracing::warn!(%reference, "this secret is too short to be redacted");
        }
        Ok(value)
    }

    pub(super) fn file(&self, path: &str) -> PathBuf {
        let home = self.var("HOME").map(PathBuf::from);
        files::expand_home(path, home.as_deref())
    }

    pub(super) async fn whole(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        match reference {
            SecretRef::Env(name) => {
                self.var(name).map(Into::into).ok_or_else(|| SecretError::NotSet { reference: reference.to_string() })
            }
            SecretRef::File(path) => {
                let text = files::read_private_text(self.file(path));
                let failed = |source| SecretError::File { reference: reference.to_string(), source };
                text.map(Into::into).map_err(failed)
            }
            SecretRef::Pass { path, .. } => self.program(reference, "pass", &["show", path], &[]).await,
            SecretRef::Cmd(words) => {
                let args: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
                self.program(reference, &words[0], &args, &[]).await
            }
        }
    }

    fn var(&self, name: &str) -> Option<String> {
        self.vars.get(name).cloned().or_else(|| std::env::var(name).ok())
    }

    /// What it writes; `input` is what it reads, and is never an argument.
    pub(super) async fn program(
        &self,
        reference: &SecretRef,
        name: &str,
        args: &[&str],
        input: &[u8],
    ) -> Result<SecretString, SecretError> {
        let failed = |source| SecretError::Program { reference: reference.to_string(), source };
        let path = self.vars.get("PATH").map(std::ffi::OsStr::new);
        let mut spec =
            Spec::new(process::which(name, path).map_err(failed)?).args(args).stdin(input).deadline(self.timeout);
        for (name, value) in &self.vars {
            spec = spec.env(name, value);
        }
        let got = process::run(spec).await.map_err(failed)?;
        if !got.success() {
            return Err(self.failure(reference, name, &got));
        }
        let text = String::from_utf8(got.stdout);
        text.map(Into::into).map_err(|_| SecretError::NotText { reference: reference.to_string() })
    }

    /// Only stderr's last line is told, and even that only redacted: the secret is on stdout.
    fn failure(&self, reference: &SecretRef, program: &str, got: &Captured) -> SecretError {
        let message = got.last_error_line().map(|line| self.redactor.redact(&line).into_owned());
        SecretError::Failed { reference: reference.to_string(), program: program.to_owned(), how: got.ended, message }
    }
}

fn part_of(reference: &SecretRef, whole: &SecretString, part: &PassPart) -> Result<SecretString, SecretError> {
    let text = whole.expose_secret();
    let (found, what) = match part {
        PassPart::First => (text.lines().next(), "first line".to_owned()),
        PassPart::Line(n) => (text.lines().nth(n - 1), format!("line {n}")),
        PassPart::Last => (text.lines().rfind(|line| !line.trim().is_empty()), "last line".to_owned()),
        PassPart::Key(key) => (value_of(text, key), format!("line '{key}: …'")),
    };
    match found.map(str::trim) {
        Some(value) if !value.is_empty() => Ok(value.to_owned().into()),
        _ => Err(SecretError::NoPart { reference: reference.to_string(), part: what }),
    }
}

fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const ENTRY: &str = "ops@pve!rb\nurl: https://pve1:8006\nnote : two words\n\n1111-2222-3333\n";

    fn secrets(path: &Path) -> Secrets {
        let path = format!("{}:{}", path.display(), std::env::var("PATH").unwrap_or_default());
        Secrets::new(Redactor::new()).with_vars([("PATH".to_owned(), path)])
    }

    /// A `pass` that knows one entry and shows its arguments on stderr when it fails.
    fn fake_pass(dir: &Path) -> Secrets {
        let script = format!(
            "#!/bin/sh\n[ \"$1 $2\" = 'show lab/pve token' ] || {{ echo \"Error: $2 is not in the password store.\" >&2; \
             exit 1; }}\nprintf '{}'\n",
            ENTRY.replace('\n', "\\n")
        );
        files::write_atomic(dir.join("pass"), script.as_bytes(), 0o755).unwrap();
        secrets(dir)
    }

    async fn get(secrets: &Secrets, reference: &str) -> Result<String, SecretError> {
        secrets.resolve(&reference.parse().unwrap()).await.map(|s| s.expose_secret().to_owned())
    }

    #[tokio::test]
    async fn parts_of_a_pass_entry_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = fake_pass(dir.path());
        for (part, value) in [
            ("", "ops@pve!rb"),
            ("#line=1", "ops@pve!rb"),
            ("#line=2", "url: https://pve1:8006"),
            ("#last", "1111-2222-3333"),
            ("#url", "https://pve1:8006"),
            ("#note", "two words"),
        ] {
            assert_eq!(get(&secrets, &format!("pass:lab/pve token{part}")).await.unwrap(), value);
        }
        for part in ["#line=4", "#line=9", "#nothing"] {
            let error = get(&secrets, &format!("pass:lab/pve token{part}")).await.unwrap_err();
            assert!(matches!(error, SecretError::NoPart { .. }), "{error}");
        }
        assert_eq!(secrets.redactor().redact("x 1111-2222-3333"), "x (redacted)");
    }

    #[tokio::test]
    async fn a_token_is_the_first_and_the_last_line() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = fake_pass(dir.path());
        let pair = secrets.token(&"pass:lab/pve token".parse().unwrap()).await.unwrap();
        assert_eq!((pair.id.as_str(), pair.secret.expose_secret()), ("ops@pve!rb", "1111-2222-3333"));
        assert!(secrets.redactor().finds("1111-2222-3333") && !secrets.redactor().finds("ops@pve!rb"));
        let error = secrets.token(&"pass:lab/pve token#last".parse().unwrap()).await.unwrap_err();
        assert!(!error.to_string().contains("1111"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_entry_is_told_with_the_words_of_pass() {
        let dir = tempfile::tempdir().unwrap();
        let error = get(&fake_pass(dir.path()), "pass:no/such").await.unwrap_err().to_string();
        assert_eq!(error, "pass:no/such: pass failed (exit code 1): Error: no/such is not in the password store.");
        let nowhere = Secrets::new(Redactor::new()).with_vars([("PATH".to_owned(), "/nowhere".to_owned())]);
        let error = get(&nowhere, "pass:x").await.unwrap_err().to_string();
        assert!(error.contains("pass: not found on PATH"), "{error}");
    }

    #[tokio::test]
    async fn variables_files_and_commands_answer() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        files::write_private(&file, b"file-secret\n").unwrap();
        let secrets = secrets(dir.path()).with_vars([
            ("RB_TEST_SECRET".to_owned(), "env-secret".to_owned()),
            ("RB_TEST_EMPTY".to_owned(), String::new()),
            ("HOME".to_owned(), dir.path().display().to_string()),
        ]);
        for (reference, value) in [
            ("env:RB_TEST_SECRET", "env-secret"),
            ("file:~/token", "file-secret"),
            (r#"cmd:["printf","%s\n","$HOME cmd-secret"]"#, "$HOME cmd-secret"),
        ] {
            assert_eq!(get(&secrets, reference).await.unwrap(), value);
            assert!(secrets.redactor().finds(value));
        }
        assert!(matches!(get(&secrets, "env:RB_TEST_EMPTY").await, Err(SecretError::Empty { .. })));
        assert!(matches!(get(&secrets, "env:RB_TEST_NONE").await, Err(SecretError::NotSet { .. })));
    }

    #[tokio::test]
    async fn a_file_for_all_to_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        files::write_atomic(&file, b"file-secret", 0o644).unwrap();
        let error = get(&secrets(dir.path()), &format!("file:{}", file.display())).await.unwrap_err().to_string();
        assert!(error.contains("chmod 600") && !error.contains("file-secret"), "{error}");
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = secrets(dir.path()).with_timeout(Duration::from_millis(100));
        let error = get(&secrets, r#"cmd:["sleep","60"]"#).await.unwrap_err();
        assert!(matches!(error, SecretError::Failed { how: Ended::Deadline, .. }), "{error}");
    }
}
