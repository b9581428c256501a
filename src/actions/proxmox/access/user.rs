//! `proxmox.user`: a user, without a password: one that works by its tokens needs none.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::ensure::{All, Fields, Kind, refused};
use crate::actions::proxmox::act::Request;
use crate::actions::proxmox::look;
use crate::actions::proxmox::resource::Resource;
use crate::clients::proxmox::{Params, Verb, loose, seg};
use crate::engine::ports::{Call, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::Failure;
use crate::model::param::{Param, ValueType};

const FIELDS: [&str; 6] = ["comment", "email", "enable", "expire", "firstname", "lastname"];

/// A user.
pub struct User;

fn user(call: &Call) -> &str {
    call.get("user").as_str().unwrap_or_default()
}

fn params(fields: Fields) -> Params {
    let plain = |value: &Value| value.as_bool().map_or_else(|| loose::plain(value), |flag| u8::from(flag).to_string());
    fields.iter().fold(Params::new(), |params, (name, value)| params.set(name, plain(value)))
}

#[async_trait]
impl Kind for User {
    fn spec() -> ActionSpec {
        let text = |name, help: &str| Param::new(name, ValueType::String).help(help);
        ActionSpec::new("proxmox.user", Effect::Change, "Make a user, or change what is said of one")
            .param(Param {
                pattern: Some(r"[^\s:/!@]+@[A-Za-z][A-Za-z0-9.\-_]+".into()),
                ..Param::new("user", ValueType::String).required().help("user@realm: automation@pve")
            })
            .param(text("comment", "For people"))
            .param(text("email", "An address"))
            .param(text("firstname", "For people"))
            .param(text("lastname", "For people"))
            .param(Param::new("enable", ValueType::Bool).help("Whether it may log in, and its tokens"))
            .param(Param {
                min: Some(0.0),
                ..Param::new("expire", ValueType::Int).help("Until when, in seconds since 1970; 0: for ever")
            })
            .needs_privilege("User.Modify on /access/groups")
            .needs_privilege("Realm.AllocateUser on /access/realm/{realm}")
    }

    fn resource() -> Resource {
        Resource::Users
    }

    fn listed_at() -> &'static str {
        "/access/users"
    }

    fn name(call: &Call) -> Result<String, Failure> {
        Ok(user(call).to_owned())
    }

    fn title(call: &Call) -> String {
        format!("user {}", user(call))
    }

    fn wanted(call: &Call) -> Fields {
        let given = FIELDS.iter().filter(|name| !call.get(name).is_null());
        given.map(|name| ((*name).to_owned(), call.get(name).clone())).collect()
    }

    fn defaults() -> Fields {
        Fields::from_iter([("enable".to_owned(), json!(true)), ("expire".to_owned(), json!(0))])
    }

    async fn check(call: &Call, absent: bool, _: &All, world: &dyn World) -> Result<(), Unreadable> {
        if !absent {
            return Ok(());
        }
        let (tokens, lines): (All, All) =
            (look::read(world, Resource::Tokens).await?, look::read(world, Resource::Acl).await?);
        let own = tokens.keys().find(|id| id.split('!').next() == Some(user(call)));
        let line = lines.keys().find(|line| line.split(' ').nth(2) == Some(user(call)));
        let (what, action) = match (own, line) {
            (Some(token), _) => (format!("its token {token}"), "proxmox.token"),
            (None, Some(line)) => (format!("an entry of the access control list, {line}"), "proxmox.acl"),
            (None, None) => return Ok(()),
        };
        let cause = format!("{what} would go with it, and could not be put back");
        let remedy = format!("take that away first ({action} with state: absent)");
        Err(refused(format!("take away user {}", user(call)), cause).remedy(remedy).into())
    }

    fn request(call: &Call, absent: bool, now: Option<&Fields>) -> Request {
        let one = format!("/access/users/{}", seg(user(call)));
        match (absent, now) {
            (true, _) => Request::at_once(Verb::Delete, one, Params::new()),
            (false, Some(_)) => Request::at_once(Verb::Put, one, params(Self::wanted(call))),
            (false, None) => {
                let params = params(Self::wanted(call)).set("userid", user(call));
                Request::at_once(Verb::Post, "/access/users".into(), params)
            }
        }
    }

    /// One that is taken away loses its password, which nobody can read.
    fn back(call: &Call, was: Option<&Fields>) -> Option<Value> {
        let mut with = json!({"user": user(call)});
        let Some(was) = was else { return Some(with) };
        if super::ensure::is_absent(call) {
            return None;
        }
        for name in Self::wanted(call).keys() {
            with[name.as_str()] = was.get(name).cloned().unwrap_or(json!(""));
        }
        Some(with)
    }
}
