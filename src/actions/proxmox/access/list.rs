//! `proxmox.users`, `proxmox.roles` and `proxmox.tokens`: what there is.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::ensure::{All, Fields};
use crate::actions::proxmox::look;
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::param::ValueType;

/// One of the three.
pub struct Accounts {
    spec: ActionSpec,
    resource: Resource,
    what: &'static str,
    /// What a row calls its name.
    key: &'static str,
}

impl Accounts {
    fn new(resource: Resource, what: &'static str, key: &'static str, title: &str, rows: &str, needs: &str) -> Self {
        let spec = ActionSpec::new(&format!("proxmox.{what}"), Effect::Read, title);
        let spec = spec.output(what, ValueType::List, rows).needs_privilege(needs);
        Self { spec, resource, what, key }
    }

    pub fn users() -> Self {
        let rows = "Maps of user, enable, expire, and comment, email, firstname, lastname where they are set";
        Self::new(Resource::Users, "users", "user", "List the users", rows, "Sys.Audit on /access/groups")
    }

    pub fn roles() -> Self {
        let rows = "Maps of role, privileges, and special where it is built in";
        let needs = "none: everybody may see the roles";
        Self::new(Resource::Roles, "roles", "role", "List the roles and what they hold", rows, needs)
    }

    pub fn tokens() -> Self {
        let rows = "Maps of token (user@realm!name), privsep, expire, and comment where it is set";
        let title = "List the API tokens, without their secrets";
        Self::new(Resource::Tokens, "tokens", "token", title, rows, "Sys.Audit on /access/groups")
    }
}

#[async_trait]
impl Action for Accounts {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, _: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let all: All = look::read(world, self.resource.clone()).await?;
        let row = |(name, mut row): (String, Fields)| {
            row.insert(self.key.to_owned(), json!(name));
            Value::Object(row)
        };
        let rows: Vec<Value> = all.into_iter().map(row).collect();
        let summary = format!("{} {}", rows.len(), self.what);
        Ok(Reading { outputs: json!({self.what: rows}), summary, guards: Vec::new(), notes: Vec::new() })
    }
}
