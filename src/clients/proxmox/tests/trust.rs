//! Whom the client believes.

use serde_json::json;

use super::server::{Act, Server, endpoint, ok, settings};
use crate::clients::Class;
use crate::clients::proxmox::{ProxmoxError, Site};
use crate::model::ids::Fingerprint;
use crate::sys::http::HttpError;

async fn server() -> Server {
    Server::start(|_, _| ok(json!({}))).await
}

async fn ask(settings: crate::clients::proxmox::SiteSettings) -> Result<(), ProxmoxError> {
    Site::connect(settings)?.get("/version", &[]).await.map(drop)
}

#[tokio::test]
async fn the_pinned_certificate_is_believed() {
    let server = server().await;
    ask(settings(vec![server.node("pve1")])).await.unwrap();
}

#[tokio::test]
async fn another_certificate_is_refused_and_both_are_shown() {
    let (server, other) = (server().await, server().await);
    let wrong = Fingerprint([7; 32]);
    // A second node that would answer is not asked: a wrong certificate must be seen.
    let nodes = vec![endpoint("pve1", server.port, Some(wrong)), other.node("pve2")];
    let error = ask(settings(nodes)).await.unwrap_err();
    assert!(matches!(&error, ProxmoxError::Tls { cause: HttpError::Fingerprint { .. }, .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&wrong.to_string()) && text.contains(&server.fingerprint.to_string()), "{text}");
    assert_eq!((error.class(), error.outcome_unknown()), (Class::Refused, false));
    assert_eq!((server.calls().len(), other.calls().len()), (0, 0), "nothing was said to the stranger");
}

#[tokio::test]
async fn an_unknown_issuer_is_refused_with_advice() {
    let server = server().await;
    let error = ask(settings(vec![endpoint("pve1", server.port, None)])).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("unknown issuer") && text.contains("fingerprint"), "{text}");
    assert!(server.calls().is_empty());
}

#[tokio::test]
async fn a_ca_file_is_believed_and_a_bad_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let server = server().await;
    crate::sys::files::write_private(&path, server.pem.as_bytes()).unwrap();
    let mut with_ca = settings(vec![endpoint("pve1", server.port, None)]);
    with_ca.ca_file = Some(path.clone());
    ask(with_ca.clone()).await.unwrap();

    crate::sys::files::write_private(&path, b"nothing").unwrap();
    let error = ask(with_ca.clone()).await.unwrap_err().to_string();
    assert!(error.contains("ca.pem") && error.contains("BEGIN CERTIFICATE"), "{error}");
    with_ca.ca_file = Some(dir.path().join("none.pem"));
    assert!(ask(with_ca).await.unwrap_err().to_string().contains("none.pem"));
}

#[tokio::test]
async fn insecure_believes_anybody() {
    let server = server().await;
    let mut settings = settings(vec![endpoint("pve1", server.port, None)]);
    settings.insecure = true;
    ask(settings).await.unwrap();
}

#[tokio::test]
async fn plain_http_on_the_port_is_no_tls() {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let error = ask(settings(vec![endpoint("pve1", port, None)])).await.unwrap_err();
    assert!(matches!(error, ProxmoxError::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = Server::start(|_, _| {
        Act::Last("HTTP/1.1 301 Moved\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".into())
    })
    .await;
    let error = server.site().get("/version", &[]).await.unwrap_err();
    assert!(matches!(error, ProxmoxError::Server { status: 301, .. }), "{error:?}");
}

#[tokio::test]
async fn a_node_that_gets_another_certificate_is_asked_about_elsewhere_until_it_is_known() {
    let (server, other) = (server().await, server().await);
    let nodes = vec![endpoint("pve1", server.port, Some(Fingerprint([7; 32]))), other.node("pve2")];
    let site = Site::connect(settings(nodes)).unwrap();
    site.expect_certificate(&"pve1".into());
    site.get("/version", &[]).await.unwrap();
    assert_eq!((server.calls().len(), other.calls().len()), (0, 1), "nothing was said to whoever is not known");
    site.expect_no_certificate(&"pve1".into());
    let error = site.get("/nodes/pve1/status", &[]).await.unwrap_err();
    assert!(matches!(error, ProxmoxError::Tls { .. }), "nobody answers in the place of a stranger: {error:?}");
    site.expect_certificate(&"pve1".into());
    let shown = site.shown(&"pve1".into()).await.unwrap().unwrap();
    assert_eq!(shown.host, "127.0.0.1");
    assert_eq!((shown.fingerprint, shown.by, shown.trusted), (server.fingerprint, "fingerprint", false));
    site.believe(&"pve1".into(), server.fingerprint).unwrap();
    site.get("/nodes/pve1/status", &[]).await.unwrap();
    assert_eq!(server.calls().len(), 1);
    // What the configuration says is not changed by it.
    assert!(!site.shown(&"pve1".into()).await.unwrap().unwrap().trusted);
    assert_eq!(site.shown(&"pve9".into()).await, None);
}
