//! `runbook init`: a site's configuration from what the site says of itself. Nothing is sent to a server before a person,
//! or a fingerprint that they gave, has said whose certificate it is.

mod compose;
mod discover;
mod make;

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

pub use compose::Written;
pub use discover::{Found, FoundNode};
pub use make::{Maker, PURPOSES, Wish};

use super::error::{AppError, Exit};
use super::settings::Settings;
use crate::clients::proxmox::{self, Credential, NodeEndpoint, SecretSink, SiteSettings};
use crate::load::diagnostic::Source;
use crate::load::{load_site, yaml_edit};
use crate::model::ids::Fingerprint;
use crate::secrets::{Redactor, SecretRef, Secrets, TokenPair};
use crate::sys::files;

/// For a node to show its certificate.
const PATIENCE: Duration = Duration::from_secs(10);
/// The port of Proxmox's API.
const PORT: u16 = 8006;

/// Where a node's API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Without brackets.
    pub host: String,
    pub port: u16,
}

impl Place {
    /// `pve1.example`, `10.0.0.1:8006`, `[fd00::1]:8006`; port 8006 where none is given.
    ///
    /// # Errors
    /// None of these.
    pub fn parse(text: &str) -> Result<Self, AppError> {
        let bad = || {
            AppError::new(Exit::Usage, "init::host", format!("{text:?} is no host"))
                .hint("expected a name or an address, with :PORT where it is not 8006: pve1.example, 10.0.0.1:8006")
        };
        let bare = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
        let (host, port) = match bare.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(bad)?;
                (host, rest.strip_prefix(':'))
            }
            // More than one colon: an IPv6 address.
            None if bare.matches(':').count() > 1 => (bare, None),
            None => bare.split_once(':').map_or((bare, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(|port| port.parse().map_err(|_| bad())).transpose()?.unwrap_or(PORT);
        let fits = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/');
        if fits { Ok(Self { host: host.to_owned(), port }) } else { Err(bad()) }
    }

    /// As the configuration writes it.
    fn text(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{}", self.port)
    }
}

/// The certificate that is shown there; nothing is sent.
///
/// # Errors
/// Nobody answers.
pub async fn certificate(place: &Place) -> Result<Fingerprint, AppError> {
    proxmox::certificate(&place.host, place.port, PATIENCE).await.map_err(|e| {
        AppError::new(Exit::Unreachable, "init::unreachable", e.to_string())
            .hint("is it a Proxmox VE node, and is its port 8006 reached from here?")
    })
}

/// A token, and how the configuration refers to it.
pub struct Token {
    pub reference: String,
    pair: TokenPair,
}

/// The token that a reference leads to.
///
/// # Errors
/// It is no reference, or there is no token behind it.
pub async fn token(reference: &str, redactor: &Redactor) -> Result<Token, AppError> {
    let failed = |message: String| AppError::new(Exit::Configuration, "credential::unavailable", message);
    let parsed = reference.parse::<SecretRef>().map_err(|e| failed(e.to_string()))?;
    let pair = Secrets::new(redactor.clone()).token(&parsed).await.map_err(|e| failed(e.to_string()))?;
    Ok(Token { reference: reference.to_owned(), pair })
}

/// A token that was typed; [`write()`] keeps its secret in a file of its own, for this user alone.
///
/// # Errors
/// Not a token.
pub fn typed(settings: &Settings, id: &str, secret: SecretString, redactor: &Redactor) -> Result<Token, AppError> {
    // Too short to be told from ordinary text: the server will refuse it.
    let _ = redactor.register(secret.expose_secret());
    let text = format!("{id}\n{}\n", secret.expose_secret());
    let pair = TokenPair::from_text(&text.into()).ok_or_else(|| {
        AppError::new(Exit::Usage, "init::token", "this is no API token").hint(
            "its id is USER@REALM!NAME, its secret a UUID; a new one: pveum user token add USER@REALM runbook --privsep 1",
        )
    })?;
    Ok(Token { reference: own_file(settings, id)?, pair })
}

/// Where a token is kept that nobody has a place for: a file of its own beside this program's settings.
///
/// # Errors
/// The user has no such folder.
pub fn own_file(settings: &Settings, id: &str) -> Result<String, AppError> {
    let home = settings.config_home.as_deref().ok_or_else(|| {
        AppError::new(Exit::Configuration, "init::home", "neither XDG_CONFIG_HOME nor HOME is set")
            .hint("keep the token yourself and name it: --token pass:PATH, env:NAME or file:PATH")
    })?;
    let name: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Ok(format!("file:{}", home.join("runbook").join(format!("{name}.token")).display()))
}

/// Keeps a token that was typed where its reference says.
///
/// # Errors
/// The file cannot be written.
pub fn keep(token: &Token) -> Result<(), AppError> {
    let Some(path) = token.reference.strip_prefix("file:").map(Path::new) else { return Ok(()) };
    let cannot = |e: files::FileError| AppError::new(Exit::Configuration, "init::write", e.to_string());
    if let Some(folder) = path.parent() {
        files::make_private_dir(folder).map_err(cannot)?;
    }
    let text = format!("{}\n{}\n", token.pair.id, token.pair.secret.expose_secret());
    files::write_private(path, text.as_bytes()).map_err(cannot)
}

/// What the site says of itself.
///
/// # Errors
/// It refuses the token, or does not answer.
pub async fn discover(
    place: &Place,
    pinned: Fingerprint,
    token: &Token,
    redactor: &Redactor,
) -> Result<Found, AppError> {
    let credential = Credential::Token { id: token.pair.id.clone(), secret: token.pair.secret.clone() };
    let site = site(place, pinned, credential, redactor)?;
    discover::discover(&site, place, pinned).await
}

/// The one node that was named, as somebody sees it.
fn site(
    place: &Place,
    pinned: Fingerprint,
    credential: Credential,
    redactor: &Redactor,
) -> Result<proxmox::Site, AppError> {
    let node = NodeEndpoint {
        name: place.host.as_str().into(),
        host: place.host.clone(),
        port: place.port,
        fingerprint: Some(pinned),
    };
    let mut site = SiteSettings::new(place.host.clone(), vec![node], credential);
    let sink = redactor.clone();
    site.on_secret = Some(SecretSink(std::sync::Arc::new(move |value| {
        let _ = sink.register(value);
    })));
    proxmox::Site::connect(site).map_err(|e| AppError::new(Exit::Configuration, "config::site", e.to_string()))
}

/// Where the configuration is, or is to be.
pub fn file(settings: &Settings) -> PathBuf {
    settings.config.clone().unwrap_or_else(|| settings.cwd.join("cluster-config.yaml"))
}

/// The reference to a token that a configuration has already.
///
/// # Errors
/// The file cannot be read.
pub fn reference_in(path: &Path) -> Result<Option<String>, AppError> {
    let Some(text) = present(path)? else { return Ok(None) };
    let get = |key: &str| yaml_edit::get(&text, key).map_err(|e| uneditable(path, &e));
    let token = get("credentials.token")?.and_then(|value| value.as_str().map(str::to_owned));
    let entry = get("credentials.pass_path")?.and_then(|value| value.as_str().map(|path| format!("pass:{path}")));
    Ok(token.or(entry))
}

/// The text that the file is to have: a new one, or the one that is there with what it lacks.
///
/// # Errors
/// The file that is there cannot be completed safely, or what came of it is no configuration.
pub fn composed(path: &Path, name: &str, found: &Found, token: &Token) -> Result<Written, AppError> {
    let written = match present(path)? {
        None => compose::whole(name, found, &token.reference),
        Some(text) => compose::completed(&text, name, found, &token.reference).map_err(|e| uneditable(path, &e))?,
    };
    let source = Source::new(path.display().to_string(), written.text.clone());
    load_site(&source).map_err(|found| AppError::invalid(Exit::Configuration, "config::invalid", &source, found))?;
    Ok(written)
}

/// Writes it: whole, or not at all.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, written: &Written) -> Result<(), AppError> {
    files::write_atomic(path, written.text.as_bytes(), 0o644)
        .map_err(|e| AppError::new(Exit::Configuration, "init::write", e.to_string()))
}

fn present(path: &Path) -> Result<Option<String>, AppError> {
    match files::read_text(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(AppError::new(Exit::Configuration, "config::unreadable", error.to_string())),
    }
}

fn uneditable(path: &Path, error: &yaml_edit::EditError) -> AppError {
    AppError::new(Exit::Configuration, "init::uneditable", format!("{}: {error}", path.display()))
        .hint("nothing was changed: complete it by hand, or move it away and let init write a new one")
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn a_host_is_read_with_and_without_its_port() {
        for (text, host, port) in [
            ("pve1.example", "pve1.example", 8006),
            ("10.0.0.1:443", "10.0.0.1", 443),
            ("https://pve1:8006/", "pve1", 8006),
            ("fd00::1", "fd00::1", 8006),
            ("[fd00::1]:8007", "fd00::1", 8007),
        ] {
            let place = Place::parse(text).unwrap();
            assert_eq!((place.host.as_str(), place.port), (host, port), "{text}");
            assert_eq!(Place::parse(&place.text()).unwrap(), place);
        }
        for text in ["", "pve1:http", "a b", "[fd00::1", "pve1/x"] {
            assert!(Place::parse(text).is_err(), "{text:?}");
        }
    }
}
