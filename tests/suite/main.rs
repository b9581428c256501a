//! One binary for all integration tests: linking is what costs time here.

mod architecture;
mod docs;
mod faults;
mod inject;
mod kill;
mod pass_store;
mod pictures;
mod real_pass;
mod real_ssh;
mod rig;
mod signals;
