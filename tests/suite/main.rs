//! One binary for all integration tests: linking is what costs time here.

mod architecture;
mod bad_input;
mod commands;
mod docs;
mod faults;
mod harness;
mod inject;
mod journal;
mod kill;
mod large;
mod ledger;
mod local;
mod notify;
mod pass_store;
mod pictures;
mod plans;
mod policy;
mod real_pass;
mod real_ssh;
mod rig;
mod scenarios;
mod secrets;
mod signals;
mod site_lock;
mod takeover;
mod yaml_errors;
