//! Certificates of nodes: the cluster's own authority's, and the custom one that pveproxy shows where there is one.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::authority::{self, LIFETIME};
use super::plugin::Plugin;
use super::{Work, forked};
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::scenario::CertificateSpec;
use crate::lab::world::World;
use crate::lab::world::jobs::Next;
use crate::lab::world::task::TaskKey;
use crate::model::ids::{Fingerprint, NodeName};

const DAY: i64 = 86_400;
const CUSTOM: &str = "pveproxy-ssl.pem";

/// `pveproxy-ssl.pem`
#[derive(Debug, Clone)]
pub(in crate::lab::world) struct Certificate {
    issuer: String,
    san: Vec<String>,
    /// Seconds since 1970.
    from: i64,
    until: i64,
    pub fingerprint: String,
}

impl Certificate {
    pub fn from_spec(spec: &CertificateSpec, now: i64) -> Self {
        let until = now + spec.days * DAY + DAY / 2;
        let issuer = authority::issuer(authority::STAGING);
        let print = fingerprint(&format!("{:?}", spec.names));
        Self { issuer, san: spec.names.clone(), from: until - LIFETIME, until, fingerprint: print }
    }
}

/// Ordering, renewing or revoking on a node.
#[derive(Debug, Clone)]
pub(in crate::lab::world) struct Change {
    node: NodeName,
    what: What,
    step: usize,
    /// Names with the plugin of each, as they were when it began.
    domains: Vec<(String, String)>,
}

impl Change {
    fn new(node: NodeName, what: What) -> Self {
        Self { node, what, step: 0, domains: Vec::new() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Order { force: bool },
    Renew,
    Revoke,
}

/// A certificate that nobody else has: by its number.
fn fingerprint(of: &str) -> String {
    Fingerprint(Sha256::digest(of).into()).to_string()
}

fn row(filename: &str, subject: &str, issuer: &str, dates: [i64; 2], print: &str) -> Value {
    json!({"filename": filename, "subject": subject, "issuer": issuer, "notbefore": dates[0], "notafter": dates[1],
        "fingerprint": print, "public-key-bits": 2048, "public-key-type": "rsaEncryption"})
}

pub(in crate::lab::world) fn info(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (name, node) = world.node_of(call)?;
    let (site, begin) = (&world.site, world.epoch - 400 * DAY);
    let authority = "/CN=Proxmox Virtual Environment/OU=11111111-2222-4333-8444-555555555555/O=PVE Cluster Manager CA";
    let ca = row("pve-root-ca.pem", authority, authority, [begin, begin + 3650 * DAY], &fingerprint(site));
    let subject = format!("/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN={name}.{site}");
    let print = node.own_fingerprint.clone().unwrap_or_else(|| fingerprint(&format!("{site}/{name}")));
    let mut own = row("pve-ssl.pem", &subject, authority, [begin, begin + 730 * DAY], &print);
    own["san"] = json!([
        "127.0.0.1",
        "0000:0000:0000:0000:0000:0000:0000:0001",
        "localhost",
        node.ip,
        name,
        format!("{name}.{site}")
    ]);
    let mut rows = vec![ca, own];
    if let Some(of) = &node.certificate {
        let subject = format!("/CN={}", of.san.first().map_or("", String::as_str));
        let mut own = row(CUSTOM, &subject, &of.issuer, [of.from, of.until], &of.fingerprint);
        own["san"] = json!(of.san);
        own["pem"] = json!("-----BEGIN CERTIFICATE-----\nbGFi\n-----END CERTIFICATE-----\n");
        rows.push(own);
    }
    Ok(Reply::read(json!(rows)))
}

fn force(call: &Call) -> bool {
    call.params.get("force").is_some_and(|flag| flag == "1")
}

fn not_without_domains(world: &World, name: &NodeName) -> Result<(), PveError> {
    match world.acme_conf(name).1.is_empty() {
        true => Err(PveError::status(400, "ACME domain list in node configuration is missing!")),
        false => Ok(()),
    }
}

pub(in crate::lab::world) fn order(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (name, node) = world.node_of(call)?;
    if node.certificate.is_some() && !force(call) {
        return Err(PveError::parameter("force", "Custom certificate exists but 'force' is not set."));
    }
    not_without_domains(world, &name)?;
    let what = What::Order { force: force(call) };
    Ok(forked(world, call, &name.clone(), "acmenewcert", Work::Certificate(Change::new(name, what))))
}

pub(in crate::lab::world) fn renew(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (name, node) = world.node_of(call)?;
    let none = || PveError::die("No current (custom) certificate found, please order a new certificate!");
    let until = node.certificate.as_ref().ok_or_else(none)?.until;
    if until > world.seconds() + 30 * DAY && !force(call) {
        let text = "Certificate does not expire within the next 30 days, and 'force' is not set.";
        return Err(PveError::parameter("force", text));
    }
    not_without_domains(world, &name)?;
    let work = Work::Certificate(Change::new(name.clone(), What::Renew));
    Ok(forked(world, call, &name, "acmerenew", work))
}

pub(in crate::lab::world) fn revoke(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (name, node) = world.node_of(call)?;
    if node.certificate.is_none() {
        let file = format!("/etc/pve/nodes/{name}/{CUSTOM}");
        return Err(PveError::die(format!("can't open '{file}' - No such file or directory")));
    }
    not_without_domains(world, &name)?;
    let work = Work::Certificate(Change::new(name.clone(), What::Revoke));
    Ok(forked(world, call, &name, "acmerevoke", work))
}

pub(in crate::lab::world) fn remove_custom(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (name, _) = world.node_of(call)?;
    show(world, &name, None);
    Ok(Reply::changed(Value::Null))
}

/// From now on the node shows this certificate, or its own.
fn show(world: &mut World, name: &NodeName, certificate: Option<Certificate>) {
    if let Some(node) = world.nodes.get_mut(name) {
        node.certificate = certificate;
        world.acme.reloaded.push(name.clone());
    }
}

pub(super) fn step(world: &mut World, key: TaskKey, change: &mut Change) -> Next {
    let (account, domains) = world.acme_conf(&change.node);
    change.step += 1;
    let Some(of) = world.acme.accounts.get(&account) else {
        return Next::Done(Err(format!("ACME account config file '{account}' does not exist.")));
    };
    let directory = of.directory.clone();
    match (change.step, change.what) {
        (1, _) => {
            world.say(key, "Loading ACME account details");
            change.domains = domains;
            return Next::In(1000);
        }
        (_, What::Revoke) => {
            world.say(key, "Revoking old certificate");
            world.say(key, "Deleting certificate files");
            world.say(key, "Restarting pveproxy to revert to self-signed certificates");
            show(world, &change.node.clone(), None);
            return Next::Done(Ok(()));
        }
        (2, _) => {
            world.say(key, "Placing ACME order");
            world.say(key, format!("Order URL: {}", authority::url(&directory, "order", world.acme.issued + 1)));
        }
        (step, _) => {
            let checked =
                change.domains.get(step - 3).map(|(name, plugin)| validated(world, key, &directory, name, plugin));
            if let Some(Err(why)) = checked {
                return Next::Done(Err(why));
            }
        }
    }
    if let Some((name, plugin)) = change.domains.get(change.step - 2) {
        return match prepared(world, key, &directory, name, plugin) {
            Ok(seconds) => Next::In((CHECK + seconds) * 1000),
            Err(why) => Next::Done(Err(why)),
        };
    }
    for line in ["All domains validated!", "Creating CSR", "Checking order status", "valid!", "Downloading certificate"]
    {
        world.say(key, line);
    }
    Next::Done(issue(world, key, change, &directory))
}

/// Seconds from the trigger until the authority has looked, and it was asked whether it has.
const CHECK: u64 = 8;

/// Puts the answer to a challenge where the authority looks for it: seconds until it is asked to.
fn prepared(world: &mut World, key: TaskKey, directory: &str, name: &str, plugin: &str) -> Result<u64, String> {
    let at = authority::url(directory, "authz", world.acme.issued + 1);
    world.say(key, format!("Getting authorization details from '{at}'"));
    world.say(key, format!("The validation for {name} is pending!"));
    let by_dns = world.acme_plugin(plugin);
    if !by_dns.ok_or_else(|| format!("plugin '{plugin}' for domain '{name}' not found!"))? {
        world.say(key, "Setting up webserver");
        return Ok(0);
    }
    world.say(key, format!("Add TXT record: _acme-challenge.{name}"));
    let delay = world.acme.plugins.get(plugin).map_or(0, Plugin::delay);
    if delay > 0 {
        world.say(key, format!("Sleeping {delay} seconds to wait for TXT record propagation"));
    }
    Ok(delay)
}

/// What the authority finds when it looks.
fn validated(world: &mut World, key: TaskKey, directory: &str, name: &str, plugin: &str) -> Result<(), String> {
    let at = authority::url(directory, "authz", world.acme.issued + 1);
    let by_dns = world.acme_plugin(plugin) == Some(true);
    let failing = world.acme.failing.iter().position(|failing| failing == name);
    failing.map(|place| world.acme.failing.remove(place));
    world.say(key, "Triggering validation");
    if by_dns {
        world.say(key, format!("Remove TXT record: _acme-challenge.{name}"));
    }
    if failing.is_some() || !by_dns {
        return Err(format!("validating challenge '{at}' failed - status: invalid"));
    }
    world.say(key, format!("Status is 'valid', domain '{name}' OK!"));
    Ok(())
}

fn issue(world: &mut World, key: TaskKey, change: &Change, directory: &str) -> Result<(), String> {
    let what = change.what;
    let there = world.nodes.get(&change.node).is_some_and(|node| node.certificate.is_some());
    if there && what == (What::Order { force: false }) {
        let file = format!("/etc/pve/nodes/{}/{CUSTOM}", change.node);
        return Err(format!("Custom certificate file '{file}' exists! Use 'force' to overwrite it."));
    }
    world.acme.issued += 1;
    let (now, number) = (world.seconds(), world.acme.issued);
    let certificate = Certificate {
        issuer: authority::issuer(directory),
        san: change.domains.iter().map(|(name, _)| name.clone()).collect(),
        from: now - 3600,
        until: now - 3600 + LIFETIME,
        fingerprint: fingerprint(&format!("{directory}/{}/{number}", change.node)),
    };
    world.say(key, "Setting pveproxy certificate and key");
    world.say(key, "Restarting pveproxy");
    show(world, &change.node, Some(certificate));
    if what == What::Renew {
        world.say(key, "Revoking old certificate");
    }
    Ok(())
}

impl World {
    /// The names in the custom certificate that a node shows; none where it shows its own.
    pub(in crate::lab::world) fn shown_names(&self, name: &NodeName) -> Option<Vec<String>> {
        Some(self.nodes.get(name)?.certificate.as_ref()?.san.clone())
    }
}
