//! `runbook doctor`: is everything there that a run needs? Each question is answered on its own; one failing does not
//! hide the others.

mod node;
mod tools;

use std::collections::BTreeSet;

use serde_json::Value;

use super::config::Config;
use super::error::{AppError, Exit};
use super::needs;
use super::open::{OpenSite, ssh, store};
use super::settings::Settings;
use super::site_lock::{self, Reach};
use crate::actions;
use crate::clients::proxmox::Site;
use crate::clients::ssh::Ssh;
use crate::model::runbook::Runbook;
use crate::secrets::Redactor;

/// How an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Good,
    /// Runs can go on, and a person should know of it.
    Warning,
    Failed,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One question and its answer.
pub struct Finding {
    pub what: String,
    pub state: State,
    pub says: String,
    pub remedy: Option<String>,
    /// What it means for the exit code.
    exit: Exit,
}

impl Finding {
    fn good(what: impl Into<String>, says: impl Into<String>) -> Self {
        Self { what: what.into(), state: State::Good, says: says.into(), remedy: None, exit: Exit::Done }
    }

    /// No fault, so the exit code does not say it.
    fn warning(what: impl Into<String>, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Warning, remedy: Some(remedy.into()), ..Self::good(what, says) }
    }

    fn bad(exit: Exit, what: impl Into<String>, says: impl Into<String>, remedy: Option<String>) -> Self {
        Self { what: what.into(), state: State::Failed, says: says.into(), remedy, exit }
    }

    fn of(what: &str, error: &AppError) -> Self {
        Self::bad(error.exit, what, error.message.clone(), error.hint.clone())
    }
}

/// Asks everything. The exit code is that of the first thing that is not as it should be. Privileges are those that
/// `runbook` needs, or without one all that any action needs.
///
/// # Errors
/// There is no configuration to ask about, or it has problems.
pub async fn doctor(
    settings: &Settings,
    redactor: &Redactor,
    runbook: Option<&Runbook>,
) -> Result<(Vec<Finding>, Exit), AppError> {
    let mut findings = Vec::new();
    let config = Config::load(settings)?;
    findings.push(Finding::good("configuration", config.path.display().to_string()));
    findings.push(match store(settings) {
        Ok(_) => Finding::good("journal", settings.state()?.display().to_string()),
        Err(error) => Finding::of("journal", &error),
    });
    findings.extend(tools::look(settings, &config).await);
    let ssh = ssh(&config, settings);
    match OpenSite::connect(settings, config, redactor).await {
        Ok(site) => {
            findings.push(Finding::good("credential", "found"));
            let remedy = "pin each node's certificate: `fingerprint` in the configuration";
            findings.extend(site.warning().map(|warning| Finding::warning("certificates", warning, remedy)));
            ask_site(settings, &site, runbook, &ssh, &mut findings).await;
        }
        Err(error) => findings.push(Finding::of("credential", &error)),
    }
    let exit = findings.iter().map(|f| f.exit).find(|exit| *exit != Exit::Done).unwrap_or(Exit::Done);
    Ok((findings, exit))
}

/// Version and nodes as the site says, then what the token may do.
async fn ask_site(
    settings: &Settings,
    site: &OpenSite,
    runbook: Option<&Runbook>,
    ssh: &Ssh,
    findings: &mut Vec<Finding>,
) {
    findings.push(match site.source.fetch(&"proxmox/site".into()).await {
        Ok(value) => quorum(&value),
        Err(failure) => Finding::of("site", &failure.into()),
    });
    findings.extend(match site.source.fetch(&"proxmox/nodes".into()).await {
        Ok(value) => absent(&value),
        Err(failure) => vec![Finding::of("nodes", &failure.into())],
    });
    let Some(proxmox) = &site.proxmox else { return };
    findings.push(match site.source.fetch(&"proxmox/permissions".into()).await {
        Ok(value) => privileges(&value, runbook, proxmox),
        Err(failure) => Finding::of("privileges", &failure.into()),
    });
    findings.push(site_lock(proxmox).await);
    // All at once: one that does not answer costs its timeout, and not one after another.
    let given = &site.config.site.credentials;
    // Whoever names a file for it means to use it; else an evacuation's HA maintenance is all that goes by SSH.
    let configured = given.ssh_config.is_some() || settings.ssh_socket.is_some();
    let asked = site.config.site.cluster.nodes.iter().cloned().map(|node| {
        let (settings, proxmox, ssh) = (settings.clone(), proxmox.clone(), ssh.clone());
        tokio::spawn(async move {
            let mut found = vec![node::api(&proxmox, &node).await];
            found.extend(node::clock(&settings, &proxmox, &node).await);
            found.push(node::ssh(&ssh, &node, configured).await);
            found
        })
    });
    let asked: Vec<_> = asked.collect();
    for found in asked {
        findings.extend(found.await.into_iter().flatten());
    }
    findings.extend(netbox(site).await);
}

/// Whether the configured NetBox answers, with its token.
async fn netbox(site: &OpenSite) -> Option<Finding> {
    let given = site.config.site.netbox.as_ref()?;
    let cluster = given.cluster.as_ref().unwrap_or(&site.config.site.cluster.name);
    let (version, key) = ("netbox/version".into(), format!("netbox/cluster/{cluster}"));
    let key = key.as_str().into();
    let (version, there) = tokio::join!(site.source.fetch(&version), site.source.fetch(&key));
    Some(match (version, there) {
        (Ok(version), Ok(there)) => {
            let version = version.as_str().unwrap_or_default();
            let has = if there.is_null() { "has no cluster {} yet" } else { "has cluster {}" };
            let has = has.replace("{}", cluster);
            Finding::good("netbox", format!("{} answers, NetBox {version}, {has}", given.url))
        }
        (Err(failure), _) | (_, Err(failure)) => Finding::of("netbox", &failure.into()),
    })
}

/// How far a lock reaches. That it reaches this host alone is no fault, but should be known.
async fn site_lock(site: &Site) -> Finding {
    let what = "lock";
    match site_lock::reach(site).await {
        Ok(Reach::Site) => Finding::good(what, format!("holds for every controller (pool {})", site_lock::POOL)),
        Ok(Reach::Host(why)) => {
            let remedy = format!("optional, for a lock that holds for every controller: {}", site_lock::grant(site));
            Finding::warning(what, why, remedy)
        }
        Err(error) => Finding::of(what, &error),
    }
}

fn quorum(site: &Value) -> Finding {
    let what = "site";
    let quorate = site["quorate"] == true;
    let says = format!(
        "{}, Proxmox VE {}, {}",
        site["name"].as_str().unwrap_or("standalone node"),
        site["version"].as_str().unwrap_or("of unknown version"),
        if quorate { "quorate" } else { "NO QUORUM" },
    );
    if quorate { Finding::good(what, says) } else { Finding::bad(Exit::Gate, what, says, None) }
}

/// The nodes that the cluster misses.
fn absent(nodes: &Value) -> Vec<Finding> {
    let absent = nodes.as_object().into_iter().flatten().filter(|(_, node)| node["online"] != true);
    let bad = |name| Finding::bad(Exit::Unreachable, format!("node {name}"), "offline, as the cluster sees it", None);
    absent.map(|(name, _)| bad(name)).collect()
}

fn privileges(permissions: &Value, runbook: Option<&Runbook>, site: &Site) -> Finding {
    let what = "privileges";
    let (of, used) = match runbook {
        Some(runbook) => (runbook.name.as_str(), Some(needs::actions_of(runbook))),
        None => ("any action", None),
    };
    let missing = missing_privileges(permissions, used.as_ref());
    if missing.is_empty() {
        return Finding::good(what, format!("all that {of} needs"));
    }
    let names = missing.join(" ");
    let grant = site_lock::grant_of(site, "Runbook", &names, "/");
    let narrower = match runbook {
        Some(_) => "",
        None => "; what one runbook needs: runbook doctor --runbook NAME",
    };
    let says = format!("{} missing that {of} needs", missing.len());
    let remedy = format!("missing: {}\n  give them (or on narrower paths): {grant}{narrower}", missing.join(", "));
    Finding::bad(Exit::Refused, what, says, Some(remedy))
}

/// A token for every day has no business with giving rights away: what that needs is asked for by name alone.
const GIVE_RIGHTS: [&str; 4] = ["proxmox.acl", "proxmox.role", "proxmox.token", "proxmox.user"];

/// What actions need and no path of the token's permissions has; `used`: of these alone.
fn missing_privileges(permissions: &Value, used: Option<&BTreeSet<String>>) -> Vec<String> {
    let paths = permissions.as_object();
    let has = |privilege: &str| {
        paths.is_some_and(|map| map.values().any(|p| !p[privilege].is_null() && p[privilege] != false))
    };
    let specs = actions::specs();
    let wanted = |name: &str| used.map_or(!GIVE_RIGHTS.contains(&name), |used| used.contains(name));
    let needed = specs.values().filter(|spec| wanted(&spec.name));
    let needed = needed.flat_map(|spec| &spec.privileges);
    let mut missing: Vec<String> = needed
        .filter_map(|text| text.split_whitespace().next())
        .filter(|privilege| privilege.contains('.') && !has(privilege))
        .map(str::to_owned)
        .collect();
    missing.sort();
    missing.dedup();
    missing
}
