//! What the API shows of users, tokens, roles and rights.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::book::{AclEntry, Book, Token, User};
use super::{Access, Memberships, roles};
use crate::lab::call::{Call, PveError, Reply, Verb};

pub(super) fn token_info(token: &Token) -> Map<String, Value> {
    let mut info = Map::from_iter([("privsep".to_owned(), json!(u8::from(token.privsep)))]);
    info.extend(token.expire.map(|expire| ("expire".to_owned(), json!(expire))));
    info.extend(token.comment.as_ref().map(|comment| ("comment".to_owned(), json!(comment))));
    info
}

/// The tokens of a user by their own names.
fn tokens_of<'a>(book: &'a Book, user: &str) -> Vec<(&'a str, Map<String, Value>)> {
    let own = book.tokens.iter().filter_map(|(id, token)| Some((id.split_once('!')?, token)));
    let own = own.filter(|((owner, _), _)| *owner == user);
    own.map(|((_, name), token)| (name, token_info(token))).collect()
}

fn about(user: &User) -> Map<String, Value> {
    let words = user.words.iter().map(|(name, word)| (name.clone(), json!(word)));
    let numbers = [("enable", i64::from(user.enable)), ("expire", user.expire)];
    words.chain(numbers.map(|(name, value)| (name.to_owned(), json!(value)))).collect()
}

fn with_id(name: &str, mut info: Map<String, Value>) -> Value {
    info.insert("tokenid".to_owned(), json!(name));
    Value::Object(info)
}

fn users(book: &Book, call: &Call) -> Value {
    let may = |privilege: &str| call.privileges.may("/access/groups", privilege);
    let sees_all = may("User.Modify") || may("Sys.Audit");
    let full = call.params.get("full").is_some_and(|full| full == "1");
    let enabled = call.params.get("enabled").map(|wanted| wanted == "1");
    let seen = book
        .users
        .iter()
        .filter(|(id, user)| (sees_all || **id == call.user) && enabled.is_none_or(|enabled| enabled == user.enable));
    let row = |(id, user): (&String, &User)| {
        let mut row = about(user);
        row.insert("userid".into(), json!(id));
        row.insert("realm-type".into(), json!(id.rsplit('@').next()));
        if full {
            row.insert("groups".into(), json!(""));
            let tokens = tokens_of(book, id);
            if !tokens.is_empty() {
                row.insert("tokens".into(), tokens.into_iter().map(|(name, info)| with_id(name, info)).collect());
            }
        }
        Value::Object(row)
    };
    seen.map(row).collect()
}

fn user(book: &Book, id: &str) -> Result<Value, PveError> {
    let known = book.users.get(id).ok_or_else(|| no_user(id))?;
    let mut row = about(known);
    row.insert("groups".into(), json!([]));
    let tokens = tokens_of(book, id);
    if !tokens.is_empty() {
        let tokens: Map<String, Value> =
            tokens.into_iter().map(|(name, info)| (name.to_owned(), info.into())).collect();
        row.insert("tokens".into(), tokens.into());
    }
    Ok(row.into())
}

fn privileges_of(book: &Book, role: &str, major: u32) -> Vec<&'static str> {
    roles::all(major).filter(|privilege| book.holds(role, privilege)).collect()
}

fn roles(book: &Book, major: u32) -> Value {
    let names = roles::ROLES.iter().copied().chain(book.roles.keys().map(String::as_str));
    let row = |role: &str| {
        let privs = privileges_of(book, role, major).join(",");
        json!({"roleid": role, "privs": privs, "special": u8::from(roles::is_built_in(role))})
    };
    names.map(row).collect()
}

fn role(book: &Book, role: &str, major: u32) -> Result<Value, PveError> {
    if !book.has_role(role) {
        return Err(PveError::die(format!("role '{role}' does not exist")));
    }
    Ok(privileges_of(book, role, major).into_iter().map(|privilege| (privilege.to_owned(), json!(1))).collect())
}

fn acl(book: &Book, call: &Call) -> Value {
    let audits = call.privileges.may("/access", "Sys.Audit");
    let seen = book.acl.iter().filter(|entry| audits || call.privileges.may(&entry.path, "Permissions.Modify"));
    let row = |entry: &AclEntry| {
        json!({"path": entry.path, "ugid": entry.subject.id(), "roleid": entry.role, "type": entry.subject.kind(),
            "propagate": u8::from(entry.propagate)})
    };
    seen.map(row).collect()
}

pub(super) fn no_user(id: &str) -> PveError {
    PveError::die(format!("no such user ('{id}')"))
}

pub(super) fn no_token(id: &str) -> PveError {
    let (user, name) = id.split_once('!').unwrap_or((id, ""));
    PveError::die(format!("no such token '{name}' for user '{user}'"))
}

impl Access {
    /// The readings below `/access`, by the schema's path. Source: PVE::API2::{User,Role,ACL,Domains}.
    pub(in crate::lab) fn show(&self, call: &Call, major: u32) -> Option<Result<Reply, PveError>> {
        if call.verb != Verb::Get {
            return None;
        }
        let book = self.book();
        let given = |name: &str| call.path.get(name).map_or("", String::as_str);
        let shown = match call.template.as_str() {
            "/access/users" => Ok(users(&book, call)),
            "/access/users/{userid}" => user(&book, given("userid")),
            "/access/users/{userid}/token" if !book.users.contains_key(given("userid")) => {
                Err(no_user(given("userid")))
            }
            "/access/users/{userid}/token" => {
                let tokens = tokens_of(&book, given("userid"));
                Ok(tokens.into_iter().map(|(name, info)| with_id(name, info)).collect())
            }
            "/access/users/{userid}/token/{tokenid}" => {
                let id = format!("{}!{}", given("userid"), given("tokenid"));
                book.tokens.get(&id).map(|token| token_info(token).into()).ok_or_else(|| no_token(&id))
            }
            "/access/roles" => Ok(roles(&book, major)),
            "/access/roles/{roleid}" => role(&book, given("roleid"), major),
            "/access/acl" => Ok(acl(&book, call)),
            "/access/domains" => Ok(json!([
                { "realm": "pam", "type": "pam", "comment": "Linux PAM standard authentication" },
                { "realm": "pve", "type": "pve", "comment": "Proxmox VE authentication server" },
            ])),
            _ => return None,
        };
        Some(shown.map(Reply::read))
    }

    /// `GET /access/permissions`: by path, each privilege with whether it goes further down. What a pool passes on
    /// does not.
    pub fn permissions(&self, user: &str, path: Option<&str>, major: u32, pools: &Memberships) -> Value {
        let top = ["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"];
        let named: Vec<String> = self.book().acl.iter().map(|entry| entry.path.clone()).collect();
        let paths: BTreeSet<&str> = match path {
            Some(path) => BTreeSet::from([path]),
            None => {
                let named = named.iter().map(String::as_str);
                top.into_iter().chain(named).chain(pools.keys().map(String::as_str)).collect()
            }
        };
        let none = Memberships::new();
        let mut out = Map::new();
        for each in paths {
            let held = self.privileges(user, each, major, pools);
            if !held.is_empty() || path.is_some() {
                let further = |privilege: &str| u8::from(self.may(user, each, privilege, major, &none));
                let flags: Map<String, Value> = held.into_iter().map(|p| (p.to_owned(), further(p).into())).collect();
                out.insert(each.to_owned(), flags.into());
            }
        }
        out.into()
    }

    /// What the web interface shows: by area, the privileges on its top path.
    pub(super) fn capabilities(&self, user: &str, major: u32) -> Value {
        let areas: [(&str, &str, &[&str]); 7] = [
            ("vms", "/vms", &["VM."]),
            ("storage", "/storage", &["Datastore."]),
            ("access", "/access", &["User.", "Group."]),
            ("nodes", "/nodes", &["Sys."]),
            ("sdn", "/sdn", &["SDN."]),
            ("mapping", "/mapping", &["Mapping."]),
            ("dc", "/", &["Sys.Audit", "Sys.Modify", "SDN."]),
        ];
        let mut out = Map::new();
        for (area, path, prefixes) in areas {
            let shown = |p: &&str| *p == "Permissions.Modify" || prefixes.iter().any(|prefix| p.starts_with(prefix));
            let held: Map<String, Value> = self
                .privileges(user, path, major, &Memberships::new())
                .into_iter()
                .filter(shown)
                .map(|p| (p.to_owned(), 1.into()))
                .collect();
            out.insert(area.to_owned(), held.into());
        }
        out.into()
    }

    /// Everything but the secrets, in a form that is compared.
    pub fn comparable(&self) -> Value {
        let book = self.book();
        let user = |user: &User| {
            let words = user.words.iter().map(|(name, word)| (name.clone(), json!(word)));
            let more = [("enable", json!(user.enable)), ("expire", json!(user.expire))];
            Value::Object(words.chain(more.map(|(name, value)| (name.to_owned(), value))).collect())
        };
        let token = |token: &Token| {
            let mut shown = json!({"privsep": token.privsep, "expire": token.expire.unwrap_or(0)});
            if let Some(comment) = &token.comment {
                shown["comment"] = json!(comment);
            }
            shown
        };
        let line = |entry: &AclEntry| {
            let key = format!("{} {} {} {}", entry.path, entry.subject.kind(), entry.subject.id(), entry.role);
            (key, json!({"propagate": entry.propagate}))
        };
        let users: Map<String, Value> = book.users.iter().map(|(id, of)| (id.clone(), user(of))).collect();
        let tokens: Map<String, Value> = book.tokens.iter().map(|(id, of)| (id.clone(), token(of))).collect();
        let roles: Map<String, Value> =
            book.roles.iter().map(|(role, holds)| (role.clone(), json!({"privileges": holds}))).collect();
        let acl: Map<String, Value> = book.acl.iter().map(line).collect();
        json!({"user": users, "token": tokens, "role": roles, "acl": acl})
    }
}
