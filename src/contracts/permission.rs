//! Who may call a method: the schema's permission expressions.
//!
//! Source: PVE::RPCEnvironment (check_api2_permissions, exec_api2_perm_check).

use std::collections::BTreeMap;

use serde_json::Value;

/// Who may call a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// `user: world`: nobody needs to be logged in.
    World,
    /// `user: all`: any authenticated user; lists show what one may see.
    Authenticated,
    /// None given: `root@pam` by ticket.
    Root,
    Check(Expression),
}

/// The expression under `check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    And(Vec<Expression>),
    Or(Vec<Expression>),
    /// These privileges (all, or any one) on this path; false without asking where `require` was not given.
    Privileges {
        path: String,
        privileges: Vec<String>,
        any: bool,
        require: Option<String>,
    },
    /// The parameter `userid` is the caller.
    SelfOnly,
    /// `Realm.AllocateUser` on the realm of the parameter `userid`.
    AllocateUser,
    /// Any of these on `/access/groups`.
    UserGroup(Vec<String>),
    /// `Permissions.Modify` on the path.
    PermModify(String),
    /// Something newer than this program: refused for everybody but root.
    Unknown,
}

/// One leaf of an expression, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// An ACL path with names in braces (`/vms/{vmid}`).
    pub path: String,
    pub privileges: Vec<String>,
    /// Whether one of them is enough.
    pub any: bool,
}

impl Permission {
    pub(super) fn parse(json: Option<&Value>) -> Self {
        let Some(json) = json.and_then(Value::as_object) else { return Self::Root };
        match json.get("user").and_then(Value::as_str) {
            Some("all") => return Self::Authenticated,
            Some("world") => return Self::World,
            _ => {}
        }
        json.get("check").map_or(Self::Root, |check| Self::Check(Expression::parse(check)))
    }

    /// Whether `user` may call, given all parameters (the path's included) and what that user may do.
    ///
    /// # Errors
    /// The reason phrase of the 403, such as `Permission check failed (/vms/104, VM.Migrate)`.
    pub fn check(
        &self,
        user: &str,
        params: &BTreeMap<String, String>,
        may: &dyn Fn(&str, &str) -> bool,
    ) -> Result<(), String> {
        match self {
            _ if user == "root@pam" => Ok(()),
            Self::World | Self::Authenticated => Ok(()),
            Self::Root => Err(refusal("user != root@pam")),
            Self::Check(expression) => expression.check(user, params, may).map_err(|detail| refusal(&detail)),
        }
    }

    /// Every privilege named, whether joined by "and" or "or".
    pub fn needed(&self) -> Vec<Needed> {
        let mut out = Vec::new();
        if let Self::Check(expression) = self {
            expression.collect(&mut out);
        }
        out
    }
}

fn refusal(detail: &str) -> String {
    if detail.is_empty() { "Permission check failed".into() } else { format!("Permission check failed ({detail})") }
}

impl Expression {
    fn parse(json: &Value) -> Self {
        let Some(list) = json.as_array() else { return Self::Unknown };
        let text = |i: usize| list.get(i).and_then(Value::as_str).unwrap_or_default().to_owned();
        let names = |i: usize| -> Vec<String> {
            list.get(i)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        };
        match (text(0).as_str(), text(1).as_str()) {
            ("and", _) => Self::And(list[1..].iter().map(Self::parse).collect()),
            ("or", _) => Self::Or(list[1..].iter().map(Self::parse).collect()),
            ("perm", _) => {
                let options: BTreeMap<&str, &Value> =
                    list[3..].chunks_exact(2).filter_map(|pair| Some((pair[0].as_str()?, &pair[1]))).collect();
                Self::Privileges {
                    path: text(1),
                    privileges: names(2),
                    any: options.contains_key("any"),
                    require: options.get("require_param").and_then(|v| v.as_str()).map(str::to_owned),
                }
            }
            ("userid-param", "self") => Self::SelfOnly,
            ("userid-param", "Realm.AllocateUser") => Self::AllocateUser,
            ("userid-group", _) => Self::UserGroup(names(1)),
            ("perm-modify", _) => Self::PermModify(text(1)),
            _ => Self::Unknown,
        }
    }

    /// The error is what goes in brackets; empty for `or`, where no one branch is to blame.
    fn check(
        &self,
        user: &str,
        params: &BTreeMap<String, String>,
        may: &dyn Fn(&str, &str) -> bool,
    ) -> Result<(), String> {
        let userid = params.get("userid").map_or("", String::as_str);
        match self {
            Self::And(all) => all.iter().try_for_each(|one| one.check(user, params, may)),
            Self::Or(some) if some.iter().any(|one| one.check(user, params, may).is_ok()) => Ok(()),
            Self::Or(_) | Self::Unknown => Err(String::new()),
            Self::Privileges { require: Some(name), .. } if !params.contains_key(name) => Err(String::new()),
            Self::Privileges { path, privileges, any, .. } => held(&fill(path, params), privileges, *any, may),
            Self::SelfOnly => {
                if user == userid {
                    Ok(())
                } else {
                    Err(String::new())
                }
            }
            Self::AllocateUser => {
                let realm = userid.rsplit_once('@').map_or("", |(_, realm)| realm);
                held(&format!("/access/realm/{realm}"), &["Realm.AllocateUser".into()], false, may)
            }
            Self::UserGroup(privileges) => held("/access/groups", privileges, true, may),
            Self::PermModify(path) => held(&fill(path, params), &["Permissions.Modify".into()], false, may),
        }
    }

    fn collect(&self, out: &mut Vec<Needed>) {
        let mut leaf = |path: &str, privileges: &[String], any| {
            out.push(Needed { path: path.to_owned(), privileges: privileges.to_vec(), any });
        };
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.collect(out)),
            Self::Privileges { path, privileges, any, .. } => leaf(path, privileges, *any),
            Self::UserGroup(privileges) => leaf("/access/groups", privileges, true),
            Self::AllocateUser => leaf("/access/realm/{realm}", &["Realm.AllocateUser".into()], false),
            Self::PermModify(path) => leaf(path, &["Permissions.Modify".into()], false),
            Self::SelfOnly | Self::Unknown => {}
        }
    }
}

fn held(path: &str, privileges: &[String], any: bool, may: &dyn Fn(&str, &str) -> bool) -> Result<(), String> {
    if any {
        let one = privileges.iter().any(|privilege| may(path, privilege));
        return if one { Ok(()) } else { Err(format!("{path}, {}", privileges.join("|"))) };
    }
    match privileges.iter().find(|privilege| !may(path, privilege)) {
        Some(missing) => Err(format!("{path}, {missing}")),
        None => Ok(()),
    }
}

/// `/vms/{vmid}` with the call's own values.
fn fill(template: &str, params: &BTreeMap<String, String>) -> String {
    let filled: Vec<&str> = template
        .split('/')
        .map(|segment| match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
            Some(name) => params.get(name).map_or("", String::as_str),
            None => segment,
        })
        .filter(|segment| !segment.is_empty())
        .collect();
    format!("/{}", filled.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::Schema;
    use crate::contracts::Verb;

    fn check(verb: Verb, path: &str, given: &[(&str, &str)], may: &[(&str, &str)]) -> Result<(), String> {
        let (method, mut params) = Schema::version("9").find(verb, path).unwrap();
        params.extend(given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        method.permissions.check("ops@pve", &params, &|path, privilege| may.contains(&(path, privilege)))
    }

    #[test]
    fn a_missing_privilege_is_named() {
        let migrate = "/nodes/pve1/qemu/100/migrate";
        assert_eq!(check(Verb::Post, migrate, &[], &[]).unwrap_err(), "Permission check failed (/vms/100, VM.Migrate)");
        assert!(check(Verb::Post, migrate, &[], &[("/vms/100", "VM.Migrate")]).is_ok());
    }

    #[test]
    fn any_of_several_is_joined_by_bars() {
        let text = check(Verb::Get, "/nodes/pve1/qemu/100/agent/get-fsinfo", &[], &[]).unwrap_err();
        assert_eq!(text, "Permission check failed (/vms/100, VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted)");
    }

    #[test]
    fn an_or_has_no_detail() {
        let clone = "/nodes/pve1/qemu/9000/clone";
        let source = ("/vms/9000", "VM.Clone");
        let given = [("newid", "101")];
        assert_eq!(check(Verb::Post, clone, &given, &[source]).unwrap_err(), "Permission check failed");
        assert!(check(Verb::Post, clone, &given, &[source, ("/vms/101", "VM.Allocate")]).is_ok());
        // The pool's right counts only where a pool is given.
        assert!(check(Verb::Post, clone, &given, &[source, ("/pool/a", "VM.Allocate")]).is_err());
        let pooled = [("newid", "101"), ("pool", "a")];
        assert!(check(Verb::Post, clone, &pooled, &[source, ("/pool/a", "VM.Allocate")]).is_ok());
    }

    #[test]
    fn no_permissions_means_root() {
        let params = BTreeMap::new();
        let nobody = |_: &str, _: &str| true;
        let text = Permission::Root.check("root@pam!tok", &params, &nobody).unwrap_err();
        assert_eq!(text, "Permission check failed (user != root@pam)");
        assert!(Permission::Root.check("root@pam", &params, &nobody).is_ok());
    }

    #[test]
    fn privileges_are_listed_for_messages() {
        let needed = crate::contracts::privileges_of("9", Verb::Post, "/nodes/{node}/qemu/{vmid}/migrate");
        assert_eq!(needed, [Needed { path: "/vms/{vmid}".into(), privileges: vec!["VM.Migrate".into()], any: false }]);
    }
}
