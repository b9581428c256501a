//! Playbooks and tasks with the real ansible-core and the real go-task, on the examples of the repository: nothing but
//! this machine.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::harness::{RUNBOOK, World};

/// Where `scripts/test-tools` puts what PATH has not.
fn tools() -> PathBuf {
    let target = Path::new(RUNBOOK).parent().and_then(Path::parent).unwrap();
    target.join("peers/bin")
}

/// A world in which the program is there; without it the test fails and says what to do.
fn world_with(program: &str) -> World {
    let mut world = World::new();
    let path = std::env::var("PATH").unwrap_or_default();
    let own = Path::new(RUNBOOK).parent().unwrap().display().to_string();
    let path = format!("{own}:{}:{path}", tools().display());
    let there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    assert!(there, "{program} is neither on PATH nor in {}: run scripts/test-tools", tools().display());
    world.set("PATH", path);
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fleet-infra");
    world.sh(&format!("cp -r {} fleet", from.display())).exits(0);
    world.write(
        "cluster-config.yaml",
        "cluster: {name: far, nodes: [{name: pve1, host: 192.0.2.1}]}\n\
         credentials: {token: 'env:FAR_TOKEN'}\n\
         ansible: {fleet_infra_path: fleet, inventory: inventories/lab/hosts.yaml}\n\
         taskfile: {path: fleet/Taskfile.yml}\n",
    );
    world.sh("chmod go-w cluster-config.yaml").exits(0);
    world
}

const HEAD: &str = "runbook: x\nschema: 1\ntarget: none\n";
const APPLY: [&str; 4] = ["run", "x.yaml", "--apply", "--yes"];

fn playbook(with: &str) -> World {
    let world = world_with("ansible-playbook");
    world.write("x.yaml", &format!("{HEAD}steps:\n  - id: play\n    uses: ansible.playbook\n    with: {with}\n"));
    world
}

#[test]
fn a_playbook_is_looked_at_for_the_plan_and_its_recap_is_what_counts() {
    let world = playbook(
        "{playbook: playbooks/talos-vms.yml, extra_vars: {state_dir: \"{{ params.dir }}\", vms: [{name: cp1, cores: 4}, {name: cp2, cores: 4}]}}",
    );
    let file = world.read("x.yaml");
    let dir = world.path("vms").display().to_string();
    world.write("x.yaml", &file.replace("steps:", &format!("params: {{dir: {{type: path, default: {dir}}}}}\nsteps:")));
    let more = "  - when: steps.play.changed\n    uses: local.run\n    with: {script: 'echo $N >said', env: {N: '{{ steps.play.hosts.web1.changed }} {{ steps.play.totals.ok }}'}}\n";
    world.write("x.yaml", &format!("{}{more}", world.read("x.yaml")));
    let plan = world.runbook(&["plan", "x.yaml"]);
    plan.exits(0).says(&[
        "run the playbook playbooks/talos-vms.yml on web1: 3 tasks",
        "not previewed",
        "A folder for the definitions, Define the VM",
    ]);
    assert!(!world.path("vms").exists());
    world.runbook(&["plan", "x.yaml", "--as", "commands"]).exits(0).says(&["ansible-playbook -i"]);
    world.runbook(&APPLY).exits(0);
    assert!(world.read("vms/cp2.json").contains("\"cores\": 4"));
    // The folder, and the loop as one task.
    assert_eq!(world.read("said"), "2 2\n");
    world.sh("rm said").exits(0);
    world.runbook(&APPLY).exits(0);
    assert!(!world.path("said").exists(), "a second time it says that nothing has changed");
}

#[test]
fn a_failing_host_fails_the_run_with_its_task_and_its_words() {
    let world = playbook("{playbook: playbooks/broken.yml}");
    let got = world.runbook(&APPLY);
    got.exits(1).says(&["task \"Break web2\" on web2: web2 does not like it"]);
    assert!(!got.both().contains("A failure that is borne\" on"), "{}", got.both());
    // With only the other host it works.
    let world = playbook("{playbook: playbooks/broken.yml, limit: web1}");
    world.runbook(&APPLY).exits(0);
}

#[test]
fn what_cannot_be_run_is_said_by_the_plan() {
    for (with, why) in [
        ("{playbook: playbooks/none.yml}", "is not there"),
        ("{playbook: ../../etc/passwd}", "is not below"),
        ("{playbook: playbooks/broken.yml, limit: nobody}", "no hosts to target"),
    ] {
        let world = playbook(with);
        let got = world.runbook(&["plan", "x.yaml"]);
        assert!(got.both().contains(why), "{with}: {}", got.both());
        assert_ne!(got.exit, Some(0));
    }
    let world = playbook("{playbook: playbooks/broken.yml}");
    world.write("fleet/playbooks/broken.yml", "- hosts: all\n  tasks:\n    - no_such_module: {}\n");
    let got = world.runbook(&["plan", "x.yaml"]);
    assert!(got.both().contains("ansible-playbook refuses it"), "{}", got.both());
    let world = World::new();
    world.write("x.yaml", &format!("{HEAD}steps: [{{uses: ansible.playbook, with: {{playbook: a.yml}}}}]\n"));
    let got = world.runbook(&["plan", "x.yaml"]);
    assert!(got.both().contains("fleet_infra_path"), "{}", got.both());
}

#[test]
fn a_playbook_that_was_changed_makes_its_plan_stale() {
    let world = playbook("{playbook: playbooks/broken.yml, limit: web1}");
    world.runbook(&["plan", "x.yaml", "--out", "p"]).exits(0);
    world.sh("echo '# more' >>fleet/playbooks/broken.yml").exits(0);
    let got = world.runbook(&["apply", "p", "--yes"]);
    assert!(got.both().contains("the file that the plan was made for"), "{}", got.both());
    assert_ne!(got.exit, Some(0));
}

#[test]
fn a_check_run_previews_where_it_is_asked_for() {
    let world = playbook("{playbook: playbooks/talos-vms.yml, preview: check, extra_vars: {state_dir: vms, vms: []}}");
    world.runbook(&["plan", "x.yaml"]).exits(0).says(&["--check says: 1 would change"]);
    assert!(!world.path("fleet/vms").exists() && !world.path("fleet/playbooks/vms").exists());
}

#[test]
fn variables_stand_in_no_command_and_a_stopped_playbook_takes_its_group_with_it() {
    let world = playbook("{playbook: playbooks/slow.yml, extra_vars: {word: hunter2-in-vars}}");
    world.write(
        "fleet/playbooks/slow.yml",
        "- hosts: web1\n  gather_facts: false\n  tasks:\n    - name: wait\n      ansible.builtin.shell: 'tr \"\\\\0\" \" \" </proc/$PPID/cmdline >>seen; ps -eo args >>seen; echo $$ >child; sleep 60'\n      args: {chdir: \"{{ playbook_dir }}/..\"}\n",
    );
    let mut text = world.read("x.yaml");
    text.push_str("    timeout: 8s\n");
    world.write("x.yaml", &text);
    let since = Instant::now();
    world.runbook(&APPLY).exits(1).says(&["ended by us"]);
    assert!(since.elapsed() < Duration::from_secs(50));
    assert!(world.path("fleet/child").exists(), "the playbook has begun");
    assert!(!world.read("fleet/seen").contains("hunter2"), "variables are handed over by a file");
    world.sh("grep State: /proc/$(cat fleet/child)/status 2>/dev/null | grep -v Z").exits(1).without_data();
}

#[test]
fn the_token_reaches_the_playbook_and_nothing_else() {
    // The lab's token, by the lab's own configuration.
    let world = world_with("ansible-playbook");
    let fleet = world.path("fleet").display().to_string();
    world.write(
        "fleet/playbooks/token.yml",
        "- hosts: web1\n  gather_facts: false\n  tasks:\n    - name: say\n      ansible.builtin.shell: 'echo \"$PROXMOX_USER $PROXMOX_TOKEN_ID $PROXMOX_TOKEN_SECRET\" >out'\n      args: {chdir: \"{{ playbook_dir }}\"}\n    - name: show\n      ansible.builtin.command: {argv: [env]}\n",
    );
    // The lab's configuration is one map in braces, whose last line closes it.
    let script = format!(
        "(sed '$d' \"$RUNBOOK_CONFIG\"; printf ', ansible: {{fleet_infra_path: {fleet}, inventory: inventories/lab/hosts.yaml}}}}\\n') >both.yaml && \
         chmod 600 both.yaml && \
         runbook --config both.yaml run ansible-playbook playbooks/token.yml --set proxmox_token=true --apply --yes && runbook --config both.yaml logs last"
    );
    let got = world.lab(&super::harness::Lab { scenario: "tiny", ..super::harness::Lab::default() }, &script);
    got.exits(0);
    let out = world.read("fleet/playbooks/out");
    let words: Vec<&str> = out.split_whitespace().collect();
    assert!(words[0].contains('@') && !words[1].contains('!') && words.len() == 3, "{out}");
    assert!(!got.both().contains(words[2]), "the secret is shown nowhere");
}

fn task(with: &str) -> World {
    let world = world_with("task");
    world.write("x.yaml", &format!("{HEAD}steps:\n  - id: run\n    uses: task.run\n    with: {with}\n"));
    world
}

#[test]
fn tasks_deploy_say_their_status_and_tear_down() {
    let world = task("{task: deploy, vars: {VERSION: 7, STATE_DIR: state}}");
    world.runbook(&["plan", "x.yaml"]).exits(0).says(&["run the task deploy", "by --dry", "echo \"7\" >"]);
    assert!(!world.path("fleet/state").exists());
    world.runbook(&["plan", "x.yaml", "--as", "commands"]).exits(0).says(&["task --taskfile"]);
    world.runbook(&APPLY).exits(0);
    assert_eq!(world.read("fleet/state/web"), "7\n");
    world.runbook(&["plan", "x.yaml"]).exits(0).says(&["1 step: nothing to do"]);
    let set = |task: &str| ["run".to_owned(), "taskfile".into(), task.into(), "--apply".into(), "--yes".into()];
    let run = |task: &str| {
        let words = set(task);
        let mut all: Vec<&str> = words.iter().map(String::as_str).collect();
        all.extend(["--set", "vars=STATE_DIR=state"]);
        world.runbook(&all)
    };
    run("status").exits(0);
    world.runbook(&["logs", "last"]).exits(0).says(&["7"]);
    run("teardown").exits(0);
    assert!(!world.path("fleet/state/web").exists());
}

#[test]
fn a_task_that_is_none_or_fails_is_said() {
    let got = task("{task: deplo}").runbook(&["plan", "x.yaml"]);
    assert!(got.both().contains("has no such task; did you mean deploy?"), "{}", got.both());
    let got = task("{task: status, vars: {'A B': 1}}").runbook(&["plan", "x.yaml"]);
    assert!(got.both().contains("is no name of a variable"), "{}", got.both());
    task("{task: status, vars: {STATE_DIR: nowhere}}").runbook(&APPLY).exits(1).says(&["run the task status"]);
}

#[test]
fn a_killed_run_says_what_it_did_not_see_of_its_task() {
    let world = task("{task: slow}");
    world.write(
        "fleet/Taskfile.yml",
        "version: '3'\ntasks:\n  slow:\n    cmds: ['echo begun >>log; sleep 2; touch made']\n    status: ['test -f made']\n",
    );
    let mut run = world.command(RUNBOOK, &APPLY);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let since = Instant::now();
    while !world.path("fleet/log").exists() && since.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(10));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    std::thread::sleep(Duration::from_secs(4));
    // Its `status:` says that it was done.
    world.runbook(&["resume", "last"]).exits(0);
    assert_eq!(world.read("fleet/log"), "begun\n");
}
