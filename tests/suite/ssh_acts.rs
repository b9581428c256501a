//! `ssh.run` and `ssh.wait` with the real program, the system's `ssh` and a real sshd on loopback: no site, no credential.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::harness::{Got, RUNBOOK, World};
use super::real_ssh::Sshd;

const APPLY: [&str; 4] = ["run", "x.yaml", "--apply", "--yes"];

/// A world that knows hosts by this configuration of ssh.
pub fn world(ssh_config: &Path, steps: &str) -> World {
    let world = World::new();
    let who = world.sh("id -un");
    world.write("x.yaml", &format!("runbook: x\nschema: 1\ntarget: none\n{steps}"));
    world.write(
        "cluster-config.yaml",
        &format!(
            "cluster: {{name: here, nodes: [{{name: pve1, host: 192.0.2.1}}]}}\n\
             credentials: {{token: 'env:NOT_SET', ssh_user: {}, ssh_config: {}}}\n",
            who.stdout.trim(),
            ssh_config.display()
        ),
    );
    world
}

fn apply(world: &World) -> Got {
    world.runbook(&APPLY)
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether the process whose number is in that file still runs; what nobody takes away is a zombie.
fn runs(world: &World, file: &str) -> bool {
    world.sh(&format!("grep State: /proc/$(cat {file})/status 2>/dev/null | grep -v Z")).exit == Some(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_on_the_host_word_by_word_and_a_plan_runs_none() {
    let sshd = Sshd::start().await;
    let (config, _) = sshd.client("pve1", "client", Some("host"));
    let world = world(
        &config,
        r#"
params: {who: {type: string, default: "a b; c $HOME *"}}
steps:
  - id: say
    uses: ssh.run
    with: {host: pve1, argv: [printf, "%s|", "{{ params.who }}", "it's", "", "ü"]}
  - id: script
    uses: ssh.run
    with:
      host: pve1
      script: |
        test -n "$GIVEN"; test -z "${TERM-}"
        echo "got $GIVEN"; cat; echo oops >&2
      env: {GIVEN: "{{ steps.say.stdout }}", TERM: null}
      stdin: "from here"
  - id: odd
    uses: ssh.run
    with: {host: pve1, argv: [sh, -c, exit 3], unchanged_codes: [3]}
  - when: steps.odd.changed or steps.say.stdout != params.who ~ "|it's||ü|"
    uses: ssh.run
    with: {host: pve1, argv: [/no/such/program]}
"#,
    );
    let plan = world.runbook(&["plan", "x.yaml"]);
    plan.exits(0).says(&["on pve1 (not previewed: a command over SSH)", "DRY RUN: nothing was changed"]);
    world.runbook(&["plan", "x.yaml", "--as", "commands"]).exits(0).says(&["ssh pve1 -- "]);
    apply(&world).exits(0);
    let logs = world.runbook(&["logs", "last"]);
    logs.exits(0).says(&["got a b; c $HOME *|it's||ü|", "from here", "oops"]);
    assert!(!logs.both().contains("runbook-job"), "{}", logs.both());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_command_and_one_that_is_not_there_are_told_apart() {
    let sshd = Sshd::start().await;
    let (config, _) = sshd.client("pve1", "client", Some("host"));
    let with = |with: &str| world(&config, &format!("steps: [{{uses: ssh.run, with: {{host: pve1, {with}}}}}]\n"));
    apply(&with("argv: [sh, -c, 'echo broken pipe dreams >&2; exit 7']"))
        .exits(1)
        .says(&["exit code 7", "broken pipe"]);
    apply(&with("argv: [no-such-program]")).exits(1).says(&["no-such-program: not found on pve1"]);
    let made = sshd.dir.path().join("made");
    let world = with(&format!("argv: [touch, {0}], creates: {0}", made.display()));
    apply(&world).exits(0);
    world.runbook(&["plan", "x.yaml"]).exits(0).says(&["nothing to do"]);
    apply(&with(&format!("argv: ['true'], creates: {}/none", sshd.dir.path().display())))
        .exits(1)
        .says(&["none is not there"]);
    apply(&with("argv: ['true'], creates: relative")).complains(&["is not absolute"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_timeout_the_whole_group_ends_on_the_host() {
    let sshd = Sshd::start().await;
    let (config, _) = sshd.client("pve1", "client", Some("host"));
    let folder = sshd.dir.path().display();
    let script = format!("echo $$ >{folder}/pid; trap '' TERM; sleep 300 & echo $! >{folder}/child; wait; sleep 300");
    let world = world(
        &config,
        &format!("steps: [{{timeout: 2s, uses: ssh.run, with: {{host: pve1, script: \"{script}\"}}}}]\n"),
    );
    let (pid, child) = (format!("{folder}/pid"), format!("{folder}/child"));
    let since = Instant::now();
    let got = apply(&world);
    got.exits(1).says(&["ended by us"]);
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
    assert!(std::fs::exists(&child).unwrap(), "it had begun: {}", got.both());
    assert!(!runs(&world, &pid) && !runs(&world, &child), "nothing is left of it, though it does not heed TERM");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_drops_half_way_is_waited_for_and_never_repeated() {
    let sshd = Sshd::start().await;
    let (config, _) = sshd.client("pve1", "client", Some("host"));
    let folder = sshd.dir.path().display().to_string();
    // Its parent is the sshd of this connection: the login shell has become it.
    let cut = format!("echo begun >>{folder}/log; kill -9 $PPID; sleep 2; touch {folder}/made");
    let step = |rest: &str| format!("steps: [{{uses: ssh.run, with: {{host: pve1, script: \"{cut}\"{rest}}}}}]\n");
    let first = world(&config, &step(&format!(", creates: {folder}/made")));
    apply(&first).exits(0);
    let log = || runbook::sys::files::read_text(format!("{folder}/log")).unwrap();
    assert_eq!((log().as_str(), std::fs::exists(format!("{folder}/made")).unwrap()), ("begun\n", true));

    let second = world(&config, &step(""));
    let got = apply(&second);
    assert_ne!(got.exit, Some(0), "{}", got.both());
    got.says(&["how was told to a connection that is gone"]);
    assert_eq!(log(), "begun\nbegun\n", "each run once");
    let again = second.runbook(&["resume", "last"]);
    assert_ne!(again.exit, Some(0), "{}", again.both());
    assert_eq!(log(), "begun\nbegun\n", "nothing is repeated by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_died_after_it_was_sent_is_in_doubt() {
    let sshd = Sshd::start().await;
    let (config, _) = sshd.client("pve1", "client", Some("host"));
    let folder = sshd.dir.path().display().to_string();
    let script = format!("echo begun >>{folder}/log; kill -9 $PPID $$");
    let world = world(&config, &format!("steps: [{{uses: ssh.run, with: {{host: pve1, script: \"{script}\"}}}}]\n"));
    let got = apply(&world);
    got.says(&["was sent to pve1", "does not run there any more", "how it ended was not seen"]);
    assert!(got.exit.is_some_and(|exit| exit != 0 && exit != 1), "a doubt is no failure: {:?}", got.exit);
    assert_eq!(runbook::sys::files::read_text(format!("{folder}/log")).unwrap(), "begun\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_finds_its_command_on_the_host_again() {
    let sshd = Sshd::start().await;
    let (config, _) = sshd.client("pve1", "client", Some("host"));
    let folder = sshd.dir.path().display().to_string();
    let script = format!("echo begun >>{folder}/log; sleep 3; touch {folder}/made");
    let steps =
        format!("steps: [{{uses: ssh.run, with: {{host: pve1, script: \"{script}\", creates: {folder}/made}}}}]\n");
    let world = world(&config, &steps);
    let mut run = world.command(RUNBOOK, &APPLY);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it begins", || std::fs::exists(format!("{folder}/log")).unwrap());
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(!std::fs::exists(format!("{folder}/made")).unwrap());
    world.runbook(&["resume", "last"]).exits(0);
    assert!(std::fs::exists(format!("{folder}/made")).unwrap(), "it was waited for");
    assert_eq!(runbook::sys::files::read_text(format!("{folder}/log")).unwrap(), "begun\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_the_known_one_or_refuses_is_told_apart_and_nothing_is_sent() {
    let sshd = Sshd::start().await;
    let step = "steps: [{uses: ssh.run, with: {host: pve1, argv: ['true']}}]\n";
    let run = |config: &Path| apply(&world(config, step));
    let (config, _) = sshd.client("pve1", "client", Some("stranger"));
    run(&config).exits(1).says(&["its host key is not the known one", "ssh-keygen -R pve1"]);
    let (config, _) = sshd.client("pve1", "client", None);
    run(&config).exits(1).says(&["its host key is not known"]);
    let (config, _) = sshd.client("pve1", "stranger", Some("host"));
    run(&config).exits(1).says(&["SSH does not accept the login"]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = sshd.dir.path().join("refused");
    write(&refused, &format!("Host pve1\n HostName 127.0.0.1\n Port {free}\n"));
    run(&refused).exits(1).says(&["refuses SSH connections"]);
    // One that takes connections and says nothing: slow beyond what is waited for.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let slow = sshd.dir.path().join("slow");
    write(&slow, &format!("Host pve1\n HostName 127.0.0.1\n Port {}\n", silent.local_addr().unwrap().port()));
    run(&slow).exits(1).says(&["no SSH connection in time"]);
    let wait = "steps: [{uses: ssh.wait, with: {host: pve1, within: 2s}}]\n";
    apply(&world(&slow, wait)).exits(1).says(&["wait until pve1 answers over SSH", "not within 2 s"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_behind_another_is_reached_with_a_key_of_the_agent() {
    let (jump, host) = (Sshd::start().await, Sshd::start().await);
    let folder = host.dir.path();
    // The key is in the agent alone, and both take it.
    let key = |name: &str| folder.join(name).display().to_string();
    std::fs::copy(folder.join("client.pub"), jump.dir.path().join("authorized")).unwrap();
    let mut world = world(
        &folder.join("config"),
        "steps: [{uses: ssh.run, with: {host: inner, script: 'echo \"from ${SSH_CONNECTION%% *}\"'}}]\n",
    );
    let agent = world.sh(&format!(
        "ssh-agent -a {0} >{1} && SSH_AUTH_SOCK={0} ssh-add {2}",
        key("agent"),
        key("agent.env"),
        key("client")
    ));
    agent.exits(0);
    std::fs::rename(folder.join("client"), folder.join("put-away")).unwrap();
    let known: Vec<String> = [&jump, &host]
        .map(|sshd| {
            let public = runbook::sys::files::read_text(sshd.dir.path().join("host.pub")).unwrap();
            format!("[127.0.0.1]:{} {public}", sshd.port)
        })
        .into();
    write(&folder.join("known"), &known.concat());
    let common =
        format!("UserKnownHostsFile {}\n GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking yes\n", key("known"));
    let who = world.sh("id -un").stdout;
    write(
        &folder.join("config"),
        &format!(
            "Host outer\n HostName 127.0.0.1\n Port {}\n User {who} {common}\
             Host inner\n HostName 127.0.0.1\n Port {}\n ProxyJump outer\n {common}",
            jump.port, host.port
        ),
    );
    world.set("SSH_AUTH_SOCK", key("agent"));
    let got = apply(&world);
    world.sh(&format!(". {} >/dev/null; ssh-agent -k", key("agent.env"))).exits(0);
    got.exits(0);
    world.runbook(&["logs", "last"]).exits(0).says(&["from 127.0.0.1"]);
    // Without the agent there is no key.
    world.unset("SSH_AUTH_SOCK");
    let got = apply(&world);
    assert_ne!(got.exit, Some(0), "{}", got.both());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_waited_for_until_it_answers_as_asked() {
    let sshd = Sshd::start().await;
    let (config, _) = sshd.client("pve1", "client", Some("host"));
    let up = sshd.dir.path().join("up");
    let world = world(
        &config,
        &format!(
            "steps:\n  - {{id: any, uses: ssh.wait, with: {{host: pve1}}}}\n  \
             - {{id: up, uses: ssh.wait, with: {{host: pve1, argv: [test, -e, {}], within: 30s}}}}\n  \
             - {{when: steps.up.tries < 2, uses: local.run, with: {{argv: ['false']}}}}\n",
            up.display()
        ),
    );
    let plan = world.runbook(&["plan", "x.yaml"]);
    plan.exits(0).says(&["waits until pve1 answers over SSH, at most 300 s", "waits until `test -e"]);
    let later = up.clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(3));
        write(&later, "");
    });
    apply(&world).exits(0);
    thread.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_gives_way_when_it_is_told_to_stop() {
    let sshd = Sshd::start().await;
    let (config, _) = sshd.client("pve1", "client", Some("host"));
    let steps = "steps: [{timeout: 2s, uses: ssh.wait, with: {host: pve1, argv: ['false'], within: 1h}}]\n";
    let since = Instant::now();
    apply(&world(&config, steps)).exits(1).says(&["not read within 2 s"]);
    assert!(since.elapsed() < Duration::from_secs(30));
}

fn write(path: &Path, text: &str) {
    runbook::sys::files::write_private(path, text.as_bytes()).unwrap();
}
