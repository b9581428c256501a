//! `root@pam` at a node's own shell: the API without the way to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::super::calls;
use super::super::core::Core;
use super::super::site::SiteWorld;
use crate::contracts::{Method, Schema, Verb};
use crate::lab::access::Rights;
use crate::lab::call::{Call, PveError, Reply};
use crate::model::ids::NodeName;

const ROOT: &str = "root@pam";

pub(super) struct Desk<'a> {
    pub core: &'a Core,
    pub world: &'a mut dyn SiteWorld,
    pub node: NodeName,
}

impl Desk<'_> {
    pub fn schema(&self) -> &'static Schema {
        Schema::version(&self.world.version(&self.node))
    }

    /// A call of the node's own version, checked as any other.
    pub fn call(
        &mut self,
        method: &Method,
        path: BTreeMap<String, String>,
        params: BTreeMap<String, String>,
    ) -> Result<Reply, PveError> {
        let given = params.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        let params = calls::check(method, &path, &given)?;
        let version = self.world.version(&self.node);
        let rights = Rights {
            access: self.core.access.clone(),
            user: ROOT.to_owned(),
            major: if version.starts_with("8.") { 8 } else { 9 },
            pools: self.world.memberships(),
        };
        let call = Call {
            verb: method.verb,
            template: method.template.clone(),
            path,
            params,
            user: ROOT.to_owned(),
            root_ticket: true,
            privileges: Arc::new(rights),
            via: self.node.clone(),
            upload: None,
        };
        calls::carry_out(self.core, self.world, &call, &version)
    }

    /// A reading by its path.
    pub fn read(&mut self, path: &str, params: &[(&str, &str)]) -> Result<Value, PveError> {
        let found = self.schema().find(Verb::Get, path);
        let (method, values) = found.ok_or_else(|| PveError::status(501, format!("no 'get' handler for '{path}'")))?;
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ok(self.call(method, values, params)?.data)
    }
}
