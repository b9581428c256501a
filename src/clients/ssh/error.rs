//! Why a command was not run, or what became of it is unknown.

use crate::clients::Class;

/// Told apart from the texts of OpenSSH's client (it has no codes), as of 8.4 to 10.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SshError {
    #[error("ssh is not on PATH; install the OpenSSH client")]
    NoSsh,
    #[error("{host}: its host key is not the known one; if the host was reinstalled, run: ssh-keygen -R {host}")]
    HostKeyChanged { host: String, message: String },
    #[error("{host}: its host key is not known; connect once by hand (ssh {host}) and compare the fingerprint")]
    HostKeyUnknown { host: String, message: String },
    #[error("{host}: SSH does not accept the login ({message}); check the user, the key and the agent")]
    AuthFailed { host: String, message: String },
    #[error("{host}: refuses SSH connections")]
    Refused { host: String },
    #[error("{host}: no SSH connection in time")]
    ConnectTimeout { host: String },
    #[error("{host}: cannot be reached by SSH: {message}")]
    Unreachable { host: String, message: String },
    /// The command was sent; what it did is unknown.
    #[error("{host}: the SSH connection ended before the command did ({message}); what it did is unknown")]
    Dropped { host: String, message: String },
    /// The command was sent and goes on.
    #[error("{host}: the command did not end in time; it may go on")]
    Deadline { host: String },
    #[error("{host}: {message}")]
    Setup { host: String, message: String },
}

impl SshError {
    pub fn class(&self) -> Class {
        match self {
            Self::HostKeyChanged { .. } | Self::HostKeyUnknown { .. } | Self::AuthFailed { .. } => Class::Refused,
            Self::Refused { .. } | Self::Unreachable { .. } | Self::ConnectTimeout { .. } => Class::Unreachable,
            Self::Dropped { .. } => Class::Transient,
            Self::Deadline { .. } => Class::Timeout,
            Self::NoSsh | Self::Setup { .. } => Class::Failed,
        }
    }

    /// Whether the command may have been run, in part or whole.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Dropped { .. } | Self::Deadline { .. })
    }

    /// From the exit code and the words of a client of ours that is not `openssh`: 255 is its own, or the command's.
    pub(super) fn of_output(host: &str, exit: i32, stderr: &str) -> Option<Self> {
        const OWN: i32 = 255;
        if exit != OWN {
            return None;
        }
        if stderr.starts_with("ssh: ") {
            return Some(Self::of_connect(host, stderr));
        }
        let lost =
            ["Connection to ", "client_loop: ", "packet_write_wait: "].iter().any(|word| stderr.starts_with(word));
        lost.then(|| Self::Dropped { host: host.to_owned(), message: stderr.trim().to_owned() })
    }

    /// From what ssh wrote while it connected.
    pub(super) fn of_connect(host: &str, text: &str) -> Self {
        let host = host.to_owned();
        let has = |part: &str| text.contains(part);
        let last =
            text.lines().map(str::trim).rfind(|l| !l.is_empty() && !l.starts_with('@')).unwrap_or("no reason given");
        let message = last.trim_start_matches("ssh: ").to_owned();
        if has("HOST IDENTIFICATION HAS CHANGED") {
            Self::HostKeyChanged { host, message }
        } else if has("host key is known for") || has("Host key verification failed") {
            Self::HostKeyUnknown { host, message }
        } else if has("Permission denied") || has("Too many authentication failures") {
            Self::AuthFailed { host, message }
        } else if has("Connection refused") {
            Self::Refused { host }
        } else if has("timed out") {
            Self::ConnectTimeout { host }
        } else {
            Self::Unreachable { host, message }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_ssh_are_told_apart() {
        let changed =
            "@@@@@@\r\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\r\n@@@@\r\nHost key verification failed.";
        let cases = [
            (changed, "HostKeyChanged", Class::Refused),
            (
                "No ED25519 host key is known for pve1 and you have requested strict checking.",
                "HostKeyUnknown",
                Class::Refused,
            ),
            ("root@pve1: Permission denied (publickey,password).", "AuthFailed", Class::Refused),
            ("connect to host pve1 port 22: Connection refused", "Refused", Class::Unreachable),
            ("connect to host pve1 port 22: Connection timed out", "ConnectTimeout", Class::Unreachable),
            ("Could not resolve hostname pve1: Name or service not known", "Unreachable", Class::Unreachable),
        ];
        for (text, name, class) in cases {
            let error = SshError::of_connect("pve1", text);
            assert!(format!("{error:?}").starts_with(name), "{error:?}");
            assert!(error.class() == class && !error.outcome_unknown());
            assert!(error.to_string().starts_with("pve1: "));
        }
    }
}
