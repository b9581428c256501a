//! ACME: accounts, DNS plugins, the names of nodes, and their certificates.

mod account;
mod certificates;
mod domains;
mod order;
#[cfg(test)]
mod order_tests;
mod plugin;
mod uses;

pub use account::AcmeAccount;
pub use certificates::Certificates;
pub use domains::AcmeDomains;
pub use order::CertificateOrder;
pub use plugin::AcmePlugin;

use serde_json::Value;

use crate::engine::ports::Call;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};

/// What a node shows in place of the certificate that it was installed with.
const CUSTOM: &str = "pveproxy-ssl.pem";

fn is_absent(call: &Call) -> bool {
    call.get("state") == "absent"
}

fn state() -> Param {
    Param::new("state", ValueType::String)
        .choices(&["present", "absent"])
        .default_value("present")
        .help("absent takes it away")
}

fn text<'a>(call: &'a Call, name: &str) -> &'a str {
    call.get(name).as_str().unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

fn refused(attempted: impl Into<String>, cause: impl Into<String>) -> Failure {
    Failure::new(Class::Precondition, attempted, cause)
}
