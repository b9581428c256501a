//! Users, tokens, roles and access control lists of the lab, and who a request is from.

mod book;
mod change;
mod roles;
mod shown;
mod ticket;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::{Value, json};

use self::book::{AclEntry, Book, Subject, Token, User};
use self::ticket::TicketKey;
use super::call::Privileges;

/// By the ACL path of an object (`/vms/104`), the pools that it is in.
pub type Memberships = BTreeMap<String, BTreeSet<String>>;

/// Who may do what. The secrets are random for every lab.
#[derive(Debug)]
pub struct Access {
    key: TicketKey,
    book: RwLock<Book>,
}

/// Who a request is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `root@pam`, or `ops@pve!runbook` for a token.
    pub user: String,
    pub by_ticket: bool,
}

/// Why a request is from nobody; the text is the reason phrase of a 401 with an empty body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("No ticket")]
    NoTicket,
    #[error("Authentication failed!")]
    Failed,
    #[error("Permission denied - invalid csrf token")]
    Csrf,
}

/// The credentials of a request, as its headers have them.
#[derive(Debug, Default, Clone, Copy)]
pub struct Credentials<'a> {
    pub authorization: Option<&'a str>,
    pub cookie: Option<&'a str>,
    pub csrf: Option<&'a str>,
}

impl Credentials<'_> {
    /// `user@realm!name` and secret, after `PVEAPIToken=` or `PVEAPIToken `.
    fn token(&self) -> Option<(String, String)> {
        let value = self.authorization?.strip_prefix("PVEAPIToken")?.strip_prefix(['=', ' '])?;
        let (id, secret) = value.split(';').next()?.split_once('=').unwrap_or((value, ""));
        Some((id.to_owned(), secret.to_owned()))
    }

    pub fn has_token(&self) -> bool {
        self.token().is_some()
    }

    fn ticket(&self) -> Option<String> {
        let named = |text: &str| text.trim().strip_prefix("PVEAuthCookie=").map(decode);
        self.authorization.and_then(named).or_else(|| self.cookie?.split(';').find_map(named))
    }
}

/// Cookies are percent-encoded.
fn decode(text: &str) -> String {
    super::front::percent_decode(text)
}

impl Default for Access {
    fn default() -> Self {
        Self::new()
    }
}

impl Access {
    /// The users of every lab: `root@pam`, `ops@pve`, and the tokens `runbook` (what this program needs), `no-pools`
    /// (the same, but it may not create pools), `readonly` (looks only) and `nothing` of `ops@pve`.
    pub fn new() -> Self {
        let mut access = Self { key: TicketKey::random(), book: RwLock::new(Book::new()) };
        access.add_user("root@pam");
        access.add_user("ops@pve");
        access.allow("/", "ops@pve", roles::RUNBOOK);
        let tokens = [
            ("runbook", Some(roles::RUNBOOK)),
            ("no-pools", Some(roles::NO_POOLS)),
            ("readonly", Some("PVEAuditor")),
            ("nothing", None),
        ];
        for (name, role) in tokens {
            let id = format!("ops@pve!{name}");
            access.add_token(&id, true);
            if let Some(role) = role {
                access.allow("/", &id, role);
            }
        }
        access
    }

    fn book(&self) -> RwLockReadGuard<'_, Book> {
        self.book.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> RwLockWriteGuard<'_, Book> {
        self.book.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A user with a random password.
    pub fn add_user(&mut self, user: &str) {
        let known = User { password: Some(random_hex(16)), ..User::new() };
        self.changing().users.insert(user.to_owned(), known);
    }

    /// A token (`user@realm!name`) with a random secret.
    pub fn add_token(&mut self, id: &str, privsep: bool) {
        let token = Token { secret: random_uuid(), privsep, expire: None, comment: None };
        self.changing().tokens.insert(id.to_owned(), token);
    }

    /// Adds the token `ops@pve!without-PRIVILEGE`, which has all that the lab's own has but one; of another name, none.
    pub fn add_lacking(&mut self, id: &str) {
        if let Some((role, held)) = id.strip_prefix("ops@pve!").and_then(roles::lacking) {
            self.changing().roles.insert(role.clone(), held);
            self.add_token(id, true);
            self.allow("/", id, &role);
        }
    }

    /// Gives a user or token a role on a path and all below it.
    pub fn allow(&mut self, path: &str, subject: &str, role: &str) {
        let (path, role, subject) = (path.to_owned(), role.to_owned(), Subject::named(subject));
        self.changing().acl.push(AclEntry { path, subject, role, propagate: true });
    }

    /// Takes away all entries of a path. Source: `PVE::AccessControl::delete_pool_acl`.
    pub(super) fn forget(&self, path: &str) {
        self.changing().acl.retain(|entry| entry.path != path);
    }

    /// The password of a user, for whoever writes the configuration.
    pub fn password(&self, user: &str) -> Option<String> {
        self.book().users.get(user)?.password.clone()
    }

    /// The secret of a token (`ops@pve!runbook`), for whoever writes the configuration.
    pub fn token_secret(&self, id: &str) -> Option<String> {
        self.book().tokens.get(id).map(|token| token.secret.clone())
    }

    /// Who sent a request with these credentials.
    ///
    /// # Errors
    /// The 401 that the server would answer.
    pub fn authenticate(&self, given: &Credentials<'_>, changes: bool, now_s: i64) -> Result<Identity, AuthError> {
        if let Some((id, secret)) = given.token() {
            return if self.book().lets_in(&id, &secret, now_s) {
                Ok(Identity { user: id, by_ticket: false })
            } else {
                Err(AuthError::Failed)
            };
        }
        let ticket = given.ticket().ok_or(AuthError::NoTicket)?;
        if ticket.starts_with("PVE:!tfa!") {
            return Err(AuthError::NoTicket);
        }
        let user = self.key.verify(&ticket, now_s).ok_or(AuthError::Failed)?;
        if !self.book().is_enabled(&user, now_s) {
            return Err(AuthError::Failed);
        }
        if changes && !given.csrf.is_some_and(|token| self.key.csrf_fits(token, &user, now_s)) {
            return Err(AuthError::Csrf);
        }
        Ok(Identity { user, by_ticket: true })
    }

    /// `POST /access/ticket`: the answer's data, or `None` for a wrong password. A ticket that still lives is taken for
    /// a password.
    pub fn login(&self, username: &str, realm: Option<&str>, password: &str, major: u32, now_s: i64) -> Option<Value> {
        let user = match realm {
            Some(realm) if !username.contains('@') => format!("{username}@{realm}"),
            _ => username.to_owned(),
        };
        let right = self.password(&user).is_some_and(|known| known == password)
            || self.key.verify(password, now_s).is_some_and(|holder| holder == user);
        let enabled = self.book().is_enabled(&user, now_s);
        if right && enabled && self.book().has_second_factor(&user) {
            // The other half is asked for, which the lab does not take.
            return Some(json!({
                "username": user,
                "NeedTFA": 1,
                "ticket": format!("PVE:!tfa!%7B%22totp%22%3Atrue%7D:{:08X}::{}", now_s, random_hex(16)),
            }));
        }
        (right && enabled).then(|| {
            json!({
                "username": user,
                "ticket": self.key.ticket(&user, now_s),
                "CSRFPreventionToken": self.key.csrf(&user, now_s),
                "cap": self.capabilities(&user, major),
            })
        })
    }

    /// Whether a user or token holds a privilege on a path, on a server of this major version.
    pub fn may(&self, user: &str, path: &str, privilege: &str, major: u32, pools: &Memberships) -> bool {
        roles::exists(privilege, major) && self.book().may(user, path, privilege, pools)
    }

    /// All that a user or token may do on a path.
    pub fn privileges(&self, user: &str, path: &str, major: u32, pools: &Memberships) -> BTreeSet<&'static str> {
        roles::all(major).filter(|privilege| self.may(user, path, privilege, major, pools)).collect()
    }
}

/// The rights of one caller on a server of one major version.
pub struct Rights {
    pub access: Arc<Access>,
    pub user: String,
    pub major: u32,
    /// As they were when the request came.
    pub pools: Memberships,
}

impl Privileges for Rights {
    fn may(&self, path: &str, privilege: &str) -> bool {
        self.access.may(&self.user, path, privilege, self.major, &self.pools)
    }
}

fn random_hex(bytes: usize) -> String {
    (0..bytes).fold(String::new(), |mut out, _| {
        let _ = write!(out, "{:02x}", rand::random::<u8>());
        out
    })
}

fn random_uuid() -> String {
    let hex = random_hex(16);
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_no_more_than_its_user() {
        let mut access = Access::new();
        access.add_user("low@pve");
        access.allow("/vms/104", "low@pve", "PVEVMAdmin");
        access.add_token("low@pve!t", true);
        access.allow("/", "low@pve!t", "Administrator");
        let may = |user: &str, path: &str, p: &str| access.may(user, path, p, 9, &Memberships::new());
        assert!(may("low@pve!t", "/vms/104", "VM.Migrate"));
        assert!(!may("low@pve!t", "/vms/105", "VM.Migrate"));
        assert!(!may("low@pve!t", "/vms/104", "Sys.Audit"));
        assert!(may("ops@pve!runbook", "/vms/104", "VM.Migrate"));
        assert!(!may("ops@pve!readonly", "/vms/104", "VM.Migrate"));
        assert!(may("ops@pve!readonly", "/vms/104", "VM.Audit"));
        assert!(access.privileges("ops@pve!nothing", "/", 9, &Memberships::new()).is_empty());
        assert!(access.privileges("root@pam!none", "/", 9, &Memberships::new()).is_empty());
    }

    #[test]
    fn a_deeper_entry_takes_the_place_of_a_higher_one() {
        let mut access = Access::new();
        access.allow("/vms/104", "ops@pve", "NoAccess");
        assert!(access.privileges("ops@pve", "/vms/104", 9, &Memberships::new()).is_empty());
        assert!(access.privileges("ops@pve!runbook", "/vms/104", 9, &Memberships::new()).is_empty());
        assert!(!access.privileges("ops@pve", "/vms/1040", 9, &Memberships::new()).is_empty());
    }

    #[test]
    fn a_pool_passes_its_rights_on_to_its_members() {
        let mut access = Access::new();
        access.add_user("team@pve");
        access.allow("/pool/media", "team@pve", "PVEVMAdmin");
        let pools = Memberships::from([("/vms/117".to_owned(), BTreeSet::from(["media".to_owned()]))]);
        let may = |path: &str| access.may("team@pve", path, "VM.Migrate", 9, &pools);
        assert!(may("/vms/117") && !may("/vms/118") && !may("/vms/117/x"));
        let listed = access.permissions("team@pve", None, 9, &pools);
        assert_eq!((&listed["/vms/117"]["VM.Migrate"], &listed["/pool/media"]["VM.Migrate"]), (&0.into(), &1.into()));
        access.allow("/vms/117", "team@pve", "NoAccess");
        assert!(!access.may("team@pve", "/vms/117", "VM.Migrate", 9, &pools), "a pool does not trump NoAccess");
    }

    #[test]
    fn the_entries_of_a_path_are_forgotten() {
        let mut access = Access::new();
        access.allow("/pool/x", "ops@pve", "NoAccess");
        let may = |access: &Access| access.may("ops@pve", "/pool/x", "Pool.Audit", 9, &Memberships::new());
        assert!(!may(&access));
        access.forget("/pool/x");
        assert!(may(&access));
    }

    #[test]
    fn rights_are_named_by_version() {
        let access = Access::new();
        assert!(access.privileges("ops@pve", "/vms/104", 8, &Memberships::new()).contains("VM.Monitor"));
        assert!(!access.privileges("ops@pve", "/vms/104", 9, &Memberships::new()).contains("VM.Monitor"));
    }

    #[test]
    fn credentials_are_read_from_headers() {
        let access = Access::new();
        let secret = access.token_secret("ops@pve!runbook").unwrap();
        for header in
            [format!("PVEAPIToken=ops@pve!runbook={secret}"), format!("PVEAPIToken ops@pve!runbook={secret};x")]
        {
            let given = Credentials { authorization: Some(&header), ..Credentials::default() };
            assert_eq!(access.authenticate(&given, true, 0).unwrap().user, "ops@pve!runbook");
        }
        let wrong = Credentials { authorization: Some("PVEAPIToken=ops@pve!runbook=x"), ..Credentials::default() };
        assert_eq!(access.authenticate(&wrong, false, 0), Err(AuthError::Failed));
        assert_eq!(access.authenticate(&Credentials::default(), false, 0), Err(AuthError::NoTicket));
    }

    #[test]
    fn a_ticket_changes_things_only_with_its_csrf_token() {
        let access = Access::new();
        let data = access.login("root", Some("pam"), &access.password("root@pam").unwrap(), 9, 1000).unwrap();
        assert_eq!(data["cap"]["vms"]["VM.Migrate"], 1);
        let cookie = format!("a=b; PVEAuthCookie={}", data["ticket"].as_str().unwrap().replace(':', "%3A"));
        let given = Credentials { cookie: Some(&cookie), ..Credentials::default() };
        assert!(access.authenticate(&given, false, 1001).unwrap().by_ticket);
        assert_eq!(access.authenticate(&given, true, 1001), Err(AuthError::Csrf));
        let csrf = data["CSRFPreventionToken"].as_str();
        assert!(access.authenticate(&Credentials { csrf, ..given }, true, 1001).is_ok());
        assert_eq!(access.login("root@pam", None, "wrong", 9, 1000), None);
        assert!(access.login("root@pam", None, data["ticket"].as_str().unwrap(), 9, 1001).is_some());
    }
}
