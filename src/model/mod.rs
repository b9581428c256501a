//! Plain data: ids, values, configuration, runbooks and plans. No I/O, no async, no clock.

pub mod action_spec;
pub mod cluster;
pub mod effect;
pub mod failure;
pub mod ids;
pub mod inventory;
pub mod nearest;
pub mod notify;
pub mod param;
pub mod plan;
pub mod rehearsal;
pub mod runbook;
pub mod shell;
pub mod site;
pub mod talos;
pub mod value;
pub mod window;
pub mod world;
