//! `http.get` asks a server something; `http.request` has it do something.
//!
//! They are two, since what a step may do at most is known before it runs: GET and HEAD are readings, which may stand in
//! a check; anything else is a change. What a server does when it is asked only its owner knows, so neither is sent for
//! a plan, unless the author of a reading says that it has no effect (`preview`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::actions::class;
use crate::clients::net::{Net, NetError, Request, Response};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Reading, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::shell;

/// Of a body, so much is put out.
const SHOWN: usize = 64 << 10;
const TIMEOUT: u64 = 30_000;

/// A request, as a step asks for it: references to secrets, never the secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    pub method: String,
    pub url: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub expect: Vec<u16>,
    pub ca_file: Option<PathBuf>,
    pub insecure: bool,
    /// Milliseconds.
    pub timeout: u64,
}

impl Ask {
    fn of(call: &Call, folder: &std::path::Path) -> Result<Self, Failure> {
        let refuse = |cause: String| Failure::new(Class::Precondition, "make a request over HTTP", cause);
        let mut headers = BTreeMap::new();
        for (name, value) in call.arg::<Option<Map<String, Value>>>("headers")?.unwrap_or_default() {
            let text = match value {
                Value::String(text) => text,
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                _ => return Err(refuse(format!("headers: the value of {name} is no text"))),
            };
            headers.insert(name, text);
        }
        let (text, data): (Option<String>, Value) = (call.arg("body")?, call.get("json").clone());
        let body = match (text, data) {
            (Some(_), data) if !data.is_null() => return Err(refuse("give one of `body` and `json`".into())),
            (Some(text), _) => text,
            (None, Value::Null) => String::new(),
            (None, data) => {
                if !headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
                    headers.insert("Content-Type".into(), "application/json".into());
                }
                data.to_string()
            }
        };
        let ca_file: Option<PathBuf> = call.arg("ca_file")?;
        Ok(Self {
            method: call.arg("method")?,
            url: call.arg("url")?,
            headers,
            body,
            expect: call.arg::<Option<_>>("expect")?.unwrap_or_default(),
            ca_file: ca_file.map(|path| folder.join(path)),
            insecure: call.arg::<Option<bool>>("insecure")?.unwrap_or(false),
            timeout: call.arg::<Option<u64>>("timeout")?.unwrap_or(TIMEOUT),
        })
    }

    pub fn only_reads(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD")
    }

    /// To ask for it twice leaves what asking once leaves, by its meaning in HTTP (RFC 9110, 9.2.2). DELETE is so as
    /// well, but it destroys, and what destroys is never repeated.
    fn is_repeatable(&self) -> bool {
        self.method == "PUT"
    }

    fn attempted(&self) -> String {
        format!("{} {}", self.method, self.url)
    }

    fn is_expected(&self, status: u16) -> bool {
        if self.expect.is_empty() { (200..300).contains(&status) } else { self.expect.contains(&status) }
    }

    fn expected(&self) -> String {
        match self.expect.is_empty() {
            true => "200 to 299".into(),
            false => self.expect.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        }
    }

    fn runs_a_program(&self) -> bool {
        self.headers.values().any(|value| value.starts_with("cmd:"))
    }

    fn request(&self) -> Request {
        Request {
            method: self.method.clone(),
            url: self.url.clone(),
            headers: self.headers.clone().into_iter().collect(),
            body: self.body.clone().into_bytes(),
            ca_file: self.ca_file.clone(),
            insecure: self.insecure,
            timeout: Duration::from_millis(self.timeout),
        }
    }

    fn typed(&self) -> String {
        let mut words = vec!["curl".to_owned(), "--fail-with-body".into()];
        words.extend(["-X".to_owned(), self.method.clone()]);
        for (name, value) in &self.headers {
            words.extend(["-H".to_owned(), format!("{name}: {value}")]);
        }
        if let Some(path) = &self.ca_file {
            words.extend(["--cacert".to_owned(), path.display().to_string()]);
        }
        if self.insecure {
            words.push("--insecure".into());
        }
        if !self.body.is_empty() {
            words.extend(["--data-raw".to_owned(), self.body.clone()]);
        }
        words.push(self.url.clone());
        shell::line(words)
    }
}

/// What a request failed with.
pub fn failure(attempted: impl Into<String>, error: &NetError) -> Failure {
    let done = if error.sent() { Done::Unknown } else { Done::None };
    Failure::new(class(error.class()), attempted, error.to_string()).done(done)
}

/// Sends it and says what it puts out.
///
/// # Errors
/// There is no answer, or another one than expected.
pub async fn answer(net: &Net, ask: &Ask) -> Result<Value, Failure> {
    let response = net.request(&ask.request()).await.map_err(|e| failure(ask.attempted(), &e))?;
    judged(ask, &response)
}

fn judged(ask: &Ask, response: &Response) -> Result<Value, Failure> {
    let status = response.status;
    if ask.is_expected(status) {
        return Ok(outputs(response));
    }
    let class = match status {
        401 | 403 | 407 => Class::Refused,
        429 | 503 => Class::Transient,
        409 | 423 => Class::Locked,
        _ => Class::Failed,
    };
    let done = match status {
        // By their meaning the server has not done it.
        300..500 => Done::None,
        200..300 => Done::Whole,
        // A server, or a proxy before it, that has failed says nothing of what it had done by then.
        _ => Done::Unknown,
    };
    let cause = format!("expected {}, got {status}", ask.expected());
    let said = response.body.lines().map(str::trim).filter(|line| !line.is_empty()).take(10);
    let said = said.map(|line| line.chars().take(200).collect()).collect();
    let failure = Failure::new(class, ask.attempted(), cause).details(said);
    Err(if ask.only_reads() { failure } else { failure.done(done) })
}

fn outputs(response: &Response) -> Value {
    let mut end = response.body.len().min(SHOWN);
    while !response.body.is_char_boundary(end) {
        end -= 1;
    }
    // Half of a JSON text is none.
    let data: Value = serde_json::from_str(&response.body).ok().filter(|_| !response.cut).unwrap_or_default();
    let headers: Map<String, Value> = response.headers.iter().map(|(name, text)| (name.clone(), json!(text))).collect();
    json!({
        "status": response.status, "headers": headers, "body": response.body[..end], "json": data,
        "cut": response.cut || end < response.body.len(),
    })
}

fn spec(name: &str, effect: Effect, title: &str, methods: &[&str], first: Option<&str>) -> ActionSpec {
    let mut method = Param::new("method", ValueType::String).choices(methods).help("What is asked for");
    match first {
        Some(first) => method.default = Some(json!(first)),
        None => method.required = true,
    }
    ActionSpec::new(name, effect, title)
        .param(method)
        .param(Param::new("url", ValueType::Url).required().help("http or https; shown, so no place for secrets"))
        .param(Param::new("headers", ValueType::Map).help("Texts, or references to secrets as pass:PATH"))
        .param(
            Param::new("expect", ValueType::List)
                .items(ValueType::Int)
                .help("The statuses that are success [default: 200 to 299]; no redirect is followed"),
        )
        .param(
            Param::new("timeout", ValueType::Duration)
                .default_value(json!(TIMEOUT))
                .help("For the request from beginning to end"),
        )
        .param(
            Param::new("ca_file", ValueType::Path)
                .help("Certificate authorities (PEM) to believe, from the configuration's folder"),
        )
        .param(Param::new("insecure", ValueType::Bool).default_value(false).help("Believe any certificate"))
        .output("status", ValueType::Int, "The status")
        .output("headers", ValueType::Map, "By their names in lower case, without cookies")
        .output("body", ValueType::String, "Its first 64 KiB")
        .output("json", ValueType::Any, "The body as JSON, where it is that and at most 1 MiB; else null")
        .output("cut", ValueType::Bool, "Whether the body was longer than what is put out")
        .needs_privilege("none of the site's: what the server itself asks for")
}

/// The reading.
pub struct HttpGet {
    spec: ActionSpec,
    folder: PathBuf,
}

impl HttpGet {
    /// `folder`: where relative paths begin.
    pub fn new(folder: PathBuf) -> Self {
        let spec = spec("http.get", Effect::Read, "Ask a server over HTTP", &["GET", "HEAD"], Some("GET")).param(
            Param::new("preview", ValueType::Bool)
                .default_value(false)
                .help("Asked for a plan as well: asking this server has no effect"),
        );
        Self { spec, folder }
    }
}

#[async_trait]
impl Action for HttpGet {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let ask = Ask::of(call, &self.folder)?;
        let preview = call.arg::<Option<bool>>("preview")?.unwrap_or(false);
        // A plan runs no program, be it one that gives a secret.
        if world.is_planned() && (!preview || ask.runs_a_program()) {
            return Err(Unreadable::Later(format!("{} (not previewed: a request over HTTP)", ask.attempted())));
        }
        let key = ResourceKey::new(format!("http/{}", json!(ask)));
        let outputs = (*world.read(&key).await?.known(&ask.attempted())?).clone();
        let summary = format!("{}: {}", ask.attempted(), outputs["status"]);
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}

/// The change.
pub struct HttpRequest {
    spec: ActionSpec,
    folder: PathBuf,
}

impl HttpRequest {
    /// `folder`: where relative paths begin.
    pub fn new(folder: PathBuf) -> Self {
        let methods = ["POST", "PUT", "PATCH", "DELETE"];
        let spec = spec("http.request", Effect::Change, "Have a server do something over HTTP", &methods, None)
            .param(Param::new("body", ValueType::String).help("Text; or give json"))
            .param(Param::new("json", ValueType::Any).help("Sent as JSON; or give body"));
        Self { spec, folder }
    }
}

#[async_trait]
impl Action for HttpRequest {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, _: &dyn World) -> Result<Probe, Unreadable> {
        let ask = Ask::of(call, &self.folder)?;
        let mut probe = Probe::new(format!("{} (not previewed: a request over HTTP)", ask.attempted()), Value::Null);
        if ask.insecure {
            probe.notes.push("its certificate is not checked: whoever is on the way can read and answer it".into());
        }
        Ok(probe)
    }

    fn predict(&self, call: &Call, _: &Probe) -> Prediction {
        // What it does cannot be told, but that it may is: a reading behind it is made when its turn comes.
        let taints = vec![(ResourceKey::new("http"), format!("{} is a request over HTTP", call.path))];
        Prediction { taints, ..Prediction::default() }
    }

    async fn apply(&self, call: &Call, _: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let (ask, net) = (Ask::of(call, &self.folder)?, mutate.client::<Net>()?);
        let sent = answer(&net, &ask);
        tokio::select! {
            biased;
            answered = sent => answered,
            () = mutate.stop.wait() => {
                let cause = "told to stop before it was answered; the server may have done it";
                Err(Failure::new(Class::Failed, ask.attempted(), cause).done(Done::Unknown))
            }
        }
    }

    async fn recover(&self, call: &Call, _: &Intent, _: Option<&Value>, _: &dyn World) -> Result<Recovery, Failure> {
        let ask = Ask::of(call, &self.folder)?;
        // That it may be sent again proves nothing of what was done: a person says that it was not, and it is.
        let again = if ask.is_repeatable() { "; sent once more, a PUT leaves what it leaves once" } else { "" };
        Ok(Recovery::InDoubt(format!("{} was sent, and what the server has done was not told{again}", ask.attempted())))
    }

    fn commands(&self, call: &Call, _: &Probe) -> Vec<String> {
        Ask::of(call, &self.folder).map(|ask| ask.typed()).into_iter().collect()
    }
}
