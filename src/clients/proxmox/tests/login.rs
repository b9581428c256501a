//! Tickets: taken at first use, sent with the CSRF token, renewed once on 401.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::server::{Act, Seen, Server, answer, ok, settings};
use crate::clients::proxmox::{Credential, Params, ProxmoxError, SecretSink, Site, SiteSettings, Verb};

fn by_password(server: &Server) -> SiteSettings {
    let mut settings = settings(vec![server.node("pve1")]);
    settings.credential = Credential::Password { user: "ops@pam".into(), password: "pass word&1".to_owned().into() };
    settings
}

fn ticket(n: usize) -> Act {
    ok(
        json!({"username": "ops@pam", "ticket": format!("PVE:ops@pam:{n}::a+b/="), "CSRFPreventionToken": format!("C:{n}"),
        "cap": {}}),
    )
}

fn is_login(request: &Seen) -> bool {
    request.call() == "POST /access/ticket"
}

#[tokio::test]
async fn a_ticket_is_taken_once_and_sent_with_its_csrf_token() {
    let server = Server::start(|n, r| if is_login(r) { ticket(n) } else { ok(json!(null)) }).await;
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let (mut settings, sink) = (by_password(&server), told.clone());
    settings.on_secret = Some(SecretSink(Arc::new(move |s| sink.lock().unwrap().push(s.to_owned()))));
    let site = Site::connect(settings).unwrap();
    assert!(server.calls().is_empty(), "lazy");
    site.get("/version", &[]).await.unwrap();
    site.change(Verb::Post, "/x", &Params::new()).await.unwrap();
    assert_eq!(server.calls(), ["POST /access/ticket", "GET /version", "POST /x"]);
    let seen = server.seen();
    assert_eq!(seen[0].body, "username=ops%40pam&password=pass+word%261");
    for request in &seen[1..] {
        assert!(request.has("cookie: PVEAuthCookie=PVE%3Aops%40pam%3A0%3A%3Aa%2Bb%2F%3D"), "{request:?}");
        assert!(request.has("csrfpreventiontoken: C:0"));
    }
    assert_eq!(*told.lock().unwrap(), ["PVE:ops@pam:0::a+b/=", "C:0"]);
}

/// Lets the client's clock jump; nothing is on the wire meanwhile.
async fn pass_time(minutes: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(minutes * 60)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_ticket_is_renewed_by_itself_and_after_two_hours_by_the_password() {
    let server = Server::start(|n, r| if is_login(r) { ticket(n) } else { ok(json!(null)) }).await;
    let site = Site::connect(by_password(&server)).unwrap();
    for minutes in [0, 80, 15, 130] {
        pass_time(minutes).await;
        site.get("/version", &[]).await.unwrap();
    }
    let logins: Vec<String> = server.seen().iter().filter(|r| is_login(r)).map(|r| r.body.clone()).collect();
    assert_eq!(logins.len(), 3, "none at 80 minutes: {logins:?}");
    assert!(logins[0].ends_with("password=pass+word%261") && logins[2] == logins[0]);
    assert!(logins[1].contains("password=PVE%3Aops%40pam%3A0"), "{}", logins[1]);
}

#[tokio::test]
async fn a_recorded_ticket_is_read() {
    let path = format!("{}/tests/data/pve/gp-access-ticket.json", env!("CARGO_MANIFEST_DIR"));
    let body = crate::sys::files::read_text(path).unwrap();
    let server = Server::start(move |_, r| match is_login(r) {
        true => Act::Send(answer("200 OK", &body)),
        false => ok(json!(null)),
    })
    .await;
    Site::connect(by_password(&server)).unwrap().get("/version", &[]).await.unwrap();
    assert!(
        server.seen()[1].headers.iter().any(|h| h.starts_with("cookie: PVEAuthCookie=%3CREDACTED%20PVE%3Aroot%40pam"))
    );
}

#[tokio::test]
async fn a_401_is_answered_by_one_new_login() {
    let server = Server::start(|n, r| match n {
        _ if is_login(r) => ticket(n),
        1 => Act::Last(answer("401 No ticket", "")),
        _ => ok(json!(null)),
    })
    .await;
    let site = Site::connect(by_password(&server)).unwrap();
    site.change(Verb::Post, "/x", &Params::new()).await.unwrap();
    assert_eq!(server.calls(), ["POST /access/ticket", "POST /x", "POST /access/ticket", "POST /x"]);
    assert!(server.seen()[3].has("csrfpreventiontoken: C:2"));
}

#[tokio::test]
async fn a_401_that_stays_is_told() {
    let server =
        Server::start(|n, r| if is_login(r) { ticket(n) } else { Act::Last(answer("401 No ticket", "")) }).await;
    let error = Site::connect(by_password(&server)).unwrap().get("/x", &[]).await.unwrap_err();
    assert!(matches!(error, ProxmoxError::Unauthorized { .. }), "{error:?}");
    assert_eq!(server.calls().len(), 4);
}

#[tokio::test]
async fn a_wrong_password_and_a_second_factor_are_told_apart() {
    let server = Server::start(|_, _| {
        Act::Last(answer("401 authentication failure", r#"{"data":null,"message":"authentication failure\n"}"#))
    })
    .await;
    let error = Site::connect(by_password(&server)).unwrap().get("/x", &[]).await.unwrap_err();
    assert!(error.to_string().contains("authentication failure") && !error.to_string().contains("pass word"));

    let server = Server::start(|_, _| ok(json!({"NeedTFA": 1, "ticket": "PVE:!tfa!x", "username": "ops@pam"}))).await;
    let error = Site::connect(by_password(&server)).unwrap().get("/x", &[]).await.unwrap_err();
    assert!(matches!(error, ProxmoxError::SecondFactor { .. }) && error.to_string().contains("use an API token"));
}

#[tokio::test]
async fn a_login_that_was_cut_off_changed_nothing() {
    for act in [None, Some("596 Connection timed out")] {
        let server = Server::start(move |_, _| act.map_or(Act::Drop, |status| Act::Last(answer(status, "")))).await;
        let site = Site::connect(by_password(&server)).unwrap();
        let error = site.change(Verb::Post, "/x", &Params::new()).await.unwrap_err();
        assert!(!error.outcome_unknown(), "the change itself was never sent: {error:?}");
        assert_eq!(server.calls(), ["POST /access/ticket"]);
    }
}

#[tokio::test]
async fn a_bad_token_is_not_tried_twice() {
    let server = Server::start(|_, _| Act::Last(answer("401 Authentication failed!", ""))).await;
    let error = server.site().get("/x", &[]).await.unwrap_err();
    assert!(matches!(error, ProxmoxError::Unauthorized { .. }), "{error:?}");
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn what_is_no_token_id_is_refused_without_showing_the_secret() {
    let server = Server::start(|_, _| Act::Drop).await;
    let mut settings = settings(vec![server.node("pve1")]);
    settings.credential = Credential::Token { id: "root@pam".into(), secret: "uuid-uuid".to_owned().into() };
    assert!(!format!("{settings:?}").contains("uuid-uuid"));
    let error = Site::connect(settings).unwrap_err().to_string();
    assert!(error.contains("user@realm!tokenname") && !error.contains("uuid-uuid"), "{error}");
}
