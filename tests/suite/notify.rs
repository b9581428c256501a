//! Who is told of runs: the real program, a lab, and receivers that take, refuse, hang or are not there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runbook::clients::notify::hmac_sha256;
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::rig::Rig;

const RUN: [&str; 7] = ["run", "evacuate", "pve2", "--apply", "--yes", "--progress", "quiet"];

/// A receiver that keeps what it was sent, and answers unless it is to hang.
#[derive(Clone, Default)]
struct Receiver {
    got: Arc<Mutex<Vec<String>>>,
    hangs: Arc<AtomicBool>,
}

impl Receiver {
    async fn listen(&self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        let receiver = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (receiver, tls) = (receiver.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => receiver.answer(stream).await,
                            Err(_) => None,
                        },
                        None => receiver.answer(stream).await,
                    }
                });
            }
        });
    }

    async fn answer(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let mut text = String::new();
        loop {
            let mut buffer = [0; 8192];
            let n = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
            text.push_str(&String::from_utf8_lossy(&buffer[..n]));
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length? {
                break;
            }
        }
        self.got.lock().unwrap().push(text);
        if self.hangs.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.ok()?;
        stream.shutdown().await.ok()
    }

    fn all(&self) -> Vec<String> {
        self.got.lock().unwrap().clone()
    }

    /// The moments that it was told of, in order.
    fn events(&self) -> Vec<String> {
        self.all().iter().map(|text| header(text, "runbook-event")).collect()
    }

    async fn wait(&self, count: usize) {
        for _ in 0..1000 {
            if self.all().len() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{count} letters did not come: {:?}", self.events());
    }
}

fn header(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|l| l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)));
    line.map(|(_, value)| value.to_owned()).unwrap_or_default()
}

async fn free() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    (listener, at)
}

/// A certificate of its own authority: its PEM, and what serves it.
fn tls() -> (String, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (made.cert.pem(), TlsAcceptor::from(Arc::new(config)))
}

async fn rig(keys: Value) -> Rig {
    let rig = Rig::start("empty-node", 600.0, &[]).await;
    let path = rig.house.folder().join("cluster-config.yaml");
    let text = runbook::sys::files::read_text(&path).unwrap();
    let mut config: Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    runbook::sys::files::write_private(&path, config.to_string().as_bytes()).unwrap();
    rig
}

/// Every file of the journal.
fn state(rig: &Rig) -> Vec<u8> {
    let folder = rig.settings().state().unwrap().to_owned();
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files.flat_map(|path| runbook::sys::files::read_bytes(path).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_told_once_signed_over_tls_and_no_secret_is_anywhere() {
    let (hook, slack) = (Receiver::default(), Receiver::default());
    let (pem, acceptor) = tls();
    let (listener, at) = free().await;
    hook.listen(listener, Some(acceptor)).await;
    let (listener, slack_at) = free().await;
    slack.listen(listener, None).await;
    let rig = rig(json!({
        "notify": [
            {"webhook": format!("https://{at}/hook"), "secret": "env:HOOK_KEY", "on": ["all"], "ca_file": "hook.pem"},
            {"slack": format!("http://{slack_at}/services/PLANTED-ONE"), "on": ["failed", "succeeded"]},
            {"slack": "env:SLACK_URL", "on": ["succeeded"]},
        ],
    }))
    .await;
    runbook::sys::files::write_private(rig.house.folder().join("hook.pem"), pem.as_bytes()).unwrap();
    let said = async |args: &[&str]| {
        let mut command = rig.command(args);
        command.env("HOOK_KEY", "PLANTED-KEY").env("RUST_LOG", "trace");
        command.env("SLACK_URL", format!("http://{slack_at}/services/PLANTED-TWO"));
        let output = command.output().await.unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{text}");
        assert!(!text.contains("PLANTED"), "a secret is shown: {text}");
        text
    };
    said(&RUN).await;
    assert_eq!(hook.events(), ["started", "succeeded"]);
    assert_eq!(slack.events(), ["succeeded", "succeeded"]);
    for text in hook.all() {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mac = hmac_sha256(b"PLANTED-KEY", body.as_bytes());
        assert_eq!(header(head, "runbook-signature"), format!("sha256={mac}"));
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["format_version"], &body["site"]), (&json!("1.0"), &json!("lab.example")));
        assert_eq!(body["id"], header(head, "runbook-id"));
    }
    let list = said(&["notify", "list", "--all", "-o", "json"]).await;
    assert_eq!(list.matches("\"delivered\"").count(), 4, "{list}");
    assert!(said(&["notify", "flush"]).await.contains("Nothing is pending"));
    assert_eq!(hook.all().len(), 2, "told twice");
    let tested = said(&["notify", "test"]).await;
    assert_eq!(tested.matches(": delivered").count(), 3, "{tested}");
    assert!(!String::from_utf8_lossy(&state(&rig)).contains("PLANTED"), "the journal has a secret");
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_delivered_is_delivered_by_the_next_process() {
    let (listener, at) = free().await;
    drop(listener);
    let rig = rig(json!({"notify": [{"ntfy": format!("http://{at}/ops"), "on": ["all"]}]})).await;
    let ran = rig.run(&RUN).await;
    assert_eq!(ran.code, Some(0), "a dead receiver made the run fail: {}", ran.text);
    assert!(ran.text.contains("2 notifications could not be delivered yet (ntfy 127.0.0.1"), "{}", ran.text);
    let list = rig.run(&["notify", "list"]).await.text;
    assert!(list.contains("started") && list.contains("succeeded") && list.contains("refuses connections"), "{list}");
    let tested = rig.run(&["notify", "test"]).await;
    assert!(tested.code == Some(7) && tested.text.contains("notify::undelivered"), "{}", tested.text);

    let receiver = Receiver::default();
    receiver.listen(TcpListener::bind(&at).await.unwrap(), None).await;
    let flushed = rig.run(&["notify", "flush"]).await;
    assert_eq!(flushed.code, Some(0), "{}", flushed.text);
    assert_eq!(receiver.events(), ["started", "succeeded"], "in order, once");
    assert!(receiver.all()[1].contains("Done: node-evacuation"), "{}", receiver.all()[1]);
    assert!(rig.run(&["notify", "list"]).await.text.contains("Nothing is pending"));
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_delays_no_run_and_a_killed_process_loses_nothing() {
    let receiver = Receiver::default();
    receiver.hangs.store(true, Ordering::SeqCst);
    let (listener, at) = free().await;
    receiver.listen(listener, None).await;
    let rig = rig(json!({"notify": [{"ntfy": format!("http://{at}/ops"), "on": ["all"]}]})).await;
    let ran = rig.run(&RUN).await;
    assert_eq!(ran.code, Some(0), "{}", ran.text);
    let events = rig.events();
    let took = events.last().unwrap().at - events[0].at;
    // The receiver never answers, and a try is given up only after ten seconds.
    assert!(took < 10_000, "the run took {took} ms");
    assert!(ran.text.contains("could not be delivered yet"), "{}", ran.text);

    // Killed while it tells of its beginning: nothing of that was ever answered.
    let before = receiver.all().len();
    let mut child = rig.spawn(&["run", "evacuate", "pve3", "--apply", "--yes", "--progress", "quiet"]);
    receiver.wait(before + 1).await;
    let begun = || rig.store().runs(&Default::default()).unwrap().len() == 2;
    for _ in 0..1000 {
        if begun() && rig.store().outbox().unwrap().pending().unwrap().len() >= 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child.start_kill().unwrap();
    child.wait().await.unwrap();
    receiver.hangs.store(false, Ordering::SeqCst);
    receiver.got.lock().unwrap().clear();
    let killed = rig.store().find("last").unwrap().id;
    let flushed = rig.run(&["notify", "flush"]).await;
    assert_eq!(flushed.code, Some(0), "{}", flushed.text);
    let of_killed: Vec<String> =
        receiver.all().iter().filter(|t| header(t, "runbook-id") == format!("{killed}-1")).cloned().collect();
    assert_eq!(of_killed.len(), 1, "{:?}", receiver.events());
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_written_for_node_exporter() {
    use std::os::unix::fs::PermissionsExt;
    let rig = rig(json!({"metrics": {"textfile_dir": "textfiles"}})).await;
    let folder = rig.house.folder().join("textfiles");
    let missing = rig.run(&RUN).await;
    assert_eq!(missing.code, Some(0), "{}", missing.text);
    assert!(missing.text.contains("metrics could not be written") && missing.text.contains("textfiles"));
    std::fs::create_dir(&folder).unwrap();
    rig.run(&["run", "evacuate", "pve3", "--apply", "--yes", "--inject", "fail:maintenance"]).await;
    let page = folder.join("runbook.prom");
    let text = runbook::sys::files::read_text(&page).unwrap();
    assert_eq!(page.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(text, rig.run(&["metrics"]).await.text);
    let of = r#"runbook="node-evacuation",site="lab.example""#;
    for line in [
        format!("runbook_runs_total{{{of},status=\"succeeded\"}} 1"),
        format!("runbook_run_last_status{{{of},status=\"failed\"}} 1"),
        "runbook_outbox_pending 0".to_owned(),
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    let left = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(left, 1, "a temporary file was left");
    rig.house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_configured_is_said_in_so_many_words() {
    let rig = rig(json!({})).await;
    let said = rig.run(&["notify", "test"]).await;
    assert!(said.code == Some(3) && said.text.contains("notify::none"), "{}", said.text);
    rig.house.leave().await;
}
