//! One binary for all integration tests: linking is what costs time here.

mod architecture;
mod bad_input;
mod commands;
mod docs;
mod faults;
mod harness;
mod inject;
mod kill;
mod ledger;
mod pages;
mod pass_store;
mod pictures;
mod plans;
mod real_pass;
mod real_ssh;
mod rig;
mod scenarios;
mod secrets;
mod signals;
mod yaml_errors;
