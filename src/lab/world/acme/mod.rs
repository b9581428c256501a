//! ACME: accounts with certificate authorities, challenge plugins, and the certificates that nodes order with them. What an
//! authority answers is made up here: it issues whatever passes its challenge, and a challenge over HTTP never passes,
//! since nobody reaches a lab from outside.
//!
//! Source: PVE::API2::{ACME,ACMEAccount,ACMEPlugin,Certificates} (pve-manager 9.2).

mod account;
mod authority;
mod certificate;
mod plugin;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub(super) use self::account::{
    accounts, change as change_account, directories, meta, read as account, register, remove as remove_account, terms,
};
pub(super) use self::certificate::{Certificate, info, order, remove_custom, renew, revoke};
pub(super) use self::plugin::{
    add as add_plugin, change as change_plugin, list as plugins, read as plugin, remove as remove_plugin,
};
use super::World;
use super::jobs::{Job, Next};
use super::task::{Start, TaskKey};
use crate::lab::call::{Call, Reply};
use crate::lab::scenario::AcmeSpec;
use crate::model::ids::NodeName;

/// What `/etc/pve/priv/acme` holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Acme {
    accounts: BTreeMap<String, account::Account>,
    plugins: BTreeMap<String, plugin::Plugin>,
    /// Certificates issued so far.
    issued: u64,
    /// Names whose next challenge fails.
    failing: Vec<String>,
    /// Nodes that show another certificate since the front has asked last.
    reloaded: Vec<NodeName>,
}

impl Acme {
    pub fn from_spec(spec: &AcmeSpec, now: i64) -> Self {
        let accounts =
            spec.accounts.iter().map(|(name, contact)| (name.clone(), account::Account::known(contact, now)));
        let plugins = spec.plugins.iter().map(|(id, of)| (id.clone(), plugin::Plugin::known(of)));
        // What a node shows at first is shown with a key of the front's own.
        Self { accounts: accounts.collect(), plugins: plugins.collect(), ..Self::default() }
    }
}

/// What such a task does.
#[derive(Debug, Clone)]
pub(super) enum Work {
    Account(account::Change),
    Certificate(certificate::Change),
}

pub(super) fn step(world: &mut World, key: TaskKey, work: &mut Work) -> Next {
    match work {
        Work::Account(change) => account::step(world, key, change),
        Work::Certificate(change) => certificate::step(world, key, change),
    }
}

fn forked(world: &mut World, call: &Call, node: &NodeName, kind: &str, work: Work) -> Reply {
    let start = Start { node, kind, id: String::new(), user: &call.user };
    let key = world.fork(start, Job::Acme(Box::new(work)));
    Reply::changed(world.upid(key))
}

fn given<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    call.params.get(name).or_else(|| call.path.get(name)).map(String::as_str)
}

impl World {
    /// The next challenge for this name fails.
    pub(super) fn fail_challenge(&mut self, domain: &str) {
        self.acme.failing.push(domain.to_lowercase());
    }

    /// Accounts and plugins, of these whether they have data and never which.
    pub(super) fn acme_state(&self) -> Value {
        let accounts: Map<String, Value> =
            self.acme.accounts.iter().map(|(name, account)| (name.clone(), account.comparable())).collect();
        let plugins: Map<String, Value> =
            self.acme.plugins.iter().map(|(id, plugin)| (id.clone(), plugin.comparable())).collect();
        json!({"accounts": accounts, "plugins": plugins})
    }

    /// Nodes that show another certificate than when this was asked last.
    pub(super) fn take_reloaded(&mut self) -> Vec<NodeName> {
        std::mem::take(&mut self.acme.reloaded)
    }
}
