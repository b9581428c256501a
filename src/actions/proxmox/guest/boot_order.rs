//! `proxmox.boot_order`: in which waves guests are started or shut down, by `startup: order=N,up=S,down=S` of each.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::actions::proxmox::look;
use crate::actions::proxmox::object::Guest;
use crate::actions::proxmox::property::Property;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::Vmid;
use crate::model::param::{Param, ValueType};

/// How long a shutdown may take where the guest does not say: Proxmox's own.
const DOWN_SECONDS: u64 = 180;

/// The action.
pub struct BootOrder {
    spec: ActionSpec,
}

impl Default for BootOrder {
    fn default() -> Self {
        let policy = |name, choices: &[&str], default: &str, help: &str| {
            Param::new(name, ValueType::String).choices(choices).default_value(default).help(help)
        };
        let wave = "In order: name (`order-1`, `any`), order (null: no order given), guests: vmid, name, node, up and down (milliseconds)";
        let spec = ActionSpec::new("proxmox.boot_order", Effect::Read, "Put guests into the order of their boot")
            .param(Param::new("guests", ValueType::List).items(ValueType::Guest).required().help("The guests, by VMID"))
            .param(
                Param::new("direction", ValueType::String)
                    .choices(&["start", "shutdown"])
                    .required()
                    .help("`start`: lowest order first, those without one last; `shutdown`: the other way round"),
            )
            .param(policy(
                "protected",
                &["include", "skip", "refuse"],
                "include",
                "What about guests with `protection`",
            ))
            .param(policy("ha", &["include", "skip", "refuse"], "include", "What about guests of the HA manager"))
            .output("waves", ValueType::List, wave)
            .output("skipped", ValueType::List, "Guests that are left out: vmid, name, why")
            .output("count", ValueType::Int, "How many guests are in the waves")
            .output("busy", ValueType::List, "Those in the waves that are not yet as wanted: vmid, name, node")
            .needs_privilege("VM.Audit on /vms");
        Self { spec }
    }
}

/// `startup` of a guest.
struct Startup {
    order: Option<u64>,
    up: u64,
    down: u64,
}

fn startup(guest: &Guest) -> Startup {
    let property = guest.startup.as_deref().map(Property::parse).unwrap_or_default();
    let number = |name: &str| property.get(name).and_then(|text| text.parse::<u64>().ok());
    let order = property.main(&["order"]).and_then(|text| text.parse().ok());
    Startup { order, up: number("up").unwrap_or(0), down: number("down").unwrap_or(DOWN_SECONDS) }
}

/// Why a guest is left out, by what is asked for.
fn left_out(guest: &Guest, call: &Call) -> Result<Option<&'static str>, Failure> {
    let by = |name: &str, is: bool, why: &'static str, remedy: &str| {
        let policy: Option<String> = call.arg(name)?;
        match policy.as_deref().filter(|_| is) {
            Some("skip") => Ok(Some(why)),
            Some("refuse") => {
                let cause = format!("{} {why}", guest.title());
                Err(Failure::new(Class::Precondition, "put guests into order", cause).remedy(remedy.to_owned()))
            }
            _ => Ok(None),
        }
    };
    let ha = "belongs to the HA manager, which starts and stops it: set its HA state instead";
    Ok(match by("protected", guest.protection, "is protected", "take it off the list, or say protected: skip")? {
        Some(why) => Some(why),
        None => by("ha", guest.is_owned_by_ha(), ha, "set its HA state, take it off the list, or say ha: skip")?,
    }
    .or(guest.template.then_some("is a template")))
}

#[async_trait]
impl Action for BootOrder {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let vmids: Vec<Vmid> = call.arg("guests")?;
        let starts = call.arg::<String>("direction")? == "start";
        let mut guests = Vec::with_capacity(vmids.len());
        for vmid in vmids {
            guests.push(look::guest(world, vmid).await?);
        }
        let (mut waves, mut skipped, mut busy) = (BTreeMap::<(bool, u64), Vec<Value>>::new(), Vec::new(), Vec::new());
        for guest in &guests {
            if let Some(why) = left_out(guest, call)? {
                skipped.push(json!({"vmid": guest.vmid, "name": guest.name, "why": why}));
                continue;
            }
            let Startup { order, up, down } = startup(guest);
            let row = json!({"vmid": guest.vmid, "name": guest.name, "node": guest.node, "up": up * 1000,
                "down": down * 1000});
            // Those without an order come after all that have one, as Proxmox has it.
            waves.entry((order.is_none(), order.unwrap_or_default())).or_default().push(row);
            if guest.is_running() != starts {
                busy.push(json!({"vmid": guest.vmid, "name": guest.name, "node": guest.node}));
            }
        }
        let count: usize = waves.values().map(Vec::len).sum();
        let wave = |((without, order), guests): ((bool, u64), Vec<Value>)| {
            let name = if without { "any".to_owned() } else { format!("order-{order}") };
            json!({"name": name, "order": if without { Value::Null } else { json!(order) }, "guests": guests})
        };
        let mut waves: Vec<Value> = waves.into_iter().map(wave).collect();
        if !starts {
            waves.reverse();
        }
        let word = if starts { "to start" } else { "to shut down" };
        let summary = format!("{count} guests in {} waves, {} of them {word}", waves.len(), busy.len());
        let note = |row: &Value| {
            format!(
                "guest {} ({}) is left out: it {}",
                row["vmid"],
                row["name"].as_str().unwrap_or_default(),
                row["why"].as_str().unwrap_or_default()
            )
        };
        let notes = skipped.iter().map(note).collect();
        let outputs = json!({"waves": waves, "skipped": skipped, "count": count, "busy": busy});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::proxmox::testing::{FakeWorld, but, call, vm};

    fn world() -> FakeWorld {
        let vm = |vmid: u32, more: Value| but(but(vm(), json!({"vmid": vmid, "status": "stopped"})), more);
        FakeWorld::default()
            .with("proxmox/guest/1", vm(1, json!({"startup": "order=2,up=30,down=60"})))
            .with("proxmox/guest/2", vm(2, json!({"startup": "order=1"})))
            .with("proxmox/guest/3", vm(3, json!({"protection": true, "status": "running"})))
            .with("proxmox/guest/4", vm(4, json!({"ha": "started", "startup": "2"})))
            .with("proxmox/guest/5", vm(5, json!({"template": true})))
    }

    async fn order(direction: &str, more: Value) -> Result<Reading, Unreadable> {
        let with = but(json!({"guests": [1, 2, 3, 4, 5], "direction": direction}), more);
        BootOrder::default().read(&call(with), &world()).await
    }

    fn vmids(reading: &Reading) -> Vec<(Value, Vec<u64>)> {
        let of = |wave: &Value| {
            let guests = wave["guests"].as_array().unwrap();
            (wave["order"].clone(), guests.iter().map(|g| g["vmid"].as_u64().unwrap()).collect())
        };
        reading.outputs["waves"].as_array().unwrap().iter().map(of).collect()
    }

    #[tokio::test]
    async fn waves_go_up_to_start_and_down_to_shut_down() {
        let start = order("start", json!({})).await.unwrap();
        assert_eq!(vmids(&start), [(json!(1), vec![2]), (json!(2), vec![1, 4]), (Value::Null, vec![3])]);
        let (first, all) = (&start.outputs["waves"][1]["guests"][0], &start.outputs);
        assert_eq!((&first["up"], &first["down"]), (&json!(30_000), &json!(60_000)));
        assert_eq!((&all["count"], all["busy"].as_array().unwrap().len()), (&json!(4), 3));
        assert_eq!(all["skipped"][0]["vmid"], 5);
        let down = order("shutdown", json!({})).await.unwrap();
        assert_eq!(vmids(&down), [(Value::Null, vec![3]), (json!(2), vec![1, 4]), (json!(1), vec![2])]);
        assert_eq!(down.outputs["waves"][0]["guests"][0]["down"], 180_000);
    }

    #[tokio::test]
    async fn the_protected_and_those_of_ha_are_left_out_or_refused() {
        let down = order("shutdown", json!({"protected": "skip", "ha": "skip"})).await.unwrap();
        assert_eq!(vmids(&down), [(json!(2), vec![1]), (json!(1), vec![2])]);
        assert!(down.notes.iter().any(|note| note.contains("set its HA state instead")), "{:?}", down.notes);
        for (more, part) in [(json!({"protected": "refuse"}), "is protected"), (json!({"ha": "refuse"}), "HA manager")]
        {
            let Err(Unreadable::Failed(failure)) = order("shutdown", more).await else { panic!("{part}") };
            assert!(failure.cause.contains(part), "{failure}");
        }
    }
}
