//! A throw-away password store: its own GnuPG home with a key without passphrase, and `pass init` done.

use std::path::Path;
use std::time::Duration;

use runbook::sys::files;
use runbook::sys::process::{self, Captured, Spec};

/// The store lives as long as this; its gpg-agent ends with it.
pub struct PassStore {
    dir: tempfile::TempDir,
}

impl PassStore {
    /// Fails where `pass` or `gpg` is not installed: `make test` sees to that.
    pub async fn new() -> Self {
        for program in ["pass", "gpg", "gpgconf"] {
            let found = process::which(program, None);
            assert!(found.is_ok(), "{program} is not installed, and this test needs it; `make test` installs it");
        }
        let store = Self { dir: tempfile::tempdir().unwrap() };
        files::make_private_dir(store.path("gnupg")).unwrap();
        let make_key =
            "--batch --pinentry-mode loopback --passphrase  --quick-generate-key runbook-test default default never";
        store.must("gpg", make_key.split(' '), "").await;
        store.must("pass", ["init", "runbook-test"], "").await;
        store
    }

    /// Puts an entry of several lines into the store.
    pub async fn insert(&self, path: &str, text: &str) {
        self.must("pass", ["insert", "--multiline", "--force", path], text).await;
    }

    /// What a program needs in its environment to see this store: `GNUPGHOME` and `PASSWORD_STORE_DIR`.
    pub fn vars(&self) -> Vec<(String, String)> {
        let path = |name: &str| self.path(name).display().to_string();
        vec![("GNUPGHOME".into(), path("gnupg")), ("PASSWORD_STORE_DIR".into(), path("store"))]
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.dir.path()).join(name)
    }

    async fn must<'a>(&self, program: &str, args: impl IntoIterator<Item = &'a str>, input: &str) -> Captured {
        let mut spec = Spec::new(program).args(args).stdin(input).deadline(Duration::from_secs(60));
        for (name, value) in self.vars() {
            spec = spec.env(name, value);
        }
        let got = process::run(spec).await.unwrap();
        assert!(got.success(), "{program}: {}", String::from_utf8_lossy(&got.stderr));
        got
    }

    /// Ends the store's gpg-agent, which would outlive the folder.
    pub async fn close(self) {
        self.must("gpgconf", ["--kill", "all"], "").await;
    }
}
