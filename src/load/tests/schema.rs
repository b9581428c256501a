use serde_json::Value;

use super::*;
use crate::load::schema::{cluster_schema, runbook_schema, site_schema};

/// Every `$ref` of a schema leads somewhere, and every object is closed or says of what it is a map.
fn check(root: &Value, node: &Value) {
    match node {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get("$ref") {
                assert!(root.pointer(target.trim_start_matches('#')).is_some(), "{target}");
            }
            if let Some(Value::String(pattern)) = map.get("pattern") {
                regex::Regex::new(pattern).unwrap();
            }
            if map.contains_key("properties") && map.get("type").is_some() {
                assert_eq!(map["additionalProperties"], false);
            }
            map.values().for_each(|value| check(root, value));
        }
        Value::Array(items) => items.iter().for_each(|value| check(root, value)),
        _ => {}
    }
}

#[test]
fn schemas_are_closed_and_lead_somewhere() {
    for schema in [runbook_schema(&catalogue()), site_schema(), cluster_schema()] {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        check(&schema, &schema);
    }
}

#[test]
fn the_schema_of_a_runbook_knows_the_keys_and_each_action() {
    let schema = runbook_schema(&catalogue());
    insta::assert_snapshot!(schema["required"], @r#"["runbook","schema","target","steps"]"#);
    insta::assert_snapshot!(schema["$defs"]["step"]["properties"]["needs"], @r#"{"type":"array","items":{"type":"string","pattern":"^[a-z][a-z0-9_]*$"},"description":"siblings that come first; absent: the step before it; []: none"}"#);
    insta::assert_snapshot!(schema["$defs"]["step"]["properties"]["confirm"], @r#"{"anyOf":[{"type":"string"},{"type":"object","additionalProperties":false,"properties":{"message":{"description":"the question"},"show":{"description":"what the person should see first"},"type":{"description":"the word that must be typed"}},"required":["message"]}],"description":"a question to a person"}"#);
    let call = schema["$defs"]["step"]["allOf"]
        .as_array()
        .unwrap()
        .iter()
        .find(|call| call["if"]["properties"]["uses"]["const"] == "proxmox.guest_migrate")
        .unwrap();
    insta::assert_snapshot!(call, @r#"{"title":"Move a guest","if":{"properties":{"uses":{"const":"proxmox.guest_migrate"}},"required":["uses"]},"then":{"required":["with"],"properties":{"with":{"type":"object","additionalProperties":false,"properties":{"guest":{"anyOf":[{"type":["integer","string"]},{"type":"string","pattern":"\\{\\{"}],"description":"guest"},"to":{"anyOf":[{"type":"string"},{"type":"string","pattern":"\\{\\{"}],"description":"node"},"mode":{"anyOf":[{"enum":["live","offline","restart"]},{"type":"string","pattern":"\\{\\{"}],"description":"string"},"storages":{"anyOf":[{"type":"object"},{"type":"string","pattern":"\\{\\{"}],"description":"map"}},"required":["guest","to"]}}}}"#);
}

#[test]
fn the_schema_of_a_site_is_the_checkers_table() {
    let schema = site_schema();
    insta::assert_snapshot!(schema["properties"]["credentials"], @r#"{"type":"object","additionalProperties":false,"properties":{"pass_path":{"type":"string","description":"a pass entry: first line the token id, last line the secret"},"token":{"type":"string","pattern":"^(pass|env|file|cmd|op|vault|sops):.","description":"a reference to an API token"},"user":{"type":"string","description":"for a login with a ticket: user@realm"},"password":{"type":"string","pattern":"^(pass|env|file|cmd|op|vault|sops):.","description":"a reference to the user's password"},"ssh_user":{"type":"string","description":"default root"},"ssh_config":{"type":"string","description":"default: ssh's own"}},"description":"how to log in: references, never the secrets"}"#);
    insta::assert_snapshot!(schema["properties"]["vmid_ranges"], @r#"{"type":"object","additionalProperties":false,"properties":{"templates":{"type":"string","pattern":"^[0-9]+ *- *[0-9]+$","description":"of templates, such as 100-999"},"vms":{"type":"string","pattern":"^[0-9]+ *- *[0-9]+$","description":"of VMs, such as 1000-9999"}},"description":"which VMIDs are for what"}"#);
}

#[test]
fn the_catalogue_may_be_empty() {
    let schema = runbook_schema(&Default::default());
    assert!(schema["$defs"]["step"].get("allOf").is_none());
    check(&schema, &schema);
}
