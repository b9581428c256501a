//! `runbook schedule` with the real program, where no systemd is needed: units, refusals, and an approval that ends with
//! the first change of what was approved.

use super::harness::{Got, World, flat};

const READING: &str = "runbook: look\nschema: 1\ntarget: none\nsteps: [{uses: talos.etcd_backups, with: {cluster: prod, folder: \"{{ params.folder }}\"}}]\nparams: {folder: {type: path}}\n";

fn world() -> World {
    let world = World::new();
    world.write("runbooks/look.yaml", READING).sh("mkdir backups").exits(0);
    world
}

fn install(world: &World, more: &[&str]) -> Got {
    let folder = format!("folder={}", world.path("backups").display());
    let mut words =
        vec!["schedule", "install", "look", "--set", &folder, "--on-calendar", "daily", "--user", "--no-enable"];
    words.extend(more);
    world.runbook(&words)
}

#[test]
fn a_dry_run_shows_the_units_and_writes_nothing() {
    let world = world();
    install(&world, &[]).exits(0).says(&[
        "systemd/user/runbook-look.service",
        "Type=oneshot",
        "ExecStart=",
        "schedule run \"look\"",
        "systemd/user/runbook-look.timer",
        "OnCalendar=daily",
        "Persistent=true",
        "WantedBy=timers.target",
    ]);
    world.sh("ls ../config/systemd").exits(2);
    world.runbook(&["schedule", "list"]).exits(0).complains(&["Nothing is scheduled."]);
    world.runbook(&["schedule", "run", "look"]).exits(5).complains(&["no schedule \"look\""]);
}

#[test]
fn what_was_approved_is_run_and_nothing_else() {
    let world = world();
    install(&world, &["--apply"]).exits(0).complains(&["systemctl --user enable --now runbook-look.timer"]);
    world.sh("cat ../config/systemd/user/runbook-look.timer").exits(0).says(&["OnCalendar=daily"]);
    world.runbook(&["schedule", "list"]).exits(0).says(&["look", "daily", "none yet", "holds"]);
    world.runbook(&["schedule", "run", "look"]).exits(0);
    world.runbook(&["audit", "log"]).exits(0).says(&["said that a timer may run look"]);
    world.runbook(&["audit", "verify"]).exits(0);
    // A comment is a change: who approved it has not read it.
    world.write("runbooks/look.yaml", &format!("{READING}# more\n"));
    let got = world.runbook(&["schedule", "run", "look"]);
    got.exits(6).complains(&["look has changed since it was approved", "runbook schedule install look --set"]);
    world.runbook(&["schedule", "list"]).exits(0).says(&["has changed since"]);
    install(&world, &["--apply"]).exits(0);
    world.runbook(&["schedule", "run", "look"]).exits(0);
    world.runbook(&["schedule", "remove", "look", "--no-enable"]).exits(0).complains(&["DRY RUN"]);
    world.runbook(&["schedule", "remove", "look", "--no-enable", "--apply"]).exits(0);
    world.sh("ls ../config/systemd/user | grep runbook-").exits(1);
    world.runbook(&["schedule", "run", "look"]).exits(5);
}

#[test]
fn what_changes_disturbs_or_asks_needs_a_person() {
    let world = world();
    let head = "schema: 1\ntarget: none\nsteps:\n";
    for (name, steps, why) in [
        (
            "writes",
            "  - {uses: file.write, with: {path: a, content: b}}\n",
            "it changes something (file.write) and takes no backup",
        ),
        ("asks", "  - confirm: Sure?\n", "it asks a person"),
        (
            "destroys",
            "  - {uses: talos.etcd_snapshot, with: {cluster: prod, folder: /b}}\n  - {uses: talos.etcd_discard, with: {path: a, sha256: b}}\n",
            "talos.etcd_discard may destroy",
        ),
    ] {
        world.write(&format!("runbooks/{name}.yaml"), &format!("runbook: {name}\n{head}{steps}"));
        let got = world.runbook(&["schedule", "install", name, "--on-calendar", "daily", "--user", "--apply"]);
        got.exits(6).without_data();
        assert!(flat(&got.stderr).contains(why), "{name}: {}", got.stderr);
    }
    world.sh("ls ../config/systemd").exits(2);
    for (words, exit, why) in [
        (vec!["--on-calendar", "daily\nX=1"], 2, "more than one line"),
        (vec!["--on-calendar", "daily", "--called", "a b"], 2, "no name for a schedule"),
        (vec!["--on-calendar", "daily", "--set", "none=1"], 2, "none"),
    ] {
        let mut all = vec!["schedule", "install", "look", "--set", "folder=/b", "--user", "--apply"];
        all.extend(words);
        world.runbook(&all).exits(exit).complains(&[why]);
    }
}

#[test]
fn a_backup_of_etcd_may_be_scheduled_with_its_retention() {
    let world = World::new();
    let script = "mkdir backups; runbook schedule install etcd-backup --cluster prod --set folder=$PWD/backups \
                  --on-calendar '*-*-* 03:00:00' --user --no-enable --apply && runbook schedule run etcd-backup-prod && \
                  runbook schedule list && ls backups";
    let lab = super::harness::Lab { time_scale: 1000, ..super::harness::Lab::default() };
    world.lab(&lab, script).exits(0).says(&["etcd-backup-prod", "succeeded", "holds", "prod-etcd-"]);
}
