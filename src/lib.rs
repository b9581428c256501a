//! `runbook`: a workflow engine for infrastructure procedures on Proxmox VE and Talos.
//!
//! A run is a fold over its journal; a pure machine decides what happens next; a driver, the only writer of
//! the journal, does what it says; ports touch the world and nothing else does. `docs/explanation/architecture.md` shows
//! the house; `tests/suite/architecture.rs` fails on any `use` that goes against its arrows.

pub mod actions;
pub mod app;
pub mod cli;
pub mod clients;
pub mod contracts;
pub mod engine;
pub mod event;
pub mod expr;
pub mod graph;
pub mod inventory;
pub mod journal;
pub mod lab;
pub mod load;
pub mod model;
pub mod placement;
pub mod report;
pub mod secrets;
pub mod sys;
