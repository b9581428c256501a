//! What carries the machine's commands out and brings the answers back.

pub mod embedded;
pub mod memory;
