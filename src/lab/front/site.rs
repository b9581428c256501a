//! What the front asks of a world: a synchronous state machine behind one lock, which knows no transport.

use std::time::Duration;

use crate::lab::access::Memberships;
use crate::lab::call::{Call, CommandReply, ProgramReply, PveError, Reply};
use crate::lab::fault::WorldFault;
use crate::lab::kubernetes::{Ask, Said};
use crate::model::ids::{Fingerprint, NodeName};

/// The simulated site's state. Every method returns at once; time passes only in `advance_to`.
pub trait SiteWorld: std::any::Any + Send {
    /// One API call, already checked against the schema and the caller's privileges.
    ///
    /// # Errors
    /// What the server would answer, in its own words.
    fn handle(&mut self, call: &Call) -> Result<Reply, PveError>;

    /// How long the call holds its worker, in real time, beyond what every call does: one that waits for a guest.
    fn busy(&self, _: &Call) -> Duration {
        Duration::ZERO
    }

    /// Whether the cluster's configuration takes writes.
    ///
    /// # Errors
    /// It has no quorum, in the server's words.
    fn check_quorum(&self) -> Result<(), PveError> {
        Ok(())
    }

    /// Which pools an object's rights are inherited from, by its ACL path.
    fn memberships(&self) -> Memberships {
        Memberships::new()
    }

    /// One command run on a node over SSH.
    fn command(&mut self, node: &NodeName, argv: &[String]) -> CommandReply;

    /// One call of talosctl of this minor version (nothing: the newest) on the operator's own machine.
    /// `file`: what is in the one that its words name, where they name one that it reads.
    fn talosctl(&mut self, version: Option<&str>, words: &[String], file: Option<&str>) -> ProgramReply {
        let _ = (version, words, file);
        ProgramReply { exit: 1, stderr: "there is no Talos here\n".into(), ..ProgramReply::default() }
    }

    /// The end of one that waits, once it is there.
    fn talosctl_ended(&mut self, id: u64) -> Option<ProgramReply> {
        let _ = id;
        Some(ProgramReply::default())
    }

    /// One that waits is gone, or has had enough: what it says then.
    fn talosctl_gone(&mut self, id: u64) -> ProgramReply {
        let _ = id;
        ProgramReply::default()
    }

    /// What must never have been of the Talos machines, in words.
    fn talos_violations(&self) -> Vec<String> {
        Vec::new()
    }

    /// Why nobody answers as a Kubernetes API at an address (nothing: the cluster's own), as a dialer says it.
    fn kubernetes_refuses(&self, server: Option<&str>) -> Option<String> {
        Some(format!("dial tcp {}:6443: connect: no route to host", server.unwrap_or("10.0.0.50")))
    }

    /// One request that has come to a Kubernetes API.
    fn kubernetes(&mut self, ask: &Ask) -> Said {
        let _ = ask;
        Said::failed(503, "ServiceUnavailable", "there is no Kubernetes here")
    }

    /// World time in milliseconds since 1970.
    fn now_ms(&self) -> u64;

    /// When something is due to happen by itself, in world time; `None` where nothing is.
    fn next_event(&self) -> Option<u64>;

    /// Lets time pass up to this instant; never back.
    fn advance_to(&mut self, ms: u64);

    /// Nodes that have taken another certificate since this was asked last, with the names in it; none: their own again.
    fn reloaded(&mut self) -> Vec<(NodeName, Option<Vec<String>>)> {
        Vec::new()
    }

    /// What a node shows from now on.
    fn set_shown(&mut self, node: &NodeName, fingerprint: Fingerprint) {
        let _ = (node, fingerprint);
    }

    fn node_up(&self, node: &NodeName) -> bool;

    /// Every node of the site, whether up or down, in a stable order.
    fn nodes(&self) -> Vec<NodeName>;

    /// The version a node runs (`9.2.11`).
    fn version(&self, node: &NodeName) -> String;

    /// Makes a fault of the world's own happen.
    ///
    /// # Errors
    /// Says why it cannot be: a guest or node that does not exist.
    fn inject(&mut self, fault: &WorldFault) -> Result<(), String>;
}
