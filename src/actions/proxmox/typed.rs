//! Commands for a person who takes over by hand, to type as root on any node of the cluster. A line that begins with
//! `# ` is for reading.

use crate::clients::proxmox::{Params, Verb, seg};
use crate::model::ids::{GuestKind, NodeName, Vmid};
use crate::model::shell;

/// `pvesh create PATH --name value`: the same POST, which waits until the task that it starts has ended.
pub fn create(path: &str, params: &Params) -> String {
    call(Verb::Post, path, params)
}

/// The same for any verb: `pvesh get`, `create`, `set`, `delete`.
pub fn call(verb: Verb, path: &str, params: &Params) -> String {
    let word = match verb {
        Verb::Get => "get",
        Verb::Post => "create",
        Verb::Put => "set",
        Verb::Delete => "delete",
    };
    let options = params.as_slice().iter().flat_map(|(name, value)| [format!("--{name}"), value.clone()]);
    shell::line(["pvesh".to_owned(), word.to_owned(), path.to_owned()].into_iter().chain(options))
}

/// Where to see that it is done, and what to see there.
pub fn check(command: &str, wanted: &str) -> String {
    format!("# check: {command}  ({wanted})")
}

/// A look at a guest on a node.
pub fn check_guest(node: &NodeName, kind: GuestKind, vmid: Vmid, wanted: &str) -> String {
    check(&shell::line(["pvesh", "get", &format!("/nodes/{}/{kind}/{vmid}/status/current", seg(node))]), wanted)
}
