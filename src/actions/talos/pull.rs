//! `talos.pull_image`: an installer is on a node before anything is taken away from it. An image that is not there, or a
//! registry that is not reached, is then found out while every node still runs.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::source::{TalosSource, way};
use super::{broken, text};
use crate::clients::talos::Talos;
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::talos::Minor;

/// The act.
pub struct TalosPullImage {
    spec: ActionSpec,
}

impl Default for TalosPullImage {
    fn default() -> Self {
        let spec = ActionSpec::new("talos.pull_image", Effect::Change, "Fetch an installer image to a Talos node")
            .param(Param::new("cluster", ValueType::String).required().help("Its profile's name"))
            .param(Param::new("node", ValueType::String).required().help("The machine's name in the profile"))
            .param(
                Param::new("image", ValueType::String).required().help("The installer, as talos.plan_upgrade names it"),
            )
            .output("node", ValueType::String, "Its name")
            .output("image", ValueType::String, "What it has now")
            .needs_privilege("none of Proxmox: the role os:admin of a talosconfig");
        Self { spec }
    }
}

fn attempted(call: &Call) -> String {
    format!("fetch {} to {} of {}", text(call, "image"), text(call, "node"), text(call, "cluster"))
}

fn look_first(call: &Call) -> String {
    format!("nothing was touched; `runbook run talos-status --cluster {}` says what is not well", text(call, "cluster"))
}

/// The way to the node, with its own version.
async fn at<'a>(call: &Call, source: &'a TalosSource) -> Result<(&'a Talos, &'a str, Minor), Failure> {
    let (talos, address) = way(call, source, attempted(call))?;
    let silent = |e| broken(attempted(call), &e, Done::None).remedy(look_first(call));
    let version = talos.version(address).await.map_err(silent)?;
    Ok((talos, address, version.version.minor()))
}

/// `nocloud-installer:v1.13.9`: a schematic's 64 letters tell a person nothing.
fn short(image: &str) -> String {
    let parts = image.rsplit_once(':').and_then(|(path, tag)| {
        let name = path.split('/').rev().find(|part| super::upgrade::schematic_of(image) != Some(part))?;
        Some(format!("{name}:{tag}"))
    });
    parts.unwrap_or_else(|| image.to_owned())
}

async fn has(call: &Call, world: &dyn World) -> Result<bool, Unreadable> {
    let key = ResourceKey::new(format!("talos/{}/images/{}", text(call, "cluster"), text(call, "node")));
    let images = world.read(&key).await?.known("which images a node has")?;
    if let Some(why) = images["why"].as_str() {
        return Err(Failure::new(Class::Unreachable, attempted(call), why).remedy(look_first(call)).into());
    }
    Ok(images["images"].as_array().is_some_and(|all| all.iter().any(|one| one == text(call, "image"))))
}

fn outputs(call: &Call) -> Value {
    json!({"node": text(call, "node"), "image": text(call, "image")})
}

#[async_trait]
impl Action for TalosPullImage {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (node, image) = (text(call, "node"), short(text(call, "image")));
        let there = has(call, world).await?;
        let summary = if there { format!("{node}: has {image} already") } else { format!("{node}: fetches {image}") };
        let mut probe = Probe::new(summary, json!({"there": there}));
        probe.satisfied = there;
        Ok(probe)
    }

    /// Nothing else depends on it: what a node keeps of images is a cache, and the node throws away what is old.
    fn predict(&self, call: &Call, _: &Probe) -> Prediction {
        let outputs = outputs(call).as_object().cloned().unwrap_or_default();
        Prediction { outputs: outputs.into_iter().collect(), ..Prediction::default() }
    }

    async fn apply(&self, call: &Call, _: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let source = mutate.client::<TalosSource>()?;
        let (talos, address, minor) = at(call, &source).await?;
        let pulled = talos.pull_image(minor, address, text(call, "image")).await;
        // Half an image is nobody's.
        pulled.map_err(|e| {
            broken(attempted(call), &e, Done::None).remedy(
                "no node was touched; look at the name of the image and at the way to its registry, then run it again",
            )
        })?;
        Ok(outputs(call))
    }

    async fn verify(&self, call: &Call, _: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        match has(call, world).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::new(Class::Verify, attempted(call), "the node does not list it")),
            Err(error) => Err(super::settled(error)),
        }
    }

    async fn recover(
        &self,
        call: &Call,
        _: &Intent,
        _: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        Ok(match has(call, world).await.map_err(super::settled)? {
            true => Recovery::Done(outputs(call)),
            // Fetched twice is fetched once.
            false => Recovery::NotApplied,
        })
    }

    fn commands(&self, call: &Call, _: &Probe) -> Vec<String> {
        let words =
            ["talosctl", "--nodes", text(call, "node"), "image", "pull", "--namespace", "system", text(call, "image")];
        vec![crate::model::shell::line(words)]
    }
}
