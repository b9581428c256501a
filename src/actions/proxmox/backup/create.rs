//! `proxmox.guest_backup`: backs a guest up and sees the new volume.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{of_guest, takes_backups, text};
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look::{self, live};
use crate::actions::proxmox::object::{Guest, Volume};
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::StorageId;
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

/// The act.
pub struct GuestBackup {
    spec: ActionSpec,
    timing: Timing,
}

/// What the probe found.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Before {
    guest: Guest,
    storage: StorageId,
    /// Backups of the guest that are there already.
    known: Vec<String>,
}

impl GuestBackup {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new("proxmox.guest_backup", Effect::Change, "Back a guest up")
            .param(Param::new("guest", ValueType::Guest).required().help("The guest"))
            .param(Param::new("storage", ValueType::String).required().help("Where the backup goes"))
            .param(
                Param::new("mode", ValueType::String)
                    .default_value("snapshot")
                    .choices(&["snapshot", "suspend", "stop"])
                    .help("stop and suspend mean downtime for a running guest"),
            )
            .param(
                Param::new("compress", ValueType::String)
                    .default_value("zstd")
                    .choices(&["0", "gzip", "lzo", "zstd"])
                    .help("A backup server compresses by itself"),
            )
            .param(
                Param::new("notes", ValueType::String).help("Kept with the backup; may say {{guestname}} to Proxmox"),
            )
            .param(
                Param::new("protected", ValueType::Bool)
                    .default_value(false)
                    .help("Whether it cannot be deleted until the protection is taken off"),
            )
            .output("volid", ValueType::String, "The backup")
            .output("size", ValueType::Size, "Of the backup")
            .output("made", ValueType::Int, "When it was made, seconds since 1970")
            .output("vmid", ValueType::Vmid, "The guest")
            .needs_privilege("VM.Audit on /vms/{guest}")
            .needs_privilege("VM.Backup on /vms/{guest}")
            .needs_privilege("Datastore.AllocateSpace on /storage/{storage}")
            .anew();
        Self { spec, timing }
    }
}

#[async_trait]
impl Act for GuestBackup {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        let words = |b: Before| format!("back {} up to {}", b.guest.title(), b.storage);
        look::before::<Before>(before).map_or_else(|_| "back a guest up".into(), words)
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let guest = look::guest(world, call.arg("guest")?).await?;
        let storage: StorageId = call.arg("storage")?;
        let attempted = format!("back {} up to {storage}", guest.title());
        if let Some(lock) = &guest.lock {
            let failure = Failure::new(Class::Locked, attempted, format!("{} is locked ({lock})", guest.title()));
            return Err(failure.remedy(format!("wait until the {lock} has ended")).into());
        }
        takes_backups(world, &guest.node, &storage, &attempted).await?;
        let known: Vec<Volume> = of_guest(world, &guest.node, &storage, guest.vmid).await?;
        let mode = call.get("mode").as_str().unwrap_or("snapshot");
        let summary = format!("{}: back up to {storage} of {} ({mode})", guest.title(), guest.node);
        let known = known.into_iter().map(|volume| volume.volid).collect();
        let mut probe = Probe::new(summary, json!(Before { guest: guest.clone(), storage, known }));
        probe.identities = vec![look::identity(&guest)];
        if guest.is_running() && mode != "snapshot" {
            probe.effect = Some(Effect::Disrupt);
            probe.notes.push(format!("{} is down for a while: mode {mode}", guest.title()));
        }
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let Before { guest, storage, .. } = look::before(before)?;
        let params = Params::new()
            .set("vmid", guest.vmid)
            .set("storage", storage)
            .opt("mode", call.get("mode").as_str())
            .opt("compress", call.get("compress").as_str())
            // Else what the storage keeps decides, and older backups go: that is `proxmox.backups_prune`.
            .flag("remove", false)
            .opt(
                "notes-template",
                text(call.get("notes")).map(|notes| notes.replace('\\', "\\\\").replace('\n', "\\n")),
            );
        let protected = call.get("protected").as_bool() == Some(true);
        let params = if protected { params.flag("protected", true) } else { params };
        let path = format!("/nodes/{}/vzdump", seg(&guest.node));
        Ok(Request::about_guest(&guest.node, guest.vmid, path, params, &["vzdump"]))
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let Before { guest, storage, known } = look::before(before)?;
        let now: Option<Guest> = live(world, Resource::Guest(guest.vmid)).await?;
        let Some(now) = now else { return Ok(Seen::Strange(format!("{} is on no node", guest.title()))) };
        if !now.is_same_as(&guest) {
            return Ok(Seen::Strange(format!("{} is another guest now: {}", guest.vmid, now.title())));
        }
        let all = of_guest(world, &guest.node, &storage, guest.vmid).await.map_err(look::settled)?;
        let new = all.into_iter().rfind(|volume| !known.contains(&volume.volid) && volume.size.unwrap_or(0) > 0);
        Ok(match (new, now.lock.as_deref()) {
            (_, Some("backup")) => Seen::Partial(format!("{} is locked (backup)", guest.title())),
            (Some(volume), _) => Seen::Done(json!({
                "volid": volume.volid, "size": volume.size, "made": volume.made, "vmid": guest.vmid
            })),
            (None, _) => Seen::Untouched(format!("{storage} has no new backup of {}", guest.title())),
        })
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(Before { guest, storage, .. }) = look::before(&before.before) else { return Prediction::default() };
        let why = format!("{} makes a backup of {}", call.path, guest.title());
        let on_storage = format!("proxmox/api/nodes/{}/storage/{}", seg(&guest.node), seg(&storage));
        Prediction {
            // Which one it will be is not known; that there is another one, is.
            deltas: vec![Delta { resource: Resource::Guest(guest.vmid).key(), patch: json!({"backups": null}) }],
            taints: vec![
                (Resource::Content(guest.node.clone(), storage).key(), why.clone()),
                (on_storage.as_str().into(), why),
            ],
            outputs: [("vmid".to_owned(), json!(guest.vmid))].into(),
        }
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let Before { guest, storage, .. } = look::before(before).ok()?;
        let path = format!("/nodes/{}/storage/{}/content", seg(&guest.node), seg(&storage));
        let params = Params::new().set("content", "backup").set("vmid", guest.vmid);
        Some(typed::check(&typed::call(crate::clients::proxmox::Verb::Get, &path, &params), "one more, with a size"))
    }
}
