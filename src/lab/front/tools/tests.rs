use std::time::Duration;

use serde_json::Value;

use super::table;
use crate::contracts::Schema;
use crate::lab::call::CommandReply;
use crate::lab::front::{Lab, LabOptions, Listen};
use crate::lab::scenario::Scenario;
use crate::lab::world::World;
use crate::model::ids::NodeName;

/// 2026-11-21 12:00:00 UTC.
const EPOCH: i64 = 1_795_262_400;

async fn site(name: &str) -> Lab {
    let world = World::from_scenario(&Scenario::named(name).unwrap(), 7, EPOCH);
    let options = LabOptions { listen: Listen::Nowhere, time_scale: 6000.0, ..LabOptions::new(world) };
    Lab::start(options).await.unwrap()
}

async fn on(lab: &Lab, node: &str, line: &str) -> CommandReply {
    let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
    tokio::time::timeout(Duration::from_secs(60), lab.command(&NodeName::new(node), &argv)).await.unwrap()
}

async fn well(lab: &Lab, node: &str, line: &str) -> String {
    let reply = on(lab, node, line).await;
    assert_eq!((reply.exit, reply.stderr.as_str()), (0, ""), "{line}: {}", reply.stdout);
    reply.stdout
}

async fn ill(lab: &Lab, node: &str, line: &str) -> (i32, String) {
    let reply = on(lab, node, line).await;
    assert!(!reply.mutating || reply.stdout.contains("UPID") || reply.exit == 255, "{line}");
    (reply.exit, reply.stderr)
}

#[test]
fn every_command_is_a_call_of_the_schema() {
    for (program, command) in table::all() {
        let template = command.template(program);
        let Some(method) = Schema::version("9.2.3").method(command.verb, &template) else {
            assert!(program == "pct" && command.words == ["reset"], "{program} {:?}: {template}", command.words);
            continue;
        };
        let known = |name: &&str| method.property(name).is_some() || method.path_names().any(|known| known == *name);
        let fixed = command.fixed.iter().map(|(name, _)| *name);
        for name in command.args.iter().copied().chain(fixed) {
            assert!(known(&name), "{program} {:?}: {name}", command.words);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_guest_goes_through_its_life() {
    let lab = site("tiny").await;
    let listed = well(&lab, "pve2", "qm list").await;
    assert!(listed.starts_with("      VMID NAME                 STATUS     MEM(MB)    BOOTDISK(GB) PID       \n"));
    assert!(listed.lines().any(|line| line.starts_with("       104 ") && line.contains(" running ")), "{listed}");
    assert_eq!(well(&lab, "pve2", "qm status 104").await, "status: running\n");
    assert_eq!(well(&lab, "pve2", "qm shutdown 104").await, "");
    assert_eq!(well(&lab, "pve2", "qm status 104").await, "status: stopped\n");
    assert_eq!(well(&lab, "pve2", "qm set 104 --cores 3 -name=web").await, "update VM 104: -cores 3 -name web\n");
    let config = well(&lab, "pve2", "qm config 104").await;
    assert!(config.contains("cores: 3\n") && config.contains("name: web\n") && !config.contains("digest"), "{config}");
    well(&lab, "pve2", "qm snapshot 104 first --description one").await;
    well(&lab, "pve2", "qm snapshot 104 second").await;
    let tree = well(&lab, "pve2", "qm listsnapshot 104").await;
    let lines: Vec<&str> = tree.lines().collect();
    assert!(
        lines[0].starts_with("`-> first                       2026-11-21 12:") && lines[0].ends_with(" one"),
        "{tree}"
    );
    assert!(lines[1].starts_with("    `-> second") && lines[2].starts_with("        `-> current"), "{tree}");
    assert!(lines[2].ends_with(" You are here!"), "{tree}");
    well(&lab, "pve2", "qm delsnapshot 104 second").await;
    well(&lab, "pve2", "qm clone 104 900 --name copy").await;
    assert_eq!(well(&lab, "pve2", "qm status 900").await, "status: stopped\n");
    well(&lab, "pve2", "qm destroy 900").await;
    let moved = well(&lab, "pve2", "qm migrate 104 pve3").await;
    assert!(moved.contains("migration finished successfully") && !moved.contains("TASK"), "{moved}");
    well(&lab, "pve3", "qm start 104").await;
    assert_eq!(well(&lab, "pve3", "qm status 104").await, "status: running\n");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_said_as_the_tools_say_it() {
    let lab = site("tiny").await;
    let none = "Configuration file 'nodes/pve1/qemu-server/104.conf' does not exist\n";
    assert_eq!(ill(&lab, "pve1", "qm status 104").await, (2, none.into()));
    assert_eq!(ill(&lab, "pve2", "qm start 104").await, (255, "VM 104 already running\n".into()));
    let usage = "qm start <vmid> [OPTIONS]\n";
    assert_eq!(ill(&lab, "pve2", "qm start").await, (255, format!("400 not enough arguments\n{usage}")));
    assert_eq!(ill(&lab, "pve2", "qm start 1 2").await, (255, format!("400 too many arguments\n{usage}")));
    let unknown = format!("Unknown option: fast\n400 unable to parse option\n{usage}");
    assert_eq!(ill(&lab, "pve2", "qm start 104 --fast").await, (255, unknown));
    let (exit, text) = ill(&lab, "pve2", "qm start web").await;
    assert_eq!(exit, 255);
    assert!(text.starts_with("400 Parameter verification failed.\nvmid: ") && text.ends_with(usage), "{text}");
    let (_, text) = ill(&lab, "pve2", "qm migrate 104 pve3").await;
    assert_eq!(text, "can't migrate running VM without --online\n");
    let (_, text) = ill(&lab, "pve2", "qm fly 104").await;
    assert!(text.starts_with("ERROR: unknown command 'qm fly'\nUSAGE: qm <COMMAND>"), "{text}");
    let (_, text) = ill(&lab, "pve2", "pveum nobody").await;
    assert!(text.starts_with("ERROR: unknown command 'pveum nobody'\n"), "{text}");
    assert_eq!(lab.ledger().mutating().len(), 1, "the start that the task refused, and no more");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_is_the_commands_failure() {
    let lab = site("tiny").await;
    lab.faults().add_text("task-fail:qmigrate/104").unwrap();
    let reply = on(&lab, "pve2", "qm migrate 104 pve3 --online").await;
    assert_eq!((reply.exit, reply.stderr.as_str()), (255, "failed on purpose (lab fault)\n"), "{}", reply.stdout);
    let entry = &lab.ledger().mutating()[0];
    assert_eq!((entry.path.as_str(), entry.accepted), ("qm", true));
}

#[tokio::test(start_paused = true)]
async fn any_path_of_the_api_is_there_by_hand() {
    let lab = site("tiny").await;
    let json = well(&lab, "pve1", "pvesh get /nodes/pve2/qemu/104/config --output-format json").await;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["digest"].as_str().map(str::len), Some(40));
    assert!(json.starts_with("{\"") && json.lines().count() == 1, "{json}");
    let pretty = well(&lab, "pve1", "pvesh get /version --output-format json-pretty").await;
    assert!(pretty.starts_with("{\n   \"release\" : \""), "{pretty}");
    let table = well(&lab, "pve1", "pvesh get /version").await;
    assert!(table.starts_with("┌─") && table.contains("│ key     │ value") && table.contains("╞═"), "{table}");
    assert_eq!(well(&lab, "pve1", "pvesh get cluster/nextid").await.trim().parse::<u32>().ok(), Some(100));
    well(&lab, "pve1", "pvesh set /nodes/pve2/qemu/104/config --cores 3").await;
    assert!(well(&lab, "pve2", "qm config 104").await.contains("cores: 3\n"));
    well(&lab, "pve1", "pvesh create /pools --poolid shop").await;
    assert!(well(&lab, "pve1", "pvesh ls /pools").await.contains(" shop\n"));
    well(&lab, "pve1", "pvesh delete /pools/shop").await;
    let upid = well(&lab, "pve1", "pvesh create /nodes/pve2/qemu/104/status/shutdown").await;
    assert!(upid.starts_with("UPID:pve2:"), "{upid}");
    assert_eq!(well(&lab, "pve2", "qm status 104").await, "status: stopped\n", "it was waited for");
    let ls = well(&lab, "pve1", "pvesh ls /nodes/pve2").await;
    assert!(ls.contains("Dr-c- qemu\n") && ls.contains("-r--- version\n"), "{ls}");
    let (exit, text) = ill(&lab, "pve1", "pvesh get /nope").await;
    assert_eq!((exit, text.as_str()), (255, "no 'get' handler for '/nope'\n"));
    let (_, text) = ill(&lab, "pve1", "pvesh set /nodes/pve2/qemu/104/config --colour red").await;
    assert!(text.starts_with("Unknown option: colour\n400 unable to parse option\npvesh set <api_path>"), "{text}");
    let (_, text) = ill(&lab, "pve1", "pvesh get /nodes/pve2/qemu/104/config --output-format xml").await;
    assert!(text.contains("value 'xml' does not have a value in the enumeration"), "{text}");
    lab.faults().add_text("node-down:pve2").unwrap();
    let (exit, text) = ill(&lab, "pve1", "pvesh get /nodes/pve2/qemu/104/config").await;
    assert_eq!((exit, text.contains("No route to host")), (255, true), "{text}");
}

#[tokio::test(start_paused = true)]
async fn users_tokens_roles_and_rights_are_kept_by_hand() {
    let lab = site("tiny").await;
    well(&lab, "pve1", "pveum role add Watcher --privs VM.Audit,Sys.Audit").await;
    well(&lab, "pve1", "pveum user add new@pve --comment made").await;
    let made = well(&lab, "pve1", "pveum user token add new@pve t1 --privsep 1 --output-format json").await;
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["full-tokenid"], "new@pve!t1");
    assert_eq!(lab.access().token_secret("new@pve!t1").as_deref(), made["value"].as_str());
    well(&lab, "pve1", "pveum acl modify / --tokens new@pve!t1 --users new@pve --roles Watcher").await;
    let listed = well(&lab, "pve1", "pveum acl list --output-format json").await;
    assert!(listed.contains("\"new@pve!t1\""), "{listed}");
    well(&lab, "pve1", "pveum acl delete / --tokens new@pve!t1 --roles Watcher").await;
    assert!(!well(&lab, "pve1", "pveum acl list").await.contains("new@pve!t1"));
    assert!(well(&lab, "pve1", "pveum user token list new@pve").await.contains("│ t1 "));
    well(&lab, "pve1", "pveum user token delete new@pve t1").await;
    well(&lab, "pve1", "pveum userdel new@pve").await;
    assert!(!well(&lab, "pve1", "pveum user list").await.contains("new@pve"));
    let (exit, text) = ill(&lab, "pve1", "pveum role add PVEMine").await;
    assert_eq!(exit, 255);
    assert!(text.contains("400 Parameter verification failed.\nroleid: cannot use role ID"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_cluster_and_ha_are_read_and_steered() {
    let lab = site("tiny").await;
    let status = well(&lab, "pve1", "pvecm status").await;
    for line in ["Quorate:          Yes", "Quorum:           2 ", "0x00000001          1 ", "Flags:            Quorate"]
    {
        assert!(status.contains(line), "{line}: {status}");
    }
    assert!(well(&lab, "pve2", "pvecm nodes").await.contains("         2          1 pve2 (local)\n"));
    assert!(well(&lab, "pve1", "ha-manager config").await.contains("vm:111\n"));
    well(&lab, "pve1", "ha-manager add vm:104 --state started --comment by-hand").await;
    well(&lab, "pve1", "ha-manager set vm:104 --max_restart 3").await;
    let config = well(&lab, "pve1", "ha-manager config").await;
    assert!(config.contains("vm:104\n\tcomment by-hand\n") && config.contains("\tmax_restart 3\n"), "{config}");
    // The manager takes it up in its next round.
    tokio::time::sleep(Duration::from_millis(20)).await;
    well(&lab, "pve1", "ha-manager migrate vm:111 pve3").await;
    well(&lab, "pve1", "ha-manager crm-command stop vm:104 0").await;
    assert!(well(&lab, "pve1", "ha-manager status").await.contains("quorum OK\n"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(well(&lab, "pve3", "qm status 111").await, "status: running\n");
    assert_eq!(well(&lab, "pve2", "qm status 104").await, "status: stopped\n");
    well(&lab, "pve1", "ha-manager remove vm:104").await;
    let (exit, text) = ill(&lab, "pve1", "ha-manager migrate vm:104 pve3").await;
    assert_eq!((exit, text.as_str()), (255, "resource 'vm:104' is not HA managed\n"));
    let (exit, text) = ill(&lab, "pve1", "ha-manager crm-command stop vm:104 0").await;
    assert_eq!((exit, text.as_str()), (255, "resource 'vm:104' is not HA managed\n"));
    lab.faults().add_text("quorum-lost").unwrap();
    assert_eq!(on(&lab, "pve1", "pvecm status").await.exit, 2);
    assert_eq!(ill(&lab, "pve1", "ha-manager remove vm:111").await, (255, "cluster not ready - no quorum?\n".into()));
}

#[tokio::test(start_paused = true)]
async fn backups_are_made_by_hand() {
    let lab = site("tiny").await;
    let said = well(&lab, "pve2", "vzdump 104 108 --storage local --mode snapshot --compress zstd").await;
    assert!(said.contains("VM 104") && said.contains("VM 108"), "{said}");
    let there = well(&lab, "pve2", "pvesh get /nodes/pve2/storage/local/content --output-format json").await;
    assert!(there.contains("vzdump-qemu-104-2026_11_21"), "{there}");
}
