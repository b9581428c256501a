//! `runbook inventory` with the real binary against the lab: all guests with their addresses or why not, in parts where a
//! part does not answer, in other programs' formats, and without harm to the site.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::harness::{Got, Lab, RUNBOOK, World};
use super::rig::{LONG, Rig};

fn host(inventory: &Value, vmid: u32) -> &Value {
    let hosts = inventory["hosts"].as_array().unwrap();
    hosts.iter().find(|host| host["vmid"] == vmid).unwrap_or_else(|| panic!("no guest {vmid}"))
}

fn reason(inventory: &Value, vmid: u32) -> &str {
    host(inventory, vmid)["unknown"]["reason"].as_str().unwrap_or_default()
}

fn in_lab(scenario: &str, faults: &[&str], script: &str) -> (World, Got) {
    let world = World::new();
    let got = world.lab(&Lab { scenario, faults, ..Lab::default() }, script);
    (world, got)
}

fn calls(world: &World, end: &str) -> usize {
    world.ledger().iter().filter(|entry| entry["path"].as_str().unwrap().ends_with(end)).count()
}

const AGENT: &str = "/agent/network-get-interfaces";

#[test]
fn a_node_that_there_is_none_of_is_no_empty_list() {
    let (_, got) = in_lab("tiny", &[], "runbook inventory --node pve7");
    got.exits(6).complains(&["there is no node \"pve7\"", "pve1, pve2, pve3"]);
}

#[test]
fn every_guest_is_there_with_its_addresses_or_the_reason() {
    let (world, got) = in_lab("three-node", &[], "runbook inventory -o json && runbook inventory -o json >again");
    let all = got.exits(0).json();
    assert_eq!((all["format_version"].as_str(), all["missing"].as_array().unwrap().len()), (Some("1.0"), 0));
    assert!(all["hosts"].as_array().unwrap().len() >= 30);
    let cp1 = host(&all, 1051);
    assert_eq!((cp1["primary"].as_str(), cp1["unknown"].is_null()), (Some("10.0.0.51"), true));
    let card = &cp1["interfaces"][0];
    assert_eq!(
        (card["nic"].as_str(), card["mac"].as_str(), card["bridge"].as_str()),
        (Some("net0"), Some("02:54:00:00:10:51"), Some("vmbr0"))
    );
    assert_eq!(card["addresses"][0]["source"], "agent");
    assert_eq!(card["addresses"].as_array().unwrap().len(), 1, "link-local is left out");
    assert_eq!(host(&all, 101)["interfaces"][0]["addresses"][0]["source"], "container");
    for (vmid, why) in [
        (108, "guest_stopped"),
        (110, "guest_stopped"),
        (113, "agent_not_running"),
        (225, "agent_blocked"),
        (229, "agent_not_configured"),
        (9000, "template"),
        (228, "no_address"),
    ] {
        assert_eq!(reason(&all, vmid), why, "{vmid}");
    }
    world.nothing_changed();
    // Agents are asked where one can answer, and not again by a run soon after; the site has not been asked for more.
    let asked = all["hosts"].as_array().unwrap().iter().filter(|host| {
        let never = ["guest_stopped", "agent_not_configured", "template"];
        host["type"] == "qemu" && !never.contains(&host["unknown"]["reason"].as_str().unwrap_or_default())
    });
    assert_eq!(calls(&world, AGENT), asked.count());
    assert_eq!(calls(&world, "/cluster/resources"), 2);
    let again: Value = serde_json::from_str(&world.read("again")).unwrap();
    assert_eq!(host(&again, 1051)["primary"], "10.0.0.51");
    assert!(host(&again, 1051)["cached"].is_u64() && reason(&again, 113) == "agent_not_running");
}

#[test]
fn words_narrow_what_is_asked_for() {
    let script = "runbook inventory --node pve2 --tag talos --type qemu --status running -o name; \
                  runbook inventory --tag nobody; runbook inventory --node pve2 --all-addresses -o json >all; \
                  runbook inventory --fresh --node pve2";
    let (world, got) = in_lab("three-node", &[], script);
    got.exits(0).says(&["cp2", "w2", "vmid name type node status address", "104 web vm pve2 running 10.0.0.104"]);
    got.complains(&["0 hosts, 0 with an address"]);
    let all: Value = serde_json::from_str(&world.read("all")).unwrap();
    let web = host(&all, 104);
    let noise = web["interfaces"].as_array().unwrap().iter().find(|i| i["name"] == "lo").unwrap();
    assert_eq!((&noise["noise"], web["primary"].as_str()), (&Value::Bool(true), Some("10.0.0.104")));
    assert!(calls(&world, "/nodes/pve1/qemu/100/config") == 0, "nobody else's guests are read");
    // The guests of pve2 were asked, then remembered, then asked again.
    assert_eq!(calls(&world, "/qemu/104/agent/network-get-interfaces"), 2);
}

#[test]
fn a_node_that_is_gone_or_silent_spoils_nothing() {
    let (world, got) = in_lab("three-node", &["node-down:pve3"], "runbook inventory -o json");
    let all = got.exits(12).complains(&["INCOMPLETE", "node pve3 is offline"]).json();
    assert_eq!(all["missing"][0]["reason"], "node_offline");
    assert_eq!((reason(&all, 224), host(&all, 104)["primary"].as_str()), ("node_offline", Some("10.0.0.104")));
    assert_eq!(calls(&world, "/qemu/224/config"), 0);

    let silent = ["hang:GET /nodes/pve2/**"];
    let started = Instant::now();
    let (_, got) = in_lab("tiny", &silent, "runbook inventory --deadline 2s -o json");
    let all = got.exits(12).complains(&["INCOMPLETE", "no answer within 2 s"]).json();
    assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
    assert_eq!(host(&all, 101)["primary"], "10.0.0.101");
    for vmid in [104, 105, 108, 111] {
        assert!(["deadline", "node_silent"].contains(&reason(&all, vmid)), "{vmid}");
    }
    assert!(all["missing"].as_array().unwrap().iter().all(|missing| missing["node"] == "pve2"));
}

#[test]
fn one_guest_that_cannot_be_read_is_one_that_is_missing() {
    let (_, got) = in_lab("tiny", &["500:GET /nodes/*/qemu/104/config=got lost"], "runbook inventory -o json");
    let all = got.exits(12).complains(&["configuration of 104", "got lost"]).json();
    assert_eq!((all["missing"].as_array().unwrap().len(), reason(&all, 104)), (1, "not_read"));
}

#[test]
fn who_is_refused_or_reaches_nobody_gets_an_error_and_no_list() {
    let (_, got) = in_lab("tiny", &["token-rejected"], "runbook inventory -o json");
    let error = got.exits(4).json();
    assert!(error["error"]["message"].is_string() && error.get("hosts").is_none(), "{error}");
    let world = World::new();
    world.write(
        "cluster-config.yaml",
        "cluster: {name: far, nodes: [{name: pve1, host: '127.0.0.1:1'}]}\ncredentials: {token: 'env:T'}\n",
    );
    let got =
        world.sh("chmod go-w cluster-config.yaml; T='a@pve!b=00000000-0000-0000-0000-000000000000' runbook inventory");
    got.exits(7).without_data();
}

#[test]
fn a_token_that_sees_nothing_is_told_what_it_lacks() {
    let script = "runbook inventory -o json";
    let as_token = |scenario, token| {
        let world = World::new();
        let got = world.lab(&Lab { scenario, token: Some(token), ..Lab::default() }, script);
        (world, got)
    };
    let (_, got) = as_token("tiny", "ops@pve!nothing");
    got.exits(4)
        .complains(&["token ops@pve!nothing lacks VM.Audit on /vms", "--tokens 'ops@pve!nothing' --roles ROLE"]);
    let (world, got) = as_token("fleet:nodes=1,guests=8,version=8.4.2", "ops@pve!without-VM.Monitor");
    let all = got.exits(12).complains(&["lacks VM.GuestAgent.Audit (on Proxmox VE 8: VM.Monitor) on /vms"]).json();
    assert!(all["missing"].as_array().unwrap().iter().all(|missing| missing["reason"] == "forbidden"));
    assert_eq!((calls(&world, AGENT), all["hosts"].as_array().unwrap().len()), (0, 8));
}

#[test]
fn a_cache_that_is_broken_is_told_and_not_used() {
    let script = "runbook inventory -o json >one && for f in $XDG_CACHE_HOME/runbook/inventory/*; do stat -c '%a' $f; echo broken >$f; done; runbook inventory";
    let (_, got) = in_lab("tiny", &[], script);
    got.exits(0).says(&["600"]).complains(&["the cache is not used:"]);
}

#[test]
fn other_formats_are_for_the_inventory_alone() {
    let script = "for f in csv hosts prometheus-sd netbox; do runbook inventory --port 9100 -o $f >$f || exit 1; done; runbook list -o csv";
    let (world, got) = in_lab("tiny", &[], script);
    got.exits(2).complains(&["only `runbook inventory` is written in this format"]);
    assert!(world.read("csv").starts_with("vmid,name,type,node"));
    assert!(world.read("hosts").contains("10.0.0.104"), "{}", world.read("hosts"));
    let targets: Value = serde_json::from_str(&world.read("prometheus-sd")).unwrap();
    assert!(targets[0]["targets"][0].as_str().unwrap().ends_with(":9100"));
    let netbox: Value = serde_json::from_str(&world.read("netbox")).unwrap();
    assert!(netbox["virtual_machines"][0]["custom_fields"]["proxmox_vmid"].is_u64());
}

/// Ansible's own program, as `scripts/test-tools` has put it there where PATH has none.
fn with_ansible() -> World {
    let mut world = World::new();
    let own = Path::new(RUNBOOK).parent().unwrap();
    let tools = own.parent().unwrap().join("peers/bin");
    let path = format!("{}:{}:{}", own.display(), tools.display(), std::env::var("PATH").unwrap_or_default());
    let there = std::env::split_paths(&path).any(|folder| folder.join("ansible-inventory").is_file());
    assert!(there, "ansible-inventory is neither on PATH nor in {}: run scripts/test-tools", tools.display());
    world.set("PATH", path);
    world
}

#[test]
fn ansible_takes_it_and_its_groups_are_right() {
    let world = with_ansible();
    let script = format!(
        "(runbook guest snapshot web before --apply --yes && runbook do proxmox.guest_suspend guest=105 --apply --yes) >log 2>&1; \
         ln -s {RUNBOOK} runbook-inventory && ansible-inventory -i ./runbook-inventory --list >list && \
         ansible-inventory -i ./runbook-inventory --host web >web && ./runbook-inventory --host web >own && \
         ansible-inventory -i ./runbook-inventory --graph proxmox_pve2_qemu"
    );
    let got = world.lab(&Lab::default(), &script);
    got.exits(0).says(&["@proxmox_pve2_qemu:", "--cp2", "--web"]);
    let list: Value = serde_json::from_str(&world.read("list")).unwrap();
    let has = |group: &str, name: &str| list[group]["hosts"].as_array().is_some_and(|h| h.iter().any(|h| h == name));
    for (group, name) in [
        ("proxmox_all_qemu", "web"),
        ("proxmox_all_lxc", "proxy"),
        ("proxmox_all_running", "web"),
        ("proxmox_all_stopped", "build"),
        ("proxmox_all_paused", "db-replica"),
        ("proxmox_all_templates", "talos"),
        ("proxmox_pve2_qemu", "web"),
        ("proxmox_pve1_lxc", "proxy"),
        ("proxmox_pool_apps", "web"),
    ] {
        assert!(has(group, name), "{name} is not in {group}: {}", list[group]);
    }
    assert!(!has("proxmox_all_qemu", "talos") && !has("proxmox_all_stopped", "talos"), "templates are apart");
    for file in ["web", "own"] {
        let web: Value = serde_json::from_str(&world.read(file)).unwrap();
        assert_eq!(
            (web["ansible_host"].as_str(), &web["proxmox_vmid"]),
            (Some("10.0.0.104"), &Value::from(104)),
            "{file}"
        );
        assert_eq!((web["proxmox_vmtype"].as_str(), web["proxmox_status"].as_str()), (Some("qemu"), Some("running")));
        assert_eq!(web["proxmox_net0"]["bridge"], "vmbr0");
        assert_eq!(web["proxmox_snapshots"], json!(["before"]), "{}", world.read("log"));
        assert_eq!(web["proxmox_qmpstatus"], "running");
    }
    // A part that does not answer takes nothing along: Ansible refuses a script that fails.
    let world = with_ansible();
    let down = Lab { faults: &["node-down:pve3"], ..Lab::default() };
    let got = world.lab(
        &down,
        &format!("ln -s {RUNBOOK} runbook-inventory && ansible-inventory -i ./runbook-inventory --host web"),
    );
    let web = got.exits(0).json();
    assert_eq!(
        (web["ansible_host"].as_str(), web["proxmox_missing"][0]["node"].as_str()),
        (Some("10.0.0.104"), Some("pve3"))
    );
}

#[test]
fn two_files_are_compared() {
    let script = "runbook inventory -o json >a.json && runbook do proxmox.guest_migrate guest=104 to=pve3 --apply --yes >log && \
                  runbook do proxmox.guest_tag guest=105 tags=new --apply --yes >log && runbook inventory --fresh -o json >b.json && \
                  runbook inventory diff a.json b.json && runbook inventory diff a.json a.json && \
                  runbook inventory diff a.json b.json -o json >diff.json; echo '{}' >c.json; runbook inventory diff a.json c.json";
    let (world, got) = in_lab("tiny", &[], script);
    got.exits(2).says(&["104 web (pve3, 10.0.0.104): moved pve2 -> pve3", "tags"]);
    got.complains(&["No differences.", "no output of `runbook inventory -o json`"]);
    let diff: Value = serde_json::from_str(&world.read("diff.json")).unwrap();
    assert_eq!(diff["differences"][0]["changes"][0]["change"], "moved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_is_shown_while_it_is_watched() {
    let rig = Rig::start("tiny", 600.0, &[]).await;
    let mut command = rig.command(&["inventory", "--watch", "--every", "1s", "-o", "jsonl"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut notes = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(note) = tokio::time::timeout(LONG, notes.next_line()).await.unwrap().unwrap() {
        if note.starts_with("Watching") {
            break;
        }
    }
    let tagged = rig.run(&["do", "proxmox.guest_tag", "guest=104", "tags=seen", "--apply", "--yes"]).await;
    assert_eq!(tagged.code, Some(0), "{}", tagged.text);
    let line = tokio::time::timeout(LONG, lines.next_line()).await.unwrap().unwrap().unwrap();
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&value["difference"]["vmid"], value["difference"]["changes"][0]["change"].as_str()),
        (&Value::from(104), Some("tags"))
    );
    // A round is one list, and the guest that has changed: nobody else is asked again.
    let agents = rig.house.ledger().iter().filter(|entry| entry.path.ends_with(AGENT)).count();
    let guests = rig.house.ledger().iter().filter(|entry| entry.path.ends_with("/config")).count();
    let lists = rig.house.ledger().iter().filter(|entry| entry.path == "/cluster/resources").count();
    assert!(lists > 2 && agents < 12 && guests < 40, "{lists} lists, {agents} agents, {guests} configurations");
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(child.id().unwrap() as i32).unwrap(),
        rustix::process::Signal::INT,
    )
    .unwrap();
    let ended = tokio::time::timeout(LONG, child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(130));
}

#[test]
fn a_step_can_collect_it() {
    let (world, got) = in_lab("tiny", &[], "runbook do inventory.collect node=pve2 -o json");
    let found = got.exits(0).json();
    assert_eq!(found["outputs"]["addresses"]["104"], "10.0.0.104");
    assert!(found["outputs"]["hosts"].as_array().unwrap().iter().all(|host| host["node"] == "pve2"));
    world.nothing_changed();
    let (_, got) =
        in_lab("tiny", &["500:GET /nodes/*/qemu/104/config=got lost"], "runbook do inventory.collect -o json");
    assert!(got.exit != Some(0), "{}", got.both());
    let (_, got) = in_lab(
        "tiny",
        &["500:GET /nodes/*/qemu/104/config=got lost"],
        "runbook do inventory.collect partial=true -o json",
    );
    assert_eq!(got.exits(0).json()["outputs"]["missing"][0]["vmid"], 104);
}
