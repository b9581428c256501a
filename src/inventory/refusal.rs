//! The kinds of "no" that a server has for a question to a guest, told apart by its literal words.
//!
//! Source: PVE::QemuServer::Agent (`agent_available`, `agent_cmd`), PVE::QMPClient.

use crate::model::inventory::{Reason, Unknown};

/// What the text of an error says of an agent; nothing where it says something else.
pub fn refusal(text: &str) -> Option<Unknown> {
    let has = |part: &str| text.contains(part);
    let told = |reason, text: &str| Some(Unknown::new(reason, text));
    if has("No QEMU guest agent configured") {
        return told(Reason::AgentNotConfigured, "no guest agent is configured");
    }
    // Before the next one: both end alike.
    if has("QEMU guest agent is not running") {
        return told(Reason::AgentNotRunning, "its guest agent does not run");
    }
    if has("is not running") || has("not running") && has("VM ") {
        return told(Reason::GuestStopped, "it is stopped");
    }
    if has("got timeout") || has("timed out") || has("timeout") && has("qga") {
        return told(Reason::AgentTimeout, "its guest agent did not answer in time");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_words_are_told_apart() {
        for (text, reason) in [
            ("GET /x on pve1: No QEMU guest agent configured (500)", Reason::AgentNotConfigured),
            ("VM 100 is not running", Reason::GuestStopped),
            ("QEMU guest agent is not running", Reason::AgentNotRunning),
            ("VM 100 qga command 'guest-network-get-interfaces' failed - got timeout", Reason::AgentTimeout),
            ("VM 100 qmp command 'guest-network-get-interfaces' failed - got timeout", Reason::AgentTimeout),
        ] {
            assert_eq!(refusal(text).map(|unknown| unknown.reason), Some(reason), "{text}");
        }
        assert_eq!(refusal("Permission check failed (/vms/100, VM.Monitor)"), None);
    }
}
