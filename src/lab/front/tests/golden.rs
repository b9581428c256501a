//! Every case of `tests/data/pve/src-errors.json`, over real TLS.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Client, Got, endpoint, got, raw};
use crate::lab::front::fake::{lab, quick};
use crate::lab::front::{Endpoint, Lab};

const CASES: &str = include_str!("../../../../tests/data/pve/src-errors.json");
const MIGRATE: &str = "/nodes/pve1/qemu/100/migrate";

#[tokio::test]
async fn every_recorded_error_is_answered_as_recorded() {
    let cases: Value = serde_json::from_str(CASES).unwrap();
    let cases = cases["cases"].as_array().unwrap();
    assert!(cases.len() >= 14);
    for case in cases {
        let when = case["when"].as_str().unwrap();
        let lab = lab().await;
        let started = Instant::now();
        let got = provoke(&lab, when).await;
        if case["delay_s"].is_number() {
            assert!(started.elapsed() >= quick().auth_delay, "{when}: {:?}", started.elapsed());
        } else {
            assert!(started.elapsed() < Duration::from_secs(5), "{when}");
        }
        compare(case, &got, when);
        lab.shutdown().await;
    }
}

fn compare(case: &Value, got: &Got, when: &str) {
    assert_eq!(u64::from(got.status), case["status"].as_u64().unwrap(), "{when}: {} {}", got.reason, got.text);
    assert_eq!(got.reason, case["reason"].as_str().unwrap(), "{when}");
    assert_eq!(got.headers["connection"], "close", "{when}");
    match (case.get("body"), case.get("body_text")) {
        (Some(Value::Null), _) => assert_eq!(got.text, "", "{when}"),
        (Some(body), _) => {
            assert_eq!(&got.json(), body, "{when}");
            assert_eq!(got.headers["content-type"], "application/json;charset=UTF-8", "{when}");
        }
        (None, Some(text)) => assert_eq!(got.text, text.as_str().unwrap(), "{when}"),
        (None, None) => panic!("{when}: the case has no body"),
    }
}

async fn provoke(lab: &Lab, when: &str) -> Got {
    let client = |token| Client::new(lab, "pve1", token);
    let runbook = client("runbook");
    match when {
        "schema violation" => runbook.post("/nodes/pve1/qemu/104/clone", &[]).await,
        "unknown parameter" => runbook.post(MIGRATE, &[("target", "pve2"), ("foo", "1")]).await,
        "permission" => client("readonly").post(MIGRATE, &[("target", "pve2")]).await,
        "die in handler" => runbook.post("/nodes/pve1/qemu/105/status/start", &[]).await,
        "missing guest" => runbook.get("/nodes/pve1/qemu/999/config").await,
        "unknown path or verb" => runbook.get("/foo").await,
        "no credentials" => client("").get("/version").await,
        "bad ticket or token" => {
            let wrong = Client { authorization: Some("PVEAPIToken=ops@pve!runbook=0".into()), ..client("") };
            wrong.get("/version").await
        }
        "bad password on POST /access/ticket" => {
            client("").post("/access/ticket", &[("username", "root@pam"), ("password", "no")]).await
        }
        "bad CSRF token with ticket" => {
            let password = lab.access().password("root@pam").unwrap();
            let form = [("username", "root@pam"), ("password", password.as_str())];
            let ticket = client("").post("/access/ticket", &form).await.json();
            let cookie = format!("PVEAuthCookie={}", ticket["data"]["ticket"].as_str().unwrap());
            let request = client("").request("POST", MIGRATE).header("Cookie", cookie);
            got(request.header("CSRFPreventionToken", "0:0").form(&[("target", "pve2")])).await.unwrap()
        }
        "body sent with GET/DELETE" => got(runbook.request("DELETE", MIGRATE).form(&[("a", "b")])).await.unwrap(),
        "chunked request" => {
            let head = "POST /api2/json/version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
            parse(&raw(&endpoint_of(lab), head).await)
        }
        "proxied to a node that is down" => {
            lab.faults().add("node-down:pve2".parse().unwrap()).unwrap();
            runbook.get("/nodes/pve2/qemu/104/config").await
        }
        "proxied node accepts but does not answer in 30 s" => {
            lab.faults().add("hang:GET /nodes/pve2/qemu/104/config".parse().unwrap()).unwrap();
            runbook.get("/nodes/pve2/qemu/104/config").await
        }
        other => panic!("a case that this test does not know: {other}"),
    }
}

fn endpoint_of(lab: &Lab) -> Endpoint {
    endpoint(lab, "pve1")
}

fn parse(answer: &str) -> Got {
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let mut status = lines.next().unwrap().splitn(3, ' ').skip(1);
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let (code, reason) = (status.next().unwrap().parse().unwrap(), status.next().unwrap().to_owned());
    Got { status: code, reason, headers, text: text.to_owned() }
}
