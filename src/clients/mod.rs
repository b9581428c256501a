//! Outside systems. Nothing here knows of runbooks, steps or plans: calls, answers and errors only.

pub mod proxmox;
