//! Every request is held against the official schema of the node that carries it out, and refused as Proxmox refuses it:
//! before the world hears of it. What is checked is in `front/dispatch.rs` (`route`, `check`), by `contracts`.

use serde_json::json;

use crate::contracts::VERSIONS;
use crate::lab::front::{Answer, Body, Lab, LabOptions, Listen, Request, Response};
use crate::lab::scenario::Scenario;
use crate::lab::world::World;

async fn lab(version: &str) -> Lab {
    let mut scenario = Scenario::named("tiny").unwrap();
    scenario.nodes.iter_mut().for_each(|node| version.clone_into(&mut node.version));
    let world = World::from_scenario(&scenario, 1, 1_795_262_400);
    Lab::start(LabOptions { listen: Listen::Nowhere, ..LabOptions::new(world) }).await.unwrap()
}

async fn asked(lab: &Lab, request: Request) -> Response {
    let secret = lab.access().token_secret("ops@pve!runbook").unwrap().to_owned();
    let answer = lab.request(&"pve1".into(), request.token("ops@pve!runbook", &secret)).await;
    let Answer::Response(response) = answer else { panic!("{answer:?}") };
    response
}

fn wrong(response: &Response) -> serde_json::Value {
    let Body::Json(body) = &response.body else { panic!("{response:?}") };
    assert_eq!((response.status, response.reason.as_str()), (400, "Parameter verification failed."));
    body["errors"].clone()
}

#[tokio::test(start_paused = true)]
async fn what_the_schema_has_not_is_refused_in_both_versions() {
    assert_eq!(VERSIONS.len(), 2, "{VERSIONS:?}");
    for version in VERSIONS {
        let lab = lab(version).await;
        let set = || Request::new("PUT", "/nodes/pve2/qemu/104/config");
        let undefined = "property is not defined in schema and the schema does not allow additional properties";
        assert_eq!(wrong(&asked(&lab, set().param("memmory", "1024")).await), json!({"memmory": undefined}));
        let boolean = wrong(&asked(&lab, set().param("onboot", "true")).await);
        assert_eq!(boolean, json!({"onboot": "type check ('boolean') failed - got 'true'"}));
        let missing = wrong(&asked(&lab, Request::new("POST", "/nodes/pve2/qemu/104/migrate")).await);
        assert_eq!(missing, json!({"target": "property is missing and it is not optional"}));
        for (verb, path) in [("GET", "/cluster/nothing"), ("PUT", "/nodes/pve2/qemu/104/migrate")] {
            let response = asked(&lab, Request::new(verb, path)).await;
            assert_eq!(response.reason, format!("Method '{verb} {path}' not implemented"), "{version}");
            assert_eq!(response.status, 501);
        }
        assert!(lab.ledger().entries().iter().all(|entry| !entry.accepted), "{version}: the world heard of it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_of_the_newer_version_is_none_of_the_older() {
    let rule = || {
        let request = Request::new("POST", "/cluster/ha/rules").param("rule", "home").param("type", "node-affinity");
        request.param("resources", "vm:111").param("nodes", "pve1")
    };
    let (nine, eight) = (lab("9.2.3").await, lab("8.4.2").await);
    assert_eq!(asked(&nine, rule()).await.status, 200);
    assert_eq!(asked(&eight, rule()).await.reason, "Method 'POST /cluster/ha/rules' not implemented");
}
