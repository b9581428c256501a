//! Changes of users, tokens, roles and the access control list, each whole or not at all, with the server's own words.
//!
//! Source: PVE::API2::{User,Role,ACL}, PVE::AccessControl (`lock_user_config` puts what was attempted before the cause).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::book::{AclEntry, Book, Subject, Token, User};
use super::shown::{no_token, no_user, token_info};
use super::{Access, random_uuid, roles};
use crate::lab::call::{Call, PveError, Reply, Verb};

type Done = Result<Value, PveError>;

const WORDS: [&str; 5] = ["comment", "email", "firstname", "keys", "lastname"];

fn die(attempted: &str, why: impl std::fmt::Display) -> PveError {
    PveError::die(format!("{attempted} failed: {why}"))
}

fn given<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    call.params.get(name).or_else(|| call.path.get(name)).map(String::as_str)
}

fn flag(call: &Call, name: &str) -> Option<bool> {
    given(call, name).map(|value| value == "1")
}

/// The privileges of a call, all known to a server of this version.
fn privileges(call: &Call, major: u32) -> Result<BTreeSet<String>, PveError> {
    if let Some(wrong) = call.list("privs").find(|name| !roles::exists(name, major)) {
        return Err(PveError::parameter("privs", format!("invalid format - invalid privilege '{wrong}'\n")));
    }
    Ok(call.list("privs").map(str::to_owned).collect())
}

fn add_role(book: &mut Book, call: &Call, major: u32) -> Done {
    let (role, privileges) = (given(call, "roleid").unwrap_or_default(), privileges(call, major)?);
    if role.to_lowercase().starts_with("pve") {
        let text = "cannot use role ID starting with the (case-insensitive) 'PVE' namespace";
        return Err(PveError::parameter("roleid", text));
    }
    if book.has_role(role) {
        return Err(die("create role", format!("role '{role}' already exists")));
    }
    book.roles.insert(role.to_owned(), privileges);
    Ok(Value::Null)
}

fn own_role<'a>(book: &'a mut Book, call: &Call, word: &str, past: &str) -> Result<&'a mut BTreeSet<String>, PveError> {
    let role = given(call, "roleid").unwrap_or_default();
    if roles::is_built_in(role) {
        return Err(PveError::die(format!("auto-generated role '{role}' cannot be {past}")));
    }
    book.roles.get_mut(role).ok_or_else(|| die(&format!("{word} role"), format!("role '{role}' does not exist")))
}

fn change_role(book: &mut Book, call: &Call, major: u32) -> Done {
    let privileges = privileges(call, major)?;
    let role = own_role(book, call, "update", "modified")?;
    if flag(call, "append") != Some(true) {
        role.clear();
    }
    role.extend(privileges);
    Ok(Value::Null)
}

fn remove_role(book: &mut Book, call: &Call) -> Done {
    own_role(book, call, "delete", "deleted")?;
    book.roles.remove(given(call, "roleid").unwrap_or_default());
    book.tidy();
    Ok(Value::Null)
}

/// The lab has no groups.
fn no_groups(call: &Call, attempted: &str) -> Result<(), PveError> {
    match call.list("groups").next() {
        Some(group) => Err(die(attempted, format!("no such group '{group}'"))),
        None => Ok(()),
    }
}

fn set_words(user: &mut User, call: &Call) {
    for name in WORDS {
        match given(call, name) {
            Some("") => drop(user.words.remove(name)),
            Some(word) => drop(user.words.insert(name.to_owned(), word.to_owned())),
            None => {}
        }
    }
    user.enable = flag(call, "enable").unwrap_or(user.enable);
    user.expire = given(call, "expire").and_then(|text| text.parse().ok()).unwrap_or(user.expire);
}

fn add_user(book: &mut Book, call: &Call) -> Done {
    let id = given(call, "userid").unwrap_or_default();
    if book.users.contains_key(id) {
        return Err(die("create user", format!("user '{id}' already exists")));
    }
    no_groups(call, "create user")?;
    let mut user = User { password: given(call, "password").map(str::to_owned), ..User::new() };
    set_words(&mut user, call);
    book.users.insert(id.to_owned(), user);
    Ok(Value::Null)
}

fn change_user(book: &mut Book, call: &Call) -> Done {
    let id = given(call, "userid").unwrap_or_default();
    let user = book.users.get_mut(id).ok_or_else(|| die("update user", format!("no such user ('{id}')")))?;
    no_groups(call, "update user")?;
    set_words(user, call);
    Ok(Value::Null)
}

/// One that is not there is no error.
fn remove_user(book: &mut Book, call: &Call) -> Done {
    book.users.remove(given(call, "userid").unwrap_or_default());
    book.tidy();
    Ok(Value::Null)
}

fn token_id(call: &Call) -> String {
    format!("{}!{}", given(call, "userid").unwrap_or_default(), given(call, "tokenid").unwrap_or_default())
}

/// With the secret, which is never said again.
fn with_secret(id: &str, token: &Token) -> Value {
    json!({"full-tokenid": id, "info": token_info(token), "value": token.secret})
}

fn add_token(book: &mut Book, call: &Call) -> Done {
    let (id, user) = (token_id(call), given(call, "userid").unwrap_or_default());
    if !book.users.contains_key(user) {
        return Err(no_user(user));
    }
    if book.tokens.contains_key(&id) {
        return Err(PveError::parameter("tokenid", "Token already exists."));
    }
    let token = Token {
        secret: random_uuid(),
        privsep: flag(call, "privsep").unwrap_or(true),
        expire: given(call, "expire").and_then(|text| text.parse().ok()),
        comment: given(call, "comment").filter(|text| !text.is_empty()).map(str::to_owned),
    };
    let answer = with_secret(&id, &token);
    book.tokens.insert(id, token);
    Ok(answer)
}

fn change_token(book: &mut Book, call: &Call) -> Done {
    let id = token_id(call);
    let token = book.tokens.get_mut(&id).ok_or_else(|| no_token(&id))?;
    for name in call.list("delete") {
        match name {
            "comment" => token.comment = None,
            "expire" => token.expire = None,
            other => return Err(die("updating token info", format!("no such option '{other}'"))),
        }
    }
    token.privsep = flag(call, "privsep").unwrap_or(token.privsep);
    token.expire = given(call, "expire").and_then(|text| text.parse().ok()).or(token.expire);
    if let Some(comment) = given(call, "comment").filter(|text| !text.is_empty()) {
        token.comment = Some(comment.to_owned());
    }
    if flag(call, "regenerate") == Some(true) {
        token.secret = random_uuid();
        return Ok(with_secret(&id, token));
    }
    Ok(token_info(token).into())
}

fn remove_token(book: &mut Book, call: &Call) -> Done {
    let id = token_id(call);
    book.tokens.remove(&id).ok_or_else(|| no_token(&id))?;
    book.tidy();
    Ok(Value::Null)
}

/// As it is kept: one slash between words and none at the end.
fn acl_path(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split('/').filter(|word| !word.is_empty()).collect();
    let fits = |word: &&str| word.chars().all(|c| c.is_alphanumeric() || ".-_".contains(c));
    (!text.is_empty() && words.iter().all(fits)).then(|| format!("/{}", words.join("/")))
}

/// Whether entries may be made on it. Source: `PVE::AccessControl::check_path`.
fn takes_entries(path: &str) -> bool {
    let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
    let vmid = |word: &str| word.len() >= 3 && !word.starts_with('0') && word.bytes().all(|b| b.is_ascii_digit());
    match words[..] {
        [] | ["access" | "nodes" | "pool" | "sdn" | "storage" | "vms" | "mapping"] => true,
        ["access", "groups" | "realm"] | ["sdn", "zones"] => true,
        ["access", "groups" | "realm", _] => true,
        ["nodes" | "storage" | "mapping", _] | ["mapping", _, _] => true,
        ["pool", _] | ["pool", _, _] | ["pool", _, _, _] => true,
        ["sdn", "zones", _] | ["sdn", "zones", _, _] | ["sdn", "zones", _, _, _] => true,
        ["vms", id] => vmid(id),
        _ => false,
    }
}

fn change_acl(book: &mut Book, call: &Call) -> Done {
    let kinds = ["users", "groups", "tokens"];
    if kinds.iter().all(|kind| call.list(kind).next().is_none()) {
        let text = "either 'users', 'groups' or 'tokens' is required.";
        let errors = kinds.iter().map(|kind| ((*kind).to_owned(), text.to_owned())).collect::<BTreeMap<_, _>>();
        return Err(PveError { status: 400, message: "Parameter verification failed.".into(), errors });
    }
    let (delete, text) = (flag(call, "delete") == Some(true), given(call, "path").unwrap_or_default());
    let path = acl_path(text).filter(|path| delete || takes_entries(path));
    let path = path.ok_or_else(|| PveError::parameter("path", format!("invalid ACL path '{text}'")))?;
    let failed = |why: String| die("ACL update", why);
    let mut subjects = Vec::new();
    if let Some(group) = call.list("groups").next() {
        return Err(failed(format!("group '{group}' does not exist")));
    }
    for user in call.list("users") {
        if !book.users.contains_key(user) {
            return Err(failed(format!("user '{user}' does not exist")));
        }
        subjects.push(Subject::User(user.to_owned()));
    }
    for token in call.list("tokens") {
        if !book.tokens.contains_key(token) {
            return Err(failed(no_token(token).message));
        }
        subjects.push(Subject::Token(token.to_owned()));
    }
    let roles: Vec<String> = call.list("roles").map(str::to_owned).collect();
    if let Some(role) = roles.iter().find(|role| !book.has_role(role)) {
        return Err(failed(format!("role '{role}' does not exist")));
    }
    let propagate = flag(call, "propagate").unwrap_or(true);
    for role in roles {
        for subject in &subjects {
            book.acl.retain(|entry| !(entry.path == path && entry.subject == *subject && entry.role == role));
            if !delete {
                let (path, subject, role) = (path.clone(), subject.clone(), role.clone());
                book.acl.push(AclEntry { path, subject, role, propagate });
            }
        }
    }
    Ok(Value::Null)
}

impl Access {
    /// The changes below `/access`, by the schema's path; `None` for one that the lab has not.
    pub(in crate::lab) fn change(&self, call: &Call, major: u32) -> Option<Result<Reply, PveError>> {
        let mut book = self.changing();
        let done = match (call.verb, call.template.as_str()) {
            (Verb::Post, "/access/roles") => add_role(&mut book, call, major),
            (Verb::Put, "/access/roles/{roleid}") => change_role(&mut book, call, major),
            (Verb::Delete, "/access/roles/{roleid}") => remove_role(&mut book, call),
            (Verb::Post, "/access/users") => add_user(&mut book, call),
            (Verb::Put, "/access/users/{userid}") => change_user(&mut book, call),
            (Verb::Delete, "/access/users/{userid}") => remove_user(&mut book, call),
            (Verb::Post, "/access/users/{userid}/token/{tokenid}") => add_token(&mut book, call),
            (Verb::Put, "/access/users/{userid}/token/{tokenid}") => change_token(&mut book, call),
            (Verb::Delete, "/access/users/{userid}/token/{tokenid}") => remove_token(&mut book, call),
            (Verb::Put, "/access/acl") => change_acl(&mut book, call),
            _ => return None,
        };
        Some(done.map(Reply::changed))
    }
}
