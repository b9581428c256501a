//! The lab: a simulated Proxmox VE and Talos site, faithful where a client can see it. Loopback only, ever.
//!
//! It knows nothing of runbooks and must never be adapted to our own client's mistakes.

pub mod access;
pub mod call;
pub mod fault;
pub mod front;
pub mod kubernetes;
pub mod ledger;
pub mod netbox;
pub mod scenario;
pub mod ssh;
pub mod talos;
pub mod world;
