//! Commands over a real sshd on a loopback port, by the system's ssh.

use std::path::{Path, PathBuf};
use std::time::Duration;

use runbook::clients::ssh::{Ssh, SshError, SshSettings};
use runbook::sys::files;
use runbook::sys::process::{self, Daemon, Spec};

const LONG: Duration = Duration::from_secs(30);

/// One on a loopback port of its own, with keys of its own; it ends with this.
pub struct Sshd {
    pub dir: tempfile::TempDir,
    pub port: u16,
    daemon: Daemon,
}

impl Sshd {
    /// Fails where sshd is not installed (`make test` sees to that) or cannot run (as root it wants `/run/sshd`).
    pub async fn start() -> Self {
        let sshd = ["/usr/sbin/sshd", "/usr/bin/sshd"].map(PathBuf::from).into_iter().find(|p| p.exists());
        let sshd = sshd.expect("sshd is not installed, and this test needs it; `make test` installs openssh-server");
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        for key in ["host", "client", "stranger"] {
            key_pair(&path(key)).await;
        }
        std::fs::copy(path("client.pub"), path("authorized")).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\nPermitRootLogin yes\n",
            path("host"),
            path("authorized"),
        );
        files::write_private(path("sshd_config"), config.as_bytes()).unwrap();
        let spec = Spec::new(sshd).args(["-D", "-e", "-f", &path("sshd_config")]);
        let mut daemon = Daemon::start(&spec, Some(Path::new(&path("sshd.log")))).unwrap();
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Self { dir, port, daemon };
            }
            if daemon.ended().unwrap().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("sshd did not start: {}", files::read_text(path("sshd.log")).unwrap_or_default());
    }

    /// `key`: whose key the client shows; `known`: whose key it takes for the host's (none: an empty file).
    fn ssh(&self, key: &str, known: Option<&str>) -> Ssh {
        let (config, known_hosts) = self.client("pve1", key, known);
        Ssh::new(SshSettings {
            config: Some(config),
            known_hosts: Some(known_hosts),
            control_dir: Some(self.dir.path().join("c")),
            ..SshSettings::default()
        })
    }

    /// The files that `ssh` takes for this host under a name: its configuration and the known hosts, which the
    /// configuration names as well.
    pub fn client(&self, name: &str, key: &str, known: Option<&str>) -> (PathBuf, PathBuf) {
        let path = |name: &str| self.dir.path().join(name);
        let hosts = known.map(|name| {
            let public = files::read_text(path(&format!("{name}.pub"))).unwrap();
            format!("[127.0.0.1]:{} {public}", self.port)
        });
        let tag = format!("{key}-{}", known.unwrap_or("nobody"));
        let known_hosts = path(&format!("known-{tag}"));
        files::write_private(&known_hosts, hosts.unwrap_or_default().as_bytes()).unwrap();
        let config = format!(
            "Host {name}\n HostName 127.0.0.1\n Port {}\n IdentityFile {}\n IdentitiesOnly yes\n IdentityAgent none\n \
             UserKnownHostsFile {}\n GlobalKnownHostsFile /dev/null\n",
            self.port,
            path(key).display(),
            known_hosts.display(),
        );
        let file = path(&format!("config-{tag}"));
        files::write_private(&file, config.as_bytes()).unwrap();
        (file, known_hosts)
    }
}

async fn key_pair(path: &str) {
    let spec = Spec::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", path]);
    assert!(process::run(spec).await.unwrap().success());
}

#[tokio::test]
async fn commands_run_word_by_word_over_a_shared_connection() {
    let sshd = Sshd::start().await;
    let ssh = sshd.ssh("client", Some("host"));
    let words = ["printf", "%s|", "a b", "$HOME", "it's", ";ls", "*", "", "ü\n"];
    let got = ssh.run("pve1", &words, LONG).await.unwrap();
    assert_eq!((got.exit, got.stdout.as_str()), (0, "a b|$HOME|it's|;ls|*||ü\n|"));

    let got = ssh.run_with_input("pve1", &["sh", "-c", "cat; echo no >&2; exit 3"], b"in", LONG).await.unwrap();
    assert_eq!((got.exit, got.stdout.as_str(), got.last_line()), (3, "in", Some("no")));

    let late = ssh.run("pve1", &["sleep", "20"], Duration::from_millis(700)).await.unwrap_err();
    assert!(matches!(late, SshError::Deadline { .. }) && late.outcome_unknown());

    let dropped = ssh.run("pve1", &["sh", "-c", "kill -9 $PPID; sleep 5"], LONG).await.unwrap_err();
    assert!(matches!(dropped, SshError::Dropped { .. }) && dropped.outcome_unknown(), "{dropped}");
    let again = ssh.run("pve1", &["true"], LONG).await.unwrap();
    assert!(again.success(), "a connection that is gone is made anew");
    ssh.close().await;
    sshd.daemon.stop(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn keys_that_do_not_fit_are_told_apart() {
    let sshd = Sshd::start().await;
    let run = async |ssh: Ssh| ssh.run("pve1", &["true"], LONG).await.unwrap_err();
    let error = run(sshd.ssh("client", Some("stranger"))).await;
    assert!(matches!(error, SshError::HostKeyChanged { .. }), "{error:?}");
    let error = run(sshd.ssh("client", None)).await;
    assert!(matches!(error, SshError::HostKeyUnknown { .. }), "{error:?}");
    let error = run(sshd.ssh("stranger", Some("host"))).await;
    assert!(matches!(error, SshError::AuthFailed { .. }), "{error:?}");
    sshd.daemon.stop(Duration::from_secs(5)).await.unwrap();
}
