//! `talos.wipe_etcd`: what is left of an etcd without quorum is wiped from one control plane, which then waits for an etcd to
//! join. The other data of its partition (containers, logs) go with it; its configuration stays.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{LOOKS, Planes, Seen, broken, cluster_param, lost_param, plane, plane_key, seen, settled, text};
use crate::actions::deps::Timing;
use crate::actions::talos::source::TalosSource;
use crate::actions::talos::wait::Wait;
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::plan::Change;
use crate::model::shell;
use crate::model::talos::Version;
use crate::model::world::Delta;
use crate::placement::lost::Standing;

/// The partition that etcd's data are on.
const WIPED: [&str; 1] = ["EPHEMERAL"];

/// The act.
pub struct WipeEtcd {
    spec: ActionSpec,
    timing: Timing,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Before {
    cluster: String,
    name: String,
    address: String,
    version: Version,
    boot_id: String,
}

fn attempted(call: &Call) -> String {
    format!("wipe the etcd of {} in {}", text(call, "node"), text(call, "cluster"))
}

fn meant(before: &Value) -> Result<Before, Failure> {
    Before::deserialize(before).map_err(|e| Failure::new(Class::Internal, "read the intent of a wipe", e.to_string()))
}

/// Whether it is wiped, by what is seen of it; why not yet.
fn wiped(before: &Before, seen: &Seen) -> Result<String, String> {
    match (&seen.boot_id, &seen.standing) {
        (_, Standing::Silent { why }) => Err(format!("{} does not answer: {why}", before.name)),
        (Some(boot_id), _) if *boot_id == before.boot_id => Err(format!("{} has not rebooted yet", before.name)),
        (Some(boot_id), Standing::Empty) => Ok(boot_id.clone()),
        (_, Standing::Ended { why } | Standing::Unsure { why }) => Err(format!("{}: {why}", before.name)),
        _ => Err(format!("{}: its etcd is not empty", before.name)),
    }
}

impl WipeEtcd {
    pub fn new(timing: Timing) -> Self {
        let title = "Wipe what is left of a lost etcd from one control plane";
        let spec = ActionSpec::new("talos.wipe_etcd", Effect::Destroy, title)
            .param(cluster_param())
            .param(Param::new("node", ValueType::String).required().help("The machine's name in the profile"))
            .param(lost_param())
            .param(
                Param::new("within", ValueType::Duration)
                    .default_value(json!(1_200_000))
                    .help("How long it may take from its reboot until its etcd waits"),
            )
            .output("node", ValueType::String, "Its name")
            .output("boot_id", ValueType::String, "Of its present boot")
            .needs_privilege("none of Proxmox: the role os:admin of a talosconfig");
        Self { spec, timing }
    }

    /// Until its etcd waits without data since another boot.
    async fn waits(&self, call: &Call, before: &Before, mutate: &Mutate) -> Result<Value, Failure> {
        let source = mutate.client::<TalosSource>()?;
        let (talos, _) = source.machine(&before.cluster, &before.name)?;
        let wait = Wait::of(call, self.timing)?;
        loop {
            let now = seen(talos, &before.address).await.map_err(|e| broken(&attempted(call), &e, Done::Unknown))?;
            let why = match wiped(before, &now) {
                Ok(boot_id) => return Ok(json!({"node": before.name, "boot_id": boot_id})),
                Err(why) => why,
            };
            let passed = wait.pass(mutate, attempted(call), &why).await;
            passed.map_err(|failure| {
                failure.done(Done::Partial).remedy(
                    "see its console; nothing else was begun. Run it again when it answers: what is wiped already is left \
                     alone. One that never comes back is named in `lost`",
                )
            })?;
        }
    }
}

#[async_trait]
impl Action for WipeEtcd {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (cluster, name) = (text(call, "cluster"), text(call, "node"));
        let refused = |cause: String| Failure::new(Class::Precondition, attempted(call), cause);
        let planes = Planes::of(world, cluster, &call.arg::<Vec<String>>("lost")?).await?;
        let (machine, seen, _) = planes
            .of_name(name)
            .ok_or_else(|| refused(format!("the profile of {cluster} has no control plane {name:?}")))?;
        planes.are_lost(&attempted(call))?;
        if let Standing::Silent { why } = &seen.standing {
            return Err(Failure::new(Class::Unreachable, attempted(call), why.clone()).into());
        }
        let (Some(version), Some(boot_id), Some(address)) = (&seen.version, &seen.boot_id, &machine.address) else {
            return Err(refused(format!("{name} does not say what it runs")).into());
        };
        let before = Before {
            cluster: cluster.to_owned(),
            name: name.to_owned(),
            address: address.clone(),
            version: version.clone(),
            boot_id: boot_id.clone(),
        };
        let mut probe = Probe::new(
            format!("{name}: etcd's data are wiped, and it reboots; nothing brings them back"),
            json!(before),
        );
        probe.change = Some(Change::Destroy);
        if seen.standing == Standing::Empty {
            probe.satisfied = true;
            probe.summary = format!("{name}: its etcd has no data, and waits");
        }
        Ok(probe)
    }

    fn predict(&self, _: &Call, probe: &Probe) -> Prediction {
        let Ok(before) = meant(&probe.before) else { return Prediction::default() };
        let Before { cluster, name, .. } = &before;
        let resource = ResourceKey::new(format!("talos/{cluster}/etcd/{name}"));
        let outputs = [("node".to_owned(), json!(name))];
        // So that the plan says of each of the next ones that it is wiped.
        let empty = json!({"standing": {"state": "empty", "why": null, "leader": null}});
        let waits = Delta { resource: plane_key(cluster, name), patch: empty };
        Prediction {
            deltas: vec![Delta { resource, patch: json!({"member": false}) }, waits],
            outputs: outputs.into(),
            ..Prediction::default()
        }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(&intent.before)?;
        let source = mutate.client::<TalosSource>()?;
        let (talos, _) = source.machine(&before.cluster, &before.name)?;
        mutate.checkpoint(json!("asked")).await?;
        match talos.reset(before.version.minor(), &before.address, false, &WIPED, true).await {
            Ok(()) => {}
            Err(error) => {
                let done = if error.is_unreachable() { Done::Unknown } else { Done::None };
                return Err(broken(&attempted(call), &error, done));
            }
        }
        self.waits(call, &before, mutate).await
    }

    async fn attach(&self, call: &Call, intent: &Intent, _: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        self.waits(call, &meant(&intent.before)?, mutate).await
    }

    async fn verify(&self, call: &Call, _: &Value, outputs: &Value, world: &dyn World) -> Result<(), Failure> {
        let now = plane(world, text(call, "cluster"), text(call, "node")).await;
        let now = now.map_err(|why| settled(&attempted(call), why))?;
        let verify = |cause: &str| Err(Failure::new(Class::Verify, attempted(call), cause));
        match now.standing {
            Standing::Empty if outputs["boot_id"].as_str() != now.boot_id.as_deref() => {
                verify("it has been booted again since it was wiped")
            }
            Standing::Empty => Ok(()),
            Standing::Silent { why } | Standing::Unsure { why } | Standing::Ended { why } => verify(&why),
            Standing::Member { .. } => verify("its etcd is a member again"),
        }
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        handle: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let before = meant(&intent.before)?;
        if handle.is_none() {
            return Ok(Recovery::Unseen { done: Done::None, evidence: "nothing had been asked of the node".into() });
        }
        for _ in 0..LOOKS {
            let now =
                plane(world, &before.cluster, &before.name).await.map_err(|why| settled(&attempted(call), why))?;
            // It is down, or is another boot: what it comes back as is waited for.
            if now.boot_id.as_ref() != Some(&before.boot_id) {
                return Ok(Recovery::Running(json!("asked")));
            }
            tokio::time::sleep(self.timing.poll).await;
        }
        let evidence = format!("{} answers, and has not rebooted since before it was asked", before.name);
        Ok(Recovery::Unseen { done: Done::None, evidence })
    }

    fn commands(&self, _: &Call, before: &Probe) -> Vec<String> {
        let Ok(before) = meant(&before.before) else { return Vec::new() };
        let address = before.address.as_str();
        let words = ["talosctl", "--endpoints", address, "--nodes", address, "reset", "--graceful=false", "--reboot"];
        vec![shell::line(words.into_iter().chain(["--system-labels-to-wipe", "EPHEMERAL"]))]
    }
}
