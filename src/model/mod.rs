//! Plain data: ids, values, configuration, runbooks and plans. No I/O, no async, no clock.

pub mod ids;
