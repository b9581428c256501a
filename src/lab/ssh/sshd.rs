//! The system's own sshd, one for each node: on loopback, as the invoking user, with keys of the lab's own and one
//! command that it will run.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::socket::PROBE;
use super::words::quote;
use crate::model::ids::NodeName;

/// sshd insists on being started by an absolute path: it runs itself again for each connection.
const SSHD: &str = "/usr/sbin/sshd";
/// Where sshd as root confines itself; the distribution's service makes it, a container often lacks it.
const PRIVSEP: &str = "/run/sshd";
const START: Duration = Duration::from_secs(10);

/// One node's sshd.
#[derive(Debug)]
pub(super) struct Sshd {
    pub(super) node: NodeName,
    pub(super) port: u16,
    child: Child,
}

impl Sshd {
    /// Stops the listener, which `kill_on_drop` would do too, and waits for its end.
    pub(super) async fn stop(&mut self) {
        // It can only have ended already.
        let _ = self.child.kill().await;
    }
}

/// All nodes' servers, and the file that `ssh -F` takes.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) servers: Vec<Sshd>,
    pub(super) config: PathBuf,
}

/// Makes keys and files, starts every server, and sees one command through.
///
/// # Errors
/// Says what is missing or failed, for a person: the lab then answers in-process.
pub(super) async fn start(
    folder: &Path,
    nodes: &[NodeName],
    helper: &[String],
    socket: &Path,
) -> Result<Servers, String> {
    let user = requirements().await?;
    let client_key = folder.join("id_ed25519");
    keygen(&client_key, &user).await?;
    let public = read(&client_key.with_extension("pub"))?;
    write(&folder.join("authorized_keys"), &public)?;
    let (mut servers, mut known_hosts) = (Vec::new(), String::new());
    for node in nodes {
        let server = spawn(folder, node, &user, helper, socket).await?;
        let host_key = read(&host_key(folder, node).with_extension("pub"))?;
        let _ = writeln!(known_hosts, "[127.0.0.1]:{} {}", server.port, host_key.trim());
        servers.push(server);
    }
    write(&folder.join("known_hosts"), &known_hosts)?;
    let config = folder.join("ssh_config");
    let hosts = servers.iter().map(|server| client_config(folder, server, &user)).collect::<String>();
    write(&config, &hosts)?;
    for server in &mut servers {
        wait_until_up(folder, server).await?;
    }
    if let Some(first) = nodes.first() {
        probe(&config, first).await?;
    }
    Ok(Servers { servers, config })
}

/// What the machine must have; the invoking user's name.
async fn requirements() -> Result<String, String> {
    if !Path::new(SSHD).exists() {
        return Err(format!("there is no {SSHD} (package openssh-server; it need not run)"));
    }
    run("ssh", &["-V"]).await.map_err(|error| format!("there is no ssh client: {error}"))?;
    let user = run("id", &["-un"]).await?.trim().to_owned();
    let is_root = run("id", &["-u"]).await?.trim() == "0";
    if is_root && !Path::new(PRIVSEP).exists() {
        // What the distribution's own service does before it starts sshd: an empty folder on a volatile file system.
        std::fs::create_dir_all(PRIVSEP)
            .map_err(|error| format!("sshd as root needs {PRIVSEP}: {error}; run: mkdir -m 0755 {PRIVSEP}"))?;
    }
    Ok(user)
}

fn host_key(folder: &Path, node: &NodeName) -> PathBuf {
    folder.join(format!("host_{node}"))
}

/// Keys of an earlier lab in the same folder are used again.
async fn keygen(path: &Path, comment: &str) -> Result<(), String> {
    if path.exists() {
        return Ok(());
    }
    let file = path.to_str().ok_or_else(|| format!("{} is no UTF-8, which ssh-keygen needs", path.display()))?;
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", file]).await.map(|_| ())
}

async fn spawn(folder: &Path, node: &NodeName, user: &str, helper: &[String], socket: &Path) -> Result<Sshd, String> {
    keygen(&host_key(folder, node), node.as_str()).await?;
    let port = free_port().map_err(|error| format!("no free port on loopback: {error}"))?;
    let config = folder.join(format!("sshd_config_{node}"));
    write(&config, &server_config(folder, node, port, user, helper, socket))?;
    let child = command(SSHD)
        .arg("-D")
        .arg("-E")
        .arg(log_file(folder, node))
        .arg("-f")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{SSHD} does not start: {error}"))?;
    Ok(Sshd { node: node.clone(), port, child })
}

fn log_file(folder: &Path, node: &NodeName) -> PathBuf {
    folder.join(format!("sshd_{node}.log"))
}

/// `UsePAM no` and `StrictModes no` let it run without privileges and in a folder below a shared one.
fn server_config(folder: &Path, node: &NodeName, port: u16, user: &str, helper: &[String], socket: &Path) -> String {
    let words = helper.iter().map(String::as_str);
    let socket = socket.to_string_lossy();
    let words = words.chain(["--socket", socket.as_ref(), "--node", node.as_str()]);
    let force = words.map(quote).collect::<Vec<_>>().join(" ");
    let folder_text = folder.display();
    format!(
        "Port {port}\n\
         ListenAddress 127.0.0.1\n\
         HostKey \"{folder_text}/host_{node}\"\n\
         PidFile \"{folder_text}/sshd_{node}.pid\"\n\
         AuthorizedKeysFile \"{folder_text}/authorized_keys\"\n\
         AllowUsers {user}\n\
         PermitRootLogin prohibit-password\n\
         PubkeyAuthentication yes\n\
         PasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n\
         UsePAM no\n\
         StrictModes no\n\
         UseDNS no\n\
         X11Forwarding no\n\
         AllowTcpForwarding no\n\
         AllowAgentForwarding no\n\
         PermitTunnel no\n\
         PermitUserRC no\n\
         PrintMotd no\n\
         MaxStartups 100\n\
         LogLevel ERROR\n\
         ForceCommand {force}\n"
    )
}

fn client_config(folder: &Path, server: &Sshd, user: &str) -> String {
    let folder = folder.display();
    format!(
        "Host {}\n  \
         HostName 127.0.0.1\n  \
         Port {}\n  \
         User {user}\n  \
         IdentityFile \"{folder}/id_ed25519\"\n  \
         IdentitiesOnly yes\n  \
         UserKnownHostsFile \"{folder}/known_hosts\"\n  \
         GlobalKnownHostsFile /dev/null\n  \
         StrictHostKeyChecking yes\n  \
         BatchMode yes\n  \
         LogLevel ERROR\n\n",
        server.node, server.port
    )
}

/// Free when asked; sshd takes it a moment later.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

async fn wait_until_up(folder: &Path, server: &mut Sshd) -> Result<(), String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port));
    let deadline = tokio::time::Instant::now() + START;
    loop {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        let ended = server.child.try_wait().ok().flatten();
        if ended.is_some() || tokio::time::Instant::now() > deadline {
            let log = read(&log_file(folder, &server.node)).unwrap_or_default();
            let last = log.lines().last().unwrap_or("it left no log").to_owned();
            return Err(format!("sshd for {} did not start: {last}", server.node));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One command all the way: a locked account or a missing login shell shows here.
async fn probe(config: &Path, node: &NodeName) -> Result<(), String> {
    let config = config.to_str().ok_or("the lab's folder is no UTF-8")?;
    run("ssh", &["-F", config, "-o", "ConnectTimeout=10", node.as_str(), PROBE])
        .await
        .map(|_| ())
        .map_err(|error| format!("sshd runs, but a command does not get through: {error}"))
}

#[allow(clippy::disallowed_methods)] // The lab plays the outside world; its servers are not steps of a run.
fn command(program: &str) -> Command {
    Command::new(program)
}

/// Runs to the end; its standard output.
async fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = command(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(format!("{program}: {}: {}", output.status, stderr.trim()))
    }
}

/// For this user alone; nothing here has to survive a crash.
fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<String, String> {
    let file = std::fs::OpenOptions::new().read(true).open(path);
    file.and_then(std::io::read_to_string).map_err(|error| format!("{}: {error}", path.display()))
}
