//! What touches the machine: files, child processes, the clock, HTTP. It knows nothing of runbooks or Proxmox,
//! and uses nothing else of this crate.

pub mod clock;
pub mod files;
pub mod http;
pub mod process;
