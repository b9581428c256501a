//! `proxmox.guests`: the guests of a site that have certain tags, a node, a pool, a state, a name.

use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

use crate::actions::proxmox::look::read;
use crate::actions::proxmox::object::GuestEntry;
use crate::actions::proxmox::resource::Resource;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{GuestKind, NodeName, Vmid};
use crate::model::param::{Param, ValueType};

/// The action.
pub struct Guests {
    spec: ActionSpec,
}

impl Default for Guests {
    fn default() -> Self {
        let list = |name, items, help: &str| Param::new(name, ValueType::List).items(items).help(help);
        let guest =
            "vmid, name, node, type (qemu or lxc), status, template, tags, pool, lock, ha, memory (bytes), cpus";
        let spec = ActionSpec::new("proxmox.guests", Effect::Read, "List guests")
            .param(list("tags", ValueType::String, "Those that have all of these tags"))
            .param(list("any_tag", ValueType::String, "Those that have one of these tags"))
            .param(list("guests", ValueType::Guest, "These, by VMID or by name; one that there is not is a failure"))
            .param(Param::new("node", ValueType::Node).help("Those on this node"))
            .param(Param::new("pool", ValueType::String).help("Those in this pool"))
            .param(Param::new("status", ValueType::String).choices(&["running", "stopped"]).help("Those in this state"))
            .param(Param::new("name", ValueType::String).help("Those with such a name: `web-*`, `db-?`"))
            .param(Param::new("type", ValueType::String).choices(&["qemu", "lxc"]).help("VMs or containers"))
            .param(Param::new("template", ValueType::Bool).help("Only templates, or none; default: both"))
            .param(
                Param::new("chosen", ValueType::Bool)
                    .default_value(false)
                    .help("Fail where none of tags, any_tag, guests, node, pool and name is given"),
            )
            .output("guests", ValueType::List, guest)
            .output("vmids", ValueType::List, "Their VMIDs")
            .output("count", ValueType::Int, "How many they are")
            .needs_privilege("VM.Audit on /vms");
        Self { spec }
    }
}

/// What a guest must be like.
struct Choice {
    tags: Vec<String>,
    any_tag: Vec<String>,
    guests: Option<BTreeSet<Vmid>>,
    node: Option<NodeName>,
    pool: Option<String>,
    status: Option<String>,
    name: Option<String>,
    kind: Option<GuestKind>,
    template: Option<bool>,
}

impl Choice {
    fn of(call: &Call, all: &BTreeMap<Vmid, GuestEntry>) -> Result<Self, Failure> {
        let list = |name: &str| call.arg::<Option<Vec<String>>>(name).map(Option::unwrap_or_default);
        let text = |name: &str| call.arg::<Option<String>>(name).map(|text| text.filter(|text| !text.is_empty()));
        let asked = call.get("guests").as_array().filter(|list| !list.is_empty());
        let guests = asked.map(|list| list.iter().map(|item| one(item, all)).collect()).transpose()?;
        Ok(Self {
            tags: list("tags")?,
            any_tag: list("any_tag")?,
            guests,
            node: call.arg("node")?,
            pool: text("pool")?,
            status: text("status")?,
            name: text("name")?,
            kind: call.arg("type")?,
            template: call.arg("template")?,
        })
    }

    fn chooses(&self) -> bool {
        !self.tags.is_empty()
            || !self.any_tag.is_empty()
            || self.guests.is_some()
            || self.node.is_some()
            || self.pool.is_some()
            || self.name.is_some()
    }

    fn takes(&self, guest: &GuestEntry) -> bool {
        let has = |tag: &String| guest.tags.iter().any(|own| own.eq_ignore_ascii_case(tag));
        self.tags.iter().all(has)
            && (self.any_tag.is_empty() || self.any_tag.iter().any(has))
            && self.guests.as_ref().is_none_or(|guests| guests.contains(&guest.vmid))
            && self.node.as_ref().is_none_or(|node| guest.node.as_ref() == Some(node))
            && self.pool.as_ref().is_none_or(|pool| guest.pool.as_ref() == Some(pool))
            && self.status.as_ref().is_none_or(|status| guest.status == *status)
            && self.name.as_ref().is_none_or(|name| fits(name, &guest.name))
            && self.kind.is_none_or(|kind| guest.kind == kind)
            && self.template.is_none_or(|template| guest.template == template)
    }
}

/// A VMID, or a name that only one guest has.
fn one(item: &Value, all: &BTreeMap<Vmid, GuestEntry>) -> Result<Vmid, Failure> {
    let text = item.as_str().map_or_else(|| item.to_string(), ToOwned::to_owned);
    let named: Vec<Vmid> = match text.parse::<Vmid>() {
        Ok(vmid) => all.get(&vmid).map(|guest| guest.vmid).into_iter().collect(),
        Err(_) => all.values().filter(|guest| guest.name == text).map(|guest| guest.vmid).collect(),
    };
    let fail = |cause: String, remedy: &str| {
        Failure::new(Class::Precondition, "read the parameter `guests`", cause).remedy(remedy)
    };
    match named[..] {
        [vmid] => Ok(vmid),
        [] => Err(fail(format!("the site has no guest {text}"), "check the VMID or the name")),
        _ => Err(fail(format!("{} guests are called {text}", named.len()), "give the VMID")),
    }
}

/// `*` is any text, `?` any character, all else itself.
fn fits(pattern: &str, text: &str) -> bool {
    let mut reached = vec![false; text.chars().count() + 1];
    reached[0] = true;
    for sign in pattern.chars() {
        let before = reached.clone();
        reached[0] = before[0] && sign == '*';
        for (at, letter) in text.chars().enumerate() {
            reached[at + 1] = match sign {
                '*' => before[at + 1] || reached[at],
                '?' => before[at],
                sign => before[at] && sign == letter,
            };
        }
    }
    reached.last().is_some_and(|end| *end)
}

fn row(guest: &GuestEntry) -> Value {
    json!({
        "vmid": guest.vmid, "name": guest.name, "node": guest.node, "type": guest.kind, "status": guest.status,
        "template": guest.template, "tags": guest.tags, "pool": guest.pool, "lock": guest.lock,
        "ha": guest.hastate, "memory": guest.maxmem, "cpus": guest.cpus,
    })
}

#[async_trait]
impl Action for Guests {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let all: BTreeMap<Vmid, GuestEntry> = read(world, Resource::Guests).await?;
        let choice = Choice::of(call, &all)?;
        if call.arg::<Option<bool>>("chosen")? == Some(true) && !choice.chooses() {
            let cause = "nothing says which guests: it would be all of the site";
            let remedy = "give tags, any_tag, guests, node, pool or name";
            return Err(Failure::new(Class::Precondition, "choose guests", cause).remedy(remedy).into());
        }
        let chosen: Vec<&GuestEntry> = all.values().filter(|guest| choice.takes(guest)).collect();
        let outputs = json!({
            "guests": chosen.iter().map(|guest| row(guest)).collect::<Vec<_>>(),
            "vmids": chosen.iter().map(|guest| guest.vmid).collect::<Vec<_>>(),
            "count": chosen.len(),
        });
        let summary = format!("{} of the site's {} guests", chosen.len(), all.len());
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::proxmox::testing::{FakeWorld, call};

    fn world() -> FakeWorld {
        let guest = |vmid: u32, name: &str, more: Value| {
            let mut guest = json!({"vmid": vmid, "kind": "qemu", "name": name, "node": "pve1", "status": "running"});
            crate::engine::world::merge_patch(&mut guest, &more);
            guest
        };
        FakeWorld::default().with(
            "proxmox/guests",
            json!({
                "101": guest(101, "web-1", json!({"tags": ["prod", "web"], "pool": "shop"})),
                "102": guest(102, "web-2", json!({"tags": ["web"], "node": "pve2", "status": "stopped"})),
                "103": guest(103, "db", json!({"tags": ["prod"], "kind": "lxc"})),
                "900": guest(900, "image", json!({"template": true, "status": "stopped"})),
            }),
        )
    }

    async fn vmids(with: Value) -> Vec<u64> {
        let reading = Guests::default().read(&call(with), &world()).await.unwrap();
        assert_eq!(reading.outputs["count"], reading.outputs["guests"].as_array().unwrap().len());
        reading.outputs["vmids"].as_array().unwrap().iter().map(|vmid| vmid.as_u64().unwrap()).collect()
    }

    #[tokio::test]
    async fn each_word_narrows_the_list() {
        assert_eq!(vmids(json!({})).await, [101, 102, 103, 900]);
        assert_eq!(vmids(json!({"tags": ["web", "PROD"]})).await, [101]);
        assert_eq!(vmids(json!({"any_tag": ["web", "prod"]})).await, [101, 102, 103]);
        assert_eq!(vmids(json!({"node": "pve2"})).await, [102]);
        assert_eq!(vmids(json!({"pool": "shop"})).await, [101]);
        assert_eq!(vmids(json!({"status": "stopped", "template": false})).await, [102]);
        assert_eq!(vmids(json!({"template": true})).await, [900]);
        assert_eq!(vmids(json!({"type": "lxc"})).await, [103]);
        assert_eq!(vmids(json!({"name": "web-?"})).await, [101, 102]);
        assert_eq!(vmids(json!({"name": "*b"})).await, [103]);
        assert_eq!(vmids(json!({"guests": ["db", 102]})).await, [102, 103]);
    }

    #[tokio::test]
    async fn what_is_not_there_and_what_is_everything_is_refused() {
        for (with, part) in [
            (json!({"guests": [555]}), "no guest 555"),
            (json!({"chosen": true, "status": "running"}), "all of the site"),
        ] {
            let Err(Unreadable::Failed(failure)) = Guests::default().read(&call(with), &world()).await else {
                panic!("{part}")
            };
            assert!(failure.cause.contains(part), "{failure}");
        }
    }
}
