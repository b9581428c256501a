//! Commands that change a machine: upgrades, reboots, resets, configurations.

use std::time::Duration;

use super::{Call, Reply, text};
use crate::lab::world::World;
use crate::lab::world::talos::{Down, Image, Machine, Stage, Task, Then, refuses};
use crate::model::ids::Vmid;
use crate::model::talos::{Minor, Version};

/// The first version whose upgrade is its client's to take step by step.
const STEPWISE: Minor = Minor(1, 13);

impl Call<'_> {
    /// How long it waits for the end, by its flag or that flag's own default.
    pub(super) fn patience(&self, flag: &str) -> Option<Duration> {
        let known = self.contract.command(&self.path()).and_then(|command| {
            let flag = self.contract.flags_of(command).find(|one| one.name == flag)?;
            flag.default.clone()
        });
        self.typed.flag(flag).or(known.as_deref()).and_then(duration)
    }

    /// Whether a flag is on, by what was typed or by its own default.
    fn is_on(&self, flag: &str) -> bool {
        if self.typed.flag(flag).is_some() {
            return self.typed.is_on(flag);
        }
        let command = self.contract.command(&self.path());
        let known = command.and_then(|command| self.contract.flags_of(command).find(|one| one.name == flag));
        known.and_then(|one| one.default.as_deref()) == Some("true")
    }

    fn path(&self) -> Vec<&str> {
        self.typed.path.iter().map(String::as_str).collect()
    }

    /// The client's own minor version.
    fn minor(&self) -> Option<Minor> {
        self.contract.tag.parse::<Version>().ok().map(|version| version.minor())
    }

    /// What a command that waits, or does not, comes to.
    fn after(&self, world: &mut World, vmid: Vmid, task: Task, said: String) -> Reply {
        if !self.is_on("wait") {
            return Reply { stderr: said, mutating: true, ..Reply::default() };
        }
        let id = world.ask(vmid, task, said);
        Reply { mutating: true, ..Reply::waits(id, self.patience("timeout")) }
    }
}

/// As Go reads it; what is none was refused before.
fn duration(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit = rest[end..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |length| end + length);
        seconds += number
            * match &rest[end..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 0.001,
                _ => 0.0,
            };
        rest = &rest[unit..];
    }
    (seconds > 0.0).then(|| Duration::from_secs_f64(seconds))
}

/// What a machine says to anything that would interrupt what it does.
fn busy(machine: &Machine, doing: &str) -> Option<Reply> {
    let busy = !matches!(machine.stage, Stage::Running | Stage::Booting | Stage::Maintenance);
    busy.then(|| Reply::failed(format_args!("{doing}rpc error: code = Unknown desc = locked")))
}

pub(super) fn upgrade(world: &mut World, call: &Call<'_>) -> Reply {
    let Some((vmid, machine)) = world.machine_at(call.node) else {
        return call.unreachable("error performing upgrade: ");
    };
    if let Some(reply) = busy(machine, "error performing upgrade: ") {
        return reply;
    }
    let server = machine.version.parse::<Version>().ok().map(|version| version.minor());
    let client_steps = call.minor() >= Some(STEPWISE) && !call.typed.is_on("legacy");
    let default = call.contract.command(&["upgrade"]).and_then(|command| {
        command.flags.iter().find(|flag| flag.name == "image").and_then(|flag| flag.default.clone())
    });
    let Some(reference) = call.typed.flag("image").map(str::to_owned).or(default) else {
        return Reply::failed("error: an installer image is required");
    };
    if client_steps && server >= Some(STEPWISE) {
        return stepwise(world, call, vmid, reference);
    }
    let note = if client_steps { "New upgrade API is not available, falling back to legacy\n" } else { "" };
    let reply = legacy(world, call, vmid, &reference);
    Reply { stderr: format!("{note}{}", reply.stderr), ..reply }
}

fn stepwise(world: &mut World, call: &Call<'_>, vmid: Vmid, reference: String) -> Reply {
    let reboots = !call.typed.is_on("no-reboot");
    if reboots && call.is_on("drain") {
        return Reply::failed(
            "the lab does not stand in for `talosctl upgrade --drain`: drain with kubectl, and say --drain=false",
        );
    }
    if world.installs(vmid) {
        let text = "rpc error: code = FailedPrecondition desc = another installation/upgrade is already in progress";
        return Reply::failed(format_args!("{}: {text}", call.node));
    }
    let then = if reboots { Then::Reboot } else { Then::Nothing };
    let id = world.ask(vmid, Task::Pull { reference, then: Some(then) }, String::new());
    Reply { mutating: true, ..Reply::waits(id, call.patience("timeout")) }
}

/// The server does it all: it looks at etcd unless told not to, fetches, installs, and reboots.
fn legacy(world: &mut World, call: &Call<'_>, vmid: Vmid, reference: &str) -> Reply {
    let refused =
        |why: &str| Reply::failed(format_args!("error performing upgrade: rpc error: code = Unknown desc = {why}"));
    let unchecked = call.typed.is_on("force") || call.typed.is_on("preserve");
    let Some((_, machine)) = world.machine_at(call.node) else { return call.unreachable("") };
    if machine.control_plane
        && !unchecked
        && let Some(why) = of_members(world)
    {
        return refused(&why);
    }
    if world.installs(vmid) {
        return refused("failed to acquire upgrade mutex");
    }
    let image = match Image::behind(reference) {
        Ok(image) => image,
        Err(why) => return refused(&format!("error pulling installer image {reference:?}: {why}")),
    };
    if let Some(why) = refuses(&image, machine) {
        return refused(&format!("error validating installer image {reference:?}: {why}"));
    }
    let said = if call.is_on("wait") { String::new() } else { acknowledged(world, call) };
    let reply = call.after(world, vmid, Task::Return, String::new());
    world.about_to_take_down(&[vmid], &format!("`talosctl upgrade` of {}", call.node));
    world.machine_goes_down(vmid, &Down::Upgrade(image));
    Reply { stdout: said, ..reply }
}

fn acknowledged(world: &World, call: &Call<'_>) -> String {
    let row = [call.node.to_owned(), "Upgrade request received".to_owned(), text::time(world.epoch_ms())];
    text::table(&["NODE", "ACK", "STARTED"], &[row.to_vec()])
}

/// What the server of before 1.13 says of etcd; none where it goes on.
fn of_members(world: &World) -> Option<String> {
    let members = world.etcd();
    if members.len() == 2 {
        return Some("etcd member count(2) is insufficient to maintain quorum if upgrade commences".into());
    }
    let (_, etcd, _) = members.into_iter().find(|(_, _, answers)| !answers)?;
    Some(format!("etcd member {:016x} is not healthy; all members must be healthy to perform an upgrade", etcd.id))
}

/// `reboot`, `shutdown`, `rollback`.
pub(super) fn down(world: &mut World, call: &Call<'_>, how: &Down) -> Reply {
    let what = call.typed.path.join(" ");
    let doing = format!("error executing {what}: ");
    let Some((vmid, machine)) = world.machine_at(call.node) else { return call.unreachable(&doing) };
    if let Some(reply) = busy(machine, &doing) {
        return reply;
    }
    if call.is_on("drain") {
        return Reply::failed("the lab does not stand in for `talosctl reboot --drain`: drain with kubectl");
    }
    let back = matches!(how, Down::Reboot);
    world.about_to_take_down(&[vmid], &format!("`talosctl {what}` of {}", call.node));
    let reply = call.after(world, vmid, if back { Task::Return } else { Task::Off }, String::new());
    world.machine_goes_down(vmid, how);
    reply
}

/// Flips the slots and reboots; nobody waits for it.
pub(super) fn rollback(world: &mut World, call: &Call<'_>) -> Reply {
    let Some((vmid, machine)) = world.machine_at(call.node) else {
        return call.unreachable("error executing rollback: ");
    };
    if let Some(reply) = busy(machine, "error executing rollback: ") {
        return reply;
    }
    if machine.other.is_none() {
        return Reply::failed(
            "error executing rollback: rpc error: code = Unknown desc = previous installation not found",
        );
    }
    if let Some(machine) = world.machine_mut(vmid) {
        machine.other_next = true;
    }
    world.about_to_take_down(&[vmid], &format!("`talosctl rollback` of {}", call.node));
    world.machine_goes_down(vmid, &Down::Reboot);
    Reply { mutating: true, ..Reply::default() }
}

pub(super) fn reset(world: &mut World, call: &Call<'_>) -> Reply {
    let doing = "error resetting: ";
    let Some((vmid, machine)) = world.machine_at(call.node) else { return call.unreachable(doing) };
    if let Some(reply) = busy(machine, doing) {
        return reply;
    }
    // Since then a machine in maintenance has the usual API, and whoever comes without a certificate may only read.
    let server = machine.version.parse::<Version>().ok().map(|version| version.minor());
    if machine.stage == Stage::Maintenance && server >= Some(STEPWISE) {
        return Reply::failed(format_args!("{doing}rpc error: code = PermissionDenied desc = not authorized"));
    }
    let labels = call.typed.all("system-labels-to-wipe");
    let has = |label: &str| labels.iter().any(|own| own == label);
    if let Some(unknown) = labels.iter().find(|label| !matches!(label.as_str(), "STATE" | "EPHEMERAL" | "META")) {
        let why = format!("failed to locate partition with label {unknown:?}");
        return Reply::failed(format_args!("{doing}rpc error: code = NotFound desc = {why}"));
    }
    if !call.typed.all("user-disks-to-wipe").is_empty() || call.typed.flag("wipe-mode") == Some("user-disks") {
        return Reply::failed("the lab does not stand in for `talosctl reset` of user disks");
    }
    let leaves = call.is_on("graceful") && machine.etcd.as_ref().is_some_and(|etcd| !etcd.removed && !etcd.wiped);
    if leaves && !world.etcd_has_quorum() {
        return Reply::failed(format_args!(
            "{doing}rpc error: code = Unknown desc = failed to leave etcd cluster: etcdserver: no leader"
        ));
    }
    let all = labels.is_empty();
    let reboot = call.is_on("reboot");
    let how = Down::Reset { data: all || has("EPHEMERAL"), config: has("STATE"), disk: all, reboot };
    if world.etcd_has_quorum() {
        world.about_to_take_down(&[vmid], &format!("`talosctl reset` of {}", call.node));
    }
    if leaves && let Some(id) = world.machine_mut(vmid).and_then(|one| Some(one.etcd.as_ref()?.id)) {
        world.remove_member(id);
    }
    let reply = call.after(world, vmid, if reboot { Task::Return } else { Task::Off }, String::new());
    world.machine_goes_down(vmid, &how);
    reply
}

pub(super) fn apply_config(world: &mut World, call: &Call<'_>, file: Option<&str>) -> Reply {
    let path = call.typed.flag("file").or(call.typed.args.first().map(String::as_str));
    let Some(path) = path else { return Reply::failed("no filename supplied for configuration") };
    let Some(new) = file else {
        let why = format!("open {path}: no such file or directory");
        return Reply::failed(format_args!("failed to read configuration from {path:?}: {why}"));
    };
    if !call.typed.all("config-patch").is_empty() {
        return Reply::failed("the lab does not stand in for `talosctl apply-config --config-patch`");
    }
    let doing = "error applying new configuration: ";
    let Some((vmid, machine)) = world.machine_at(call.node) else { return call.unreachable(doing) };
    if let Some(reply) = busy(machine, doing) {
        return reply;
    }
    let weighed = match machine.weigh(new) {
        Ok(weighed) => weighed,
        Err(why) => return Reply::failed(format_args!("{doing}rpc error: code = InvalidArgument desc = {why}")),
    };
    let mode = call.typed.flag("mode").unwrap_or("auto");
    let first = machine.stage == Stage::Maintenance;
    if first && mode != "auto" {
        let why = format!("apply configuration --mode='{mode}' is not supported in maintenance mode");
        return Reply::failed(format_args!("{doing}rpc error: code = Unimplemented desc = {why}"));
    }
    let (said, reboots) = match mode {
        "staged" => ("Staged configuration to be applied after the next reboot", false),
        "reboot" => ("Applied configuration with a reboot", true),
        "auto" if weighed.reboot || machine.stage == Stage::Maintenance => {
            ("Applied configuration with a reboot", true)
        }
        "auto" => ("Applied configuration without a reboot", false),
        "no-reboot" if weighed.reboot => {
            let why = "this config change can't be applied in immediate mode";
            return Reply::failed(format_args!("{doing}rpc error: code = InvalidArgument desc = {why}"));
        }
        "no-reboot" => ("Applied configuration without a reboot", false),
        other => {
            return Reply::failed(format_args!("the lab does not stand in for `talosctl apply-config --mode={other}`"));
        }
    };
    if call.typed.is_on("dry-run") {
        let diff = if weighed.diff.is_empty() { "No changes.".to_owned() } else { weighed.diff.join("\n") };
        let stderr = format!("Dry run summary:\n{said} (skipped in dry-run).\nConfig diff:\n\n{diff}\n");
        return Reply { stderr, ..Reply::default() };
    }
    if let Some(machine) = world.machine_mut(vmid) {
        match mode == "staged" || reboots {
            true => machine.stage_config(new),
            false => machine.set_config(new.to_owned()),
        }
    }
    if first {
        world.machine_given(vmid, new);
    }
    if reboots {
        world.about_to_take_down(&[vmid], &format!("`talosctl apply-config` to {}", call.node));
        world.machine_goes_down(vmid, &Down::Reboot);
    }
    Reply { stderr: format!("{said}\n"), mutating: true, ..Reply::default() }
}

pub(super) fn pull(world: &mut World, call: &Call<'_>) -> Reply {
    let Some((vmid, _)) = world.machine_at(call.node) else { return call.unreachable("error pulling image: ") };
    let Some(reference) = call.typed.args.first().cloned() else {
        return Reply::failed("accepts 1 arg(s), received 0");
    };
    let id = world.ask(vmid, Task::Pull { reference, then: None }, String::new());
    Reply { mutating: true, ..Reply::waits(id, None) }
}

pub(super) fn images(world: &World, call: &Call<'_>) -> Reply {
    let Some((_, machine)) = world.machine_at(call.node) else { return call.unreachable("error listing images: ") };
    let row = |image: &String| {
        let digest = format!("sha256:{}", text::digest(image));
        vec![call.node.to_owned(), image.clone(), digest, "160 MB".to_owned(), text::time(world.epoch_ms())]
    };
    let rows: Vec<Vec<String>> = machine.images.iter().map(row).collect();
    Reply::said(text::table(&["NODE", "IMAGE", "DIGEST", "SIZE", "CREATED"], &rows))
}

pub(super) fn health(world: &mut World, call: &Call<'_>) -> Reply {
    let Some((vmid, machine)) = world.machine_at(call.node) else { return call.unreachable("healthcheck error: ") };
    if !machine.control_plane {
        return Reply::failed("rpc error: code = Unimplemented desc = method not supported on machine type \"worker\"");
    }
    let id = world.ask(vmid, Task::Health, String::new());
    Reply::waits(id, call.patience("wait-timeout"))
}

/// The parts one after another, as long as the client is there.
pub(super) fn upgrade_kubernetes(world: &mut World, call: &Call<'_>) -> Reply {
    let Some((vmid, machine)) = world.machine_at(call.node) else {
        return call.unreachable("error detecting the lowest Kubernetes version: ");
    };
    if !machine.control_plane {
        return Reply::failed("error detecting the lowest Kubernetes version: no control plane nodes found");
    }
    let flags = ["from", "endpoint", "pre-pull-images", "upgrade-kubelet", "manifests-force", "manifests-no-prune"];
    if let Some(flag) = flags.iter().find(|flag| call.typed.flag(flag).is_some()) {
        return Reply::failed(format_args!("the lab does not stand in for `talosctl upgrade-k8s --{flag}`"));
    }
    let default = call
        .contract
        .command(&["upgrade-k8s"])
        .and_then(|command| command.flags.iter().find(|flag| flag.name == "to").and_then(|flag| flag.default.clone()));
    let to = call.typed.flag("to").map(str::to_owned).or(default).unwrap_or_default();
    let dry = call.typed.is_on("dry-run");
    match world.kubernetes_upgrade(to.trim_start_matches('v'), dry) {
        Err(why) => {
            let (said, why) = why.rsplit_once('\n').unwrap_or(("", &why));
            let said = if said.is_empty() { String::new() } else { format!("{said}\n") };
            Reply { stdout: said, ..Reply::failed(why) }
        }
        Ok(upgrade) if dry => Reply::said(upgrade.said),
        Ok(upgrade) => {
            let id = world.ask(vmid, Task::Kubernetes(upgrade), String::new());
            Reply { mutating: true, ..Reply::waits(id, None) }
        }
    }
}
