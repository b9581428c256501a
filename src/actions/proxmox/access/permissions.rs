//! `proxmox.permissions`: what somebody may do: we, another user or token, or a token whose secret is in a store, which is
//! logged in with.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::json;

use super::ensure::refused;
use super::secret;
use crate::actions::proxmox::look;
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};

type Rights = BTreeMap<String, BTreeMap<String, bool>>;

/// The action.
pub struct PermissionsRead {
    spec: ActionSpec,
}

impl Default for PermissionsRead {
    fn default() -> Self {
        let spec = ActionSpec::new("proxmox.permissions", Effect::Read, "Read what somebody may do")
            .param(Param::new("of", ValueType::String).help("user@realm or user@realm!token; without it, ourselves"))
            .param(
                Param::new("with", ValueType::Secret)
                    .help("Log in with the token that is kept there, and ask about it"),
            )
            .param(Param::new("path", ValueType::String).default_value("/").help("Where `privileges` are looked at"))
            .param(
                Param::new("must_have", ValueType::List)
                    .items(ValueType::String)
                    .help("Fails where one of these is missing on the path"),
            )
            .output("permissions", ValueType::Map, "By ACL path a map of privilege to whether it holds below, too")
            .output("privileges", ValueType::List, "Those on the path")
            .needs_privilege("Sys.Audit on /access, for others than ourselves");
        Self { spec }
    }
}

#[async_trait]
impl Action for PermissionsRead {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let (of, with): (Option<String>, Option<String>) = (call.arg("of")?, call.arg("with")?);
        let path: String = call.arg("path")?;
        let (who, rights): (String, Rights) = match (of, with) {
            (Some(_), Some(_)) => {
                return Err(refused("read privileges".into(), "both `of` and `with` are given")
                    .remedy("give one")
                    .into());
            }
            (Some(of), None) => (of.clone(), look::read(world, Resource::PermissionsOf(of)).await?),
            (None, None) => ("we".to_owned(), look::read(world, Resource::Permissions).await?),
            (None, Some(with)) => {
                let who = format!("the token of {with}");
                let found = world.read(&secret::permissions_key(&with)).await?.known(&who)?;
                let rights = serde_json::from_value((*found).clone())
                    .map_err(|e| Failure::new(Class::Internal, "read privileges", e.to_string()))?;
                (who, rights)
            }
        };
        let here: Vec<&String> = rights.get(&path).into_iter().flat_map(|here| here.keys()).collect();
        let must: Vec<String> = call.arg::<Option<Vec<String>>>("must_have")?.unwrap_or_default();
        let missing: Vec<&str> = must.iter().filter(|name| !here.contains(name)).map(String::as_str).collect();
        if !missing.is_empty() {
            let cause = format!("{who}: lacks {} on {path}", missing.join(", "));
            let remedy = "look at its entries of the access control list (proxmox.acl), and at those of its user";
            return Err(refused(format!("read the privileges on {path}"), cause).remedy(remedy).into());
        }
        let summary = format!("{who}: {} privileges on {path}", here.len());
        let outputs = json!({"permissions": rights, "privileges": here});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}
