//! Outside systems. Nothing here knows of runbooks, steps or plans: calls, answers and errors only.

mod class;
pub mod keeper;
pub mod kubernetes;
pub mod local;
pub mod net;
pub mod netbox;
pub mod notify;
pub mod proxmox;
pub mod ssh;
pub mod talos;

pub use class::Class;
