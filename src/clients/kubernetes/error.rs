//! Why a call gave nothing, read from what kubectl wrote on stderr: its exit code is 1 for all of it.

use std::time::Duration;

use crate::clients::Class;
use crate::sys::process::ProcessError;

#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    #[error(transparent)]
    Program(#[from] ProcessError),
    #[error("the cluster has no kubeconfig here")]
    NoConfig,
    /// Nothing was sent.
    #[error("{attempted}: nobody answers: {said}")]
    Nobody { attempted: String, said: String },
    /// The connection ended before an answer came.
    #[error("{attempted}: the answer was lost: {said}")]
    Lost { attempted: String, said: String },
    #[error("{attempted}: kubectl had not ended after {} s", after.as_secs())]
    Deadline { attempted: String, after: Duration },
    /// In the API's words; its reason is `NotFound`, `Conflict`, …, or empty.
    #[error("{attempted}: the API says{}: {said}", named(reason))]
    Said { attempted: String, reason: String, said: String },
    /// Of kubectl itself: a kubeconfig that does not read, a certificate that is not trusted.
    #[error("{attempted}: kubectl says: {said}")]
    Kubectl { attempted: String, said: String },
    #[error("{attempted}: what came is not understood: {why}")]
    Strange { attempted: String, why: String },
}

fn named(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" {reason}") }
}

/// What a dialer says where it has reached nobody, so that nothing was sent.
const UNSENT: [&str; 6] =
    ["dial tcp", "dial udp", "proxyconnect tcp", "no such host", "TLS handshake timeout", "no route to host"];

impl KubernetesError {
    /// What was written on stderr.
    pub(super) fn of(attempted: &str, stderr: &str) -> Self {
        let attempted = attempted.to_owned();
        let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let rest = |mark: &str| lines.iter().find_map(|line| line.strip_prefix(mark));
        if let Some(rest) = rest("Error from server") {
            let (reason, said) = match rest.strip_prefix(" (").and_then(|rest| rest.split_once("): ")) {
                Some((reason, said)) => (reason, said),
                None => ("", rest.trim_start_matches(": ")),
            };
            return Self::Said { attempted, reason: reason.to_owned(), said: said.to_owned() };
        }
        if let Some(said) = rest("Unable to connect to the server: ") {
            let said = said.to_owned();
            return if UNSENT.iter().any(|word| said.contains(word)) {
                Self::Nobody { attempted, said }
            } else if said.contains("x509:") || said.contains("tls:") {
                Self::Kubectl { attempted, said }
            } else {
                Self::Lost { attempted, said }
            };
        }
        let said = lines.iter().filter(|line| !line.starts_with("Warning:")).copied().collect::<Vec<_>>().join("; ");
        if said.starts_with("The connection to the server") {
            return Self::Nobody { attempted, said };
        }
        if let Some((_, end)) = said.split_once("You must be logged in to the server (") {
            let reason = end.split(')').next().unwrap_or_default().to_owned();
            return Self::Said { attempted, reason, said: "you must be logged in to the server".into() };
        }
        let said = if said.is_empty() { "nothing, and failed".to_owned() } else { said };
        Self::Kubectl { attempted, said }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Said { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// Nothing was sent.
    pub fn is_nobody(&self) -> bool {
        matches!(self, Self::Nobody { .. })
    }

    pub fn is_not_found(&self) -> bool {
        self.reason() == Some("NotFound")
    }

    /// Somebody has changed the object meanwhile.
    pub fn is_conflict(&self) -> bool {
        self.reason() == Some("Conflict")
    }

    /// A budget forbids an eviction, or there are too many requests.
    pub fn is_too_many(&self) -> bool {
        self.reason() == Some("TooManyRequests")
    }

    /// Whether what was asked for may have been carried out, or may yet be.
    pub fn may_be_done(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::Deadline { .. } | Self::Strange { .. } => true,
            Self::Said { reason, said, .. } => self.is_passing(reason, said),
            Self::Program(_) | Self::NoConfig | Self::Nobody { .. } | Self::Kubectl { .. } => false,
        }
    }

    /// Whether asking again may go better.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Nobody { .. } | Self::Lost { .. } | Self::Deadline { .. } => true,
            Self::Said { reason, said, .. } => {
                self.is_too_many() || self.is_conflict() || self.is_passing(reason, said)
            }
            Self::Program(_) | Self::NoConfig | Self::Kubectl { .. } | Self::Strange { .. } => false,
        }
    }

    fn is_passing(&self, reason: &str, said: &str) -> bool {
        matches!(reason, "ServiceUnavailable" | "Timeout" | "ServerTimeout" | "InternalError")
            || said.contains("etcdserver:")
    }

    pub fn class(&self) -> Class {
        match self {
            Self::Nobody { .. } => Class::Unreachable,
            Self::Lost { .. } => Class::Transient,
            Self::Deadline { .. } => Class::Timeout,
            Self::Program(_) | Self::NoConfig => Class::Precondition,
            Self::Said { reason, .. } if matches!(reason.as_str(), "Unauthorized" | "Forbidden") => Class::Refused,
            Self::Said { reason, .. } if reason == "NotFound" => Class::Precondition,
            Self::Said { .. } if self.may_pass() => Class::Transient,
            Self::Kubectl { said, .. } if said.contains("x509:") => Class::Refused,
            Self::Said { .. } | Self::Kubectl { .. } | Self::Strange { .. } => Class::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(stderr: &str) -> KubernetesError {
        KubernetesError::of("GET /x", stderr)
    }

    /// As kubectl 1.32 wrote them.
    #[test]
    fn what_kubectl_says_is_told_apart() {
        let gone = of("Unable to connect to the server: dial tcp 10.0.0.51:6443: connect: no route to host\n");
        assert!(gone.is_nobody() && !gone.may_be_done() && gone.class() == Class::Unreachable, "{gone}");
        let refused =
            "The connection to the server 10.0.0.61:6443 was refused - did you specify the right host or port?\n";
        assert!(of(refused).is_nobody());
        let lost =
            of("Unable to connect to the server: read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer\n");
        assert!(lost.may_be_done() && lost.class() == Class::Transient, "{lost}");
        let late = of("Unable to connect to the server: context deadline exceeded\n");
        assert!(late.may_be_done() && late.may_pass());
        let budget = of(
            "Error from server (TooManyRequests): Cannot evict pod as it would violate the pod's disruption budget.\n",
        );
        assert!(budget.is_too_many() && !budget.may_be_done());
        let conflict =
            of("Error from server (Conflict): Operation cannot be fulfilled on nodes \"w1\": the object …\n");
        assert!(conflict.is_conflict() && !conflict.may_be_done());
        let etcd = of("Error from server: etcdserver: request timed out\n");
        assert!(etcd.may_be_done() && etcd.class() == Class::Transient, "{etcd}");
        let login = of("error: You must be logged in to the server (Unauthorized)\n");
        assert_eq!(login.class(), Class::Refused);
        let none = of("Error from server (NotFound): the server could not find the requested resource\n");
        assert!(none.is_not_found());
        let own = of("error: stat /nonexist: no such file or directory\n");
        assert_eq!((own.class(), own.may_pass()), (Class::Failed, false));
        let trust = of(
            "Unable to connect to the server: tls: failed to verify certificate: x509: certificate signed by unknown authority\n",
        );
        assert_eq!(trust.class(), Class::Refused);
        assert_eq!(of("").to_string(), "GET /x: kubectl says: nothing, and failed");
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(?s).{0,200}") {
            of(&text);
        }
    }
}
