//! How calls are sent: bodies, connections, what is repeated and what never is.

use std::time::Duration;

use serde_json::json;

use super::server::{Act, Server, answer, closed_port, endpoint, ok, settings, slamming_port};
use crate::clients::Class;
use crate::clients::proxmox::{Params, ProxmoxError, Site, Verb};

#[tokio::test]
async fn bodies_are_as_pveproxy_wants_them() {
    let server = Server::start(|_, _| ok(json!(null))).await;
    let site = server.site();
    let params = Params::from([("ciuser", "a b&c")]).flag("online", true);
    for verb in [Verb::Post, Verb::Put, Verb::Delete] {
        site.change(verb, "/nodes/pve1/qemu/100/config", &params).await.unwrap();
    }
    site.change(Verb::Post, "/nodes/pve1/qemu/100/status/start", &Params::new()).await.unwrap();
    site.get("/cluster/resources", &[("type", "vm")]).await.unwrap();
    let seen = server.seen();
    for form in &seen[..2] {
        assert_eq!(form.body, "ciuser=a+b%26c&online=1");
        assert!(form.has("content-type: application/x-www-form-urlencoded"), "{form:?}");
    }
    assert_eq!(seen[2].call(), "DELETE /nodes/pve1/qemu/100/config?ciuser=a+b%26c&online=1");
    assert_eq!(seen[4].call(), "GET /cluster/resources?type=vm");
    assert!(seen[3].has("content-length: 0"), "{:?}", seen[3]);
    for request in &seen {
        assert!(request.has("authorization: PVEAPIToken=ops@pve!rb=1111-2222"));
        assert!(!request.headers.iter().any(|h| h.starts_with("transfer-encoding")), "{request:?}");
    }
    assert!(seen[2].body.is_empty() && seen[4].body.is_empty());
}

#[tokio::test]
async fn reads_share_a_connection_and_changes_do_not() {
    let server = Server::start(|_, _| ok(json!([]))).await;
    let site = server.site();
    for _ in 0..3 {
        site.get("/nodes", &[]).await.unwrap();
    }
    assert_eq!(server.connected(), 1);
    for _ in 0..2 {
        site.change(Verb::Post, "/x", &Params::new()).await.unwrap();
    }
    assert_eq!(server.connected(), 3);
}

#[tokio::test]
async fn an_idle_connection_that_the_server_closed_does_no_harm() {
    // The second request reaches the kept connection and is dropped there, as when both sides act at once.
    let server = Server::start(|n, _| if n == 1 { Act::Drop } else { ok(json!([n])) }).await;
    let site = server.site();
    site.get("/nodes", &[]).await.unwrap();
    assert_eq!(site.get("/nodes", &[]).await.unwrap().data, json!([2]));
    assert_eq!((server.calls().len(), server.connected()), (3, 2));
}

#[tokio::test]
async fn a_read_is_repeated_once_only() {
    let server = Server::start(|_, _| Act::Drop).await;
    let error = server.site().get("/nodes", &[]).await.unwrap_err();
    assert!(matches!(error, ProxmoxError::Unreachable { sent: true, .. }), "{error:?}");
    assert!(!error.outcome_unknown() && error.class() == Class::Transient);
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn a_change_that_was_cut_off_is_never_sent_again() {
    let partial = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"data\":".to_owned();
    for act in [None, Some(partial)] {
        let server = Server::start(move |_, _| act.clone().map_or(Act::Drop, Act::Last)).await;
        let second = Server::start(|_, _| ok(json!(null))).await;
        let site = Site::connect(settings(vec![server.node("pve1"), second.node("pve2")])).unwrap();
        let error = site.change(Verb::Post, "/nodes/pve1/qemu/100/migrate", &Params::new()).await.unwrap_err();
        assert!(error.outcome_unknown(), "{error:?}");
        assert_eq!((server.calls().len(), second.calls().len()), (1, 0));
    }
}

#[tokio::test]
async fn silence_after_sending_leaves_the_outcome_open() {
    let server = Server::start(|_, _| Act::Hang).await;
    let mut settings = settings(vec![server.node("pve1")]);
    settings.timeout = Duration::from_secs(2);
    let site = Site::connect(settings).unwrap();
    let error = site.change(Verb::Put, "/x", &Params::new()).await.unwrap_err();
    assert!(matches!(error, ProxmoxError::Timeout { sent: true, .. }), "{error:?}");
    assert_eq!((error.outcome_unknown(), error.class()), (true, Class::Timeout));
}

#[tokio::test]
async fn another_node_is_asked_when_nothing_was_sent() {
    for dead in [closed_port().await, slamming_port().await] {
        let server = Server::start(|n, _| ok(json!(n))).await;
        let site = Site::connect(settings(vec![endpoint("pve1", dead, None), server.node("pve2")])).unwrap();
        site.get("/nodes/pve1/status", &[]).await.unwrap();
        site.change(Verb::Post, "/nodes/pve1/qemu/100/status/start", &Params::new()).await.unwrap();
        assert_eq!(server.calls().len(), 2);
    }
}

#[tokio::test]
async fn a_node_that_never_finishes_tls_has_taken_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut settings = settings(vec![endpoint("pve1", port, None)]);
    settings.timeout = Duration::from_secs(2);
    let error = Site::connect(settings).unwrap().change(Verb::Post, "/x", &Params::new()).await.unwrap_err();
    assert!(matches!(error, ProxmoxError::Timeout { sent: false, .. }), "{error:?}");
    assert!(!error.outcome_unknown());
}

#[tokio::test]
async fn when_nobody_can_be_reached_it_was_not_sent() {
    let (one, two) = (closed_port().await, closed_port().await);
    let site = Site::connect(settings(vec![endpoint("pve1", one, None), endpoint("pve2", two, None)])).unwrap();
    let error = site.change(Verb::Post, "/x", &Params::new()).await.unwrap_err();
    assert!(matches!(error, ProxmoxError::Unreachable { sent: false, .. }), "{error:?}");
    assert_eq!((error.outcome_unknown(), error.class()), (false, Class::Unreachable));
    assert!(error.to_string().contains("none of the site's 2 nodes can be reached"), "{error}");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_said() {
    let mut node = endpoint("pve1", 8006, None);
    node.host = "no-such-host.invalid".into();
    let error = Site::connect(settings(vec![node])).unwrap().get("/version", &[]).await.unwrap_err();
    assert!(error.to_string().contains("cannot find the address of no-such-host.invalid"), "{error}");
}

#[tokio::test]
async fn a_call_goes_to_the_node_it_concerns() {
    let (one, two) = (Server::start(|_, _| ok(json!({}))).await, Server::start(|_, _| ok(json!({}))).await);
    let site = Site::connect(settings(vec![one.node("pve1"), two.node("pve2")])).unwrap();
    for path in ["/nodes/pve2/status", "/nodes/pve1/status", "/nodes/pve9/status", "/version"] {
        site.get(path, &[]).await.unwrap();
    }
    assert_eq!(two.calls(), ["GET /nodes/pve2/status"]);
    assert_eq!(one.calls().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn at_most_two_calls_are_under_way_on_a_node() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let most = Arc::new(AtomicUsize::new(0));
    let (now, peak) = (Arc::new(AtomicUsize::new(0)), most.clone());
    let server = Server::start(move |_, _| {
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(50));
        now.fetch_sub(1, Ordering::SeqCst);
        ok(json!(null))
    })
    .await;
    let site = server.site();
    let calls = (0..8).map(|_| {
        let site = site.clone();
        tokio::spawn(async move { site.change(Verb::Post, "/x", &Params::new()).await.unwrap() })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_call_outside_the_schema_is_not_sent() {
    let server = Server::start(|_, _| Act::Send(answer("200 OK", "{\"data\":{\"version\":\"9.2.3\"}}"))).await;
    let site = server.site();
    site.set_check(|version, verb, path, params| match (version, params.len()) {
        (None, _) => Ok(()),
        (Some(v), 1) => Err(format!("{v} {verb} {path} {}={}", params[0].0, params[0].1)),
        _ => Ok(()),
    });
    site.version().await.unwrap();
    let error = site.change(Verb::Post, "/x", &Params::from([("a", 1)])).await.unwrap_err();
    assert!(error.to_string().ends_with("9.2.3 POST /x a=1") && !error.outcome_unknown(), "{error}");
    assert_eq!(server.calls(), ["GET /version"]);
}
