//! `talos.plan_replace`: what is needed to replace a machine of a cluster by a new one. It changes nothing, and refuses what would
//! take etcd's quorum away.

use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::json;

use super::{members_called, others, troubles};
use crate::actions::talos::config::{File, Running, file_key, folder, running_key};
use crate::actions::talos::survey::{Answer, Survey, ask};
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::placement::quorum;

/// Fewer control planes do without none of them.
const FEWEST: usize = 3;

/// The action.
pub struct TalosPlanReplace {
    spec: ActionSpec,
    files: PathBuf,
}

impl TalosPlanReplace {
    /// `files`: where relative paths begin.
    pub fn new(files: PathBuf) -> Self {
        let title = "Plan how a machine of a Talos cluster is replaced by a new one";
        let spec = ActionSpec::new("talos.plan_replace", Effect::Read, title)
            .param(Param::new("cluster", ValueType::String).required().help("Its profile's name"))
            .param(Param::new("node", ValueType::String).required().help("The machine's name in the profile"))
            .param(Param::new("folder", ValueType::Path).help(
                "The folder with its machine configuration, NODE.yaml [default: talos.config_dir of the profile]",
            ))
            .output("node", ValueType::String, "Its name")
            .output("vmid", ValueType::Vmid, "The guest that the profile gives it")
            .output("host", ValueType::String, "The Proxmox node that the profile gives it; empty: none")
            .output("ip", ValueType::String, "Its address with the prefix")
            .output("kubernetes_name", ValueType::String, "What Kubernetes calls it")
            .output("control_plane", ValueType::Bool, "Whether it is one")
            .output("answers", ValueType::Bool, "Whether it still does")
            .output("member", ValueType::String, "Its number in etcd; empty: none")
            .output("file", ValueType::Path, "Its machine configuration")
            .output("version", ValueType::String, "The Talos that the others of its kind run")
            .output("schematic", ValueType::String, "Their schematic; empty: none")
            .needs_privilege("none of Proxmox: the role os:admin of a talosconfig");
        Self { spec, files }
    }
}

#[async_trait]
impl Action for TalosPlanReplace {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let (cluster, name): (String, String) = (call.arg("cluster")?, call.arg("node")?);
        let refused =
            |cause: String| Failure::new(Class::Precondition, format!("plan to replace {name} of {cluster}"), cause);
        let survey = Survey::of(world, &cluster).await?;
        let Some((machine, answer)) = survey.nodes.iter().find(|(machine, _)| machine.name == name) else {
            return Err(refused(format!("the profile has no machine {name:?}")).into());
        };
        let ip = machine.ip.clone().filter(|ip| ip.contains('/'));
        let Some(ip) = ip else {
            let failure = refused(format!("the profile gives {name} no address with its prefix"));
            return Err(failure.remedy(format!("clusters/{cluster}.yaml: ip: 10.0.0.61/24")).into());
        };
        let (said, silent) = others(&survey, &name);
        if let Some(first) = silent.first().filter(|_| machine.control_plane) {
            let failure = refused(format!("{first} does not answer, and {name} is a control plane"));
            return Err(failure.remedy("one after another: see `runbook run talos-status`").into());
        }
        let found = troubles(&survey, &name);
        if let Some(first) = found.first() {
            return Err(refused(first.clone()).details(found).remedy("mend etcd first").into());
        }
        let mut ids = members_called(&said, &name);
        if machine.control_plane {
            let planes = survey.told.len();
            if planes < FEWEST {
                let failure = refused(format!("it has {planes} control planes, and etcd needs {name} among them"));
                return Err(failure.remedy("add control planes first").into());
            }
            quorum::goes_on_without(&survey.told, &name).map_err(refused)?;
            if ids.len() > 1 {
                let failure = refused(format!("etcd has several members called {name}: {}", ids.join(", ")));
                return Err(failure.remedy("strike those that are gone first: talos.remove_member").into());
            }
        }
        let given = call.get("folder").as_str().unwrap_or_default();
        let path = folder(world, &cluster, given, &self.files).await?.join(format!("{name}.yaml"));
        let file: File = match ask(world, file_key(&cluster, &path).to_string()).await? {
            Answer::Said(file) => file,
            Answer::Not(why) => return Err(refused(why).into()),
        };
        // Another one of its kind that answers says what is right: the machine itself may be broken.
        let like = survey.nodes.iter().find_map(|(other, answer)| match answer {
            Answer::Said(node) if other.control_plane == machine.control_plane && other.name != name => {
                Some((other, node))
            }
            _ => None,
        });
        let Some((other, node)) = like else {
            return Err(refused("no other machine of its kind answers to compare with".into()).into());
        };
        let running: Running = match ask(world, running_key(&cluster, &other.name).to_string()).await? {
            Answer::Said(running) => running,
            Answer::Not(why) => return Err(refused(format!("{}: {why}", other.name)).into()),
        };
        let mut like = running.facts.clone();
        like.hostname = Some(name.clone());
        if let Some(why) = file.facts.refusal(&like, &node.version, &name, false) {
            return Err(refused(format!("{}: {why}", path.display())).remedy("nothing was changed").into());
        }
        let (answers, own_name) = match answer {
            Answer::Said(own) => (true, own.kubernetes_name.clone()),
            Answer::Not(_) => (false, None),
        };
        let kind = if machine.control_plane { "control plane" } else { "worker" };
        let state = if answers { "answers" } else { "does not answer" };
        let summary =
            format!("{cluster}: {kind} {name}, which {state}; its new machine gets {ip} and {}", path.display());
        let outputs = json!({
            "node": name, "vmid": machine.vmid, "host": machine.host.as_deref().unwrap_or_default(), "ip": ip,
            "kubernetes_name": own_name.unwrap_or_else(|| name.clone()), "control_plane": machine.control_plane,
            "answers": answers, "member": ids.pop().unwrap_or_default(), "file": path,
            "version": node.version, "schematic": node.schematic.as_deref().unwrap_or_default(),
        });
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}
