//! `proxmox.image_upload`: brings a file of this machine onto a storage. It is read while it is sent.
//!
//! The server writes over a file of the same name without a word, and copies to the name itself: what is shorter than it
//! should be is still being written.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::download::Image;
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Ends, Request, Seen, Trail};
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::Node;
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, Upload, Verb, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, ResourceKey, StorageId};
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

/// The act.
pub struct ImageUpload {
    spec: ActionSpec,
    timing: Timing,
    folder: PathBuf,
}

/// The file here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct File {
    size: u64,
    /// Lower-case hexadecimal.
    sha256: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Before {
    image: Image,
    file: File,
    /// Any of them may take it, and hand it on.
    nodes: Vec<NodeName>,
}

impl ImageUpload {
    /// `folder`: where relative paths begin.
    pub fn new(timing: Timing, folder: PathBuf) -> Self {
        let text = |name: &str| Param::new(name, ValueType::String);
        let title = "Bring an image from this machine onto a storage";
        let spec = ActionSpec::new("proxmox.image_upload", Effect::Change, title)
            .param(Param::new("node", ValueType::Node).required().help("A node that has the storage"))
            .param(text("storage").required().help("A storage of files that takes this kind"))
            .param(
                Param::new("path", ValueType::Path)
                    .required()
                    .help("The file here; a relative path begins at the configuration's folder"),
            )
            .param(text("filename").help("What it is called there; the path's last part where absent"))
            .param(
                text("content")
                    .choices(&["iso", "import", "vztmpl"])
                    .default_value("iso")
                    .help("An ISO image, a disk to import (qcow2, raw, vmdk, ova), a container template"),
            )
            .param(Param {
                pattern: Some("[0-9A-Fa-f]{64}".into()),
                ..text("checksum").help(
                    "The SHA-256 that the file must have; computed where absent, and checked by the server either way",
                )
            })
            .output("volid", ValueType::String, "The volume: `local:iso/x.iso`")
            .output("size", ValueType::Size, "Its length")
            .output("sha256", ValueType::String, "Its checksum")
            .needs_privilege("Datastore.AllocateTemplate on /storage/{storage}")
            .needs_privilege("Datastore.Audit on /storage/{storage}")
            .needs_privilege("Sys.Audit on /")
            .creates();
        Self { spec, timing, folder }
    }

    fn path(&self, call: &Call) -> PathBuf {
        self.folder.join(call.get("path").as_str().unwrap_or_default())
    }

    async fn file(&self, call: &Call, world: &dyn World) -> Result<File, Unreadable> {
        let path = self.path(call);
        let key = ResourceKey::new(format!("file/digest{}", path.display()));
        let attempted = format!("read {}", path.display());
        let found: Option<File> = look::before(&*world.read(&key).await?.known(&attempted)?)?;
        let fail = |cause: String| Failure::new(Class::Precondition, attempted.clone(), cause);
        let file = found.ok_or_else(|| fail("there is no such file".into()))?;
        let wanted = call.get("checksum").as_str().map(str::to_lowercase);
        match wanted.filter(|wanted| *wanted != file.sha256) {
            Some(wanted) => Err(fail(format!("its SHA-256 is {}, and should be {wanted}", file.sha256))
                .remedy("fetch it again")
                .into()),
            None => Ok(file),
        }
    }
}

fn outputs(image: &Image, file: &File) -> Value {
    json!({"volid": image.volid, "size": file.size, "sha256": file.sha256})
}

#[async_trait]
impl Act for ImageUpload {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, call: &Call, before: &Value) -> String {
        let path = self.path(call);
        look::before::<Before>(before).map_or_else(
            |_| format!("upload {}", path.display()),
            |of| format!("upload {} as {} on {}", path.display(), of.image.volid, of.image.node),
        )
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (node, id): (NodeName, StorageId) = (call.arg("node")?, call.arg("storage")?);
        let content: String = call.arg("content")?;
        let path = self.path(call);
        let last = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = super::filename(call.get("filename").as_str().unwrap_or(&last), &content)
            .map_err(|cause| Failure::new(Class::Precondition, format!("upload {}", path.display()), cause))?;
        let volid = format!("{id}:{content}/{name}");
        let attempted = format!("upload {volid} to {node}");
        let fail = |cause: String| Failure::new(Class::Precondition, attempted.clone(), cause);
        let storage = super::storage(world, &node, &id, &attempted).await?;
        if !storage.content.contains(&content) {
            let cause = format!("{id} is not for {content}; it is for {}", storage.content.join(", "));
            return Err(fail(cause).remedy(format!("add {content} to its content, or take another storage")).into());
        }
        let file = self.file(call, world).await?;
        let volume = super::volume(world, &node, &id, &volid).await?;
        let on = super::seen_on(world, &node, storage.shared).await?;
        let nodes: BTreeMap<NodeName, Node> = look::read(world, Resource::Nodes).await?;
        let nodes = nodes.into_values().filter(|node| node.online).map(|node| node.name).collect();
        let there = volume.as_ref().map(|volume| volume.size);
        let image = Image { node, storage: id, volid: volid.clone(), on, volume };
        let mut probe = Probe::new(format!("{volid}: upload of {} bytes", file.size), Value::Null);
        match there {
            Some(Some(is)) if is == file.size => {
                probe.summary = format!("{volid}: there already, and as long");
                probe.satisfied = true;
                probe.notes.push(format!("{volid} is taken for this file by its length: a storage tells no checksum"));
            }
            Some(is) => {
                let is = is.map_or_else(|| "of unknown length".to_owned(), |is| format!("{is} bytes long"));
                let cause = format!("it is there and {is}, and the file here has {} bytes", file.size);
                let remedy = "delete it (proxmox.image_delete) if it may go, or say another filename";
                return Err(fail(cause).remedy(remedy).into());
            }
            None if storage.avail.is_some_and(|avail| avail < file.size) => {
                let cause = format!(
                    "{} has {} bytes left, and the file has {}",
                    image.storage,
                    storage.avail.unwrap_or(0),
                    file.size
                );
                return Err(fail(cause).into());
            }
            None => probe.change = Some(crate::model::plan::Change::Create),
        }
        probe.before = json!(Before { image, file, nodes });
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let Before { image, file, nodes } = look::before(before)?;
        let filename = image.volid.rsplit('/').next().unwrap_or_default().to_owned();
        let params = Params::new()
            .set("content", call.get("content").as_str().unwrap_or("iso"))
            .set("checksum-algorithm", "sha256")
            .set("checksum", &file.sha256)
            .set("filename", &filename);
        let kinds: &'static [&'static str] = &["imgcopy"];
        // The node that takes the request does the work, whichever that is; other copies look the same.
        let lists = nodes.into_iter().map(|node| Resource::TasksOf(node, "imgcopy".into())).collect();
        Ok(Request {
            verb: Verb::Post,
            path: format!("/nodes/{}/storage/{}/upload", seg(&image.node), seg(&image.storage)),
            params,
            ends: Ends::WithTask(Trail { lists, kinds, about: None, shared: true }),
            upload: Some(Upload { path: self.path(call), filename, size: file.size }),
        })
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let Before { image, file, .. } = look::before(before)?;
        let volume = super::volume(world, &image.node, &image.storage, &image.volid).await.map_err(look::settled)?;
        Ok(match volume.map(|volume| volume.size) {
            Some(Some(size)) if size == file.size => Seen::Done(outputs(&image, &file)),
            Some(size) => Seen::Partial(format!("{} has {} bytes of {}", image.volid, size.unwrap_or(0), file.size)),
            None => Seen::Untouched(format!("{} has no {}", image.node, image.volid)),
        })
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(Before { image, file, .. }) = look::before(&before.before) else { return Prediction::default() };
        let Value::Object(out) = outputs(&image, &file) else { return Prediction::default() };
        let outputs = out.into_iter().collect();
        if before.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let volume = json!({"volid": image.volid, "content": call.get("content"), "size": file.size});
        let at = |node: &NodeName| Resource::Content(node.clone(), image.storage.clone()).key();
        let delta = |node: &NodeName| Delta { resource: at(node), patch: json!({image.volid.clone(): volume}) };
        Prediction { deltas: image.on.iter().map(delta).collect(), taints: Vec::new(), outputs }
    }

    fn undo(&self, _: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        let Before { image, .. } = look::before(before).ok()?;
        let with = json!({"node": image.node, "volume": image.volid});
        Some(Invocation { uses: "proxmox.image_delete".into(), with })
    }

    fn undo_summary(&self, _: &Call, before: &Probe) -> Option<String> {
        look::before::<Before>(&before.before).ok().map(|of| format!("delete {}", of.image.volid))
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let Before { image, file, .. } = look::before(before).ok()?;
        let path = format!("pvesh get /nodes/{}/storage/{}/content", seg(&image.node), seg(&image.storage));
        Some(typed::check(&path, &format!("{} with {} bytes", image.volid, file.size)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::proxmox::testing::{FakeWorld, call, node};

    const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn world(there: Option<u64>) -> FakeWorld {
        let volume = |size| json!({"local:iso/x.iso": {"volid": "local:iso/x.iso", "content": "iso", "size": size}});
        FakeWorld::default()
            .with("proxmox/nodes", json!({"pve1": node("pve1"), "pve2": node("pve2")}))
            .with(
                "proxmox/node/pve1/storages",
                json!({"local": {"kind": "dir", "shared": false, "active": true,
                "content": ["iso", "vztmpl"], "avail": 1000}}),
            )
            .with("proxmox/node/pve1/content/local", there.map_or(json!({}), volume))
            .with("file/digest/srv/x.iso", json!({"size": 700, "sha256": SUM}))
            .with("file/digest/srv/big.iso", json!({"size": 1001, "sha256": SUM}))
            .with("file/digest/srv/none.iso", Value::Null)
    }

    fn asked(more: Value) -> Call {
        let mut with = json!({"node": "pve1", "storage": "local", "path": "x.iso", "content": "iso"});
        with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call(with)
    }

    fn act() -> ImageUpload {
        ImageUpload::new(Timing::default(), PathBuf::from("/srv"))
    }

    #[tokio::test]
    async fn it_is_sent_with_its_checksum_and_taken_away_again() {
        let with = asked(json!({"checksum": SUM.to_uppercase()}));
        let probe = act().look(&with, &world(None)).await.unwrap();
        let request = act().request(&with, &probe.before).unwrap();
        let params = [("content", "iso"), ("checksum-algorithm", "sha256"), ("checksum", SUM), ("filename", "x.iso")];
        assert_eq!(request.params, params.into_iter().collect::<Params>());
        assert_eq!(request.upload, Some(Upload { path: "/srv/x.iso".into(), filename: "x.iso".into(), size: 700 }));
        let undo = act().undo(&with, &probe.before, None).unwrap();
        assert_eq!(
            (undo.uses.as_str(), undo.with),
            ("proxmox.image_delete", json!({"node": "pve1", "volume": "local:iso/x.iso"}))
        );
        let judge = async |there| act().judge(&with, &probe.before, None, &world(there)).await.unwrap();
        assert!(matches!(judge(Some(300)).await, Seen::Partial(_)));
        assert!(matches!(judge(Some(700)).await, Seen::Done(_)) && matches!(judge(None).await, Seen::Untouched(_)));
    }

    #[tokio::test]
    async fn what_is_there_is_left_alone_or_refused() {
        assert!(act().look(&asked(json!({})), &world(Some(700))).await.unwrap().satisfied);
        let refusal = async |more: Value, there| act().look(&asked(more), &world(there)).await.unwrap_err().to_string();
        assert!(refusal(json!({}), Some(5)).await.contains("it is there and 5 bytes long"));
        assert!(refusal(json!({"path": "big.iso"}), None).await.contains("1000 bytes left"));
        assert!(refusal(json!({"path": "none.iso"}), None).await.contains("no such file"));
        assert!(refusal(json!({"checksum": "0".repeat(64)}), None).await.contains("and should be 000"));
        assert!(refusal(json!({"content": "import", "filename": "x.raw"}), None).await.contains("not for import"));
        assert!(refusal(json!({"filename": "x.txt"}), None).await.contains("ends with none of .iso, .img"));
    }
}
