use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::json;

use super::*;
use crate::sys::http::HttpError;

/// Answers in turn, and keeps what it was asked.
#[derive(Default)]
struct Scripted {
    answers: Mutex<Vec<(u16, Value)>>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl NetboxWire for Scripted {
    async fn send(&self, call: NetboxCall) -> Result<NetboxReply, HttpError> {
        let query: Vec<String> = call.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let line = format!("{} {} {}", call.method, query.join("&"), call.authorization.expose_secret());
        self.asked.lock().unwrap().push(line);
        let (status, body) = self.answers.lock().unwrap().remove(0);
        Ok(NetboxReply { status, retry_after: Some(2), body: body.to_string().into_bytes() })
    }
}

struct Given(&'static str);

#[async_trait]
impl Keys for Given {
    async fn secret(&self, text: &str) -> Result<Option<SecretString>, String> {
        Ok(text.starts_with("env:").then(|| self.0.into()))
    }

    fn redact(&self, text: &str) -> String {
        text.replace(self.0, "***")
    }
}

fn netbox(token: &'static str, answers: Vec<(u16, Value)>) -> (Netbox, Arc<Scripted>) {
    let wire = Arc::new(Scripted { answers: Mutex::new(answers), ..Scripted::default() });
    let settings = NetboxSettings { url: "https://n".into(), token: "env:T".into(), ca_file: None };
    (Netbox::over(&settings, Arc::new(Given(token)), wire.clone()), wire)
}

fn page(count: usize, ids: std::ops::Range<usize>) -> (u16, Value) {
    let results: Vec<Value> = ids.map(|id| json!({"id": id})).collect();
    (200, json!({"count": count, "next": "http://elsewhere/", "results": results}))
}

#[tokio::test(start_paused = true)]
async fn pages_are_asked_for_by_our_own_offsets_whatever_the_server_gives() {
    let (netbox, wire) = netbox("abc", vec![page(5, 0..2), page(5, 2..4), page(5, 4..5)]);
    assert_eq!(netbox.list(Objects::Vms, &[("cluster_id", "1".into())]).await.unwrap().len(), 5);
    let asked = wire.asked.lock().unwrap().clone();
    assert_eq!(asked[1], "GET cluster_id=1&ordering=id&limit=1000&offset=2 Token abc");
    assert!(asked[2].contains("offset=4"));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_changes_while_it_is_read_is_read_anew() {
    let (netbox, wire) = netbox("nbt_k.t", vec![page(3, 0..2), page(2, 2..2), page(2, 0..2)]);
    assert_eq!(netbox.list(Objects::Vms, &[]).await.unwrap().len(), 2);
    assert!(wire.asked.lock().unwrap()[0].ends_with("Bearer nbt_k.t"));
    let endless: Vec<_> = (0..READINGS).flat_map(|n| [page(3 + n, 0..2), page(9 + n, 2..3)]).collect();
    let error = self::netbox("x", endless).0.list(Objects::Vms, &[]).await.unwrap_err().to_string();
    assert!(error.contains("changed each time"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_has_no_time_is_waited_for_and_a_change_is_sent_once() {
    let busy = || (503, json!({"detail": "busy"}));
    let began = tokio::time::Instant::now();
    assert!(netbox("x", vec![busy(), busy(), page(0, 0..0)]).0.list(Objects::Vms, &[]).await.unwrap().is_empty());
    assert_eq!(began.elapsed(), Duration::from_secs(4), "as long as it says");
    let (change, wire) = netbox("x", vec![(502, json!({"detail": "Bad Gateway"})), (201, json!({}))]);
    let error = change.create(Objects::Vms, json!({})).await.unwrap_err();
    assert!(error.may_be_done() && wire.asked.lock().unwrap().len() == 1, "{error}");
    let throttled = (429, json!({"detail": "throttled"}));
    assert!(netbox("x", vec![throttled, (201, json!({}))]).0.create(Objects::Vms, json!({})).await.is_ok());
    assert!(netbox("x", vec![(404, json!({"detail": "Not found."}))]).0.delete(Objects::Vms, 1).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn refusals_are_told_in_its_own_words_without_the_token() {
    let told = async |status: u16, body: Value| {
        netbox("topsecret", vec![(status, body)]).0.create(Objects::Vms, json!({})).await.unwrap_err()
    };
    let error = told(400, json!({"name": ["Too long.", "Odd."], "__all__": ["No."]})).await;
    assert_eq!(
        error.to_string(),
        "POST /api/virtualization/virtual-machines/: NetBox says 400: name: Too long. Odd.; No."
    );
    let error = told(403, json!({"detail": "Invalid token topsecret"})).await;
    assert_eq!((error.class(), error.may_be_done()), (crate::clients::Class::Refused, false));
    assert!(error.to_string().ends_with("403: Invalid token ***"), "{error}");
    assert!(told(400, json!({"__all__": ["Virtual machine name must be unique per cluster."]})).await.is_name_taken());
    assert!(
        told(400, json!({"address": ["Duplicate IP address found in global table: 10.0.0.5/24"]}))
            .await
            .is_address_taken()
    );
    assert!(told(400, json!({"__all__": ["Unknown field name 'x' in custom field data."]})).await.lacks_field());
    assert_eq!(told(500, json!("<html>")).await.status(), Some(500));
}
