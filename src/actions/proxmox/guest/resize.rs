//! `proxmox.guest_resize`: makes a guest's disk larger. No disk is ever made smaller.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::{change, power};
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::{Disk, Guest};
use crate::actions::proxmox::property::bytes;
use crate::clients::proxmox::{Params, Verb, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};

const GIB: f64 = (1_u64 << 30) as f64;

/// The act.
pub struct GuestResize {
    spec: ActionSpec,
    timing: Timing,
}

impl GuestResize {
    pub fn new(timing: Timing) -> Self {
        let size = "`64G`: as large as that; `+10G`: so much larger, each time anew";
        let spec = change::spec("proxmox.guest_resize", "Make a guest's disk larger", "VM.Config.Disk on /vms/{guest}")
            .param(Param::new("disk", ValueType::String).required().help("Its key: `scsi0`, `rootfs`"))
            .param(Param::new("size", ValueType::String).required().help(size))
            .output("bytes", ValueType::Size, "How large it is then")
            .needs_privilege("Datastore.AllocateSpace on /storage/{its storage}");
        Self { spec, timing }
    }
}

/// What is asked for: bytes, and whether on top of what is there.
fn asked(call: &Call) -> Result<(u64, bool), Failure> {
    let text: String = call.arg("size")?;
    let (more, rest) = text.strip_prefix('+').map_or((false, text.as_str()), |rest| (true, rest));
    let failure = || {
        let cause = format!("{text:?} is no size");
        Failure::new(Class::Precondition, "read the parameter `size`", cause).remedy("write 64G, or +10G")
    };
    Ok((bytes(rest).filter(|bytes| *bytes > 0).ok_or_else(failure)?, more))
}

fn key(call: &Call) -> Result<String, Failure> {
    call.arg("disk")
}

fn disk<'a>(guest: &'a Guest, key: &str) -> Option<&'a Disk> {
    guest.disks.get(key).filter(|disk| !disk.cdrom && disk.storage.is_some() && !key.starts_with("unused"))
}

/// How large it is and will be, in bytes.
fn sizes(call: &Call, guest: &Guest) -> Result<(u64, u64), Failure> {
    let (key, (asked, more)) = (key(call)?, asked(call)?);
    let impossible = |cause: String, remedy: &str| power::impossible("resize a disk of", guest, cause, remedy);
    let Some(disk) = disk(guest, &key) else {
        let known = guest.disks.keys().filter(|key| disk(guest, key).is_some());
        let known = known.cloned().collect::<Vec<_>>().join(", ");
        return Err(impossible(format!("{} has no disk {key}", guest.title()), &format!("it has {known}")));
    };
    let Some(is) = disk.bytes else {
        return Err(impossible(format!("the size of {key} is not known"), "have Proxmox read it (qm disk rescan)"));
    };
    let wanted = if more { is.saturating_add(asked) } else { asked };
    if wanted < is {
        let cause = format!("{key} has {:.1} GiB, and no disk can be made smaller", is as f64 / GIB);
        return Err(impossible(cause, "make a smaller one, copy what is on it, and detach this one"));
    }
    Ok((is, wanted))
}

/// In the largest unit that says it wholly.
fn written(bytes: u64) -> String {
    let unit =
        [("T", 40), ("G", 30), ("M", 20), ("K", 10)].into_iter().find(|(_, shift)| bytes.is_multiple_of(1 << shift));
    unit.map_or_else(|| bytes.to_string(), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

#[async_trait]
impl Act for GuestResize {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        power::attempted("resize a disk of", before)
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let guest = look::guest(world, call.arg("guest")?).await?;
        let ((is, wanted), key) = (sizes(call, &guest)?, key(call)?);
        if is == wanted {
            return Ok(power::satisfied(&guest, format!("{}: {key} has {} already", guest.title(), written(is))));
        }
        power::unlocked("resize a disk of", &guest, None)?;
        let summary = format!("{}: {key} {} -> {}", guest.title(), written(is), written(wanted));
        let mut probe = power::probe(&guest, summary);
        probe.guards.clear();
        if asked(call)?.1 {
            probe.notes.push(format!("{key} grows each time that this is done: give its whole size to do it once"));
        }
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let guest: Guest = look::before(before)?;
        // As a whole size, so that nothing grows twice.
        let (_, wanted) = sizes(call, &guest)?;
        let path = format!("/nodes/{}/{}/{}/resize", seg(&guest.node), guest.kind, guest.vmid);
        let params = Params::new().set("disk", key(call)?).set("size", written(wanted));
        let params = params.opt("digest", guest.digest.as_deref());
        Ok(Request::about_guest(&guest.node, guest.vmid, path, params, &["resize"]).with_verb(Verb::Put))
    }

    async fn judge(&self, call: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let (guest, key) = (look::before::<Guest>(before)?, key(call)?);
        let (was, wanted) = sizes(call, &guest)?;
        Ok(match power::now(&guest, world).await? {
            Ok(now) => match disk(&now, &key).and_then(|disk| disk.bytes) {
                Some(is) if is >= wanted => Seen::Done(json!({"vmid": now.vmid, "bytes": is})),
                Some(is) if is == was => Seen::Untouched(format!("{key} of {} has {}", now.title(), written(is))),
                Some(is) => Seen::Partial(format!("{key} of {} has {}", now.title(), written(is))),
                None => Seen::Strange(format!("{} has no disk {key} any more", now.title())),
            },
            Err(strange) => strange,
        })
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let read = || -> Result<_, Failure> {
            let guest: Guest = look::before(&before.before)?;
            Ok((key(call)?, sizes(call, &guest)?.1, guest))
        };
        let Ok((key, wanted, guest)) = read() else { return Prediction::default() };
        let patch = Map::from_iter([("disks".to_owned(), json!({key: {"bytes": wanted}}))]);
        let outputs = json!({"vmid": guest.vmid, "bytes": wanted});
        change::predict(before, outputs, patch, Map::new(), Map::new())
    }

    fn check(&self, call: &Call, before: &Value) -> Option<String> {
        let (_, wanted) = sizes(call, &look::before(before).ok()?).ok()?;
        change::check(before, &format!("{}: size={}", key(call).ok()?, written(wanted)))
    }

    fn remedy(&self, cause: &str) -> Option<String> {
        change::remedy(cause)
    }
}

#[cfg(test)]
mod tests {
    use super::written;

    #[test]
    fn sizes_are_written_in_whole_units() {
        assert_eq!((written(64 << 30).as_str(), written(1536 << 20).as_str()), ("64G", "1536M"));
        assert_eq!((written(2 << 40).as_str(), written(1000).as_str()), ("2T", "1000"));
    }
}
