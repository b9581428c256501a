//! Acts on whatever listens on the network: a port that is waited for, a request over HTTP.

pub mod http;
mod source;
mod wait;

pub use http::{HttpGet, HttpRequest};
pub use source::NetSource;
pub use wait::WaitTcp;
