//! Users, tokens, roles and the access control list, each by what it is called.

use serde_json::{Map, Value, json};

use super::ProxmoxSource;
use crate::actions::proxmox::failures;
use crate::clients::proxmox::{Permissions, loose};
use crate::model::failure::Failure;

fn rows(data: &Value) -> impl Iterator<Item = &Map<String, Value>> {
    data.as_array().into_iter().flatten().filter_map(Value::as_object)
}

fn text<'a>(row: &'a Map<String, Value>, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// `1`, `"1"` and `true`; what is not said is `or`.
fn flag(row: &Map<String, Value>, name: &str, or: bool) -> bool {
    row.get(name).map_or(or, |value| loose::plain(value) == "1")
}

fn seconds(row: &Map<String, Value>) -> i64 {
    row.get("expire").and_then(|value| loose::plain(value).parse().ok()).unwrap_or(0)
}

fn with_words(mut of: Value, row: &Map<String, Value>, names: &[&str]) -> Value {
    for name in names.iter().filter(|name| !text(row, name).is_empty()) {
        of[*name] = json!(text(row, name));
    }
    of
}

fn user(row: &Map<String, Value>) -> Value {
    let of = json!({"enable": flag(row, "enable", true), "expire": seconds(row)});
    with_words(of, row, &["comment", "email", "firstname", "lastname"])
}

fn token(row: &Map<String, Value>) -> Value {
    let of = json!({"privsep": flag(row, "privsep", true), "expire": seconds(row)});
    with_words(of, row, &["comment"])
}

fn role(row: &Map<String, Value>) -> Value {
    let mut privileges: Vec<&str> = text(row, "privs").split(',').filter(|name| !name.is_empty()).collect();
    privileges.sort_unstable();
    let mut of = json!({"privileges": privileges});
    if flag(row, "special", false) {
        of["special"] = json!(true);
    }
    of
}

/// What an entry of the access control list is called.
pub fn acl_key(path: &str, kind: &str, id: &str, role: &str) -> String {
    format!("{path} {kind} {id} {role}")
}

fn tokens(data: &Value) -> Value {
    let mut all = Map::new();
    for row in rows(data) {
        for of in row.get("tokens").map(rows).into_iter().flatten() {
            all.insert(format!("{}!{}", text(row, "userid"), text(of, "tokenid")), token(of));
        }
    }
    all.into()
}

impl ProxmoxSource {
    pub(super) async fn permissions_of(&self, id: &str) -> Result<Permissions, Failure> {
        self.site.permissions_of(id).await.map_err(self.failed(format!("read the privileges of {id}")))
    }

    pub(super) async fn roles(&self) -> Result<Value, Failure> {
        let data = self.api("/access/roles", &[]).await?;
        Ok(rows(&data).map(|row| (text(row, "roleid").to_owned(), role(row))).collect())
    }

    /// All of them: without the right to see them the list has only ourselves.
    async fn all_users(&self, attempted: &str) -> Result<Value, Failure> {
        let rights = self.permissions().await?;
        let (path, any) = ("/access/groups", ["Sys.Audit", "User.Modify"]);
        if !any.iter().any(|privilege| rights.may(path, privilege)) {
            return Err(failures::hidden(attempted, &self.we(), any[0], path));
        }
        self.api("/access/users", &[("full".into(), "1".into())]).await
    }

    pub(super) async fn users(&self) -> Result<Value, Failure> {
        let data = self.all_users("list the users").await?;
        Ok(rows(&data).map(|row| (text(row, "userid").to_owned(), user(row))).collect())
    }

    pub(super) async fn tokens(&self) -> Result<Value, Failure> {
        Ok(tokens(&self.all_users("list the API tokens").await?))
    }

    pub(super) async fn acl(&self) -> Result<Value, Failure> {
        if !self.permissions().await?.may("/access", "Sys.Audit") {
            return Err(failures::hidden("read the access control list", &self.we(), "Sys.Audit", "/access"));
        }
        let data = self.api("/access/acl", &[]).await?;
        let line = |row: &Map<String, Value>| {
            let key = acl_key(text(row, "path"), text(row, "type"), text(row, "ugid"), text(row, "roleid"));
            (key, json!({"propagate": flag(row, "propagate", true)}))
        };
        Ok(rows(&data).map(line).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_in_each_spelling() {
        let row = |value: Value| value.as_object().cloned().unwrap();
        assert_eq!(user(&row(json!({"enable": "0", "comment": ""}))), json!({"enable": false, "expire": 0}));
        assert_eq!(
            role(&row(json!({"privs": "VM.Audit,Sys.Audit", "special": 1}))),
            json!({"privileges": ["Sys.Audit", "VM.Audit"], "special": true})
        );
        assert_eq!(role(&row(json!({"special": 0}))), json!({"privileges": []}));
        let data = json!([{"userid": "a@pve", "tokens": [{"tokenid": "x", "privsep": 0, "expire": "5"}]}, {"userid": "b@pve"}]);
        assert_eq!(tokens(&data), json!({"a@pve!x": {"privsep": false, "expire": 5}}));
    }
}
