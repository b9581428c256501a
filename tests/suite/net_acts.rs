//! `wait.tcp`, `http.get` and `http.request` with the real program and a server in this process.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::harness::World;

const APPLY: [&str; 4] = ["run", "x.yaml", "--apply", "--yes"];

fn world(steps: &str) -> World {
    let world = World::new();
    world.write("x.yaml", &format!("runbook: x\nschema: 1\ntarget: none\n{steps}"));
    world
}

/// One that says the same to everybody, and keeps what it was asked.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `answer` of nothing: it hangs up when it has read the request.
    fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                kept.lock().unwrap().push(request(&mut stream));
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { port, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    while let Ok(n) = stream.read(&mut buffer) {
        if n == 0 {
            break;
        }
        bytes.extend_from_slice(&buffer[..n]);
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_port_is_waited_for_until_it_is_open_or_closed() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let step = |rest: &str| format!("steps: [{{uses: wait.tcp, with: {{host: 127.0.0.1, port: {port}{rest}}}}}]\n");
    let open = world(&step(", within: 30s"));
    open.runbook(&["plan", "x.yaml"]).exits(0).says(&[&format!("waits until 127.0.0.1:{port} is open, at most 30 s")]);
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(1));
        TcpListener::bind(("127.0.0.1", port)).unwrap()
    });
    open.runbook(&APPLY).exits(0);
    let listener = later.join().unwrap();
    let since = Instant::now();
    world(&step(", closed: true, within: 1s")).runbook(&APPLY).exits(1).says(&["is closed", "takes connections"]);
    drop(listener);
    world(&step(", closed: true, within: 30s")).runbook(&APPLY).exits(0);
    world(&step(", within: 1s")).runbook(&APPLY).exits(1).says(&["not within 1 s", "refused"]);
    assert!(since.elapsed() < Duration::from_secs(60));
    let nowhere = "steps: [{uses: wait.tcp, with: {host: no-such-host.invalid, port: 1, closed: true, within: 1s}}]\n";
    world(nowhere).runbook(&APPLY).exits(1);
}

#[test]
fn a_plan_asks_nobody_and_a_run_gets_the_answer_without_secrets() {
    let server = Server::start(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: a=b\r\nX-Kind: one\r\nConnection: close\r\n\r\n\
         {\"state\": \"ready\", \"echo\": \"hunter2-hunter2\"}",
    );
    let mut world = world(&format!(
        r#"
steps:
  - id: look
    uses: http.get
    with: {{url: "http://127.0.0.1:{}/state", headers: {{Authorization: "env:API_KEY", X-N: 3}}}}
    verify:
      - expect: result.json.state == "ready" and result.status == 200 and result.headers["x-kind"] == "one"
  - uses: local.run
    with: {{argv: [echo, "{{{{ steps.look.body }}}}"]}}
"#,
        server.port
    ));
    world.set("API_KEY", "hunter2-hunter2");
    let plan = world.runbook(&["plan", "x.yaml"]);
    plan.exits(0).says(&["(not previewed: a request over HTTP)"]);
    assert_eq!(server.asked(), Vec::<String>::new());
    world.runbook(&APPLY).exits(0);
    let asked = server.asked().concat();
    assert!(asked.starts_with("GET /state HTTP/1.1") && asked.contains("hunter2-hunter2"), "{asked}");
    assert!(asked.to_lowercase().contains("x-n: 3"), "{asked}");
    for (path, bytes) in world.files() {
        assert!(!String::from_utf8_lossy(&bytes).contains("hunter2"), "{}", path.display());
    }
    assert!(!world.runbook(&["logs", "last"]).both().contains("hunter2"));
}

#[test]
fn a_reading_whose_author_says_so_is_asked_for_a_plan() {
    let server = Server::start("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[1, 2]");
    let steps = format!(
        "steps:\n  - {{id: a, uses: http.get, with: {{url: 'http://127.0.0.1:{}/', preview: true}}}}\n  \
         - {{for_each: steps.a.json, uses: local.run, with: {{argv: [echo, 'item {{{{ item }}}}']}}}}\n",
        server.port
    );
    let world = world(&steps);
    world.runbook(&["plan", "x.yaml"]).exits(0).says(&["echo 'item 2'"]);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_change_is_sent_once_and_a_lost_answer_leaves_it_in_doubt() {
    let step = |port: u16, rest: &str| {
        format!("steps: [{{uses: http.request, with: {{url: 'http://127.0.0.1:{port}/x', {rest}}}}}]\n")
    };
    let good = Server::start("HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let one = world(&step(good.port, "method: POST, json: {a: [1, 'b']}, expect: [201]"));
    one.runbook(&["plan", "x.yaml", "--as", "commands"]).exits(0).says(&["curl", "-X POST"]);
    assert_eq!(good.asked().len(), 0);
    one.runbook(&APPLY).exits(0);
    let asked = good.asked().concat();
    assert!(asked.contains("application/json") && asked.ends_with(r#"{"a":[1,"b"]}"#), "{asked}");

    let lost = Server::start("");
    for (method, times) in [("POST", 1), ("DELETE", 2)] {
        let world = world(&step(lost.port, &format!("method: {method}")));
        let got = world.runbook(&APPLY);
        assert!(got.exit.is_some_and(|exit| exit > 1), "in doubt, not failed: {:?} {}", got.exit, got.both());
        assert!(got.both().contains("what the server has done was not told"), "{}", got.both());
        world.runbook(&["resume", "last"]);
        assert_eq!(lost.asked().len(), times, "never sent again by itself");
    }

    let bad = Server::start("HTTP/1.1 422 No\r\nConnection: close\r\n\r\nname: is taken\n");
    world(&step(bad.port, "method: POST")).runbook(&APPLY).exits(1).says(&["expected 200 to 299, got 422", "is taken"]);
    let broken = Server::start("HTTP/1.1 500 Oh\r\nConnection: close\r\n\r\nhalf done\n");
    let got = world(&step(broken.port, "method: POST")).runbook(&APPLY);
    assert!(got.exit.is_some_and(|exit| exit > 1), "{:?} {}", got.exit, got.both());
}

#[test]
fn what_may_not_be_asked_is_refused_before_it_is_sent() {
    let get = |with: &str| world(&format!("steps: [{{uses: http.get, with: {{{with}}}}}]\n")).runbook(&APPLY);
    get("url: 'http://169.254.169.254/latest/meta-data'").exits(1).says(&["of this link alone"]);
    get("url: 'http://user:hidden@127.0.0.1/'").exits(1).says(&["it holds a login"]);
    get("url: 'http://127.0.0.1:1/'").exits(1).says(&["refuses connections"]);
    let mut open = world("steps: [{uses: http.get, with: {url: 'http://192.0.2.1/', headers: {K: 'env:KEY_A'}}}]\n");
    open.set("KEY_A", "hunter2-hunter2");
    open.runbook(&APPLY).exits(1).says(&["https is needed"]);
    let lint = world("steps: [{uses: http.request, with: {url: 'http://x/', method: GET}}]\n");
    lint.runbook(&["lint", "x.yaml"]).exits(2);
}
