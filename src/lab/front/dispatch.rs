//! One request on its way through pveproxy: who is it from, does the API have it, may they, where does it run, is it
//! well formed; then the world answers. The order is the server's.
//!
//! Source: PVE::HTTPServer (auth_handler, rest_handler).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::calls;
use super::core::Core;
use super::request::Request;
use super::response::Response;
use crate::contracts::{Method, Schema, Verb};
use crate::lab::access::{AuthError, Identity, Rights};
use crate::lab::call::{Call, Privileges, PveError, Reply};
use crate::lab::fault::Effect;
use crate::lab::ledger::{Channel, Entry, redact};
use crate::model::ids::NodeName;

/// What a client gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Response(Response),
    /// The connection is reset.
    Reset,
    /// Nothing, ever.
    Never,
}

/// A call that the API has, before its parameters are checked.
struct Routed {
    schema: &'static Schema,
    method: &'static Method,
    path: BTreeMap<String, String>,
}

/// What is known of a request so far: it becomes its line in the ledger.
struct Trace<'a> {
    core: &'a Core,
    via: &'a NodeName,
    request: &'a Request,
    /// Below `/api2/json`.
    path: String,
    user: Option<String>,
}

impl Trace<'_> {
    fn write(&self, at_ms: u64, status: u16, mutating: bool, accepted: bool) {
        let params = self.request.params.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
        self.core.ledger.add(Entry {
            seq: 0,
            at_ms,
            channel: Channel::Http,
            node: self.via.clone(),
            method: self.request.method.clone(),
            path: self.path.clone(),
            params: redact(&self.path, &params),
            user: self.user.clone(),
            status: i32::from(status),
            mutating,
            accepted,
            client: self.request.client.clone(),
        });
    }

    /// A refusal: written down, not taken.
    fn refused(&self, response: Response) -> Answer {
        self.write(self.core.clock.now_ms(), response.status, false, false);
        Answer::Response(response)
    }
}

/// Answers one request that arrived at `via`. Runs to its end whether or not the client still listens.
pub(super) async fn dispatch(core: Arc<Core>, via: NodeName, request: Request) -> Answer {
    if !core.node_up(&via) {
        return Answer::Reset;
    }
    let started = tokio::time::Instant::now();
    let under_way = core.latency.enter(&via);
    let path = api_path(&request.path).map(str::to_owned);
    let mut trace = Trace {
        core: &core,
        via: &via,
        request: &request,
        path: path.clone().unwrap_or_else(|| request.path.clone()),
        user: None,
    };
    let Some(path) = path else {
        return trace.refused(Response::text(404, format!("no such file '{}'", request.path)));
    };
    let effect = core.faults.take_request(&request.method, &path);
    let answer = match effect {
        Some(Effect::ResetBefore) => {
            trace.write(core.clock.now_ms(), 0, false, false);
            Answer::Reset
        }
        Some(Effect::Status { status, text, after: false }) => trace.refused(injected(status, text)),
        effect => answer(&mut trace, &path, effect).await,
    };
    let client = request.client.clone().or(trace.user).unwrap_or_default();
    core.latency.add(&client, started.elapsed());
    drop(under_way);
    if core.node_up(&via) { answer } else { Answer::Reset }
}

/// What follows `/api2/json`.
fn api_path(path: &str) -> Option<&str> {
    path.strip_prefix("/api2/json").filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

async fn answer(trace: &mut Trace<'_>, path: &str, effect: Option<Effect>) -> Answer {
    let core = trace.core;
    let who = match identify(core, trace.request, path) {
        Ok(who) => who,
        Err(error) => {
            tokio::time::sleep(core.timing.auth_delay).await;
            return trace.refused(Response::empty(401, error.to_string()));
        }
    };
    trace.user = who.as_ref().map(|who| who.user.clone());
    let verb = Verb::parse(&trace.request.method);
    let version = core.with_world(|world| world.version(trace.via));
    let Some(routed) = verb.and_then(|verb| route(&version, verb, path)) else {
        return trace.refused(Response::not_implemented(&trace.request.method, path));
    };
    let (privileges, params) = match admit(trace, &routed, who.as_ref(), path) {
        Ok(admitted) => admitted,
        Err(error) => return trace.refused(Response::error(&error)),
    };
    match place(trace, &routed, &params).await {
        Ok(node) => execute(trace, path, routed.method.verb, Caller { who, privileges }, &node, effect).await,
        Err(response) => trace.refused(response),
    }
}

/// `None` for a call that needs nobody.
fn identify(core: &Core, request: &Request, path: &str) -> Result<Option<Identity>, AuthError> {
    let open = match request.method.as_str() {
        "GET" => path == "/access/domains" || path == "/access/ticket",
        "POST" => path == "/access/ticket" || path == "/access/vncticket",
        _ => false,
    };
    if open || path.starts_with("/access/openid/") {
        return Ok(None);
    }
    let credentials = request.credentials();
    if credentials.has_token() && core.faults.take_token_rejected() {
        return Err(AuthError::Failed);
    }
    core.access.authenticate(&credentials, request.method != "GET", core.clock.real_s()).map(Some)
}

fn route(version: &str, verb: Verb, path: &str) -> Option<Routed> {
    let schema = Schema::version(version);
    let (method, path) = schema.find(verb, path)?;
    Some(Routed { schema, method, path })
}

/// All parameters as text, the path's included: what permissions are asked with.
type Admitted = (Arc<dyn Privileges>, BTreeMap<String, String>);

fn admit(trace: &Trace<'_>, routed: &Routed, who: Option<&Identity>, path: &str) -> Result<Admitted, PveError> {
    if !routed.method.allowtoken && trace.request.credentials().has_token() {
        let text = format!("URI '{path}' not available with API token, need proper ticket.\n");
        return Err(PveError::status(403, format!("Permission check failed ({text})")));
    }
    if let Some(name) = trace.request.params.keys().find(|name| routed.path.contains_key(*name)) {
        return Err(PveError::parameter(name, "duplicate parameter (already defined in URI)"));
    }
    let mut params: BTreeMap<String, String> =
        trace.request.params.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
    params.extend(routed.path.clone());
    let user = who.map_or("", |who| who.user.as_str());
    let major = if routed.schema.version.starts_with("8.") { 8 } else { 9 };
    let pools = trace.core.with_world(|world| world.memberships());
    let rights = Rights { access: trace.core.access.clone(), user: user.to_owned(), major, pools };
    routed
        .method
        .permissions
        .check(user, &params, &|path, privilege| rights.may(path, privilege))
        .map_err(|text| PveError::status(403, text))?;
    Ok((Arc::new(rights), params))
}

/// The node that carries the call out.
async fn place(trace: &Trace<'_>, routed: &Routed, params: &BTreeMap<String, String>) -> Result<NodeName, Response> {
    let named = routed.method.proxyto.as_ref().and_then(|name| params.get(name));
    let Some(named) = named.filter(|name| *name != "localhost") else { return Ok(trace.via.clone()) };
    let node = NodeName::new(named.as_str());
    let (known, up) = trace.core.with_world(|world| (world.nodes().contains(&node), world.node_up(&node)));
    if !known {
        let text = format!(
            "hostname lookup '{named}' failed - failed to get address info for: {named}: Name or service not known"
        );
        return Err(Response::error(&PveError::die(text)));
    }
    if !up {
        tokio::time::sleep(trace.core.timing.no_route).await;
        return Err(Response::empty(595, "No route to host"));
    }
    Ok(node)
}

/// Who calls, and what they may do.
struct Caller {
    who: Option<Identity>,
    privileges: Arc<dyn Privileges>,
}

/// The call itself, on a worker of its node. That node may be of another version than the one that was asked.
async fn execute(
    trace: &Trace<'_>,
    path: &str,
    verb: Verb,
    caller: Caller,
    node: &NodeName,
    effect: Option<Effect>,
) -> Answer {
    let core = trace.core;
    let version = core.with_world(|world| world.version(node));
    let Some(routed) = route(&version, verb, path) else {
        return trace.refused(Response::not_implemented(&trace.request.method, path));
    };
    let Some(workers) = core.workers.get(node) else {
        return trace.refused(Response::empty(595, "No route to host"));
    };
    let busy = workers.take(routed.method.protected).await;
    let slow = if let Some(Effect::Slow(slow)) = &effect { *slow } else { Duration::ZERO };
    tokio::time::sleep(core.timing.service + slow).await;
    let result = match calls::check(routed.method, &routed.path, &trace.request.params) {
        Ok(params) => {
            let call = call(trace, &routed, caller, params);
            let busy = core.busy(&call);
            if !busy.is_zero() {
                tokio::time::sleep(busy).await;
            }
            carry_out(trace, &call, &version)
        }
        Err(error) => {
            trace.write(core.clock.now_ms(), error.status, false, false);
            Err(error)
        }
    };
    drop(busy);
    finish(trace, &routed, node, result, effect).await
}

fn call(trace: &Trace<'_>, routed: &Routed, caller: Caller, params: BTreeMap<String, String>) -> Call {
    let root_ticket = caller.who.as_ref().is_some_and(|who| who.by_ticket && who.user == "root@pam");
    Call {
        verb: routed.method.verb,
        template: routed.method.template.clone(),
        path: routed.path.clone(),
        params,
        user: caller.who.map(|who| who.user).unwrap_or_default(),
        root_ticket,
        privileges: caller.privileges,
        via: trace.via.clone(),
        upload: trace.request.upload.clone(),
    }
}

/// Its line in the ledger is written under the same lock.
fn carry_out(trace: &Trace<'_>, call: &Call, version: &str) -> Result<Reply, PveError> {
    let core = trace.core;
    core.with_world(|world| {
        let result = calls::carry_out(core, world, call, version);
        match &result {
            Ok(reply) => trace.write(world.now_ms(), 200, reply.mutating, true),
            Err(error) => trace.write(world.now_ms(), error.status, false, true),
        }
        result
    })
}

async fn finish(
    trace: &Trace<'_>,
    routed: &Routed,
    node: &NodeName,
    result: Result<Reply, PveError>,
    effect: Option<Effect>,
) -> Answer {
    let timing = &trace.core.timing;
    match effect {
        Some(Effect::ResetAfter) => return Answer::Reset,
        Some(Effect::Status { status, text, .. }) => return Answer::Response(injected(status, text)),
        Some(Effect::Hang) if routed.method.protected || node != trace.via => {
            tokio::time::sleep(timing.proxy_timeout).await;
            return Answer::Response(Response::empty(596, "Connection timed out"));
        }
        Some(Effect::Hang) => return Answer::Never,
        _ => {}
    }
    match result {
        Ok(reply) => Answer::Response(Response::success(reply)),
        Err(error) => {
            if error.status == 401 {
                tokio::time::sleep(timing.auth_delay).await;
            }
            Answer::Response(Response::error(&error))
        }
    }
}

/// The answer of a fault: 401 and what a proxy says of another server have no body.
fn injected(status: u16, text: Option<String>) -> Response {
    let text = text.unwrap_or_else(|| {
        match status {
            401 => "Authentication failed!",
            403 => "Permission check failed",
            501 => "not implemented",
            595 => "Connection refused",
            596 => "Connection timed out",
            597 => "Broken pipe",
            _ => "got timeout",
        }
        .to_owned()
    });
    if status == 401 || status >= 595 {
        Response::empty(status, text)
    } else {
        Response::error(&PveError::status(status, text))
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => u8::from(*flag).to_string(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
