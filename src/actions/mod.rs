//! The catalogue of actions: what a runbook can use.

pub mod proxmox;
