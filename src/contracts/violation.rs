//! For our own side of a call: would the server take it?

use std::collections::BTreeMap;

use serde_json::Value;

use super::schema::Schema;
use super::validate::Errors;
use super::verb::Verb;

/// Why a server of that version would refuse a call before looking at any state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("Proxmox VE {version} has no {verb} {path}")]
    Unknown { version: &'static str, verb: Verb, path: String },
    #[error("{verb} {path}: {}", list(errors))]
    Parameters { verb: Verb, path: String, errors: Errors },
}

fn list(errors: &Errors) -> String {
    errors.iter().map(|(name, text)| format!("{name}: {}", text.trim_end())).collect::<Vec<_>>().join("; ")
}

/// Checks a call as a client means to send it: a concrete path, percent-decoded, and a form's parameters.
///
/// # Errors
/// An unknown path or verb, or every parameter that is wrong.
pub fn check_call(
    version: &str,
    verb: Verb,
    path: &str,
    params: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Violation> {
    let schema = Schema::version(version);
    let (method, values) = schema.find(verb, path).ok_or_else(|| Violation::Unknown {
        version: schema.version,
        verb,
        path: path.to_owned(),
    })?;
    let all: BTreeMap<String, Value> =
        params.iter().chain(&values).map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    method.validate(&all).map_err(|errors| Violation::Parameters { verb, path: path.to_owned(), errors })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_call_says_what_is_wrong() {
        let params = BTreeMap::from([("online".to_owned(), "yes".to_owned())]);
        let path = "/nodes/pve1/qemu/104/migrate";
        let error = check_call("9.2.3", Verb::Post, path, &params).unwrap_err();
        assert_eq!(
            error.to_string(),
            "POST /nodes/pve1/qemu/104/migrate: online: type check ('boolean') failed - got 'yes'; \
             target: property is missing and it is not optional"
        );
        let error = check_call("8.4.1", Verb::Get, "/cluster/ha/rules", &BTreeMap::new()).unwrap_err();
        assert_eq!(error.to_string(), "Proxmox VE 8.4.2 has no GET /cluster/ha/rules");
        let params = BTreeMap::from([("target".to_owned(), "pve2".to_owned())]);
        assert_eq!(check_call("9", Verb::Post, path, &params).unwrap()["vmid"], "104");
    }
}
