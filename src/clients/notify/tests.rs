//! What goes over the wire, to a real server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Answers every request with `answer`; `None`: takes it and says nothing.
async fn server(answer: Option<&'static str>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/topic", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let requests = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = vec![0; 64 << 10];
            let mut got = String::new();
            loop {
                let n = stream.read(&mut buffer).await.unwrap_or(0);
                got.push_str(&String::from_utf8_lossy(&buffer[..n]));
                let length = got.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse::<usize>().ok());
                let body = got.split_once("\r\n\r\n").map(|(_, body)| body.len());
                if n == 0 || body.is_some_and(|have| have >= length.unwrap_or(0)) {
                    break;
                }
            }
            requests.lock().unwrap().push(got);
            match answer {
                Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
                None => tokio::time::sleep(Duration::from_secs(60)).await,
            }
        }
    });
    (url, seen)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

fn letter() -> Letter {
    Letter {
        id: "k3f2-17".into(),
        event: "failed".into(),
        title: "evacuate failed".into(),
        text: "cause: no route\n".into(),
        priority: 4,
        json: serde_json::json!({"id": "k3f2-17", "event": "failed"}),
    }
}

async fn send(address: Address, deadline: Duration) -> Result<(), SendError> {
    Sender::new(address, Trust::System, deadline).unwrap().send(&letter()).await
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn ntfy_is_told_in_headers_and_body() {
    let (url, seen) = server(Some(OK)).await;
    send(Address::Ntfy { url: url.into(), token: Some("tk_secret".into()) }, LONG).await.unwrap();
    let got = seen.lock().unwrap().remove(0);
    let head = got.to_lowercase();
    for part in ["post /topic ", "title: evacuate failed", "priority: 4", "tags: rotating_light", "runbook-id: k3f2-17"]
    {
        assert!(head.contains(part), "{part}: {got}");
    }
    assert!(head.contains("authorization: bearer tk_secret") && got.ends_with("\r\n\r\ncause: no route\n"), "{got}");
}

#[tokio::test]
async fn a_webhook_is_signed_over_the_bytes_that_came() {
    let (url, seen) = server(Some(OK)).await;
    let headers = vec![("X-Team".to_owned(), "ops".into())];
    send(Address::Webhook { url: url.into(), secret: Some("key".into()), headers }, LONG).await.unwrap();
    let got = seen.lock().unwrap().remove(0);
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    let mac = hmac_sha256(b"key", body.as_bytes());
    assert!(head.contains(&format!("runbook-signature: sha256={mac}")) && head.contains("x-team: ops"), "{got}");
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), letter().json);
}

#[tokio::test]
async fn slack_gets_a_text() {
    let (url, seen) = server(Some(OK)).await;
    send(Address::Slack { url: url.into() }, LONG).await.unwrap();
    assert!(seen.lock().unwrap()[0].ends_with(r#"{"text":"*evacuate failed*\n```\ncause: no route\n```"}"#));
}

#[tokio::test]
async fn refusals_redirects_and_silence_are_errors_without_the_address() {
    const BAD: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 13\r\nConnection: close\r\n\r\ninvalid\ttoken";
    const MOVED: &str =
        "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for (answer, told, seconds) in
        [(Some(BAD), "answered 403: invalid token", 20), (Some(MOVED), "answered 302", 20), (None, "in time", 1)]
    {
        let (url, _) = server(answer).await;
        let error = send(Address::Slack { url: url.into() }, Duration::from_secs(seconds)).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains(told) && !said.contains("topic"), "{said}");
        assert!(!error.is_refusal());
    }
}

#[tokio::test]
async fn addresses_that_no_receiver_has_are_not_called() {
    for (url, secret) in [
        ("http://169.254.169.254/latest/meta-data", false),
        ("http://[fe80::1]/x", false),
        ("file:///etc/passwd", false),
        ("nothing", false),
        ("http://10.0.0.2/topic", true),
    ] {
        let token = secret.then(|| "tk_secret".into());
        let error = send(Address::Ntfy { url: url.into(), token }, LONG).await.unwrap_err();
        assert!(matches!(error, SendError::Address(_)) && !error.to_string().contains(url), "{url}: {error}");
    }
}
