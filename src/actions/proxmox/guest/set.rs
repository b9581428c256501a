//! `proxmox.guest_set`: changes lines of a guest's configuration, made from what was read and sent with its digest.

mod lines;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::lines::{Change, changes};
use super::{change, power};
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::config::{GuestConfig, is_secret, same, shown, waits};
use crate::actions::proxmox::look::{self, live, read};
use crate::actions::proxmox::object::Guest;
use crate::actions::proxmox::resource::Resource;
use crate::clients::proxmox::Params;
use crate::contracts;
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::failure::Failure;
use crate::model::ids::GuestKind;
use crate::model::param::{Param, ValueType};
use crate::model::world::{Guard, Predicate};

/// The act.
pub struct GuestSet {
    spec: ActionSpec,
    timing: Timing,
}

/// What the probe found.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    #[serde(flatten)]
    guest: Guest,
    config: GuestConfig,
}

impl GuestSet {
    pub fn new(timing: Timing) -> Self {
        let set = "Keys of its configuration and their new values; disks and credentials are not set here";
        let spec = change::spec(
            "proxmox.guest_set",
            "Change a guest's configuration",
            "VM.Config.Options on /vms/{guest} (or .CPU, .Memory, .Network, .Cloudinit ...: by key)",
        )
        .param(Param::new("set", ValueType::Map).default_value(Value::Object(Map::new())).help(set))
        .param(
            Param::new("delete", ValueType::List)
                .items(ValueType::String)
                .default_value(Value::Array(Vec::new()))
                .help("Keys to take away"),
        )
        .output("changed", ValueType::List, "Keys that it was about")
        .output("pending", ValueType::List, "Those of them that wait for the guest's next start")
        .undoable();
        Self { spec, timing }
    }
}

/// How many lines are as wanted, and which of them wait.
fn right(changes: &[Change], now: &GuestConfig) -> (usize, Vec<String>) {
    let is_right = |change: &&Change| match (now.next(&change.key), change.new.as_deref()) {
        (Some(_), Some(_)) if is_secret(&change.key) => true,
        (Some(is), Some(wanted)) => same(&change.key, is, wanted),
        (is, wanted) => is == wanted,
    };
    let pending = changes.iter().filter(|change| now.pending.contains_key(&change.key));
    (changes.iter().filter(is_right).count(), pending.map(|change| change.key.clone()).collect())
}

/// That nobody has changed these lines since they were shown. A credential cannot be compared.
fn guards(guest: &Guest, config: &GuestConfig, changes: &[Change]) -> Vec<Guard> {
    let each = changes.iter().filter(|change| !is_secret(&change.key)).map(|change| {
        let (part, is) = match config.pending.get(&change.key) {
            Some(waiting) => ("pending", Some(json!(waiting))),
            None => ("values", config.values.get(&change.key).map(|value| json!(value))),
        };
        let text = match &change.old {
            Some(old) => format!("{} of {} is {old}", change.key, guest.title()),
            None => format!("{} of {} is not set", change.key, guest.title()),
        };
        let predicate = if is.is_some() { Predicate::Equals } else { Predicate::Absent };
        let pointer = format!("/{part}/{}", change.key);
        look::guard(text, Resource::GuestConfig(guest.vmid), &pointer, predicate, is.unwrap_or_default())
    });
    each.collect()
}

fn waiting<'a>(guest: &Guest, changes: &'a [Change]) -> Vec<&'a Change> {
    let waits = |change: &&Change| waits(guest.kind, &change.key, change.new.as_deref().or(change.old.as_deref()));
    changes.iter().filter(|_| guest.is_running()).filter(waits).collect()
}

/// Whether it is the guest of before, of which these lines may have changed: a container's addresses are who it is.
fn is_same(before: &Guest, now: &Guest, changes: &[Change]) -> bool {
    let readdressed = before.kind == GuestKind::Lxc && changes.iter().any(|change| change.key.starts_with("net"));
    match readdressed {
        true => (before.vmid, before.kind, &before.rootfs) == (now.vmid, now.kind, &now.rootfs),
        false => now.is_same_as(before),
    }
}

/// That Proxmox knows these keys and takes these values, as far as its schema says.
fn fits(guest: &Guest, changes: &[Change]) -> Result<(), Failure> {
    let params = changes.iter().filter_map(|change| Some((change.key.clone(), change.new.clone()?))).collect();
    let path = format!("/nodes/{}/{}/{}/config", guest.node, guest.kind, guest.vmid);
    contracts::check_call(contracts::NEWEST, contracts::Verb::Put, &path, &params).map(drop).map_err(|wrong| {
        power::impossible(
            "configure",
            guest,
            wrong.to_string(),
            "see the keys of qm.conf or pct.conf in Proxmox's manual",
        )
    })
}

fn found(call: &Call, before: &Value) -> Result<(Before, Vec<Change>), Failure> {
    let before: Before = look::before(before)?;
    let changes = changes(call, &before.guest, &before.config)?;
    Ok((before, changes))
}

#[async_trait]
impl Act for GuestSet {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        power::attempted("configure", before)
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let guest = look::guest(world, call.arg("guest")?).await?;
        let config: Option<GuestConfig> = read(world, Resource::GuestConfig(guest.vmid)).await?;
        let none = || power::impossible("configure", &guest, "no node has it any more", "check the VMID");
        let config = config.ok_or_else(none)?;
        let changes = changes(call, &guest, &config)?;
        if changes.is_empty() {
            let probe = power::satisfied(&guest, format!("{}: its configuration is so already", guest.title()));
            return Ok(Probe { before: json!(Before { guest, config }), ..probe });
        }
        power::unlocked("configure", &guest, None)?;
        fits(&guest, &changes)?;
        let diff: Vec<String> =
            changes.iter().map(|change| shown(&change.key, change.old.as_deref(), change.new.as_deref())).collect();
        let mut probe = power::probe(&guest, format!("{}: {}", guest.title(), diff.join(", ")));
        probe.guards = guards(&guest, &config, &changes);
        let wait = waiting(&guest, &changes).iter().map(|change| change.key.as_str()).collect::<Vec<_>>().join(", ");
        if !wait.is_empty() {
            let unless = "unless the guest is prepared for hotplug of it";
            probe.notes.push(format!("{}: {wait} needs a restart to take effect, {unless}", guest.title()));
        }
        probe.before = json!(Before { guest, config });
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let (before, changes) = found(call, before)?;
        let set = changes.iter().filter_map(|change| Some((change.key.clone(), change.new.clone()?)));
        let gone: Vec<&str> = changes.iter().filter(|c| c.new.is_none()).map(|c| c.key.as_str()).collect();
        let gone = Some(gone.join(",")).filter(|keys| !keys.is_empty());
        let params: Params = set.collect();
        Ok(change::request(&before.guest, before.config.digest.as_deref(), params.opt("delete", gone)))
    }

    async fn judge(&self, call: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let (before, changes) = found(call, before)?;
        let (vmid, title) = (before.guest.vmid, before.guest.title());
        match live::<Option<Guest>>(world, Resource::Guest(vmid)).await? {
            None => return Ok(Seen::Strange(format!("{title} is on no node"))),
            Some(now) if !is_same(&before.guest, &now, &changes) => {
                return Ok(Seen::Strange(format!("{vmid} is another guest now: {}", now.title())));
            }
            Some(_) => {}
        }
        let Some(config) = live::<Option<GuestConfig>>(world, Resource::GuestConfig(vmid)).await? else {
            return Ok(Seen::Strange(format!("{title} is on no node")));
        };
        let (right, pending) = right(&changes, &config);
        let is: Vec<String> = changes.iter().map(|c| shown(&c.key, c.old.as_deref(), config.next(&c.key))).collect();
        let changed: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
        let outputs = || json!({"vmid": vmid, "changed": changed, "pending": pending});
        Ok(change::seen(outputs, right, changes.len(), format!("of {title}: {}", is.join(", "))))
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok((found, changes)) = found(call, &before.before) else { return Prediction::default() };
        let guest = &found.guest;
        let waiting = waiting(guest, &changes);
        let (mut lines, mut pending) = (Map::new(), Map::new());
        for change in changes.iter().filter(|change| !is_secret(&change.key)) {
            let value = change.new.as_deref();
            if waiting.contains(&change) {
                let what = value.map_or_else(|| json!({"delete": true}), |value| json!({"value": value}));
                pending.insert(change.key.clone(), what);
            } else {
                lines.insert(change.key.clone(), json!(value));
            }
        }
        let keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
        let wait: Vec<&str> = waiting.iter().map(|change| change.key.as_str()).collect();
        let outputs = json!({"vmid": guest.vmid, "changed": keys, "pending": wait});
        let mut prediction = change::predict(before, outputs, lines::of_guest(&changes), lines, pending);
        if changes.iter().any(|change| lines::is_structural(guest.kind, &change.key)) {
            let why = format!("the configuration of {} changes", guest.title());
            prediction.taints.push((Resource::Guest(guest.vmid).key(), why));
        }
        prediction
    }

    fn undo(&self, call: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        let (_, changes) = found(call, before).ok()?;
        let (mut set, mut delete) = (Map::new(), Vec::new());
        for change in changes.into_iter().filter(|change| !is_secret(&change.key)) {
            match change.old {
                Some(old) => drop(set.insert(change.key, json!(old))),
                None => delete.push(change.key),
            }
        }
        let nothing = set.is_empty() && delete.is_empty();
        power::undo(before, "proxmox.guest_set", json!({"set": set, "delete": delete})).filter(|_| !nothing)
    }

    fn undo_summary(&self, call: &Call, before: &Probe) -> Option<String> {
        let (_, changes) = found(call, &before.before).ok()?;
        let (lost, back): (Vec<&Change>, Vec<&Change>) = changes.iter().partition(|c| is_secret(&c.key));
        let keys = |of: &[&Change]| of.iter().map(|change| change.key.clone()).collect::<Vec<_>>().join(", ");
        match (back.is_empty(), lost.is_empty()) {
            (true, _) => None,
            (false, true) => Some(format!("set {} back", keys(&back))),
            (false, false) => Some(format!("set {} back; {} stays gone", keys(&back), keys(&lost))),
        }
    }

    fn check(&self, call: &Call, before: &Value) -> Option<String> {
        let (_, changes) = found(call, before).ok()?;
        let wanted: Vec<String> =
            changes.iter().map(|c| format!("{}: {}", c.key, c.new.as_deref().unwrap_or("(none)"))).collect();
        change::check(before, &wanted.join(", "))
    }

    fn remedy(&self, cause: &str) -> Option<String> {
        change::remedy(cause)
    }
}
