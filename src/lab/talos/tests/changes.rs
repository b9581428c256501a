//! What a call changes, and how long its client waits for it.

use super::*;
use crate::lab::front::site::SiteWorld;

const AGENT: &str = "ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515";

fn image(version: &str) -> String {
    format!("factory.talos.dev/installer/{AGENT}:v{version}")
}

/// To its end, or for an hour of the lab's time.
fn ended(world: &mut World, version: &str, line: &str) -> Option<Reply> {
    let begun = call(world, version, line);
    let Some(waits) = begun.waits else { return Some(begun) };
    for _ in 0..3600 {
        if let Some(reply) = world.talosctl_ended(waits.id) {
            return Some(Reply { stderr: format!("{}{}", begun.stderr, reply.stderr), ..reply });
        }
        let now = World::now_ms(world);
        World::advance_to(world, now + 1000);
    }
    None
}

pub(super) fn well(world: &mut World, version: &str, line: &str) -> Reply {
    let reply = ended(world, version, line).unwrap();
    assert_eq!(reply.exit, 0, "{line}: {reply:?}");
    reply
}

pub(super) fn lay(world: &mut World, fault: &str) {
    match fault.parse().unwrap() {
        crate::lab::fault::Fault::World(fault) => SiteWorld::inject(world, &fault).unwrap(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn said(world: &mut World, line: &str) -> String {
    call(world, "1.13", line).stdout
}

fn runs(world: &mut World, node: &str) -> String {
    let text = said(world, &format!("-n {node} version --json"));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["version"]["tag"].as_str().unwrap().to_owned()
}

fn boot(world: &mut World, node: &str) -> String {
    said(world, &format!("-n {node} read /proc/sys/kernel/random/boot_id"))
}

/// Of its guest.
fn status(world: &World, vmid: u32) -> String {
    world.snapshot_state()["guests"][vmid.to_string()]["status"].to_string()
}

pub(super) fn pass(world: &mut World, seconds: u64) {
    let now = World::now_ms(world);
    World::advance_to(world, now + seconds * 1000);
}

#[test]
fn a_machine_is_upgraded_by_its_server_and_etcd_goes_on_without_it() {
    let mut world = world();
    let before = boot(&mut world, "10.0.0.51");
    let leader = world.etcd_leader();
    let begun = call(&mut world, "1.11", &format!("-n 10.0.0.51 upgrade --image {}", image("1.11.6")));
    assert!(begun.mutating && begun.waits.unwrap().patience.unwrap().as_secs() == 1800, "{begun:?}");
    pass(&mut world, 5);
    assert!(world.etcd_has_quorum() && world.etcd_leader().is_some() && world.etcd_leader() != leader);
    assert!(said(&mut world, "-n 10.0.0.51 get machinestatus -o json").contains("\"upgrading\""));
    pass(&mut world, 30);
    assert_eq!(call(&mut world, "1.11", "-n 10.0.0.51 version").exit, 1, "it is down");
    assert!(status(&world, 1051).contains("running"), "its VM is not");
    assert!(world.talosctl_ended(begun.waits.unwrap().id).is_none());
    pass(&mut world, 60);
    let reply = world.talosctl_ended(begun.waits.unwrap().id).unwrap();
    assert!(reply.exit == 0 && reply.stderr.contains("\"10.0.0.51\": post check passed\n"), "{reply:?}");
    assert_eq!(runs(&mut world, "10.0.0.51"), "v1.11.6");
    assert_ne!(boot(&mut world, "10.0.0.51"), before);
    assert!(said(&mut world, "-n 10.0.0.51 get extensions -o json").contains(AGENT));
    assert_eq!(world.talos_violations(), &[]);
    well(&mut world, "1.11", "-n 10.0.0.51 rollback");
    pass(&mut world, 90);
    assert_eq!(runs(&mut world, "10.0.0.51"), "v1.11.2");
}

#[test]
fn since_1_13_the_client_takes_the_steps_and_without_it_they_are_not_taken() {
    let mut world = world();
    for (node, hop) in [("10.0.0.61", "1.12.11"), ("10.0.0.61", "1.13.9")] {
        well(&mut world, "1.12", &format!("-n {node} upgrade --image {}", image(hop)));
    }
    let line = format!("-n 10.0.0.61 upgrade --drain=false --image {}", image("1.13.8"));
    let begun = call(&mut world, "1.13", &line);
    pass(&mut world, 15);
    world.talosctl_gone(begun.waits.unwrap().id);
    pass(&mut world, 300);
    assert_eq!(runs(&mut world, "10.0.0.61"), "v1.13.9", "nobody went on");
    let reply = well(&mut world, "1.13", &format!("{line} --no-reboot"));
    assert!(reply.stderr.contains("10.0.0.61: upgrade completed\n"), "{reply:?}");
    assert_eq!(runs(&mut world, "10.0.0.61"), "v1.13.9", "it is installed, and not booted");
    well(&mut world, "1.13", "-n 10.0.0.61 reboot");
    assert_eq!(runs(&mut world, "10.0.0.61"), "v1.13.8");
    let old = well(&mut world, "1.13", &format!("-n 10.0.0.62 upgrade --drain=false --image {}", image("1.11.6")));
    assert!(old.stderr.starts_with("New upgrade API is not available, falling back to legacy\n"), "{old:?}");
    let drains = call(&mut world, "1.13", &format!("-n 10.0.0.61 upgrade --image {}", image("1.13.9")));
    assert!(drains.stderr.contains("does not stand in"), "{drains:?}");
}

#[test]
fn an_image_that_is_none_and_a_host_that_is_too_old_are_refused() {
    let mut world = world();
    let mut refused = |line: &str, part: &str| {
        let reply = ended(&mut world, "1.11", &format!("-n 10.0.0.51 upgrade --image {line}")).unwrap();
        assert!(reply.exit == 1 && reply.stderr.contains(part), "{line}: {reply:?}");
    };
    refused(&image("1.11.99"), "not found");
    refused("ghcr.io/siderolabs/installer:v1.14.0-rc.1", "not found");
    refused("factory.talos.dev/installer/abc:v1.11.6", "not found");
    refused(&image("1.14.0-rc.1"), "host version 1.11.2 is too old to upgrade to Talos 1.14.0-rc.1");
    refused(&image("1.9.6"), "too new to downgrade to Talos 1.9.6");
    let pulled = ended(&mut world, "1.13", "-n 10.0.0.51 image pull factory.talos.dev/installer/x:v1.2.3").unwrap();
    assert!(pulled.exit == 1 && pulled.stderr.contains("code = NotFound"), "{pulled:?}");
    well(&mut world, "1.13", &format!("-n 10.0.0.51 image pull --namespace system {}", image("1.12.11")));
    assert!(said(&mut world, "-n 10.0.0.51 image list").contains("v1.12.11"));
}

#[test]
fn the_older_server_looks_at_etcd_first_and_preserve_makes_it_look_away() {
    let mut world = world();
    lay(&mut world, "etcd-unhealthy:cp2");
    let line = format!("-n 10.0.0.51 upgrade --image {}", image("1.11.6"));
    let reply = call(&mut world, "1.11", &line);
    assert!(reply.exit == 1 && reply.stderr.contains("is not healthy; all members must be healthy"), "{reply:?}");
    assert_eq!(world.talos_violations(), &[]);
    assert_eq!(call(&mut world, "1.11", &format!("{line} --preserve")).exit, 0);
    let seen = world.talos_violations();
    assert!(seen[0].what.contains("`talosctl upgrade` of 10.0.0.51 takes down cp1"), "{seen:?}");
    pass(&mut world, 15);
    assert!(world.talos_violations()[1].what.contains("no control plane's API server answers"));
}

#[test]
fn upgrades_go_wrong_as_they_are_told_to() {
    let new = |node: &str| format!("-n {node} upgrade --image {}", image("1.11.6"));
    let mut world = world();
    let before = boot(&mut world, "10.0.0.51");
    lay(&mut world, "talos-rolls-back:cp1");
    well(&mut world, "1.11", &new("10.0.0.51"));
    assert_eq!(runs(&mut world, "10.0.0.51"), "v1.11.2", "talosctl was content");
    assert_ne!(boot(&mut world, "10.0.0.51"), before);
    assert!(said(&mut world, "-n 10.0.0.51 dmesg").contains("fallback to the previous boot entry"));
    lay(&mut world, "talos-loses-extensions:cp1");
    well(&mut world, "1.11", &new("10.0.0.51"));
    let extensions = said(&mut world, "-n 10.0.0.51 get extensions -o json");
    assert!(runs(&mut world, "10.0.0.51") == "v1.11.6" && !extensions.contains(AGENT), "{extensions}");
    lay(&mut world, "upgrade-hangs:w1");
    let begun = call(&mut world, "1.11", &new("10.0.0.61"));
    pass(&mut world, 600);
    assert_eq!(runs(&mut world, "10.0.0.61"), "v1.11.6");
    assert!(world.talosctl_ended(begun.waits.unwrap().id).is_none());
    assert!(world.talosctl_gone(begun.waits.unwrap().id).stderr.contains("deadline exceeded"));
    lay(&mut world, "talos-never-returns:cp2");
    assert!(ended(&mut world, "1.11", &new("10.0.0.52")).is_none());
    assert_eq!(call(&mut world, "1.11", "-n 10.0.0.52 version").exit, 1);
    world.mend_talos();
    pass(&mut world, 90);
    assert_eq!(runs(&mut world, "10.0.0.52"), "v1.11.6");
}

#[test]
fn leadership_is_handed_over_and_members_come_and_go() {
    let mut world = world();
    let first = world.etcd_leader();
    well(&mut world, "1.13", "-n 10.0.0.52 etcd forfeit-leadership");
    assert_eq!(world.etcd_leader(), first, "it did not lead");
    well(&mut world, "1.13", "-n 10.0.0.51 etcd forfeit-leadership");
    assert_ne!(world.etcd_leader(), first);
    let id = format!("{:016x}", first.unwrap());
    let unknown = call(&mut world, "1.13", "-n 10.0.0.52 etcd remove-member 12ab");
    assert!(unknown.stderr.contains("code = NotFound"), "{unknown:?}");
    well(&mut world, "1.13", &format!("-n 10.0.0.52 etcd remove-member {id}"));
    assert_eq!(said(&mut world, "-n 10.0.0.52 etcd members").lines().count(), 3);
    let gone = call(&mut world, "1.13", "-n 10.0.0.51 etcd status");
    assert!(gone.stderr.contains("permanently removed"), "{gone:?}");
    well(&mut world, "1.13", "-n 10.0.0.51 reset --system-labels-to-wipe EPHEMERAL --reboot");
    assert!(said(&mut world, "-n 10.0.0.52 etcd members").lines().any(|line| line.ends_with("true")), "a learner");
    pass(&mut world, 30);
    assert!(!said(&mut world, "-n 10.0.0.52 etcd members").contains("true"));
    assert!(!world.etcd().iter().any(|(_, etcd, _)| format!("{:016x}", etcd.id) == id));
    assert_eq!(world.talos_violations(), &[]);
}

#[test]
fn an_alarm_rings_again_until_the_database_is_smaller() {
    let mut world = world();
    lay(&mut world, "etcd-alarm:cp3");
    assert!(said(&mut world, "-n 10.0.0.51 etcd alarm list").contains("NOSPACE"));
    well(&mut world, "1.13", "-n 10.0.0.51 etcd alarm disarm");
    pass(&mut world, 10);
    assert!(said(&mut world, "-n 10.0.0.51 etcd alarm list").contains("NOSPACE"));
    well(&mut world, "1.13", "-n 10.0.0.53 etcd defrag");
    well(&mut world, "1.13", "-n 10.0.0.51 etcd alarm disarm");
    pass(&mut world, 10);
    assert_eq!(said(&mut world, "-n 10.0.0.51 etcd alarm list"), "");
}

#[test]
fn snapshots_go_wrong_in_two_ways() {
    let mut world = world();
    lay(&mut world, "snapshot-cut");
    let cut = call(&mut world, "1.13", "-n 10.0.0.51 etcd snapshot db");
    assert!(cut.exit == 1 && cut.stderr.starts_with("sha256 checksum not found (size 32784)"), "{cut:?}");
    lay(&mut world, "snapshot-damaged");
    let damaged = call(&mut world, "1.13", "-n 10.0.0.51 etcd snapshot db");
    let whole = call(&mut world, "1.13", "-n 10.0.0.51 etcd snapshot db");
    assert!(damaged.exit == 0 && damaged.stdout == whole.stdout && damaged.file != whole.file);
}

#[test]
fn a_configuration_is_shown_weighed_and_taken() {
    let mut world = world();
    let text = said(&mut world, "-n 10.0.0.61 get machineconfig v1alpha1 -o yaml");
    let old: String = text.split_once("spec: |\n").unwrap().1.lines().map(|line| format!("{}\n", &line[4..])).collect();
    assert!(old.starts_with("version: v1alpha1\nmachine:\n    type: worker\n"), "{old}");
    let apply = |world: &mut World, version: &str, line: &str, new: Option<&str>| {
        let words: Vec<String> = format!("-n 10.0.0.61 apply-config {line}").split(' ').map(str::to_owned).collect();
        talosctl(world, version, &words, new)
    };
    let new = old.replace("kubelet:v1.34.1", "kubelet:v1.33.0");
    let same = apply(&mut world, "1.13", "-f c.yaml --dry-run", Some(&old));
    assert!(same.exit == 0 && same.stderr.ends_with("Config diff:\n\nNo changes.\n") && !same.mutating, "{same:?}");
    let dry = apply(&mut world, "1.13", "-f c.yaml --dry-run", Some(&new));
    let first = "Dry run summary:\nApplied configuration without a reboot (skipped in dry-run).\n";
    assert!(dry.stderr.starts_with(first) && dry.stderr.contains("\n+        image: ghcr.io"), "{dry:?}");
    assert!(apply(&mut world, "1.13", "-f c.yaml", None).stderr.contains("no such file"));
    assert!(apply(&mut world, "1.13", "-f c.yaml", Some("version: v0\n")).stderr.contains("InvalidArgument"));
    assert!(apply(&mut world, "1.14", "-f c.yaml -m reboot", Some(&new)).stderr.starts_with("invalid argument"));
    let taken = apply(&mut world, "1.13", "-f c.yaml", Some(&new));
    assert!(taken.mutating && taken.stderr == "Applied configuration without a reboot\n", "{taken:?}");
    assert!(said(&mut world, "-n 10.0.0.61 get mc -o json").contains("v1.33.0"));
    let other = new.replace("    token:", "    env:\n        A: b\n    token:");
    assert!(apply(&mut world, "1.13", "-f c.yaml -m no-reboot", Some(&other)).stderr.contains("immediate mode"));
    let staged = apply(&mut world, "1.13", "-f c.yaml -m staged", Some(&other));
    assert!(
        staged.stderr.starts_with("Staged configuration")
            && !said(&mut world, "-n 10.0.0.61 get mc v1alpha1 -o json").contains("env:")
    );
    well(&mut world, "1.13", "-n 10.0.0.61 reboot");
    assert!(said(&mut world, "-n 10.0.0.61 get mc -o json").contains("env:"));
}

#[test]
fn a_machine_and_its_guest_are_one() {
    let mut world = world();
    well(&mut world, "1.13", "-n 10.0.0.61 shutdown");
    let worker = world.machine_called("10.0.0.61").unwrap();
    assert!(status(&world, worker.0).contains("stopped"));
    well(
        &mut world,
        "1.13",
        "-n 10.0.0.62 reset --system-labels-to-wipe STATE --system-labels-to-wipe EPHEMERAL --reboot",
    );
    let closed = call(&mut world, "1.13", "-n 10.0.0.62 get machinestatus -o json");
    assert!(closed.stderr.contains("unknown authority"), "{closed:?}");
    let open = call(&mut world, "1.13", "-n 10.0.0.62 get machinestatus -i -o json");
    assert!(open.stdout.contains("\"maintenance\""), "{open:?}");
}

#[test]
fn health_waits_until_all_is_well() {
    let mut world = world();
    let text = well(&mut world, "1.13", "-n 10.0.0.51 health --server=false").stderr;
    assert!(
        text.starts_with("discovered nodes: [\"10.0.0.51\"") && text.contains("waiting for etcd to be healthy: OK\n"),
        "{text}"
    );
    lay(&mut world, "etcd-unhealthy:cp2");
    let begun = call(&mut world, "1.13", "-n 10.0.0.51 health --wait-timeout 30s").waits.unwrap();
    assert_eq!(begun.patience.unwrap().as_secs(), 30);
    assert!(world.talosctl_ended(begun.id).is_none());
    assert!(world.talosctl_gone(begun.id).stderr.ends_with("healthcheck error: context deadline exceeded\n"));
}

#[test]
fn kubernetes_goes_up_part_by_part() {
    let mut world = world();
    let dry = well(&mut world, "1.11", "-n 10.0.0.51 upgrade-k8s --to 1.34.4 --dry-run");
    assert!(dry.stdout.starts_with("automatically detected the lowest Kubernetes version 1.34.1\n"), "{}", dry.stdout);
    assert!(dry.stdout.contains(" > update kube-apiserver: 1.34.1 -> 1.34.4\n > skipped in dry-run\n"));
    let versions = |world: &World| world.snapshot_state()["kubernetes"]["nodes"]["w3"]["version"].to_string();
    assert_eq!(versions(&world), "\"1.34.1\"");
    lay(&mut world, "kubelet-stays:w2");
    let stuck = ended(&mut world, "1.11", "-n 10.0.0.51 upgrade-k8s --to 1.34.4").unwrap();
    assert!(stuck.exit == 1 && stuck.stderr.contains("\"10.0.0.62\": timeout waiting for node update"), "{stuck:?}");
    assert_eq!(versions(&world), "\"1.34.1\"", "those after it were not begun");
    let rest = well(&mut world, "1.11", "-n 10.0.0.51 upgrade-k8s --to 1.34.4");
    assert!(rest.stdout.contains(" > update kubelet: 1.34.1 -> 1.34.4\n"), "{}", rest.stdout);
    assert_eq!(versions(&world), "\"1.34.4\"");
    for (line, why) in [
        ("-n 10.0.0.51 upgrade-k8s --to 1.36.0", "unsupported upgrade path 1.34->1.36 (from \"1.34.4\" to \"1.36.0\")"),
        ("-n 10.0.0.51 upgrade-k8s --to 1.34.1", "unsupported upgrade path 1.34->1.34"),
        (
            "-n 10.0.0.51 upgrade-k8s --to 1.35.2",
            "version of Kubernetes 1.35.2 is too new to be used with Talos 1.11.2",
        ),
        ("-n 10.0.0.61 upgrade-k8s --to 1.36.0", "no control plane nodes found"),
    ] {
        let refused = call(&mut world, "1.11", line);
        assert!(refused.exit == 1 && refused.stderr.contains(why), "{line}: {refused:?}");
    }
}
