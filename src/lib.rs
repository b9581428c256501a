//! `runbook`: a workflow engine for infrastructure procedures on Proxmox VE and Talos.
//!
//! A run is a fold over its journal; a pure machine decides what happens next; a driver, the only writer of
//! the journal, does what it says; ports touch the world and nothing else does. `docs/architecture.md` shows
//! the house; `tests/suite/architecture.rs` fails on any `use` that goes against its arrows.

pub mod actions;
pub mod clients;
pub mod engine;
pub mod event;
pub mod graph;
pub mod lab;
pub mod model;
pub mod placement;
pub mod secrets;
pub mod sys;
