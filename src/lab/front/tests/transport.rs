//! Connections: keep-alive, resets, proxying, content encodings, tickets, the ledger.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{Client, connect, endpoint, got, raw};
use crate::lab::fault::WorldFault;
use crate::lab::front::Lab;
use crate::lab::front::fake::{FakeWorld, UPID, lab, quick};

const MIGRATE: &str = "/nodes/pve1/qemu/104/migrate";

fn fault(lab: &Lab, text: &str) {
    lab.faults().add(text.parse().unwrap()).unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let lab = lab().await;
    let mut stream = connect(&endpoint(&lab, "pve1")).await;
    stream.write_all(b"GET /api2/json/version HTTP/1.1\r\nHost: a\r\n").await.unwrap();
    let secret = lab.access().token_secret("ops@pve!runbook").unwrap().to_owned();
    let rest = format!("Authorization: PVEAPIToken=ops@pve!runbook={secret}\r\n\r\n");
    stream.write_all(rest.as_bytes()).await.unwrap();
    let started = Instant::now();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("\"version\":\"9.2.11\""), "{answer}");
    let took = started.elapsed();
    assert!(took >= quick().keep_alive && took < quick().keep_alive * 5, "{took:?}");
}

#[tokio::test]
async fn a_connection_carries_a_hundred_requests() {
    let lab = lab().await;
    let one = "GET /api2/json/access/domains HTTP/1.1\r\nHost: a\r\n\r\n";
    let answers = raw(&endpoint(&lab, "pve1"), &one.repeat(101)).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 100);
    assert_eq!(answers.matches("connection: close").count(), 1);
}

#[tokio::test]
async fn plain_http_is_sent_to_https() {
    let lab = lab().await;
    let mut stream = tokio::net::TcpStream::connect(endpoint(&lab, "pve1").addr).await.unwrap();
    stream.write_all(b"GET /x HTTP/1.1\r\nHost: pve1:8006\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 301 Moved Permanently\r\nLocation: https://pve1:8006/x\r\n"), "{answer}");
}

#[tokio::test]
async fn verbs_sizes_and_types_have_their_limits() {
    let lab = lab().await;
    let client = Client::new(&lab, "pve1", "runbook");
    let patch = got(client.request("PATCH", "/version")).await.unwrap();
    assert_eq!((patch.status, patch.reason.as_str()), (501, "method 'PATCH' not available"));
    let big = got(client.request("POST", MIGRATE).form(&[("a", "x".repeat(600_000))])).await.unwrap();
    assert_eq!((big.status, big.text.as_str()), (501, "for data too large"));
    let xml = client.request("POST", MIGRATE).header("Content-Type", "text/xml").body("<a/>");
    assert_eq!(got(xml).await.unwrap().status, 506);
    let entries = lab.ledger().entries();
    assert_eq!(entries.iter().map(|entry| entry.status).collect::<Vec<_>>(), [501, 501, 506]);
    assert!(entries.iter().all(|entry| !entry.accepted));
    let not_api = raw(&endpoint(&lab, "pve1"), "GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(not_api.starts_with("HTTP/1.1 404 no such file '/x'"), "{not_api}");
}

#[tokio::test]
async fn forms_and_json_do_the_same() {
    let lab = lab().await;
    let client = Client::new(&lab, "pve1", "runbook");
    let form = client.post(MIGRATE, &[("target", "pve2"), ("online", "1")]).await;
    assert_eq!(form.json()["data"], UPID);
    let json = serde_json::json!({"target": "pve2", "online": true, "bwlimit": null});
    let json = got(client.request("POST", MIGRATE).json(&json)).await.unwrap();
    assert_eq!(json.status, 200, "{}", json.text);
    let words = client.post(MIGRATE, &[("target", "pve2"), ("online", "true")]).await;
    assert_eq!(words.json()["errors"]["online"], "type check ('boolean') failed - got 'true'");
    let twice = client.post(MIGRATE, &[("target", "pve2"), ("vmid", "104")]).await;
    assert_eq!(twice.json()["errors"]["vmid"], "duplicate parameter (already defined in URI)");
    lab.with_world_as::<FakeWorld, _>(|world| {
        assert_eq!(world.calls[0].params, world.calls[1].params);
        assert_eq!(world.calls[0].path["vmid"], "104");
        assert!(!world.calls[0].params.contains_key("vmid"));
        assert_eq!(world.calls.len(), 2);
    })
    .unwrap();
}

#[tokio::test]
async fn long_answers_are_compressed_and_lists_have_a_total() {
    let lab = lab().await;
    let client = Client::new(&lab, "pve1", "runbook");
    let response = client.request("GET", "/cluster/resources").send().await.unwrap();
    // reqwest takes the header away when it unpacks the body, and the length with it.
    assert_eq!(response.content_length(), None);
    let rows: serde_json::Value = response.json().await.unwrap();
    assert_eq!(rows["data"].as_array().unwrap().len(), 50);
    assert_eq!(client.get("/nodes/pve1/tasks").await.json()["total"], 7);
}

#[tokio::test]
async fn an_encoded_task_id_is_a_path_parameter() {
    let lab = lab().await;
    let encoded = UPID.replace(':', "%3A").replace('@', "%40").replace('!', "%21");
    let got = Client::new(&lab, "pve2", "runbook").get(&format!("/nodes/pve1/tasks/{encoded}/status")).await;
    assert_eq!(got.status, 200, "{}", got.text);
    let call = lab.with_world_as::<FakeWorld, _>(|world| world.calls.pop()).flatten().unwrap();
    assert_eq!((call.path["upid"].as_str(), call.via.as_str()), (UPID, "pve2"));
}

#[tokio::test]
async fn another_nodes_calls_are_passed_on() {
    let lab = lab().await;
    let client = Client::new(&lab, "pve1", "runbook");
    assert_eq!(client.get("/nodes/pve2/qemu/104/config").await.status, 200);
    let unknown = client.get("/nodes/pve9/qemu/104/config").await;
    assert_eq!(unknown.status, 500);
    assert!(unknown.reason.starts_with("hostname lookup 'pve9' failed - "), "{}", unknown.reason);
    // 9.2 knows this call, but it would run on a node of 8.4.
    assert_eq!(client.get("/nodes/pve2/lxc/104/migrate").await.status, 200);
    assert_eq!(client.get("/nodes/pve3/lxc/104/migrate").await.status, 501);
    assert_eq!(Client::new(&lab, "pve3", "runbook").get("/nodes/pve2/lxc/104/migrate").await.status, 501);
}

#[tokio::test]
async fn a_node_that_is_down_refuses_and_comes_back() {
    let lab = lab().await;
    let client = Client::new(&lab, "pve2", "runbook");
    assert_eq!(client.get("/version").await.status, 200);
    fault(&lab, "node-down:pve2");
    assert!(got(client.request("GET", "/version")).await.is_err());
    let other = Client::new(&lab, "pve1", "runbook").get("/nodes/pve2/status").await;
    assert_eq!((other.status, other.reason.as_str(), other.text.as_str()), (595, "No route to host", ""));
    fault(&lab, "node-up:pve2");
    assert_eq!(client.get("/version").await.status, 200);
}

#[tokio::test]
async fn a_reset_before_and_one_after_differ_in_the_ledger_alone() {
    let lab = lab().await;
    let client = Client::new(&lab, "pve1", "runbook");
    for (kind, taken) in [("reset-before", false), ("reset-after", true)] {
        fault(&lab, &format!("{kind}:POST /nodes/*/qemu/104/migrate*1"));
        let result = got(client.request("POST", MIGRATE).form(&[("target", "pve2")])).await;
        assert!(result.is_err(), "{kind}");
        let last = lab.ledger().entries().pop().unwrap();
        assert_eq!((last.accepted, last.mutating), (taken, taken), "{kind}");
        assert_eq!(last.path, MIGRATE);
    }
    assert_eq!(lab.with_world_as::<FakeWorld, _>(|world| world.migrations.len()), Some(1));
    assert_eq!(client.post(MIGRATE, &[("target", "pve2")]).await.status, 200);
}

#[tokio::test]
async fn a_ticket_logs_in_and_is_not_mutating() {
    let lab = lab().await;
    let nobody = Client::new(&lab, "pve1", "");
    let password = lab.access().password("root@pam").unwrap().to_owned();
    let login = nobody.post("/access/ticket", &[("username", "root@pam"), ("password", &password)]).await.json();
    let cookie = format!("PVEAuthCookie={}", login["data"]["ticket"].as_str().unwrap().replace('=', "%3D"));
    let csrf = login["data"]["CSRFPreventionToken"].as_str().unwrap();
    let request = nobody.request("POST", MIGRATE).header("Cookie", &cookie).header("CSRFPreventionToken", csrf);
    assert_eq!(got(request.form(&[("target", "pve2")])).await.unwrap().status, 200);
    let entries = lab.ledger().entries();
    assert_eq!(entries[0].params["password"], "***");
    assert!(entries[0].accepted && !entries[0].mutating);
    assert_eq!((entries[1].user.as_deref(), entries[1].mutating), (Some("root@pam"), true));
    assert_eq!(lab.with_world_as::<FakeWorld, _>(|world| world.calls[0].root_ticket), Some(true));

    let with_token = Client::new(&lab, "pve1", "runbook");
    let refused = with_token.post("/access/ticket", &[("username", "root@pam"), ("password", &password)]).await;
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.reason,
        "Permission check failed (URI '/access/ticket' not available with API token, need proper ticket."
    );
}

#[tokio::test]
async fn rights_are_shown_and_checked() {
    let lab = lab().await;
    let own = Client::new(&lab, "pve1", "runbook").get("/access/permissions").await.json();
    assert_eq!(own["data"]["/vms"]["VM.Migrate"], 1);
    assert_eq!(own["data"]["/"].get("VM.Monitor"), None);
    let old = Client::new(&lab, "pve3", "runbook").get("/access/permissions").await.json();
    assert_eq!(old["data"]["/"]["VM.Monitor"], 1);
    let nothing = Client::new(&lab, "pve1", "nothing");
    assert_eq!(nothing.get("/access/permissions").await.json()["data"], serde_json::json!({}));
    assert_eq!(nothing.get("/version").await.status, 200);
    let refused = nothing.get("/nodes/pve1/qemu/104/config").await;
    assert_eq!(refused.reason, "Permission check failed (/vms/104, VM.Audit)");
}

#[tokio::test]
async fn an_overeager_client_makes_another_wait() {
    let lab = lab().await;
    fault(&lab, "slow:GET /cluster/resources=150ms");
    let eager = Client::new(&lab, "pve1", "runbook");
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..6 {
        running.spawn(got(eager.request("GET", "/cluster/resources").header("User-Agent", "eager")));
    }
    tokio::time::sleep(Duration::from_millis(60)).await;
    let started = Instant::now();
    got(eager.request("GET", "/version").header("User-Agent", "other")).await.unwrap();
    // Three workers and six calls of 150 ms: two rounds, of which the first had just begun.
    assert!(started.elapsed() >= Duration::from_millis(150), "{:?}", started.elapsed());
    while running.join_next().await.is_some() {}
    let report = lab.latency();
    let other = report.iter().find(|row| row.client == "other").unwrap();
    assert!(other.p95_ms >= 150, "{report:?}");
}

#[tokio::test]
async fn faults_of_the_world_reach_it_or_say_why_not() {
    let lab = lab().await;
    fault(&lab, "tasks-late=40s");
    assert_eq!(
        lab.with_world_as::<FakeWorld, _>(|world| world.injected.clone()),
        Some(vec![WorldFault::TasksLate { ms: 40_000 }])
    );
    let refused = lab.faults().add("lock-stays:999".parse().unwrap());
    assert_eq!(refused, Err("there is no guest 999".to_owned()));
    fault(&lab, "token-rejected*1");
    let client = Client::new(&lab, "pve1", "runbook");
    let rejected = client.get("/version").await;
    assert_eq!((rejected.status, rejected.reason.as_str()), (401, "Authentication failed!"));
    assert_eq!(client.get("/version").await.status, 200);
    fault(&lab, "500:GET /version*1=got timeout");
    assert_eq!(client.get("/version").await.reason, "got timeout");
}
