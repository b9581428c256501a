//! An API token where there is none yet: a login for this once, a role of no more rights than its purpose needs, a token
//! of its own rights, and its secret straight into a store.
//!
//! The place in the store is written before the token is made: a store that takes nothing costs no token.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{Place, Token, site};
use crate::app::error::{AppError, Exit};
use crate::clients::proxmox::{Credential, Params, ProxmoxError, Site, Verb, seg};
use crate::load::{shipped, yaml_edit};
use crate::model::ids::Fingerprint;
use crate::secrets::{Entry, Redactor, SecretRef, Secrets, TokenPair};

/// What a token may be for; the runbook `rbac-bootstrap` says what each needs.
pub const PURPOSES: [&str; 3] = ["look", "operate", "build"];

/// A token that is to be made.
pub struct Wish {
    user: String,
    name: String,
    purpose: String,
    store: SecretRef,
    reference: String,
}

impl Wish {
    /// `id` is `USER@REALM!NAME`, `reference` a place of pass or a file.
    ///
    /// # Errors
    /// None of these, or something is kept there already.
    pub async fn new(id: &str, purpose: &str, reference: &str, redactor: &Redactor) -> Result<Self, AppError> {
        let usage = |message: String, hint: &str| AppError::new(Exit::Usage, "init::token", message).hint(hint);
        let (user, name) = id
            .split_once('!')
            .filter(|(user, name)| {
                let own = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
                user.contains('@') && !user.contains(char::is_whitespace) && name.len() > 1 && own
            })
            .ok_or_else(|| {
                usage(format!("{id:?} is no id of a token"), "expected USER@REALM!NAME: runbook@pve!runbook")
            })?;
        if !PURPOSES.contains(&purpose) {
            return Err(usage(format!("{purpose:?} is no purpose"), "expected look, operate or build"));
        }
        let store: SecretRef =
            reference.parse().map_err(|e| usage(format!("{e}"), "expected pass:PATH or file:PATH"))?;
        if !matches!(store, SecretRef::Pass { part: None, .. } | SecretRef::File(_)) {
            return Err(usage(format!("nothing can be kept in {reference}"), "expected pass:PATH or file:PATH"));
        }
        let failed = |e: crate::secrets::SecretError| {
            AppError::new(Exit::Configuration, "credential::unavailable", e.to_string())
        };
        match Secrets::new(redactor.clone()).entry(&store).await.map_err(failed)? {
            Entry::Nothing => {}
            Entry::Place(there) if there == id => {}
            _ => {
                return Err(usage(
                    format!("{reference} holds something already: nothing was made"),
                    "name another place, or empty that one; a token that is there already: --token REFERENCE",
                ));
            }
        }
        let (user, name, purpose) = (user.to_owned(), name.to_owned(), purpose.to_owned());
        Ok(Self { user, name, purpose, store, reference: reference.to_owned() })
    }

    fn id(&self) -> String {
        format!("{}!{}", self.user, self.name)
    }

    fn role(&self) -> String {
        format!("Runbook-{}", self.purpose)
    }
}

/// Somebody who is logged in, and makes it.
pub struct Maker {
    site: Site,
    version: String,
    redactor: Redactor,
}

/// What was made, and which commands of a node's root it still needs.
pub struct Made {
    pub token: Token,
    pub missing: Vec<String>,
}

impl Maker {
    /// Logs in with a password: a ticket of two hours, which is kept nowhere.
    ///
    /// # Errors
    /// Wrong, or not enough: a second factor is not taken.
    pub async fn log_in(
        place: &Place,
        pinned: Fingerprint,
        user: &str,
        password: SecretString,
        redactor: &Redactor,
    ) -> Result<Self, AppError> {
        // Too short to be told from ordinary text: the server will refuse it.
        let _ = redactor.register(password.expose_secret());
        let credential = Credential::Password { user: user.to_owned(), password };
        let site = site(place, pinned, credential, redactor)?;
        let refused = |message: String| AppError::new(Exit::Gate, "init::login", message);
        let by_hand =
            "make a token on a node instead, and name it here: pveum user token add USER@REALM runbook --privsep 1";
        let version = site.version().await.map_err(|error| match error {
            ProxmoxError::SecondFactor { .. } => {
                refused(format!("{user} has a second factor, and init logs in with a password alone: nothing was made"))
                    .hint(by_hand)
            }
            ProxmoxError::Unauthorized { .. } => refused(format!("the site does not accept {user} with this password"))
                .hint("give the realm, too: root@pam, alice@pve"),
            other => AppError::new(Exit::Unreachable, "init::login", other.to_string()),
        })?;
        Ok(Self { site, version: version.version, redactor: redactor.clone() })
    }

    /// What it would do, for a person to say yes to.
    ///
    /// # Errors
    /// Our own book does not say what it gives.
    pub fn says(&self, wish: &Wish) -> Result<Vec<String>, AppError> {
        let user = &wish.user;
        let mut lines = vec![format!("role {}: {}", wish.role(), self.privileges(wish)?.join(", "))];
        if is_root(user) {
            lines.push("this role on / for the token".to_owned());
        } else {
            lines.insert(0, format!("user {user}, where there is none yet: without a password"));
            lines.push(format!("this role on / for {user} and for the token"));
        }
        lines.push(format!("API token {}, its secret in {} and shown nowhere", wish.id(), wish.reference));
        Ok(lines)
    }

    /// As the runbook `rbac-bootstrap` has them, by the names of the site's version.
    ///
    /// # Errors
    /// It has none for this purpose, which is our own fault: a role of nothing would be made.
    fn privileges(&self, wish: &Wish) -> Result<Vec<String>, AppError> {
        let book = shipped::source("rbac-bootstrap").map(|source| source.text.clone()).unwrap_or_default();
        let upto = PURPOSES.iter().position(|purpose| *purpose == wish.purpose).unwrap_or_default();
        let by_version = if self.version.starts_with("8.") { "operate_8" } else { "operate_9" };
        let vars = PURPOSES[..=upto].iter().chain((upto > 0).then_some(&by_version));
        let mut all = Vec::new();
        for var in vars {
            match yaml_edit::get(&book, &format!("vars.{var}")) {
                Ok(Some(Value::String(words))) => all.extend(words.split(' ').map(str::to_owned)),
                other => {
                    let message = format!("rbac-bootstrap does not say what {var} is: {other:?}");
                    return Err(AppError::new(Exit::Failed, "init::token", message));
                }
            }
        }
        Ok(all)
    }

    /// Makes what is not there. What the login may not do is told as the commands that do it.
    ///
    /// # Errors
    /// There is such a token, or it cannot be made, kept or given its rights. A user and a role that were made stay; a token does only where
    /// its secret was kept, and then the error says so.
    pub async fn make(&self, wish: &Wish) -> Result<Made, AppError> {
        let id = wish.id();
        let there = self.users().await?;
        if there.iter().any(|(user, tokens)| *user == wish.user && tokens.contains(&wish.name)) {
            let message =
                format!("the token {id} is there already, and its secret is said once only: nothing was made");
            let hint = format!("give another id, or delete it: pveum user token delete {} {}", wish.user, wish.name);
            return Err(AppError::new(Exit::Gate, "init::token", message).hint(hint));
        }
        let secrets = Secrets::new(self.redactor.clone());
        let failed = |e: crate::secrets::SecretError| AppError::new(Exit::Configuration, "init::write", e.to_string());
        secrets.keep(&wish.store, &id, None).await.map_err(failed)?;
        let made = self.make_in(wish, &there, &secrets).await;
        if made.is_err() {
            // Only what holds no secret yet is taken away.
            if let Ok(Entry::Place(_)) = secrets.entry(&wish.store).await {
                let _ = secrets.forget(&wish.store).await;
            }
        }
        made
    }

    async fn make_in(&self, wish: &Wish, there: &[(String, Vec<String>)], secrets: &Secrets) -> Result<Made, AppError> {
        let mut missing = Vec::new();
        let (user, role) = (&wish.user, wish.role());
        let known = is_root(user) || there.iter().any(|(known, _)| known == user);
        if !known {
            let params = Params::new().set("userid", user).set("comment", "service user, made by runbook init");
            let line = format!("pveum user add {user}");
            self.ensure("/access/users", Verb::Post, &params, line, &mut missing).await?;
        }
        self.role(wish, &mut missing).await?;
        if !is_root(user) {
            let params = Params::new().set("path", "/").set("roles", &role).set("users", user);
            let line = format!("pveum acl modify / --users {user} --roles {role}");
            self.give(&params, line, &mut missing).await?;
        }
        let pair = match self.token(wish).await {
            Ok(pair) => pair,
            Err(ProxmoxError::Forbidden { .. }) => {
                missing.push(format!("pveum user token add {user} {} --privsep 1", wish.name));
                missing.push(acl_of_token(wish));
                let message = format!("{} may not make a token for {user}", self.site.user());
                return Err(AppError::new(Exit::Gate, "init::token", message)
                    .details(missing)
                    .hint("log in as somebody who may, or have these run on a node, as root"));
            }
            Err(error) => return Err(self.not_made(wish, &error)),
        };
        if let Err(error) = secrets.keep(&wish.store, &pair.id, Some(&pair.secret)).await {
            return Err(self.take_back(wish, &error.to_string()).await);
        }
        let params = Params::new().set("path", "/").set("roles", &role).set("tokens", wish.id());
        if let Err(error) = self.give(&params, acl_of_token(wish), &mut missing).await {
            let hint = format!(
                "{} is made and kept in {}; give it its rights: {}",
                wish.id(),
                wish.reference,
                acl_of_token(wish)
            );
            return Err(error.hint(hint));
        }
        Ok(Made { token: Token { reference: wish.reference.clone(), pair }, missing })
    }

    /// Who is there, with the names of their tokens; who may not list the users sees themself alone.
    async fn users(&self) -> Result<Vec<(String, Vec<String>)>, AppError> {
        let answer = self.site.get("/access/users", &[("full", "1")]).await.map_err(|e| failed(&e))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = |row: &Value| {
            let tokens = row["tokens"].as_array().into_iter().flatten().map(|token| text(&token["tokenid"]));
            (text(&row["userid"]), tokens.collect())
        };
        Ok(answer.data.as_array().into_iter().flatten().map(of).collect())
    }

    /// Makes the role, or looks whether the one that is there holds enough; it is never taken anything from.
    async fn role(&self, wish: &Wish, missing: &mut Vec<String>) -> Result<(), AppError> {
        let (role, wanted) = (wish.role(), self.privileges(wish)?);
        let listed = self.site.get("/access/roles", &[]).await.map_err(|e| failed(&e))?;
        let there = listed.data.as_array().into_iter().flatten().find(|row| row["roleid"] == role.as_str());
        if let Some(row) = there {
            let held: Vec<&str> = row["privs"].as_str().unwrap_or_default().split(',').collect();
            let lacking: Vec<&str> = wanted.iter().map(String::as_str).filter(|name| !held.contains(name)).collect();
            if !lacking.is_empty() {
                missing.push(format!("pveum role modify {role} --append 1 --privs \"{}\"", lacking.join(" ")));
            }
            return Ok(());
        }
        let params = Params::new().set("roleid", &role).set("privs", wanted.join(","));
        let line = format!("pveum role add {role} --privs \"{}\"", wanted.join(" "));
        self.ensure("/access/roles", Verb::Post, &params, line, missing).await
    }

    /// An entry of the access control list. Where its role could not be made, it waits for that.
    async fn give(&self, params: &Params, line: String, missing: &mut Vec<String>) -> Result<(), AppError> {
        if missing.iter().any(|line| line.starts_with("pveum role add") || line.starts_with("pveum user add")) {
            missing.push(line);
            return Ok(());
        }
        self.ensure("/access/acl", Verb::Put, params, line, missing).await
    }

    async fn ensure(
        &self,
        path: &str,
        verb: Verb,
        params: &Params,
        line: String,
        missing: &mut Vec<String>,
    ) -> Result<(), AppError> {
        match self.site.change(verb, path, params).await {
            Ok(_) => Ok(()),
            Err(ProxmoxError::Forbidden { .. }) => {
                missing.push(line);
                Ok(())
            }
            Err(error) => Err(failed(&error)),
        }
    }

    async fn token(&self, wish: &Wish) -> Result<TokenPair, ProxmoxError> {
        let path = format!("/access/users/{}/token/{}", seg(&wish.user), seg(&wish.name));
        let params = Params::new().flag("privsep", true).set("comment", "made by runbook init");
        let answer = self.site.change(Verb::Post, &path, &params).await?;
        let secret = answer["value"].as_str().unwrap_or_default();
        // What is no secret is refused where it is read back.
        let _ = self.redactor.register(secret);
        Ok(TokenPair { id: wish.id(), secret: secret.to_owned().into() })
    }

    fn not_made(&self, wish: &Wish, error: &ProxmoxError) -> AppError {
        let app = failed(error);
        if !error.outcome_unknown() {
            return app;
        }
        let (user, name) = (&wish.user, &wish.name);
        app.hint(format!(
            "it may be made all the same, and nobody has its secret: pveum user token delete {user} {name}"
        ))
    }

    /// A token whose secret nobody has is of no use.
    async fn take_back(&self, wish: &Wish, why: &str) -> AppError {
        let path = format!("/access/users/{}/token/{}", seg(&wish.user), seg(&wish.name));
        let gone = self.site.change(Verb::Delete, &path, &Params::new()).await;
        let end = match gone {
            Ok(_) => "the token was deleted again".to_owned(),
            Err(_) => format!("delete it: pveum user token delete {} {}", wish.user, wish.name),
        };
        AppError::new(Exit::Configuration, "init::write", format!("the token's secret was not kept: {why}")).hint(end)
    }
}

fn is_root(user: &str) -> bool {
    user == "root@pam"
}

fn acl_of_token(wish: &Wish) -> String {
    format!("pveum acl modify / --tokens '{}' --roles {}", wish.id(), wish.role())
}

fn failed(error: &ProxmoxError) -> AppError {
    AppError::new(Exit::Failed, "init::token", error.to_string())
}
