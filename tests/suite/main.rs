//! One binary for all integration tests: linking is what costs time here.

mod architecture;
mod bad_input;
mod commands;
mod harness;
mod ledger;
mod pass_store;
mod plans;
mod real_pass;
mod real_ssh;
mod scenarios;
mod secrets;
mod yaml_errors;
