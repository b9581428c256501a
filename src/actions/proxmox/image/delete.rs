//! `proxmox.image_delete`: takes an image off a storage.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::download::Image;
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look;
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, Verb, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::NodeName;
use crate::model::param::{Param, ValueType};
use crate::model::world::{Delta, Identity};

/// The act.
pub struct ImageDelete {
    spec: ActionSpec,
    timing: Timing,
}

impl ImageDelete {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new("proxmox.image_delete", Effect::Destroy, "Delete an image")
            .param(Param::new("node", ValueType::Node).required().help("A node that has it"))
            .param(
                Param::new("volume", ValueType::String)
                    .required()
                    .help("`local:iso/x.iso`; ISO images, disks to import and container templates only"),
            )
            .output("volid", ValueType::String, "The image that is gone")
            .needs_privilege("Datastore.Audit on /storage")
            .needs_privilege("Datastore.Allocate on /storage");
        Self { spec, timing }
    }
}

#[async_trait]
impl Act for ImageDelete {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        look::before::<Image>(before)
            .map_or_else(|_| "delete an image".into(), |image| format!("delete {} on {}", image.volid, image.node))
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (node, volid): (NodeName, String) = (call.arg("node")?, call.arg("volume")?);
        let attempted = format!("delete {volid} on {node}");
        let fail = |cause: String| Failure::new(Class::Precondition, attempted.clone(), cause);
        let Some((id, path)) = volid.split_once(':') else {
            return Err(fail(format!("{volid:?} names no storage")).remedy("write it as `local:iso/x.iso`").into());
        };
        if !["iso/", "import/", "vztmpl/"].iter().any(|kind| path.starts_with(kind)) {
            let remedy = "volumes of guests go with their guest: proxmox.guest_delete";
            return Err(fail(format!("{volid} is no image")).remedy(remedy).into());
        }
        let storage = super::storage(world, &node, &id.into(), &attempted).await?;
        let volume = super::volume(world, &node, &id.into(), &volid).await?;
        let on = super::seen_on(world, &node, storage.shared).await?;
        let image = Image { node, storage: id.into(), volid: volid.clone(), on, volume };
        let mut probe = Probe::new(format!("{volid}: delete on {}", image.node), json!(image));
        if image.volume.is_none() {
            probe.summary = format!("{volid}: gone already");
            probe.satisfied = true;
            return Ok(probe);
        }
        let pointer = format!("/{}/volid", volid.replace('~', "~0").replace('/', "~1"));
        let resource = Resource::Content(image.node, image.storage).key();
        probe.identities = vec![Identity { object: volid.clone(), resource, expect: vec![(pointer, json!(volid))] }];
        Ok(probe)
    }

    fn request(&self, _: &Call, before: &Value) -> Result<Request, Failure> {
        let image: Image = look::before(before)?;
        let (node, storage) = (seg(&image.node), seg(&image.storage));
        let path = format!("/nodes/{node}/storage/{storage}/content/{}", seg(&image.volid));
        let request = Request::on_node(&image.node, path, Params::new(), &["imgdel"]).among_others();
        Ok(request.with_verb(Verb::Delete))
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let image: Image = look::before(before)?;
        let volume = super::volume(world, &image.node, &image.storage, &image.volid).await.map_err(look::settled)?;
        Ok(match volume {
            None => Seen::Done(json!({"volid": image.volid})),
            Some(_) => Seen::Untouched(format!("{} has {}", image.node, image.volid)),
        })
    }

    fn predict(&self, _: &Call, before: &Probe) -> Prediction {
        let Ok(image) = look::before::<Image>(&before.before) else { return Prediction::default() };
        let outputs = [("volid".to_owned(), json!(image.volid))].into();
        if before.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let at = |node: &NodeName| Resource::Content(node.clone(), image.storage.clone()).key();
        let delta = |node: &NodeName| Delta { resource: at(node), patch: json!({image.volid.clone(): null}) };
        Prediction { deltas: image.on.iter().map(delta).collect(), taints: Vec::new(), outputs }
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let image: Image = look::before(before).ok()?;
        let path = format!("pvesh get /nodes/{}/storage/{}/content", seg(&image.node), seg(&image.storage));
        Some(typed::check(&path, &format!("no {}", image.volid)))
    }
}
