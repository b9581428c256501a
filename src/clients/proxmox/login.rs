//! Who we are: an API token, or a ticket that is taken at first use and renewed before it ends.
//!
//! Source: pve-access-control `AccessControl.pm`: a ticket lives 2 h, a still valid one can be posted as password,
//! every change needs the CSRF token with it.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::endpoint::{Endpoint, Proof, Request};
use super::loose::Row;
use super::{At, Credential, ProxmoxError, SecretSink, SiteSettings, Verb, reply};

const RENEW_AFTER: Duration = Duration::from_secs(90 * 60);
const ENDS_AFTER: Duration = Duration::from_secs(7200 - 60);
pub(super) const PATH: &str = "/access/ticket";

#[derive(Debug)]
pub(super) enum Login {
    Token(Proof),
    Ticket(Tickets),
}

#[derive(Debug)]
pub(super) struct Tickets {
    user: String,
    password: SecretString,
    /// Held while a ticket is taken: those who come meanwhile wait for it and take none of their own.
    session: Mutex<Option<Session>>,
    on_secret: Option<SecretSink>,
}

#[derive(Debug, Clone)]
struct Session {
    ticket: SecretString,
    proof: Proof,
    taken: Instant,
}

impl Login {
    pub fn new(settings: &SiteSettings) -> Result<Self, ProxmoxError> {
        match &settings.credential {
            Credential::Token { id, secret } => Self::token(&settings.name, id, secret),
            Credential::Password { user, password } => Ok(Self::Ticket(Tickets {
                user: user.clone(),
                password: password.clone(),
                session: Mutex::new(None),
                on_secret: settings.on_secret.clone(),
            })),
        }
    }

    /// By a token of this id. Errors: an id of the wrong form.
    pub fn token(site: &str, id: &str, secret: &SecretString) -> Result<Self, ProxmoxError> {
        let setup = |message: String| ProxmoxError::Setup { site: site.to_owned(), message };
        let (id, secret) = (id.trim(), secret.expose_secret().trim());
        if !id.contains('@') || !id.contains('!') {
            return Err(setup(format!("token id {id:?}: expected user@realm!tokenname")));
        }
        let value = sensitive(&format!("PVEAPIToken={id}={secret}"));
        let value = value.ok_or_else(|| setup("the token's secret has characters that no header can hold".into()))?;
        Ok(Self::Token(Proof { authorization: Some(value), ..Proof::default() }))
    }

    /// What to send with a call; takes or renews a ticket when that is due.
    pub async fn proof(&self, endpoint: &Endpoint) -> Result<Proof, ProxmoxError> {
        match self {
            Self::Token(proof) => Ok(proof.clone()),
            Self::Ticket(tickets) => tickets.proof(endpoint).await,
        }
    }

    /// After a 401: whether a new ticket is worth a try. Forgets the one that `used` came from.
    pub async fn can_renew(&self, used: &Proof) -> bool {
        match self {
            Self::Token(_) => false,
            Self::Ticket(tickets) => {
                let mut session = tickets.session.lock().await;
                if session.as_ref().is_some_and(|s| s.proof.cookie == used.cookie) {
                    *session = None;
                }
                true
            }
        }
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Tickets {
    async fn proof(&self, endpoint: &Endpoint) -> Result<Proof, ProxmoxError> {
        let mut session = self.session.lock().await;
        let age = session.as_ref().map(|s| s.taken.elapsed());
        if let (Some(current), Some(true)) = (session.as_ref(), age.map(|age| age < RENEW_AFTER)) {
            return Ok(current.proof.clone());
        }
        let old = session.take().filter(|s| s.taken.elapsed() < ENDS_AFTER);
        let renewed = match old {
            Some(old) => self.take(endpoint, &old.ticket).await.ok(),
            None => None,
        };
        let new = match renewed {
            Some(new) => new,
            None => self.take(endpoint, &self.password).await?,
        };
        let proof = new.proof.clone();
        *session = Some(new);
        Ok(proof)
    }

    async fn take(&self, endpoint: &Endpoint, password: &SecretString) -> Result<Session, ProxmoxError> {
        let params =
            [("username".to_owned(), self.user.clone()), ("password".to_owned(), password.expose_secret().to_owned())];
        let request = Request { verb: Verb::Post, path: PATH, params: &params, upload: None };
        let at = At { verb: Verb::Post, path: PATH.into(), node: endpoint.name.clone() };
        let reply = endpoint.send(&request, &Proof::default()).await;
        let reply = reply.map_err(|e| ProxmoxError::of_http(at.clone(), e))?;
        let answer = reply::read(at.clone(), &reply)?;
        self.session(&at, &answer.data)
    }

    fn session(&self, at: &At, data: &serde_json::Value) -> Result<Session, ProxmoxError> {
        let row = Row::new(at, "data", data)?;
        if row.flag("NeedTFA")? {
            return Err(ProxmoxError::SecondFactor { at: Box::new(at.clone()), user: self.user.clone() });
        }
        let (ticket, csrf) = (row.text("ticket")?, row.text("CSRFPreventionToken")?);
        if let Some(SecretSink(tell)) = &self.on_secret {
            tell(&ticket);
            tell(&csrf);
        }
        let cookie = format!("PVEAuthCookie={}", utf8_percent_encode(&ticket, NON_ALPHANUMERIC));
        let proof = Proof { authorization: None, cookie: sensitive(&cookie), csrf: sensitive(&csrf) };
        Ok(Session { ticket: ticket.into(), proof, taken: Instant::now() })
    }
}
