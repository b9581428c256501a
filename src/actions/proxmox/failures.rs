//! From a client's error to what a person must be told: class, what was attempted, the literal words, what to do.

use crate::actions::class;
use crate::clients::proxmox::{ProxmoxError, Site};
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};

pub(super) use crate::actions::ssh::failure as ssh;

/// `token ops@pve!runbook` or `user ops@pve`.
pub fn who(user: &str) -> String {
    if user.contains('!') { format!("token {user}") } else { format!("user {user}") }
}

/// The site's own name for us, as [`who`] says it.
pub fn we(site: &Site) -> String {
    who(site.user())
}

/// A privilege that is missing, found by us or said by Proxmox.
pub fn lacks(we: &str, privilege: &str, path: &str) -> String {
    format!("{we} lacks {privilege} on {path}")
}

/// What to do about it: tokens and users have options of their own.
fn grant(we: &str, privilege: &str, path: &str) -> String {
    let (option, name) = match we.split_once(' ') {
        Some(("token", name)) => ("--tokens", name),
        Some((_, name)) => ("--users", name),
        None => ("--users", we),
    };
    let lacks = lacks(we, privilege, path);
    format!("{lacks}: give it a role with that privilege (pveum acl modify {path} {option} '{name}' --roles ROLE)")
}

/// A list that may be incomplete, since Proxmox leaves out what we may not see.
pub fn hidden(attempted: &str, we: &str, privilege: &str, path: &str) -> Failure {
    let cause =
        format!("{}: Proxmox leaves out what it may not see, so this proves nothing", lacks(we, privilege, path));
    Failure::new(Class::Refused, attempted, cause).remedy(grant(we, privilege, path))
}

/// What a call to Proxmox failed with; `done` is unknown where the answer was lost (which it says) or does not say that
/// nothing was begun, else none.
pub fn proxmox(we: &str, attempted: impl Into<String>, error: &ProxmoxError) -> Failure {
    let failure = Failure::new(class(error.class()), attempted, error.to_string());
    let failure = if error.answer_lost() {
        failure.lost()
    } else if error.outcome_unknown() || error.may_have_been_begun() {
        failure.done(Done::Unknown)
    } else {
        failure
    };
    match remedy(we, error) {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    }
}

fn remedy(we: &str, error: &ProxmoxError) -> Option<String> {
    Some(match error {
        ProxmoxError::Forbidden { acl_path, privilege, .. } if !privilege.is_empty() => {
            grant(we, &privilege.replace('|', " or "), acl_path)
        }
        ProxmoxError::Forbidden { .. } => {
            format!("give {we} the privileges that `runbook actions` lists for this action")
        }
        ProxmoxError::Unauthorized { .. } => {
            format!("check that {we} exists, is enabled and not expired, and its secret")
        }
        ProxmoxError::Locked { lock, .. } => {
            format!("wait until what holds the lock ({lock}) has ended, then run again")
        }
        ProxmoxError::NoQuorum { .. } => "bring nodes back until the cluster is quorate".to_owned(),
        ProxmoxError::Proxy { .. } | ProxmoxError::Unreachable { .. } => {
            "check that the node is up and that pveproxy and pvedaemon run on it".to_owned()
        }
        ProxmoxError::Tls { .. } => "check the fingerprint or the ca_file in cluster-config.yaml".to_owned(),
        ProxmoxError::TaskLost { .. } | ProxmoxError::TaskRunning { .. } => {
            "the task may go on by itself: look at it in the node's task list before anything else".to_owned()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::proxmox::{At, Verb};
    use crate::clients::ssh::SshError;

    fn at(verb: Verb) -> Box<At> {
        Box::new(At { verb, path: "/nodes/pve2/qemu/104/migrate".into(), node: "pve2".into() })
    }

    #[test]
    fn a_missing_privilege_is_named_with_the_token_and_the_path() {
        let message = "Permission check failed (/vms/104, VM.Migrate)".to_owned();
        let (acl_path, privilege) = ("/vms/104".into(), "VM.Migrate".into());
        let error = ProxmoxError::Forbidden { at: at(Verb::Post), acl_path, privilege, message };
        let failure = proxmox(&who("ops@pve!runbook"), "migrate VM 104 (web)", &error);
        assert_eq!((failure.class, failure.done), (Class::Refused, Done::None));
        assert!(failure.cause.contains("Permission check failed (/vms/104, VM.Migrate)"), "{}", failure.cause);
        let remedy = failure.remedy.unwrap();
        assert!(remedy.starts_with("token ops@pve!runbook lacks VM.Migrate on /vms/104"), "{remedy}");
        assert!(remedy.contains("--tokens 'ops@pve!runbook'"), "{remedy}");
    }

    #[test]
    fn a_lost_answer_to_a_change_leaves_open_what_was_done() {
        let lost = |verb| ProxmoxError::Proxy {
            at: at(verb),
            status: 596,
            message: "Connection timed out".into(),
            may_have_been_taken: verb == Verb::Post,
        };
        let said = |error: &ProxmoxError| {
            let failure = proxmox("user a@pam", "x", error);
            (failure.done, failure.lost)
        };
        assert_eq!(said(&lost(Verb::Post)), (Done::Unknown, true));
        assert_eq!(said(&lost(Verb::Get)), (Done::None, false));
        assert_eq!(said(&ProxmoxError::Timeout { at: at(Verb::Post), sent: true }), (Done::Unknown, true));
        assert_eq!(said(&ProxmoxError::Timeout { at: at(Verb::Post), sent: false }), (Done::None, false));
        let server = |status| ProxmoxError::Server { at: at(Verb::Post), status, message: "got timeout".into() };
        assert_eq!(said(&server(500)), (Done::Unknown, false), "its own answer: it is not at work on it any more");
        assert_eq!(said(&server(504)), (Done::Unknown, true), "somebody else's answer, in its place");
        let refused = ProxmoxError::Unreachable { at: at(Verb::Post), cause: "refused".into(), sent: false };
        let failure = proxmox("user a@pam", "x", &refused);
        assert_eq!((failure.class, failure.done), (Class::Unreachable, Done::None));
    }

    #[test]
    fn a_servers_error_is_believed_only_where_it_says_that_nothing_was_begun() {
        let said = |verb, status, message: &str| {
            proxmox("user a@pam", "x", &ProxmoxError::Server { at: at(verb), status, message: message.into() }).done
        };
        assert_eq!(said(Verb::Post, 500, "VM 104 not running"), Done::None);
        assert_eq!(said(Verb::Post, 500, "got no worker upid - start worker failed"), Done::Unknown);
        assert_eq!(said(Verb::Post, 502, "Bad Gateway"), Done::Unknown);
        assert_eq!(said(Verb::Get, 500, "got timeout"), Done::None);
    }

    #[test]
    fn classes_and_remedies_follow_the_error() {
        let locked =
            ProxmoxError::Locked { at: at(Verb::Post), lock: "backup".into(), message: "VM is locked (backup)".into() };
        let failure = proxmox("user a@pam", "x", &locked);
        assert_eq!(failure.class, Class::Locked);
        assert!(failure.remedy.unwrap().contains("backup"));
        let ssh_lost = ssh("x", &SshError::Deadline { host: "pve1".into() });
        assert_eq!((ssh_lost.class, ssh_lost.done), (Class::Timeout, Done::Unknown));
        let hidden = hidden("list the guests", "token a@pve!t", "VM.Audit", "/vms");
        assert!(hidden.cause.starts_with("token a@pve!t lacks VM.Audit on /vms"), "{}", hidden.cause);
    }
}
