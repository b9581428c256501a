//! `proxmox.role`: a role with exactly these privileges.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::ensure::{All, Fields, Kind, refused};
use crate::actions::proxmox::act::Request;
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::SiteInfo;
use crate::actions::proxmox::resource::Resource;
use crate::clients::proxmox::{Params, Verb, seg};
use crate::engine::ports::{Call, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::Failure;
use crate::model::param::{Param, ValueType};

/// A role.
pub struct Role;

fn role(call: &Call) -> &str {
    call.get("role").as_str().unwrap_or_default()
}

/// Each once, in order.
fn privileges(call: &Call) -> Vec<&str> {
    let mut names: Vec<&str> =
        call.get("privileges").as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[async_trait]
impl Kind for Role {
    fn spec() -> ActionSpec {
        ActionSpec::new("proxmox.role", Effect::Change, "Make a role have exactly these privileges")
            .param(
                Param::new("role", ValueType::String)
                    .required()
                    .help("Its name; those that begin with PVE are built in"),
            )
            .param(
                Param::new("privileges", ValueType::List)
                    .items(ValueType::String)
                    .help("As this version of Proxmox VE calls them; any other is taken off the role"),
            )
            .output("privileges", ValueType::List, "What it holds")
            .needs_privilege("Sys.Modify on /access")
            .needs_privilege("Sys.Audit on /access")
    }

    fn resource() -> Resource {
        Resource::Roles
    }

    fn listed_at() -> &'static str {
        "/access/roles"
    }

    fn name(call: &Call) -> Result<String, Failure> {
        Ok(role(call).to_owned())
    }

    fn title(call: &Call) -> String {
        format!("role {}", role(call))
    }

    fn wanted(call: &Call) -> Fields {
        Fields::from_iter([("privileges".to_owned(), json!(privileges(call)))])
    }

    fn outputs(call: &Call) -> Fields {
        Self::wanted(call)
    }

    async fn check(call: &Call, absent: bool, all: &All, world: &dyn World) -> Result<(), Unreadable> {
        let attempted = format!("change role {}", role(call));
        let built_in = all.get(role(call)).is_some_and(|role| role.get("special") == Some(&json!(true)));
        if built_in || role(call).to_lowercase().starts_with("pve") {
            let cause = "Proxmox VE's own roles, and names that begin with PVE, are not ours to change";
            return Err(refused(attempted, cause).remedy("take another name").into());
        }
        if absent {
            let lines: All = look::read(world, Resource::Acl).await?;
            let used = lines.keys().find(|line| line.rsplit(' ').next() == Some(role(call)));
            return match used {
                Some(line) => Err(refused(attempted, format!("the access control list still gives it: {line}"))
                    .remedy("take that entry away first (proxmox.acl with state: absent)")
                    .into()),
                None => Ok(()),
            };
        }
        // Of the built-in roles this one has all that there are.
        let Some(known) = all.get("Administrator").and_then(|role| role.get("privileges")?.as_array()) else {
            return Ok(());
        };
        let unknown: Vec<&str> = privileges(call).into_iter().filter(|name| !known.contains(&json!(name))).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let site: SiteInfo = look::read(world, Resource::Site).await?;
        let cause = format!("Proxmox VE {} has no privilege {}", site.version, unknown.join(", "));
        let remedy =
            "8 has VM.Monitor where 9 has VM.GuestAgent.*; `pveum role list` shows those of Administrator: all";
        Err(refused(attempted, cause).remedy(remedy).into())
    }

    fn request(call: &Call, absent: bool, now: Option<&Fields>) -> Request {
        let one = format!("/access/roles/{}", seg(role(call)));
        let params = Params::new().set("privs", privileges(call).join(","));
        match (absent, now) {
            (true, _) => Request::at_once(Verb::Delete, one, Params::new()),
            (false, Some(_)) => Request::at_once(Verb::Put, one, params),
            (false, None) => Request::at_once(Verb::Post, "/access/roles".into(), params.set("roleid", role(call))),
        }
    }

    fn back(call: &Call, was: Option<&Fields>) -> Option<Value> {
        let privileges = was.and_then(|was| was.get("privileges")).cloned().unwrap_or(json!([]));
        Some(json!({"role": role(call), "privileges": privileges}))
    }
}
