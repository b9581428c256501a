//! The client against a raw TLS server that sends literal bytes: what a well-behaved HTTP library would not send.

mod errors;
mod login;
mod sending;
mod server;
mod tasks;
mod trust;
