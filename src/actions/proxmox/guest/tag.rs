//! `proxmox.guest_tag` and `proxmox.guest_untag`: tags are added and taken off by name; all others stay.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::{change, power};
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::Guest;
use crate::clients::proxmox::Params;
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    On,
    Off,
}

/// The act.
pub struct GuestTag {
    spec: ActionSpec,
    timing: Timing,
    way: Way,
}

impl GuestTag {
    /// Adds tags.
    pub fn on(timing: Timing) -> Self {
        Self::new(timing, Way::On, "proxmox.guest_tag", "Add tags to a guest", "Tags to add")
    }

    /// Takes tags off.
    pub fn off(timing: Timing) -> Self {
        Self::new(timing, Way::Off, "proxmox.guest_untag", "Take tags off a guest", "Tags to take off")
    }

    fn new(timing: Timing, way: Way, name: &str, title: &str, help: &str) -> Self {
        let tags = Param::new("tags", ValueType::List).items(ValueType::String).required().help(help);
        let spec = change::spec(name, title, "VM.Config.Options on /vms/{guest}")
            .param(tags)
            .output("tags", ValueType::List, "All tags that it has then")
            .undoable();
        Self { spec, timing, way }
    }

    /// The tags of `named` that are not yet as wanted.
    fn missing(&self, named: &BTreeSet<String>, guest: &Guest) -> Vec<String> {
        let has = |tag: &&String| guest.tags.iter().any(|own| own.eq_ignore_ascii_case(tag));
        named.iter().filter(|tag| has(tag) != (self.way == Way::On)).cloned().collect()
    }

    /// All tags that it has afterwards.
    fn after(&self, named: &BTreeSet<String>, guest: &Guest) -> Vec<String> {
        let mut tags = guest.tags.clone();
        match self.way {
            Way::On => tags.extend(self.missing(named, guest)),
            Way::Off => tags.retain(|own| !named.iter().any(|tag| tag.eq_ignore_ascii_case(own))),
        }
        tags.sort();
        tags
    }

    fn verb(&self) -> &'static str {
        match self.way {
            Way::On => "tag",
            Way::Off => "untag",
        }
    }
}

/// The tags of the call: each once.
fn named(call: &Call) -> Result<BTreeSet<String>, Failure> {
    let tags: BTreeSet<String> = call.arg("tags")?;
    let fits = |tag: &str| {
        let mut letters = tag.chars();
        let first = letters.next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        first && letters.all(|c| c.is_ascii_alphanumeric() || "_-+.".contains(c))
    };
    let failure = |cause: String| Failure::new(Class::Precondition, "read the parameter `tags`", cause);
    if tags.is_empty() {
        return Err(failure("no tag is named".into()).remedy("name at least one"));
    }
    match tags.iter().find(|tag| !fits(tag)) {
        None => Ok(tags),
        Some(tag) => Err(failure(format!("{tag:?} is no tag"))
            .remedy("letters, digits and `_`, and after the first also `-`, `+` and `.`")),
    }
}

#[async_trait]
impl Act for GuestTag {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        power::attempted(self.verb(), before)
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (guest, named) = (look::guest(world, call.arg("guest")?).await?, named(call)?);
        let missing = self.missing(&named, &guest);
        let (sign, has) = if self.way == Way::On { ('+', "has") } else { ('-', "has not") };
        if missing.is_empty() {
            let all = named.into_iter().collect::<Vec<_>>().join(", ");
            return Ok(power::satisfied(&guest, format!("{}: {has} {all} already", guest.title())));
        }
        power::unlocked(self.verb(), &guest, None)?;
        let signed: Vec<String> = missing.iter().map(|tag| format!("{sign}{tag}")).collect();
        let mut probe = power::probe(&guest, format!("{}: tags {}", guest.title(), signed.join(", ")));
        // Whether it runs is nothing to its tags.
        probe.guards.clear();
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let guest: Guest = look::before(before)?;
        let tags = self.after(&named(call)?, &guest);
        let params = match tags.is_empty() {
            true => Params::new().set("delete", "tags"),
            false => Params::new().set("tags", tags.join(";")),
        };
        Ok(change::request(&guest, guest.digest.as_deref(), params))
    }

    async fn judge(&self, call: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let named = named(call)?;
        Ok(match change::now(before, world).await? {
            Ok(now) => {
                // Only what the act was about: what was right before says nothing of it.
                let about: BTreeSet<String> = self.missing(&named, &look::before(before)?).into_iter().collect();
                let right = about.len() - self.missing(&about, &now).len();
                let is = format!("the tags of {} are {}", now.title(), now.tags.join(", "));
                change::seen(|| json!({"vmid": now.vmid, "tags": now.tags}), right, about.len(), is)
            }
            Err(strange) => strange,
        })
    }

    fn looks_again(&self) -> bool {
        true
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let (Ok(guest), Ok(named)) = (look::before::<Guest>(&before.before), named(call)) else {
            return Prediction::default();
        };
        let tags = self.after(&named, &guest);
        let line = if tags.is_empty() { Value::Null } else { json!(tags.join(";")) };
        let outputs = json!({"vmid": guest.vmid, "tags": tags});
        let (patch, lines) = (Map::from_iter([("tags".to_owned(), json!(tags))]), [("tags".to_owned(), line)]);
        change::predict(before, outputs, patch, Map::from_iter(lines), Map::new())
    }

    fn undo(&self, call: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        let changed = self.missing(&named(call).ok()?, &look::before(before).ok()?);
        let uses = if self.way == Way::On { "proxmox.guest_untag" } else { "proxmox.guest_tag" };
        power::undo(before, uses, json!({"tags": changed}))
    }

    fn undo_summary(&self, call: &Call, before: &Probe) -> Option<String> {
        let changed = self.missing(&named(call).ok()?, &look::before(&before.before).ok()?).join(", ");
        Some(if self.way == Way::On { format!("take {changed} off again") } else { format!("add {changed} again") })
    }

    fn check(&self, call: &Call, before: &Value) -> Option<String> {
        let tags = self.after(&named(call).ok()?, &look::before(before).ok()?);
        change::check(before, &format!("tags: {}", tags.join(";")))
    }

    fn remedy(&self, cause: &str) -> Option<String> {
        change::remedy(cause)
    }
}
