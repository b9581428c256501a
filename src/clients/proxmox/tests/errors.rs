//! The error ladder, from literal status lines and bodies.

use serde_json::Value;

use super::server::{Act, Server, answer};
use crate::clients::Class;
use crate::clients::proxmox::{Params, ProxmoxError, Verb};

async fn get(status: &str, body: &str) -> ProxmoxError {
    let text = answer(status, body);
    let server = Server::start(move |_, _| Act::Last(text.clone())).await;
    server.site().get("/nodes/pve1/qemu/100/migrate", &[]).await.unwrap_err()
}

async fn post(status: &str, body: &str) -> ProxmoxError {
    let text = answer(status, body);
    let server = Server::start(move |_, _| Act::Last(text.clone())).await;
    let params = Params::from([("target", "pve2")]);
    let error = server.site().change(Verb::Post, "/nodes/pve1/qemu/100/migrate", &params).await.unwrap_err();
    assert_eq!(server.calls().len(), 1, "a change is sent once");
    error
}

#[tokio::test]
async fn each_case_known_from_the_sources_is_told_apart() {
    let text = crate::sys::files::read_text(format!("{}/tests/data/pve/src-errors.json", env!("CARGO_MANIFEST_DIR")));
    let cases: Value = serde_json::from_str(&text.unwrap()).unwrap();
    let mut kinds = Vec::new();
    for case in cases["cases"].as_array().unwrap() {
        let status = format!("{} {}", case["status"], case["reason"].as_str().unwrap());
        let body = match (&case["body"], &case["body_text"]) {
            (Value::Object(body), _) => Value::Object(body.clone()).to_string(),
            (_, Value::String(text)) => text.clone(),
            _ => String::new(),
        };
        let error = get(&status, &body).await;
        let shown = error.to_string();
        assert!(shown.contains(case["reason"].as_str().unwrap()), "{}: {shown}", case["when"]);
        assert!(shown.starts_with("GET /nodes/pve1/qemu/100/migrate on pve1: "), "{shown}");
        kinds.push(format!("{error:?}").split([' ', '{']).next().unwrap().to_owned());
    }
    let wanted = "Parameter Parameter Forbidden Locked NotFound NotImplemented Unauthorized Unauthorized Unauthorized \
                  Unauthorized NotImplemented NotImplemented Proxy Proxy";
    assert_eq!(kinds.join(" "), wanted);
}

#[tokio::test]
async fn a_parameter_error_names_the_parameters() {
    let body = crate::sys::files::read_text(format!(
        "{}/tests/data/pve/gp-cluster-nextid-400.json",
        env!("CARGO_MANIFEST_DIR")
    ));
    let error = get("400 Parameter verification failed.", &body.unwrap()).await;
    let ProxmoxError::Parameter { message, errors, .. } = &error else { panic!("{error:?}") };
    assert_eq!((message.as_str(), errors.len()), ("Parameter verification failed.", 1));
    assert!(errors["vmid"].contains("already exists"), "{errors:?}");
    assert!(error.to_string().contains("; vmid: "), "{error}");
}

#[tokio::test]
async fn the_missing_privilege_is_named() {
    let error = post("403 Permission check failed (/vms/100, VM.Migrate)", "").await;
    let ProxmoxError::Forbidden { acl_path, privilege, .. } = &error else { panic!("{error:?}") };
    assert_eq!((acl_path.as_str(), privilege.as_str()), ("/vms/100", "VM.Migrate"));
    assert_eq!((error.class(), error.outcome_unknown()), (Class::Refused, false));
}

#[tokio::test]
async fn the_reason_phrase_is_enough() {
    // As servers before pve-http-server 5.2.0 answer.
    let error = post("500 VM is locked (backup)", "{\"data\":null}").await;
    let ProxmoxError::Locked { lock, message, .. } = &error else { panic!("{error:?}") };
    assert_eq!((lock.as_str(), message.as_str(), error.class()), ("backup", "VM is locked (backup)", Class::Locked));
    let error = get("500 cluster not ready - no quorum?", "").await;
    assert!(matches!(error, ProxmoxError::NoQuorum { .. }) && error.class() == Class::Transient);
    let error = get("500 checksum mismatch (file change by other user?)", "").await;
    assert_eq!(error.class(), Class::Precondition);
}

#[tokio::test]
async fn a_whole_message_is_better_than_its_first_line() {
    let error = get("500 first line", "{\"data\":null,\"message\":\"first line\\nsecond line\\n\"}").await;
    assert!(error.to_string().ends_with("first line\nsecond line (500)"), "{error}");
}

#[tokio::test]
async fn proxy_errors_say_whether_a_change_was_taken() {
    for (status, taken, class) in [
        ("595 No route to host", false, Class::Unreachable),
        ("596 Connection timed out", true, Class::Transient),
        ("596 Broken pipe", true, Class::Transient),
        ("597 Broken pipe", true, Class::Transient),
        ("599 Too many redirections", true, Class::Transient),
    ] {
        let error = post(status, "").await;
        assert!(matches!(error, ProxmoxError::Proxy { .. }), "{error:?}");
        assert_eq!((error.outcome_unknown(), error.class()), (taken, class), "{status}");
        assert!(!get(status, "").await.outcome_unknown(), "a read has no outcome");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_json_is_shown() {
    let error = get("200 OK", "<html>a portal</html>").await;
    assert!(matches!(error, ProxmoxError::Shape { .. }) && error.to_string().contains("<html>"), "{error}");
    let error = post("200 OK", "").await;
    assert!(error.outcome_unknown(), "200 without an answer: it was taken");
}
