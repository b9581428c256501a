//! Calls of which not all is known yet: those in a file whose path and parameters hold expressions.

use std::collections::BTreeMap;

use serde_json::Value;

use super::method::Method;
use super::schema::Schema;
use super::verb::Verb;
use super::violation::Violation;

/// The versions that the data is of, newest first.
pub const VERSIONS: [&str; 2] = [super::NEWEST, "8.4.2"];

/// A segment of a path; `None` where it is known later.
pub type PathPart<'a> = Option<&'a str>;

/// Whether some call of this shape is one that a server of that version takes. A parameter without a value is known
/// later.
///
/// # Errors
/// No path of that shape, or all that is wrong with what is known, of the path that comes nearest.
pub fn check_shape(
    version: &str,
    verb: Verb,
    path: &[PathPart<'_>],
    params: &BTreeMap<String, Option<Value>>,
) -> Result<&'static Method, Violation> {
    let schema = Schema::version(version);
    let spelt = || path.iter().map(|part| format!("/{}", part.unwrap_or("…"))).collect::<String>();
    let mut nearest = None;
    for (method, values) in candidates(schema, verb, path) {
        let given = params.iter().chain(&values).map(|(name, value)| (name.clone(), value.clone())).collect();
        match method.validate_known(&given) {
            Ok(()) => return Ok(method),
            Err(errors) => nearest = nearest.or(Some(errors)),
        }
    }
    Err(match nearest {
        Some(errors) => Violation::Parameters { verb, path: spelt(), errors },
        None => Violation::Unknown { version: schema.version, verb, path: spelt() },
    })
}

type Values = BTreeMap<String, Option<Value>>;

/// The methods that the path may mean, with the values of its names. A path that is known means the one that the server
/// would take.
fn candidates(schema: &'static Schema, verb: Verb, path: &[PathPart<'_>]) -> Vec<(&'static Method, Values)> {
    if let Some(parts) = path.iter().copied().collect::<Option<Vec<&str>>>() {
        let found = schema.find(verb, &format!("/{}", parts.join("/")));
        let known = |values: BTreeMap<String, String>| values.into_iter().map(|(k, v)| (k, Some(v.into()))).collect();
        return found.map(|(method, values)| (method, known(values))).into_iter().collect();
    }
    schema
        .methods()
        .filter(|method| method.verb == verb)
        .filter_map(|method| Some((method, fits(&method.template, path)?)))
        .collect()
}

fn fits(template: &str, path: &[PathPart<'_>]) -> Option<Values> {
    let names: Vec<&str> = template.split('/').filter(|segment| !segment.is_empty()).collect();
    let mut values = Values::new();
    for (i, segment) in names.iter().enumerate() {
        let name = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
        match (name, *path.get(i)?) {
            // A volume takes the rest of the path, slashes included.
            (Some("volume"), _) => {
                let rest: Option<Vec<&str>> = path[i..].iter().copied().collect();
                values.insert("volume".into(), rest.map(|rest| rest.join("/").into()));
                return Some(values);
            }
            (Some(name), part) => drop(values.insert(name.to_owned(), part.map(Value::from))),
            (None, Some(part)) if part != *segment => return None,
            (None, _) => {}
        }
    }
    (names.len() == path.len()).then_some(values)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(verb: Verb, path: &[PathPart<'_>], params: &[(&str, Option<Value>)]) -> Result<&'static str, String> {
        let params = params.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        check_shape("9.2.3", verb, path, &params).map(|m| m.template.as_str()).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_known_later_is_not_missed_and_what_is_known_is_checked() {
        let path = [Some("nodes"), None, Some("qemu"), None, Some("migrate")];
        let template = "/nodes/{node}/qemu/{vmid}/migrate";
        assert_eq!(check(Verb::Post, &path, &[("target", None)]), Ok(template));
        let wrong = check(Verb::Post, &path, &[("target", None), ("online", Some(json!("yes")))]).unwrap_err();
        assert_eq!(wrong, "POST /nodes/…/qemu/…/migrate: online: type check ('boolean') failed - got 'yes'");
        let name = check(Verb::Post, &path, &[("target", None), ("onlin", None)]).unwrap_err();
        assert!(name.contains("onlin: property is not defined"), "{name}");
        assert!(check(Verb::Post, &path, &[]).unwrap_err().contains("target: property is missing"));
    }

    #[test]
    fn an_open_segment_may_be_a_literal_one() {
        let path = [Some("nodes"), Some("pve1"), None, Some("104"), Some("status"), Some("current")];
        assert!(check(Verb::Get, &path, &[]).is_ok());
        assert_eq!(
            check(Verb::Get, &[Some("nodes"), None, Some("quemu")], &[]),
            Err("Proxmox VE 9.2.3 has no GET /nodes/…/quemu".into())
        );
        let volume = [Some("nodes"), None, Some("storage"), Some("local"), Some("content"), Some("a:iso"), Some("b")];
        assert_eq!(check(Verb::Delete, &volume, &[]), Ok("/nodes/{node}/storage/{storage}/content/{volume}"));
    }
}
