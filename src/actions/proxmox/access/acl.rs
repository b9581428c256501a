//! `proxmox.acl`: one entry of the access control list: a role for somebody on a path.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::ensure::{All, Fields, Kind, refused};
use crate::actions::proxmox::act::Request;
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::source::acl_key;
use crate::clients::proxmox::{Params, Verb};
use crate::engine::ports::{Call, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::Failure;
use crate::model::param::{Param, ValueType};

/// An entry.
pub struct Acl;

const KINDS: [&str; 3] = ["user", "token", "group"];

/// For whom: the kind and the name. Exactly one is given where the call is right.
fn subject(call: &Call) -> (&'static str, &str) {
    let given = KINDS.into_iter().find_map(|kind| Some((kind, call.get(kind).as_str()?)));
    given.unwrap_or(("user", ""))
}

/// As the server keeps it: one slash between words and none at the end.
fn path(call: &Call) -> String {
    let words = call.get("path").as_str().unwrap_or_default().split('/').filter(|word| !word.is_empty());
    format!("/{}", words.collect::<Vec<_>>().join("/"))
}

fn role(call: &Call) -> &str {
    call.get("role").as_str().unwrap_or_default()
}

#[async_trait]
impl Kind for Acl {
    fn spec() -> ActionSpec {
        ActionSpec::new("proxmox.acl", Effect::Change, "Give somebody a role on a path, or take it from them")
            .param(
                Param::new("path", ValueType::String)
                    .required()
                    .help("/ is everything; /vms/104, /pool/NAME, /storage/NAME, /nodes/NAME"),
            )
            .param(Param::new("role", ValueType::String).required().help("The role"))
            .param(Param::new("user", ValueType::String).help("For this user; one of user, token and group"))
            .param(Param::new("token", ValueType::String).help("For this API token: user@realm!name"))
            .param(Param::new("group", ValueType::String).help("For the members of this group"))
            .param(
                Param::new("propagate", ValueType::Bool)
                    .default_value(true)
                    .help("Whether it holds below the path, too"),
            )
            .needs_privilege("Permissions.Modify on {path}")
            .needs_privilege("Sys.Audit on /access")
    }

    fn resource() -> Resource {
        Resource::Acl
    }

    fn listed_at() -> &'static str {
        "/access/acl"
    }

    fn name(call: &Call) -> Result<String, Failure> {
        let given = KINDS.iter().filter(|kind| !call.get(kind).is_null()).count();
        if given != 1 {
            let cause = format!("{given} of user, token and group are given");
            return Err(refused("read an entry of the access control list".into(), cause).remedy("give exactly one"));
        }
        let (kind, id) = subject(call);
        Ok(acl_key(&path(call), kind, id, role(call)))
    }

    fn title(call: &Call) -> String {
        let (kind, id) = subject(call);
        format!("role {} on {} for {kind} {id}", role(call), path(call))
    }

    fn wanted(call: &Call) -> Fields {
        Fields::from_iter([("propagate".to_owned(), json!(call.get("propagate") != false))])
    }

    async fn check(_: &Call, _: bool, _: &All, _: &dyn World) -> Result<(), Unreadable> {
        Ok(())
    }

    fn request(call: &Call, absent: bool, _: Option<&Fields>) -> Request {
        let (kind, id) = subject(call);
        let params = Params::new().set("path", path(call)).set("roles", role(call)).set(format!("{kind}s"), id);
        let params = match absent {
            true => params.flag("delete", true),
            false => params.flag("propagate", call.get("propagate") != false),
        };
        Request::at_once(Verb::Put, "/access/acl".into(), params)
    }

    fn back(call: &Call, was: Option<&Fields>) -> Option<Value> {
        let (kind, id) = subject(call);
        let mut with = json!({"path": path(call), "role": role(call)});
        with[kind] = json!(id);
        with["propagate"] = was.and_then(|was| was.get("propagate")).cloned().unwrap_or(json!(true));
        Some(with)
    }
}
