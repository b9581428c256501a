//! Users, roles, entries and tokens that are made and taken away, with the server's own words for what it refuses.

use serde_json::{Value, json};

use crate::contracts::Schema;
use crate::lab::front::fake::quick;
use crate::lab::front::{Answer, Body, Lab, LabOptions, Listen, Request};
use crate::lab::scenario::Scenario;
use crate::lab::world::World;

struct Desk {
    lab: Lab,
    cookie: String,
    csrf: String,
}

fn data(answer: Answer) -> (u16, String, Value) {
    let Answer::Response(response) = answer else { panic!("{answer:?}") };
    match response.body {
        Body::Json(body) => (response.status, response.reason, body),
        _ => (response.status, response.reason, Value::Null),
    }
}

impl Desk {
    async fn open(scenario: &str) -> Self {
        let world = World::from_scenario(&Scenario::named(scenario).unwrap(), 7, 1_795_262_400);
        let options = LabOptions { listen: Listen::Nowhere, timing: quick(), ..LabOptions::new(world) };
        let lab = Lab::start(options).await.unwrap();
        let password = lab.access().password("root@pam").unwrap();
        let login =
            Request::new("POST", "/access/ticket").param("username", "root@pam").param("password", password.as_str());
        let (_, _, body) = data(lab.request(&"pve1".into(), login).await);
        let text = |name: &str| body["data"][name].as_str().unwrap().to_owned();
        Self { cookie: format!("PVEAuthCookie={}", text("ticket")), csrf: text("CSRFPreventionToken"), lab }
    }

    async fn ask(&self, method: &str, path: &str, params: &[(&str, &str)]) -> (u16, String, Value) {
        let request =
            params.iter().fold(Request::new(method, path), |request, (name, value)| request.param(name, *value));
        let request = Request { cookie: Some(self.cookie.clone()), csrf: Some(self.csrf.clone()), ..request };
        data(self.lab.request(&"pve1".into(), request).await)
    }

    async fn done(&self, method: &str, path: &str, params: &[(&str, &str)]) -> Value {
        let (status, reason, body) = self.ask(method, path, params).await;
        assert_eq!(status, 200, "{method} {path}: {reason} {body}");
        body["data"].clone()
    }

    async fn refused(&self, method: &str, path: &str, params: &[(&str, &str)], status: u16, text: &str) {
        let (got, reason, body) = self.ask(method, path, params).await;
        assert_eq!(got, status, "{method} {path}: {reason} {body}");
        assert!(format!("{reason} {body}").contains(text), "{text}: {reason} {body}");
    }
}

const TOKEN: &str = "/access/users/auto@pve/token/runbook";

#[tokio::test(start_paused = true)]
async fn a_service_user_gets_its_rights_and_loses_them() {
    let desk = Desk::open("tiny").await;
    desk.done("POST", "/access/roles", &[("roleid", "Watcher"), ("privs", "VM.Audit,Sys.Audit")]).await;
    desk.done("POST", "/access/users", &[("userid", "auto@pve"), ("comment", "x")]).await;
    let acl = [("path", "/vms/"), ("roles", "Watcher"), ("users", "auto@pve")];
    desk.done("PUT", "/access/acl", &acl).await;
    let made = desk.done("POST", TOKEN, &[("privsep", "1"), ("expire", "0")]).await;
    assert_eq!(
        (&made["full-tokenid"], &made["info"]),
        (&json!("auto@pve!runbook"), &json!({"privsep": 1, "expire": 0}))
    );
    let secret = made["value"].as_str().unwrap();
    let own = || Request::new("GET", "/access/permissions").token("auto@pve!runbook", secret);
    let (_, _, body) = data(desk.lab.request(&"pve1".into(), own()).await);
    assert_eq!(body["data"], json!({}), "privilege separation leaves it nothing of its own");
    desk.done("PUT", "/access/acl", &[("path", "/vms"), ("roles", "Watcher"), ("tokens", "auto@pve!runbook")]).await;
    let (_, _, body) = data(desk.lab.request(&"pve1".into(), own()).await);
    assert_eq!(body["data"]["/vms"], json!({"Sys.Audit": 1, "VM.Audit": 1}));
    desk.done("PUT", "/access/users/auto@pve", &[("enable", "0")]).await;
    let (status, reason, _) = data(desk.lab.request(&"pve1".into(), own()).await);
    assert_eq!((status, reason.as_str()), (401, "Authentication failed!"));
    let users = desk.done("GET", "/access/users", &[("full", "1")]).await;
    let own = users.as_array().unwrap().iter().find(|row| row["userid"] == "auto@pve").unwrap();
    assert_eq!(own["tokens"], json!([{"tokenid": "runbook", "privsep": 1, "expire": 0}]));
    assert!(!users.to_string().contains(secret), "a secret is said once only");
    desk.done("DELETE", "/access/users/auto@pve", &[]).await;
    let acl = desk.done("GET", "/access/acl", &[]).await.to_string();
    assert!(!acl.contains("auto@pve"), "its entries go with it: {acl}");
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_refused_in_the_servers_words() {
    let desk = Desk::open("tiny").await;
    let refused = async |method: &str, path: &str, params: &[(&str, &str)], status, text: &str| {
        desk.refused(method, path, params, status, text).await;
    };
    let role = |name| [("roleid", name), ("privs", "VM.Audit")];
    refused("POST", "/access/roles", &role("PveX"), 400, "cannot use role ID starting with").await;
    refused("POST", "/access/roles", &role("Runbook"), 500, "create role failed: role 'Runbook' already exists").await;
    refused(
        "POST",
        "/access/roles",
        &[("roleid", "X"), ("privs", "VM.Monitor")],
        400,
        "invalid privilege 'VM.Monitor'",
    )
    .await;
    refused("PUT", "/access/roles/PVEAdmin", &[], 500, "auto-generated role 'PVEAdmin' cannot be modified").await;
    refused("DELETE", "/access/roles/X", &[], 500, "delete role failed: role 'X' does not exist").await;
    refused(
        "POST",
        "/access/users",
        &[("userid", "ops@pve")],
        500,
        "create user failed: user 'ops@pve' already exists",
    )
    .await;
    refused("PUT", "/access/users/x@pve", &[], 500, "update user failed: no such user ('x@pve')").await;
    let acl = |path, who| [("path", path), ("roles", "Runbook"), ("users", who)];
    refused("PUT", "/access/acl", &acl("/nowhere", "ops@pve"), 400, "invalid ACL path '/nowhere'").await;
    refused("PUT", "/access/acl", &acl("/", "x@pve"), 500, "ACL update failed: user 'x@pve' does not exist").await;
    refused("PUT", "/access/acl", &acl("/", "")[..2], 400, "either 'users', 'groups' or 'tokens' is required.").await;
    refused("POST", "/access/users/ops@pve/token/runbook", &[], 400, "Token already exists.").await;
    refused("POST", TOKEN, &[], 500, "no such user ('auto@pve')").await;
    refused("DELETE", "/access/users/ops@pve/token/none", &[], 500, "no such token 'none' for user 'ops@pve'").await;
    let refusal = "role 'X' does not exist";
    refused("PUT", "/access/acl", &[("path", "/"), ("roles", "X"), ("users", "ops@pve")], 500, refusal).await;
}

#[tokio::test(start_paused = true)]
async fn eight_and_nine_know_other_privileges() {
    let desk = Desk::open("mixed-version").await;
    desk.done("POST", "/access/roles", &[("roleid", "X"), ("privs", "VM.Monitor")]).await;
    let nine = [("roleid", "Y"), ("privs", "VM.GuestAgent.Audit")];
    desk.refused("POST", "/access/roles", &nine, 400, "invalid privilege 'VM.GuestAgent.Audit'").await;
}

/// What the front answers below `/access` is in the official schemas.
#[test]
fn every_call_is_in_the_schema() {
    use crate::contracts::Verb::{Delete, Get, Post, Put};
    let token = "/access/users/{userid}/token/{tokenid}";
    let all = [
        (Get, "/access/users"),
        (Post, "/access/users"),
        (Get, "/access/users/{userid}"),
        (Put, "/access/users/{userid}"),
        (Delete, "/access/users/{userid}"),
        (Get, "/access/users/{userid}/token"),
        (Get, token),
        (Post, token),
        (Put, token),
        (Delete, token),
        (Get, "/access/roles"),
        (Post, "/access/roles"),
        (Get, "/access/roles/{roleid}"),
        (Put, "/access/roles/{roleid}"),
        (Delete, "/access/roles/{roleid}"),
        (Get, "/access/acl"),
        (Put, "/access/acl"),
        (Get, "/access/permissions"),
    ];
    for (verb, path) in all {
        for version in ["8.4.2", "9.2.3"] {
            let found = Schema::version(version).find(verb, &path.replace(['{', '}'], ""));
            assert_eq!(found.map(|(method, _)| method.template.as_str()), Some(path), "{version} {verb}");
        }
    }
}
