//! The routes against the official schemas, and the recorded site against the recorded bodies.

use std::io::Read as _;

use super::*;

fn schema(bytes: &[u8]) -> Value {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["paths"].take()
}

#[test]
fn every_route_is_in_the_schema_and_newer_ones_only_in_the_newer() {
    let nine = schema(include_bytes!("../../../../data/pve-api-9.2.3.json.gz"));
    let eight = schema(include_bytes!("../../../../data/pve-api-8.4.2.json.gz"));
    let routes = route::all();
    assert!(routes.len() > 60);
    for (verb, path) in routes {
        let name = match verb {
            Verb::Get => "GET",
            Verb::Post => "POST",
            Verb::Put => "PUT",
            Verb::Delete => "DELETE",
        };
        assert!(nine[&path].get(name).is_some(), "9.2.3 has no {name} {path}");
        let call = Call { template: path.clone(), ..call(verb, "/version", &[]) };
        assert_eq!(eight[&path].get(name).is_none(), route::nine_only(&call), "8.4.2 and {name} {path}");
    }
}

#[test]
fn the_recorded_site_shows_what_was_recorded() {
    let text = include_str!("../../scenario/recorded/gp-cluster-resources.json");
    let recorded: Value = serde_json::from_str(text).unwrap();
    let mut world = site("recorded");
    for expected in recorded["data"].as_array().unwrap() {
        let id = expected["id"].as_str().unwrap();
        let shown = row(&mut world, id);
        for key in [
            "type",
            "status",
            "node",
            "maxmem",
            "maxcpu",
            "maxdisk",
            "template",
            "plugintype",
            "content",
            "shared",
            "cgroup-mode",
            "tags",
            "vmid",
            "level",
        ] {
            assert_eq!(shown.get(key), expected.get(key), "{id} {key}");
        }
        for (key, value) in expected.as_object().unwrap() {
            let same_kind = shown.get(key).is_some_and(|other| other.is_string() == value.is_string());
            assert!(same_kind, "{id} has no {key} like {value}: {shown}");
        }
    }
}
