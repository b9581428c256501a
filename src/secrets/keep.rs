//! Writing an API token to where secrets are kept: an entry of pass, or a file for its owner alone.
//!
//! First line the id, second the secret: what [`Secrets::token`] reads. An entry with the id alone keeps the place of a
//! token that is about to be made, so that a store which takes nothing is found before there is a secret to lose.

use secrecy::{ExposeSecret, SecretString};

use super::{SecretError, SecretRef, Secrets, TokenPair};
use crate::sys::files::{self, FileError};

/// What is under a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Nothing,
    /// Only the place of the token of this id.
    Place(String),
    /// The token of this id.
    Token(String),
    Other,
}

fn entry_of(text: &SecretString) -> Entry {
    if let Some(pair) = TokenPair::from_text(text) {
        return Entry::Token(pair.id);
    }
    let text = text.expose_secret().trim();
    let is_id = text.split_once('!').is_some_and(|(user, name)| user.contains('@') && !name.is_empty());
    if is_id && !text.contains(char::is_whitespace) && !text.contains('=') {
        Entry::Place(text.to_owned())
    } else {
        Entry::Other
    }
}

fn is_missing(error: &SecretError) -> bool {
    match error {
        SecretError::File { source, .. } => source.is_not_found(),
        SecretError::Failed { message: Some(said), .. } => said.contains("is not in the password store"),
        _ => false,
    }
}

impl Secrets {
    /// What is under a reference; a secret that is there is known to the redactor afterwards.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn entry(&self, reference: &SecretRef) -> Result<Entry, SecretError> {
        match self.whole(reference).await {
            Ok(text) => {
                if let Some(pair) = TokenPair::from_text(&text) {
                    self.redactor().register(pair.secret.expose_secret());
                }
                Ok(entry_of(&text))
            }
            Err(error) if is_missing(&error) => Ok(Entry::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Writes a token over what is there, or only its id, and reads it back.
    ///
    /// # Errors
    /// Nothing can be kept under this reference, or the store has not taken it.
    pub async fn keep(
        &self,
        reference: &SecretRef,
        id: &str,
        secret: Option<&SecretString>,
    ) -> Result<(), SecretError> {
        let text: SecretString = match secret {
            Some(secret) => format!("{id}\n{}\n", secret.expose_secret()),
            None => format!("{id}\n"),
        }
        .into();
        match reference {
            SecretRef::Pass { path, part: None } => {
                let words = ["insert", "--multiline", "--force", path];
                self.program(reference, "pass", &words, text.expose_secret().as_bytes()).await?;
            }
            SecretRef::File(path) => {
                let failed = |source: FileError| SecretError::File { reference: reference.to_string(), source };
                let path = self.file(path);
                if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    files::make_private_dir(folder).map_err(failed)?;
                }
                files::write_private(&path, text.expose_secret().as_bytes()).map_err(failed)?;
            }
            _ => return Err(SecretError::ReadOnly { reference: reference.to_string() }),
        }
        let back = self.whole(reference).await?;
        if back.expose_secret().trim_end() == text.expose_secret().trim_end() {
            return Ok(());
        }
        Err(SecretError::NotKept { reference: reference.to_string() })
    }

    /// Takes away what is there.
    ///
    /// # Errors
    /// It is not a place where anything is kept, or the store has not let it go.
    pub async fn forget(&self, reference: &SecretRef) -> Result<(), SecretError> {
        match reference {
            SecretRef::Pass { path, part: None } => {
                self.program(reference, "pass", &["rm", "--force", path], &[]).await.map(drop)
            }
            SecretRef::File(path) => {
                let failed = |source| SecretError::File { reference: reference.to_string(), source };
                files::remove(self.file(path)).map_err(failed)
            }
            _ => Err(SecretError::ReadOnly { reference: reference.to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Redactor;
    use std::path::Path;

    const ID: &str = "auto@pve!runbook";

    /// A `pass` that keeps its entries as files and writes down its own arguments.
    fn fake_pass(dir: &Path) -> Secrets {
        let script = format!(
            "#!/bin/sh\ncd {dir} || exit 1\necho \"$*\" >>argv\nfor path; do :; done\ncase $1 in\n\
             show) [ -f \"$path.gpg\" ] || {{ echo \"Error: $path is not in the password store.\" >&2; exit 1; }}; \
             cat \"$path.gpg\";;\ninsert) cat >\"$path.gpg\";;\nrm) rm \"$path.gpg\";;\nesac\n",
            dir = dir.display()
        );
        files::write_atomic(dir.join("pass"), script.as_bytes(), 0o755).unwrap();
        let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap_or_default());
        Secrets::new(Redactor::new()).with_vars([("PATH".to_owned(), path)])
    }

    async fn goes_round(secrets: &Secrets, reference: &str) {
        let reference: SecretRef = reference.parse().unwrap();
        assert_eq!(secrets.entry(&reference).await.unwrap(), Entry::Nothing);
        secrets.keep(&reference, ID, None).await.unwrap();
        assert_eq!(secrets.entry(&reference).await.unwrap(), Entry::Place(ID.into()));
        secrets.keep(&reference, ID, Some(&"1111-2222-3333".to_owned().into())).await.unwrap();
        assert_eq!(secrets.entry(&reference).await.unwrap(), Entry::Token(ID.into()));
        assert_eq!(secrets.token(&reference).await.unwrap().id, ID);
        assert_eq!(secrets.redactor().redact("1111-2222-3333"), "(redacted)");
        secrets.forget(&reference).await.unwrap();
        assert_eq!(secrets.entry(&reference).await.unwrap(), Entry::Nothing);
    }

    #[tokio::test]
    async fn a_token_goes_to_pass_and_never_as_an_argument() {
        let dir = tempfile::tempdir().unwrap();
        goes_round(&fake_pass(dir.path()), "pass:token").await;
        let argv = files::read_text(dir.path().join("argv")).unwrap();
        assert!(argv.contains("insert --multiline --force token") && !argv.contains("1111"), "{argv}");
    }

    #[tokio::test]
    async fn a_token_goes_to_a_file_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(Redactor::new());
        let path = dir.path().join("new/token");
        goes_round(&secrets, &format!("file:{}", path.display())).await;
        let reference = format!("file:{}", path.display()).parse().unwrap();
        secrets.keep(&reference, ID, None).await.unwrap();
        assert!(files::read_private_text(&path).is_ok(), "0600");
    }

    #[tokio::test]
    async fn what_keeps_nothing_is_refused_and_what_is_no_token_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(Redactor::new());
        for reference in ["env:X", "pass:x#last", r#"cmd:["cat"]"#] {
            let error = secrets.keep(&reference.parse().unwrap(), ID, None).await.unwrap_err();
            assert!(matches!(error, SecretError::ReadOnly { .. }), "{error}");
        }
        let file = dir.path().join("other");
        files::write_private(&file, b"a password\n").unwrap();
        let reference = format!("file:{}", file.display()).parse().unwrap();
        assert_eq!(secrets.entry(&reference).await.unwrap(), Entry::Other);
    }
}
