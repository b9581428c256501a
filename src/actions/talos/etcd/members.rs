//! `talos.etcd_members`: how full each member's database is, in the order in which they are cared for.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{CORRUPT, NOSPACE, alarmed};
use crate::actions::talos::survey::{Answer, Survey};
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::param::{Param, ValueType};

/// The action.
pub struct EtcdMembers {
    spec: ActionSpec,
}

impl Default for EtcdMembers {
    fn default() -> Self {
        let spec = ActionSpec::new("talos.etcd_members", Effect::Read, "Look how full the databases of a cluster's etcd are")
            .param(Param::new("cluster", ValueType::String).required().help("Its profile's name"))
            .param(
                Param::new("most", ValueType::Int)
                    .default_value(90)
                    .help("A member of whose database so many percent are in use has nothing to give back"),
            )
            .output(
                "members",
                ValueType::List,
                "The leader last: maps of name, leader, and either why (it does not answer) or id, learner, size, in_use (percent), alarms",
            )
            .output("todo", ValueType::List, "Names of those that have something to give back, the leader last")
            .output("nospace", ValueType::List, "Names of those whose database is full")
            .output("corrupt", ValueType::List, "Names of those whose database is not that of the others")
            .needs_privilege("none of Proxmox: the role os:reader of a talosconfig");
        Self { spec }
    }
}

#[async_trait]
impl Action for EtcdMembers {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let (cluster, most): (String, u32) = (call.arg("cluster")?, call.arg("most")?);
        let survey = Survey::of(world, &cluster).await?;
        let (told, mut words) = (&survey.told, Vec::new());
        let mut rows: Vec<Value> = Vec::new();
        for (answer, one) in survey.etcd.iter().zip(told) {
            let leads = one.has_leader() && one.leader == one.id;
            let mut row = json!({"name": one.name, "leader": leads});
            match answer {
                Answer::Not(why) => {
                    row["why"] = json!(why);
                    words.push(format!("{} does not answer", one.name));
                }
                Answer::Said(etcd) => {
                    let status = &etcd.status;
                    let own = one.alarms.iter().filter(|(member, _)| *member == one.id).map(|(_, alarm)| alarm);
                    let share = status.in_use.map_or("?".to_owned(), |share| share.to_string());
                    words.push(format!("{} {} ({share} % in use)", one.name, status.size));
                    row["id"] = json!(one.id);
                    row["learner"] = json!(one.learners.contains(&one.id));
                    row["size"] = json!(status.size);
                    row["in_use"] = json!(status.in_use);
                    row["alarms"] = json!(own.collect::<Vec<_>>());
                }
            }
            rows.push(row);
        }
        // Stable: the others stay in the profile's order.
        rows.sort_by_key(|row| row["leader"] == true);
        let has_room = |row: &&Value| row["in_use"].as_u64().is_some_and(|share| share < u64::from(most));
        let todo: Vec<&Value> = rows.iter().filter(has_room).map(|row| &row["name"]).collect();
        let (nospace, corrupt) = (alarmed(told, NOSPACE), alarmed(told, CORRUPT));
        let notes = [(NOSPACE, &nospace), (CORRUPT, &corrupt)].into_iter().filter(|(_, names)| !names.is_empty());
        let notes = notes.map(|(alarm, names)| format!("alarm {alarm}: {}", names.join(", "))).collect();
        let summary = format!("etcd of {cluster}: {}", words.join(", "));
        let outputs = json!({"todo": todo, "members": rows, "nospace": nospace, "corrupt": corrupt});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes })
    }
}
