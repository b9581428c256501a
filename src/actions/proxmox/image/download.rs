//! `proxmox.image_download`: has a node fetch an image from an address.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::Volume;
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, StorageId};
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

/// The act.
pub struct ImageDownload {
    spec: ActionSpec,
    timing: Timing,
}

/// An image, there or to be fetched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Image {
    pub node: NodeName,
    pub storage: StorageId,
    pub volid: String,
    /// Where it shows.
    pub on: Vec<NodeName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,
}

impl ImageDownload {
    pub fn new(timing: Timing) -> Self {
        let text = |name: &str| Param::new(name, ValueType::String);
        let algorithms = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"];
        let title = "Have a node fetch an image from an address";
        let spec = ActionSpec::new("proxmox.image_download", Effect::Change, title)
            .param(Param::new("node", ValueType::Node).required().help("The node that fetches it"))
            .param(text("storage").required().help("A storage of files that takes this kind"))
            .param(Param::new("url", ValueType::Url).required().help("Where it is"))
            .param(text("filename").help("What it is called here; the address's last part where absent"))
            .param(
                text("content")
                    .choices(&["iso", "import", "vztmpl"])
                    .default_value("iso")
                    .help("An ISO image, a disk to import (qcow2, raw, vmdk, ova), a container template"),
            )
            .param(text("checksum").help("What it must come to; Proxmox takes nothing else for it"))
            .param(text("algorithm").choices(&algorithms).default_value("sha256").help("Of the checksum"))
            .param(Param::new("size", ValueType::Size).help("What it must be long, where it is there already"))
            .output("volid", ValueType::String, "The volume: `local:iso/x.iso`")
            .output("size", ValueType::Size, "Its length")
            .needs_privilege("Datastore.AllocateTemplate on /storage/{storage}")
            .needs_privilege("Datastore.Audit on /storage/{storage}")
            .needs_privilege("Sys.AccessNetwork on /nodes/{node} (or Sys.Audit and Sys.Modify on /)")
            .creates();
        Self { spec, timing }
    }
}

/// The name as Proxmox keeps it.
fn filename(call: &Call) -> Result<String, Failure> {
    let url: String = call.arg("url")?;
    let last = || url.split(['?', '#']).next().and_then(|path| path.rsplit('/').next()).unwrap_or_default().to_owned();
    let name = call.get("filename").as_str().map_or_else(last, ToOwned::to_owned);
    let content = call.get("content").as_str().unwrap_or("iso");
    super::filename(&name, content).map_err(|cause| {
        let failure = Failure::new(Class::Precondition, format!("fetch {url}"), cause);
        failure.remedy("say filename, or another content")
    })
}

#[async_trait]
impl Act for ImageDownload {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, call: &Call, before: &Value) -> String {
        let url = call.get("url").as_str().unwrap_or_default();
        look::before::<Image>(before)
            .map_or_else(|_| "fetch an image".into(), |i| format!("fetch {url} as {} on {}", i.volid, i.node))
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (node, id): (NodeName, StorageId) = (call.arg("node")?, call.arg("storage")?);
        let content: String = call.arg("content")?;
        let volid = format!("{id}:{content}/{}", filename(call)?);
        let attempted = format!("fetch {volid} on {node}");
        let storage = super::storage(world, &node, &id, &attempted).await?;
        if !storage.content.contains(&content) {
            let cause = format!("{id} is not for {content}; it is for {}", storage.content.join(", "));
            let remedy = format!("add {content} to its content, or take another storage");
            return Err(Failure::new(Class::Precondition, attempted, cause).remedy(remedy).into());
        }
        let volume = super::volume(world, &node, &id, &volid).await?;
        let on = super::seen_on(world, &node, storage.shared).await?;
        let image = Image { node, storage: id, volid, on, volume };
        let mut probe = Probe::new(format!("{}: fetch to {}", image.volid, image.node), json!(image));
        probe.change = Some(crate::model::plan::Change::Create);
        if let Some(volume) = &image.volume {
            let wanted = call.get("size").as_u64();
            if let Some((wanted, is)) = wanted.zip(volume.size).filter(|(wanted, is)| wanted != is) {
                let cause = format!("it is there and {is} bytes long, and should be {wanted}");
                let remedy = "delete it (proxmox.image_delete) if it may go, or say another filename";
                return Err(Failure::new(Class::Precondition, attempted, cause).remedy(remedy).into());
            }
            probe.summary = format!("{}: there already", image.volid);
            probe.satisfied = true;
        } else if call.get("checksum").is_null() {
            probe.notes.push(format!("{} is taken as it comes: no checksum is given", image.volid));
        }
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let image: Image = look::before(before)?;
        let text = |name: &str| call.get(name).as_str().map(ToOwned::to_owned);
        let sum = text("checksum");
        let algorithm = text("algorithm").filter(|_| sum.is_some());
        let params = Params::new()
            .opt("url", text("url"))
            .opt("content", text("content"))
            .set("filename", filename(call)?)
            .opt("checksum", sum)
            .opt("checksum-algorithm", algorithm);
        let path = format!("/nodes/{}/storage/{}/download-url", seg(&image.node), seg(&image.storage));
        // Whatever else the node fetches shows under the same name of a task.
        Ok(Request::on_node(&image.node, path, params, &["download"]).among_others())
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let image: Image = look::before(before)?;
        let volume = super::volume(world, &image.node, &image.storage, &image.volid).await.map_err(look::settled)?;
        // It is renamed to its name when it is whole and its checksum fits.
        Ok(match volume {
            Some(volume) => Seen::Done(json!({"volid": volume.volid, "size": volume.size})),
            None => Seen::Untouched(format!("{} has no {}", image.node, image.volid)),
        })
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(image) = look::before::<Image>(&before.before) else { return Prediction::default() };
        let mut outputs = std::collections::BTreeMap::from([("volid".to_owned(), json!(image.volid))]);
        if let Some(volume) = image.volume.filter(|_| before.satisfied) {
            outputs.insert("size".to_owned(), json!(volume.size));
            return Prediction { outputs, ..Prediction::default() };
        }
        let volume = json!({"volid": image.volid, "content": call.get("content")});
        let at = |node: &NodeName| Resource::Content(node.clone(), image.storage.clone()).key();
        let delta = |node: &NodeName| Delta { resource: at(node), patch: json!({image.volid.clone(): volume}) };
        Prediction { deltas: image.on.iter().map(delta).collect(), taints: Vec::new(), outputs }
    }

    fn undo(&self, _: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        let image: Image = look::before(before).ok()?;
        let with = json!({"node": image.node, "volume": image.volid});
        Some(Invocation { uses: "proxmox.image_delete".into(), with })
    }

    fn undo_summary(&self, _: &Call, before: &Probe) -> Option<String> {
        look::before::<Image>(&before.before).ok().map(|image| format!("delete {}", image.volid))
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let image: Image = look::before(before).ok()?;
        let path = format!("pvesh get /nodes/{}/storage/{}/content", seg(&image.node), seg(&image.storage));
        Some(typed::check(&path, &image.volid))
    }

    fn remedy(&self, cause: &str) -> Option<String> {
        let wrong = cause.contains("checksum mismatch");
        wrong.then(|| "what is there is not what was expected: check the address and the checksum".to_owned())
    }
}
