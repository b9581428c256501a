//! What `/etc/pve/user.cfg` holds: users, tokens, roles that are not built in, and the access control list.

use std::collections::{BTreeMap, BTreeSet};

use super::{Memberships, roles};

#[derive(Debug, Clone, Default)]
pub(super) struct Book {
    pub users: BTreeMap<String, User>,
    /// By `user@realm!name`.
    pub tokens: BTreeMap<String, Token>,
    /// Those that somebody has made; the built-in ones are not written down.
    pub roles: BTreeMap<String, BTreeSet<String>>,
    pub acl: Vec<AclEntry>,
}

#[derive(Debug, Clone)]
pub(super) struct User {
    pub password: Option<String>,
    pub enable: bool,
    /// Seconds since 1970; 0: never.
    pub expire: i64,
    /// `comment`, `email`, `firstname`, `keys` and `lastname`, where they were given.
    pub words: BTreeMap<String, String>,
}

impl User {
    pub fn new() -> Self {
        Self { password: None, enable: true, expire: 0, words: BTreeMap::new() }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub secret: String,
    /// Whether its rights are those of its user and its own, both.
    pub privsep: bool,
    /// Seconds since 1970; 0: never.
    pub expire: Option<i64>,
    pub comment: Option<String>,
}

/// Whom an entry of the access control list is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    User(String),
    Token(String),
}

impl Subject {
    pub fn named(id: &str) -> Self {
        if id.contains('!') { Self::Token(id.to_owned()) } else { Self::User(id.to_owned()) }
    }

    pub fn id(&self) -> &str {
        match self {
            Self::User(id) | Self::Token(id) => id,
        }
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Token(_) => "token",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct AclEntry {
    pub path: String,
    pub subject: Subject,
    pub role: String,
    pub propagate: bool,
}

fn is_over(expire: i64, now_s: i64) -> bool {
    expire != 0 && expire < now_s
}

impl Book {
    /// With the roles of the lab's own tokens.
    pub fn new() -> Self {
        let own = roles::OWN.map(|role| (role.to_owned(), roles::of_own(role)));
        Self { roles: own.into(), ..Self::default() }
    }

    /// Whether a login needs more than the password. Source: PVE::AccessControl: `keys` is `x` where there are entries.
    pub fn has_second_factor(&self, user: &str) -> bool {
        self.users.get(user).is_some_and(|user| user.words.get("keys").is_some_and(|keys| !keys.is_empty()))
    }

    /// Neither unknown, nor disabled, nor expired. Source: `PVE::AccessControl::check_user_enabled`.
    pub fn is_enabled(&self, user: &str, now_s: i64) -> bool {
        self.users.get(user).is_some_and(|user| user.enable && !is_over(user.expire, now_s))
    }

    pub fn lets_in(&self, id: &str, secret: &str, now_s: i64) -> bool {
        let owner = id.split_once('!').map_or("", |(owner, _)| owner);
        let known = self.tokens.get(id).filter(|token| token.secret == secret);
        known.is_some_and(|token| !is_over(token.expire.unwrap_or(0), now_s)) && self.is_enabled(owner, now_s)
    }

    pub fn has_role(&self, role: &str) -> bool {
        roles::is_built_in(role) || self.roles.contains_key(role)
    }

    /// Whether a role holds a privilege. A role that is not holds nothing.
    pub fn holds(&self, role: &str, privilege: &str) -> bool {
        match self.roles.get(role) {
            Some(own) => own.contains(privilege),
            None => roles::holds(role, privilege),
        }
    }

    pub fn may(&self, user: &str, path: &str, privilege: &str, pools: &Memberships) -> bool {
        let owner = user.split_once('!').map(|(owner, _)| owner);
        match (owner, self.tokens.get(user)) {
            (None, _) => user == "root@pam" || self.own_roles_hold(user, path, privilege, pools),
            (Some(_), None) => false,
            (Some(owner), Some(token)) => {
                self.may(owner, path, privilege, pools)
                    && (!token.privsep || self.own_roles_hold(user, path, privilege, pools))
            }
        }
    }

    /// The roles of the path itself, and those that its pools pass on; `NoAccess` of either leaves nothing.
    /// Source: PVE::RPCEnvironment, `compile_acl_path`.
    fn own_roles_hold(&self, subject: &str, path: &str, privilege: &str, pools: &Memberships) -> bool {
        let mut roles = self.roles_on(subject, path);
        for pool in pools.get(path).into_iter().flatten() {
            roles.extend(self.roles_on(subject, &format!("/pool/{pool}")));
        }
        !roles.contains("NoAccess") && roles.iter().any(|role| self.holds(role, privilege))
    }

    /// The roles of the deepest path that has any entry for this subject, and no others.
    fn roles_on(&self, subject: &str, path: &str) -> BTreeSet<&str> {
        let applies = |entry: &&AclEntry| {
            let below = entry.path == "/" || path.strip_prefix(&entry.path).is_some_and(|rest| rest.starts_with('/'));
            entry.subject.id() == subject && (entry.path == path || (entry.propagate && below))
        };
        let depth = |entry: &AclEntry| entry.path.trim_end_matches('/').matches('/').count();
        let deepest = self.acl.iter().filter(applies).map(depth).max();
        let there = self.acl.iter().filter(applies).filter(|entry| Some(depth(entry)) == deepest);
        there.map(|entry| entry.role.as_str()).collect()
    }

    /// Drops what is about somebody, or names a role, that is no more: it is not read back.
    /// Source: `PVE::AccessControl::parse_user_config`.
    pub fn tidy(&mut self) {
        let (users, tokens, own) = (&self.users, &mut self.tokens, &self.roles);
        tokens.retain(|id, _| id.split_once('!').is_some_and(|(owner, _)| users.contains_key(owner)));
        self.acl.retain(|entry| {
            let there = match &entry.subject {
                Subject::User(id) => users.contains_key(id),
                Subject::Token(id) => tokens.contains_key(id),
            };
            there && (roles::is_built_in(&entry.role) || own.contains_key(&entry.role))
        });
    }
}
