//! The socket, and a real sshd in front of it (`make test` installs one).

use std::path::PathBuf;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::{LabSsh, SocketReply, SshError, SshMode, SshOptions, helper};
use crate::lab::front::fake::lab;
use crate::lab::front::{Lab, LabOptions};
use crate::lab::ledger::Channel;

fn options(folder: &tempfile::TempDir, sshd: bool) -> SshOptions {
    SshOptions { folder: folder.path().join("s"), helper: test_helper(), sshd }
}

/// This very test program, told to run `helper_entry` alone. The harness writes lines of its own before it.
fn test_helper() -> Vec<String> {
    let this = std::env::current_exe().unwrap();
    let script = format!(
        "LAB_TEST_SOCKET=$2 LAB_TEST_NODE=$4 exec '{}' --exact lab::ssh::tests::helper_entry --nocapture",
        this.display()
    );
    ["sh", "-c", &script, "helper"].map(str::to_owned).into()
}

#[test]
fn helper_entry() {
    match (std::env::var("LAB_TEST_SOCKET"), std::env::var("LAB_TEST_NODE")) {
        (Ok(socket), Ok(node)) => {
            let command = std::env::var("SSH_ORIGINAL_COMMAND").unwrap_or_default();
            std::process::exit(helper::run(&PathBuf::from(socket), &node, &command))
        }
        _ => {
            let folder = tempfile::tempdir().unwrap();
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let exit = helper::run_to(&folder.path().join("none"), "pve1", "qm list", &mut out, &mut err);
            assert_eq!((exit, out.len()), (255, 0));
            assert!(String::from_utf8(err).unwrap().contains("is it still up?"));
        }
    }
}

async fn ask(ssh: &LabSsh, line: &str) -> SocketReply {
    let stream = tokio::net::UnixStream::connect(ssh.socket()).await.unwrap();
    let (read, mut write) = stream.into_split();
    write.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    let answer = BufReader::new(read).lines().next_line().await.unwrap().unwrap();
    serde_json::from_str(&answer).unwrap()
}

#[tokio::test]
async fn commands_run_over_the_socket() {
    let (lab, folder) = (lab().await, tempfile::tempdir().unwrap());
    let ssh = LabSsh::start(&lab, &options(&folder, false)).await.unwrap();
    assert!(matches!(ssh.mode(), SshMode::InProcess { why } if !why.is_empty()));
    let reply = ask(&ssh, r#"{"node":"pve1","argv":["qm","unlock","104"]}"#).await;
    assert_eq!((reply.exit, reply.stdout.as_str(), reply.stderr.as_str()), (0, "pve1: qm|unlock|104\n", "warned\n"));
    let reply = ask(&ssh, r#"{"node":"pve2","command":"false 'a b'"}"#).await;
    assert_eq!((reply.exit, reply.stdout.as_str()), (1, "pve2: false|a b\n"));
    assert_eq!(ask(&ssh, "what?").await.exit, 255);
    assert_eq!(ask(&ssh, r#"{"node":"pve1"}"#).await.exit, 255);
    lab.faults().add("node-down:pve2".parse().unwrap()).unwrap();
    let reply = ask(&ssh, r#"{"node":"pve2","command":"qm list"}"#).await;
    assert_eq!((reply.exit, reply.stdout.as_str()), (255, ""));
    assert!(reply.stderr.contains("No route to host"));
    let entries = lab.ledger().entries();
    assert_eq!(entries.len(), 3);
    assert_eq!((entries[0].channel, entries[0].mutating, entries[0].accepted), (Channel::Ssh, true, true));
    assert_eq!((entries[1].status, entries[1].path.as_str()), (1, "false"));
    assert!(!entries[2].accepted);
}

#[tokio::test]
async fn the_socket_goes_with_the_lab() {
    let (lab, folder) = (lab().await, tempfile::tempdir().unwrap());
    let ssh = LabSsh::start(&lab, &options(&folder, false)).await.unwrap();
    let socket = ssh.socket().to_owned();
    assert!(socket.exists());
    drop(ssh);
    for _ in 0..200 {
        if !socket.exists() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{} is still there", socket.display());
}

#[tokio::test]
async fn a_folder_that_is_too_deep_for_a_socket_is_refused() {
    let (lab, folder) = (lab().await, tempfile::tempdir().unwrap());
    let deep = SshOptions { folder: folder.path().join("x".repeat(120)), ..options(&folder, false) };
    let error = LabSsh::start(&lab, &deep).await.err().unwrap();
    assert!(matches!(error, SshError::Socket { .. }));
    assert!(error.to_string().contains("a socket's path may have 107"), "{error}");
}

async fn ssh_command(config: &std::path::Path, node: &str, command: &[&str]) -> (Option<i32>, String, String) {
    #[allow(clippy::disallowed_methods)] // The test plays a person at a shell.
    let output =
        tokio::process::Command::new("ssh").arg("-F").arg(config).arg(node).args(command).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn config(ssh: &LabSsh) -> PathBuf {
    match ssh.mode() {
        SshMode::Sshd { config, .. } => config.clone(),
        SshMode::InProcess { why } => panic!("this test needs openssh-server: {why}"),
    }
}

#[tokio::test]
async fn commands_run_through_a_real_sshd() {
    let (lab, folder): (Lab, _) = (lab().await, tempfile::tempdir().unwrap());
    let ssh = LabSsh::start(&lab, &options(&folder, true)).await.unwrap();
    let config = config(&ssh);
    assert!(lab.ledger().is_empty(), "setting up is no request");
    let (exit, out, err) = ssh_command(&config, "pve2", &["ha-manager", "'crm-command a'"]).await;
    assert_eq!(exit, Some(0), "{out}{err}");
    assert!(out.ends_with("pve2: ha-manager|crm-command a\n"), "{out}");
    assert!(err.contains("warned\n"), "{err}");
    let (exit, ..) = ssh_command(&config, "pve3", &["false"]).await;
    assert_eq!(exit, Some(1));
    lab.faults().add("node-down:pve3".parse().unwrap()).unwrap();
    let (exit, _, err) = ssh_command(&config, "pve3", &["qm", "list"]).await;
    assert_eq!(exit, Some(255));
    assert!(err.contains("No route to host"), "{err}");
    assert_eq!(lab.ledger().len(), 3);
    let SshMode::Sshd { ports, .. } = ssh.mode().clone() else { unreachable!("it was above") };
    ssh.shutdown().await;
    for (node, port) in ports {
        assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err(), "sshd of {node} still listens");
    }
}

#[tokio::test]
async fn a_strangers_host_key_is_refused() {
    let (lab, folder) = (lab().await, tempfile::tempdir().unwrap());
    let ssh = LabSsh::start(&lab, &options(&folder, true)).await.unwrap();
    let config = config(&ssh);
    let known = std::io::read_to_string(
        std::fs::OpenOptions::new().read(true).open(folder.path().join("s/known_hosts")).unwrap(),
    )
    .unwrap();
    // The keys of two nodes change places.
    let mut lines: Vec<Vec<&str>> = known.lines().map(|line| line.splitn(2, ' ').collect()).collect();
    let first = lines[0][1];
    lines[0][1] = lines[1][1];
    lines[1][1] = first;
    let swapped = lines.iter().map(|line| line.join(" ") + "\n").collect::<String>();
    let mut file =
        std::fs::OpenOptions::new().write(true).truncate(true).open(folder.path().join("s/known_hosts")).unwrap();
    std::io::Write::write_all(&mut file, swapped.as_bytes()).unwrap();
    let (exit, ..) = ssh_command(&config, "pve1", &["qm", "list"]).await;
    assert_eq!(exit, Some(255));
    assert!(lab.ledger().is_empty());
}

/// A site with guests, at a speed at which a task is over soon.
async fn real_lab() -> Lab {
    let scenario = crate::lab::scenario::Scenario::named("tiny").unwrap();
    let world = crate::lab::world::World::from_scenario(&scenario, 7, 1_795_262_400);
    Lab::start(LabOptions { time_scale: 600.0, ..LabOptions::new(world) }).await.unwrap()
}

/// The harness has lines of its own before what the helper prints.
fn printed(out: &str) -> &str {
    out.split_once("running 1 test\n").map_or(out, |(_, rest)| rest)
}

#[tokio::test]
async fn a_nodes_tools_are_used_through_a_real_sshd() {
    let (lab, folder) = (real_lab().await, tempfile::tempdir().unwrap());
    let ssh = LabSsh::start(&lab, &options(&folder, true)).await.unwrap();
    let config = config(&ssh);
    let well = async |node: &str, line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let (exit, out, err) = ssh_command(&config, node, &words).await;
        assert_eq!((exit, err.as_str()), (Some(0), ""), "{line}: {out}");
        printed(&out).to_owned()
    };
    assert_eq!(well("pve2", "qm status 104").await, "status: running\n");
    assert_eq!(well("pve2", "qm shutdown 104 --timeout 60").await, "");
    assert_eq!(well("pve2", "qm status 104").await, "status: stopped\n", "it was waited for");
    let moved = well("pve2", "qm migrate 104 pve3").await;
    assert!(moved.contains("migration finished successfully"), "{moved}");
    let json = well("pve1", "pvesh get /nodes/pve3/qemu/104/config --output-format json").await;
    assert!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["digest"].is_string(), "{json}");
    well("pve1", "pveum user add new@pve --comment \"'made by hand'\"").await;
    assert!(well("pve1", "pveum user list").await.contains("made by hand"));
    assert!(well("pve3", "pvecm nodes").await.contains("pve3 (local)"));
    assert!(well("pve1", "ha-manager config").await.contains("vm:111\n"));
    assert!(well("pve3", "vzdump 104 --storage local --mode stop --compress zstd").await.contains("INFO: "));
    let (exit, out, err) = ssh_command(&config, "pve1", &["qm", "start", "104"]).await;
    assert_eq!((exit, printed(&out)), (Some(2), ""));
    assert_eq!(err, "Configuration file 'nodes/pve1/qemu-server/104.conf' does not exist\n");
    let mutating: Vec<String> = lab.ledger().mutating().iter().map(|entry| entry.params["argv"].clone()).collect();
    assert_eq!(mutating.len(), 4, "{mutating:?}");
}
