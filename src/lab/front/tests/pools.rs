//! Rights that come and go with pools: the access control list is the front's, the pools are the world's.

use crate::lab::access::Access;
use crate::lab::front::fake::quick;
use crate::lab::front::{Answer, Body, Lab, LabOptions, Listen, Request};
use crate::lab::scenario::Scenario;
use crate::lab::world::World;

async fn lab() -> Lab {
    let world = World::from_scenario(&Scenario::named("two-node").unwrap(), 7, 1_795_262_400);
    let mut access = Access::new();
    access.add_user("team@pve");
    access.add_token("team@pve!t", false);
    access.allow("/pool/team", "team@pve", "PVEVMAdmin");
    access.add_token("ops@pve!one", true);
    access.allow("/pool/team", "ops@pve!one", "PVEAdmin");
    let options = LabOptions { listen: Listen::Nowhere, timing: quick(), access, ..LabOptions::new(world) };
    Lab::start(options).await.unwrap()
}

async fn ask(lab: &Lab, token: &str, request: Request) -> (u16, String, Body) {
    let secret = lab.access().token_secret(token).unwrap().to_owned();
    match lab.request(&"pve1".into(), request.token(token, &secret)).await {
        Answer::Response(response) => (response.status, response.reason, response.body),
        other => panic!("{other:?}"),
    }
}

fn pool(method: &str) -> Request {
    Request::new(method, "/pools").param("poolid", "team")
}

#[tokio::test(start_paused = true)]
async fn a_guest_has_the_rights_of_its_pool() {
    let lab = lab().await;
    let shut_down = || Request::new("POST", "/nodes/pve2/qemu/104/status/shutdown");
    let (status, reason, _) = ask(&lab, "team@pve!t", shut_down()).await;
    assert_eq!((status, reason.as_str()), (403, "Permission check failed (/vms/104, VM.PowerMgmt)"));
    let listed = |body: &Body| matches!(body, Body::Json(json) if json.to_string().contains("qemu/104"));
    let resources = || Request::new("GET", "/cluster/resources");
    assert!(!listed(&ask(&lab, "team@pve!t", resources()).await.2));
    assert_eq!(ask(&lab, "ops@pve!runbook", pool("POST")).await.0, 200);
    assert_eq!(ask(&lab, "ops@pve!runbook", pool("PUT").param("vms", "104")).await.0, 200);
    assert!(listed(&ask(&lab, "team@pve!t", resources()).await.2));
    assert_eq!(ask(&lab, "team@pve!t", shut_down()).await.0, 200);
    let (_, _, body) = ask(&lab, "team@pve!t", Request::new("GET", "/access/permissions")).await;
    let Body::Json(body) = body else { panic!("{body:?}") };
    assert_eq!(body["data"]["/vms/104"]["VM.Migrate"], 0, "it goes no further: {body}");
}

/// Why the right to lock a site must not be given on the pool's own path.
#[tokio::test(start_paused = true)]
async fn the_entries_of_a_pool_go_with_it() {
    let lab = lab().await;
    assert_eq!(ask(&lab, "ops@pve!one", pool("POST")).await.0, 200);
    assert_eq!(ask(&lab, "ops@pve!one", pool("DELETE")).await.0, 200);
    let (status, reason, _) = ask(&lab, "ops@pve!one", pool("POST")).await;
    assert_eq!((status, reason.as_str()), (403, "Permission check failed (/pool/team, Pool.Allocate)"));
}
