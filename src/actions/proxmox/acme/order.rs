//! `proxmox.certificate_order`: has a node get the certificate for its names, or a new one before that ends.
//!
//! pveproxy shows the new certificate to new connections only. So it is looked at over a new one, and what was configured to
//! be believed of the node is told where it is not true any more.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::uses::Lines;
use super::{CUSTOM, is_absent, refused, state, text};
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::failures;
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::{Certificate, NodeConfig, ShownCertificate};
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, Site, Verb, seg};
use crate::engine::ports::{Call, Mutate, Prediction, Probe, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::Failure;
use crate::model::ids::{Fingerprint, NodeName};
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

const DAY: i64 = 86_400;
/// The server renews by itself, without `force`, what ends sooner than this.
const SERVERS_DAYS: i64 = 30;
/// The one that a node was installed with.
pub(super) const OWN: &str = "pve-ssl.pem";

/// The act.
pub struct CertificateOrder {
    spec: ActionSpec,
    timing: Timing,
}

/// What is asked of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum How {
    Nothing,
    Order,
    /// In place of one that is not right.
    Replace,
    /// With or without `force`.
    Renew {
        force: bool,
    },
    Remove,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Before {
    node: NodeName,
    /// Its custom certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    now: Option<Certificate>,
    how: How,
}

impl CertificateOrder {
    pub fn new(timing: Timing) -> Self {
        let own = |name, ty| Param::new(name, ty);
        let title = "Have a node order or renew its certificate";
        let spec = ActionSpec::new("proxmox.certificate_order", Effect::Change, title)
            .param(own("node", ValueType::Node).required().help("The node"))
            .param(Param {
                min: Some(1.0),
                ..own("days", ValueType::Int).default_value(30).help("Renewed when it is good for fewer days than this")
            })
            .param(own("issuer", ValueType::String).help("What its issuer must have in it: `O=Let's Encrypt`"))
            .param(own("force", ValueType::Bool).default_value(false).help("Renewed although it is right"))
            .param(
                own("replace", ValueType::Bool)
                    .default_value(false)
                    .help("A custom certificate that is not right is written over, with its key"),
            )
            .param(own("fingerprint", ValueType::String).help("With state: absent: taken away only if it is this one"))
            .param(state())
            .output(
                "fingerprint",
                ValueType::String,
                "Of the certificate that the node shows, as `fingerprint` of the configuration has it",
            )
            .output("issuer", ValueType::String, "Its issuer")
            .output("san", ValueType::List, "The names in it")
            .output("notafter", ValueType::Int, "When it ends, in seconds since 1970")
            .output(
                "trusted",
                ValueType::Bool,
                "Whether the configuration has us believe it; null where that is not known",
            )
            .output("advice", ValueType::String, "What to change in the configuration, if anything")
            .needs_privilege("Sys.Modify on /nodes/{node}")
            .needs_privilege("Sys.Audit on /")
            .undoable();
        Self { spec, timing }
    }
}

fn attempted(call: &Call) -> String {
    let verb = if is_absent(call) { "remove the custom certificate of" } else { "order a certificate for" };
    format!("{verb} {}", text(call, "node"))
}

/// Whether a certificate's name is for this host.
fn covers(name: &str, host: &str) -> bool {
    let (name, host) = (name.to_lowercase(), host.to_lowercase());
    let wild = name.strip_prefix("*.").zip(host.split_once('.')).is_some_and(|(rest, (_, of))| rest == of);
    name == host || wild
}

/// Why it is not the one that is wanted, whenever it ends.
fn wrong(certificate: &Certificate, names: &[String], issuer: &str) -> Option<String> {
    let missing = names.iter().find(|name| !certificate.san.iter().any(|own| covers(own, name)));
    if let Some(name) = missing {
        return Some(format!("it is not for {name}"));
    }
    (!certificate.issuer.contains(issuer)).then(|| format!("its issuer is {}", certificate.issuer))
}

/// That the certificate which is to be taken away is the one that was meant: others may have ordered one since.
fn is_meant(call: &Call, now: Option<&Certificate>) -> Result<(), Failure> {
    match (call.get("fingerprint").as_str(), now) {
        (Some(_), _) if !is_absent(call) => Err(refused(attempted(call), "fingerprint goes with state: absent")),
        (Some(meant), Some(now)) if now.fingerprint != meant => {
            let remedy = "it comes back by nothing, and its key neither: look whose it is";
            Err(refused(attempted(call), format!("it is {}, not {meant}", now.fingerprint)).remedy(remedy))
        }
        _ => Ok(()),
    }
}

/// Seconds since 1970 by the node's own clock, which its certificate is judged by.
pub(super) async fn now(world: &dyn World, node: &NodeName) -> Result<i64, Unreadable> {
    let answer = look::api(world, format!("/nodes/{}/time", seg(node)), &[]).await?;
    let attempted = format!("read the time of {node}");
    Ok(answer["time"].as_i64().ok_or_else(|| refused(attempted, "the answer has no time"))?)
}

pub(super) async fn certificates(
    world: &dyn World,
    node: &NodeName,
) -> Result<BTreeMap<String, Certificate>, Unreadable> {
    look::read(world, Resource::Certificates(node.clone())).await
}

async fn names(world: &dyn World, node: &NodeName) -> Result<Vec<String>, Unreadable> {
    let config: NodeConfig = look::read(world, Resource::NodeConfig(node.clone())).await?;
    Ok(Lines::of(&config).all().into_iter().map(|domain| domain.name).collect())
}

/// What has to be asked for, and why, in words.
fn decide(call: &Call, now: Option<&Certificate>, names: &[String], time: i64) -> Result<(How, String), Failure> {
    let issuer = text(call, "issuer");
    let Some(certificate) = now else { return Ok((How::Order, format!("is ordered for {}", names.join(", ")))) };
    if let Some(why) = wrong(certificate, names, issuer) {
        if call.get("replace") == true {
            return Ok((How::Replace, format!("{why}: is ordered for {}, in its place", names.join(", "))));
        }
        let cause = format!("{} has a custom certificate, and {why}", text(call, "node"));
        let remedy = "a new one is written over it and its key, neither of which comes back: give replace: true";
        return Err(refused(attempted(call), cause).remedy(remedy));
    }
    let left = (certificate.notafter - time).div_euclid(DAY);
    let wanted = call.get("days").as_i64().unwrap_or(SERVERS_DAYS);
    let force = left >= SERVERS_DAYS - 1;
    match left < wanted || call.get("force") == true {
        true => {
            Ok((How::Renew { force }, format!("is good for {left} days: is renewed, and the one that it has goes")))
        }
        false => Ok((How::Nothing, format!("is right, and good for {left} days"))),
    }
}

/// What to change in the configuration where a certificate is not believed by it.
pub(super) fn advice(node: &NodeName, shown: &ShownCertificate) -> Option<String> {
    let print = &shown.fingerprint;
    let pin = format!("`fingerprint: \"{print}\"`");
    let why = match shown.by.as_str() {
        _ if shown.trusted => return None,
        "fingerprint" => {
            return Some(format!(
                "{node}: cluster-config.yaml pins the certificate of before: give {node} {pin} there"
            ));
        }
        "ca_file" => "the authority of tls.ca_file in cluster-config.yaml has not issued it",
        _ => "this machine does not know its issuer, and cluster-config.yaml pins nothing",
    };
    // A name that it does not have is refused in the same way as an issuer that is not known.
    let host = &shown.host;
    let write = format!("give {node} a `host` that is one of its names, or {pin}, there");
    Some(format!("{node}: {why}, or it is not for {host}: {write}"))
}

/// What a person must know of it before.
fn note(node: &NodeName, shown: &ShownCertificate) -> Option<String> {
    let how = match shown.by.as_str() {
        "fingerprint" => "is pinned by its fingerprint in cluster-config.yaml, and the new certificate has another one",
        "ca_file" => {
            "is believed by tls.ca_file in cluster-config.yaml, whose authority may not have issued the new one"
        }
        "system" if !shown.trusted => "is not believed by this machine",
        _ => return None,
    };
    let then = match shown.others {
        true => "other commands refuse the node until what this step then says is written there",
        false => "with no other node to ask, this run may stop then: write there what it says, and resume",
    };
    Some(format!("{node} {how}: {then}"))
}

async fn shown(world: &dyn World, node: &NodeName) -> Result<Option<ShownCertificate>, Unreadable> {
    look::read(world, Resource::Shown(node.clone())).await
}

fn outputs(node: &NodeName, certificate: &Certificate, shown: Option<&ShownCertificate>) -> Value {
    json!({
        "fingerprint": certificate.fingerprint, "issuer": certificate.issuer, "san": certificate.san,
        "notafter": certificate.notafter, "trusted": shown.map(|shown| shown.trusted),
        "advice": shown.and_then(|shown| advice(node, shown)).unwrap_or_default(),
    })
}

#[async_trait]
impl Act for CertificateOrder {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, call: &Call, _: &Value) -> String {
        attempted(call)
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let node: NodeName = call.arg("node")?;
        let found = look::node(world, &node).await?;
        if !found.online {
            return Err(refused(attempted(call), format!("{node} is offline")).into());
        }
        let now = certificates(world, &node).await?.remove(CUSTOM);
        is_meant(call, now.as_ref())?;
        let (how, why) = if is_absent(call) {
            match now.is_some() {
                true => (How::Remove, "its custom certificate and key are removed, and it shows its own again".into()),
                false => (How::Nothing, "has no custom certificate".into()),
            }
        } else {
            let names = names(world, &node).await?;
            if names.is_empty() {
                let remedy = "say for which names first (proxmox.acme_domains)";
                return Err(refused(attempted(call), format!("{node} has no ACME domains")).remedy(remedy).into());
            }
            decide(call, now.as_ref(), &names, self::now(world, &node).await?)?
        };
        let mut probe =
            Probe::new(format!("certificate of {node}: {why}"), json!(Before { node: node.clone(), now, how }));
        probe.satisfied = how == How::Nothing;
        // Key and certificate of before come back by nothing.
        if matches!(how, How::Remove | How::Replace | How::Renew { .. }) {
            probe.effect = Some(Effect::Destroy);
        }
        if !probe.satisfied {
            match shown(world, &node).await {
                Ok(shown) => probe.notes.extend(shown.and_then(|shown| note(&node, &shown))),
                Err(why) => probe.notes.push(format!("what {node} shows to a new connection is not known: {why}")),
            }
        }
        Ok(probe)
    }

    fn request(&self, _: &Call, before: &Value) -> Result<Request, Failure> {
        let Before { node, how, .. } = look::before(before)?;
        let acme = format!("/nodes/{}/certificates/acme/certificate", seg(&node));
        let force = |force: bool| Params::new().opt("force", force.then_some("1"));
        Ok(match how {
            How::Order | How::Nothing => Request::on_node(&node, acme, Params::new(), &["acmenewcert"]),
            How::Replace => Request::on_node(&node, acme, force(true), &["acmenewcert"]),
            How::Renew { force: with } => {
                Request::on_node(&node, acme, force(with), &["acmerenew"]).with_verb(Verb::Put)
            }
            How::Remove => {
                let path = format!("/nodes/{}/certificates/custom", seg(&node));
                Request::at_once(Verb::Delete, path, Params::new().flag("restart", true))
            }
        })
    }

    fn begins(&self, before: &Value, site: &Site) {
        if let Ok(Before { node, .. }) = look::before(before) {
            site.expect_certificate(&node);
        }
    }

    fn nothing_done(&self, before: &Value, site: &Site) {
        if let Ok(Before { node, .. }) = look::before(before) {
            site.expect_no_certificate(&node);
        }
    }

    fn ended(&self, before: &Value, outputs: &Value, site: &Site, mutate: &Mutate) -> Result<(), Failure> {
        let Before { node, .. } = look::before(before)?;
        if outputs["trusted"].is_null() {
            return Ok(());
        }
        let attempted = format!("believe the new certificate of {node}");
        let print = outputs["fingerprint"].as_str().unwrap_or_default().parse::<Fingerprint>();
        let print = print.map_err(|e| refused(attempted.clone(), e.to_string()))?;
        site.believe(&node, print).map_err(|e| failures::proxmox(&failures::we(site), attempted, &e))?;
        if let Some(advice) = outputs["advice"].as_str().filter(|advice| !advice.is_empty()) {
            mutate.log(advice);
        }
        Ok(())
    }

    async fn judge(
        &self,
        call: &Call,
        was: &Value,
        answer: Option<&Value>,
        world: &dyn World,
    ) -> Result<Seen, Failure> {
        let was: Before = look::before(was)?;
        let node = &was.node;
        let mut all = certificates(world, node).await.map_err(look::settled)?;
        let now = all.remove(CUSTOM);
        let print = |certificate: &Option<Certificate>| certificate.as_ref().map(|of| of.fingerprint.clone());
        if print(&now) == print(&was.now) {
            let said = print(&now).map_or("none".into(), |print| format!("the one of before, {print}"));
            return Ok(Seen::Untouched(format!("the custom certificate of {node} is {said}")));
        }
        if now.is_none() != (was.how == How::Remove) {
            return Ok(Seen::Strange(format!("the custom certificate of {node} is {:?}", print(&now))));
        }
        if let Some(now) = &now {
            let names = names(world, node).await.map_err(look::settled)?;
            if let Some(why) = wrong(now, &names, text(call, "issuer")) {
                return Ok(Seen::Strange(format!("{node} has a new certificate, and {why}")));
            }
        }
        let Some(current) = now.or_else(|| all.remove(OWN)) else {
            return Ok(Seen::Strange(format!("{node} has no certificate at all")));
        };
        // Whoever looks again later, as a rollback does, must not take one that came since for its own.
        if let Some(given) = answer.and_then(|outputs| outputs["fingerprint"].as_str())
            && given != current.fingerprint
        {
            return Ok(Seen::Strange(format!("{node} was given {given}, and has {} now", current.fingerprint)));
        }
        let shown = shown(world, node).await.map_err(look::settled)?;
        if let Some(shown) = shown.as_ref().filter(|shown| shown.fingerprint != current.fingerprint) {
            let said = format!("{node} still shows {} to new connections", shown.fingerprint);
            return Ok(Seen::Partial(format!("{said}, and its certificate is {}", current.fingerprint)));
        }
        Ok(Seen::Done(outputs(node, &current, shown.as_ref())))
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(Before { node, now, how }) = look::before(&before.before) else { return Prediction::default() };
        if how == How::Nothing {
            let outputs = now.map(|of| {
                let Value::Object(outputs) = outputs(&node, &of, None) else { return BTreeMap::new() };
                let known = |name: &String| matches!(name.as_str(), "fingerprint" | "issuer" | "san" | "notafter");
                outputs.into_iter().filter(|(name, _)| known(name)).collect()
            });
            return Prediction { outputs: outputs.unwrap_or_default(), ..Prediction::default() };
        }
        let why = format!("{} gives {node} another certificate", call.path);
        let resource = Resource::Certificates(node.clone()).key();
        Prediction {
            // Which one it will be is not known.
            deltas: vec![Delta { resource: resource.clone(), patch: json!({CUSTOM: null}) }],
            taints: vec![
                (resource, why.clone()),
                (Resource::Shown(node.clone()).key(), why.clone()),
                (format!("proxmox/api/nodes/{}/certificates", seg(&node)).as_str().into(), why),
            ],
            outputs: BTreeMap::new(),
        }
    }

    /// One that was there before is gone with its key.
    fn undo(&self, _: &Call, before: &Value, outputs: Option<&Value>) -> Option<Invocation> {
        let Before { node, how, .. } = look::before(before).ok()?;
        let mut with = json!({"node": node, "state": "absent"});
        if let Some(given) = outputs.and_then(|outputs| outputs["fingerprint"].as_str()) {
            with["fingerprint"] = json!(given);
        }
        (how == How::Order).then(|| Invocation { uses: self.spec.name.clone(), with })
    }

    fn undo_summary(&self, call: &Call, before: &Probe) -> Option<String> {
        let Before { node, .. } = look::before(&before.before).ok()?;
        self.undo(call, &before.before, None)?;
        Some(format!("{node} shows its own certificate again"))
    }

    fn remedy(&self, cause: &str) -> Option<String> {
        let failed = cause.contains("validating challenge") || cause.contains("validation of");
        failed.then(|| "see the task's log for the name; look whether the plugin's data may write _acme-challenge entries there, and give its validation_delay the time that the provider needs".into())
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let Before { node, .. } = look::before(before).ok()?;
        let path = format!("pvesh get /nodes/{}/certificates/info", seg(&node));
        Some(typed::check(&path, &format!("{CUSTOM} with the names, another fingerprint and a later notafter")))
    }
}
