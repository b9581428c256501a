//! `runbook doctor`: is everything there that a run needs? Each question is answered on its own; one failing does not
//! hide the others.

use std::collections::BTreeSet;

use serde_json::Value;

use super::error::{AppError, Exit};
use super::needs;
use super::open::{Config, OpenSite, store};
use super::settings::Settings;
use super::site_lock::{self, Reach};
use crate::actions;
use crate::clients::proxmox::Site;
use crate::model::runbook::Runbook;
use crate::secrets::Redactor;
use crate::sys::process;

/// One question and its answer.
pub struct Finding {
    pub what: String,
    pub ok: bool,
    pub says: String,
    pub remedy: Option<String>,
    /// What it means for the exit code.
    exit: Exit,
}

impl Finding {
    fn good(what: impl Into<String>, says: impl Into<String>) -> Self {
        Self { what: what.into(), ok: true, says: says.into(), remedy: None, exit: Exit::Done }
    }

    fn bad(exit: Exit, what: impl Into<String>, says: impl Into<String>, remedy: Option<String>) -> Self {
        Self { what: what.into(), ok: false, says: says.into(), remedy, exit }
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
    match process::which("ssh", None) {
        Ok(path) => findings.push(Finding::good("ssh", path.display().to_string())),
        Err(_) if settings.ssh_socket.is_some() => {
            findings.push(Finding::good("ssh", "answered in-process by the lab"))
        }
        Err(error) => findings.push(Finding::bad(
            Exit::Configuration,
            "ssh",
            error.to_string(),
            Some("install openssh-client".into()),
        )),
    }
    match OpenSite::connect(settings, config, redactor).await {
        Ok(site) => {
            findings.push(Finding::good("credential", "found"));
            findings.extend(site.warning().map(|warning| Finding::good("certificates", warning)));
            ask_site(&site, runbook, &mut findings).await;
        }
        Err(error) => findings.push(Finding::of("credential", &error)),
    }
    let exit = findings.iter().map(|f| f.exit).find(|exit| *exit != Exit::Done).unwrap_or(Exit::Done);
    Ok((findings, exit))
}

/// Version and nodes as the site says, then what the token may do.
async fn ask_site(site: &OpenSite, runbook: Option<&Runbook>, findings: &mut Vec<Finding>) {
    for (resource, what) in [("proxmox/site", "site"), ("proxmox/nodes", "nodes")] {
        match site.source.fetch(&resource.into()).await {
            Ok(value) => describe(what, &value, findings),
            Err(failure) => findings.push(Finding::of(what, &failure.into())),
        }
    }
    let Some(proxmox) = &site.proxmox else { return };
    findings.push(match site.source.fetch(&"proxmox/permissions".into()).await {
        Ok(value) => privileges(&value, runbook, proxmox),
        Err(failure) => Finding::of("privileges", &failure.into()),
    });
    findings.push(site_lock(proxmox).await);
    for node in &site.config.site.cluster.nodes {
        let what = format!("node {}", node.name);
        let attempted = format!("ask node {}", node.name);
        match proxmox.node_version(&node.name).await {
            Ok(version) => {
                let says = format!("{}:{} answers, Proxmox VE {}", node.host, node.port, version.version);
                findings.push(Finding::good(what, says));
            }
            Err(error) => {
                let failure = actions::proxmox::failure(proxmox, attempted, &error);
                findings.push(Finding::of(&what, &failure.into()));
            }
        }
    }
}

/// How far a lock reaches. That it reaches this host alone is no fault, but should be known.
async fn site_lock(site: &Site) -> Finding {
    let what = "lock";
    match site_lock::reach(site).await {
        Ok(Reach::Site) => Finding::good(what, format!("holds for every controller (pool {})", site_lock::POOL)),
        Ok(Reach::Host(why)) => {
            let remedy = format!("optional, for a lock that holds for every controller: {}", site_lock::grant(site));
            Finding { remedy: Some(remedy), ..Finding::good(what, why) }
        }
        Err(error) => Finding::of(what, &error),
    }
}

fn describe(what: &str, value: &Value, findings: &mut Vec<Finding>) {
    match what {
        "site" => {
            let quorate = value["quorate"] == true;
            let says = format!(
                "{}, Proxmox VE {}, {}",
                value["name"].as_str().unwrap_or("standalone node"),
                value["version"].as_str().unwrap_or("of unknown version"),
                if quorate { "quorate" } else { "NO QUORUM" },
            );
            findings.push(if quorate { Finding::good(what, says) } else { Finding::bad(Exit::Gate, what, says, None) });
        }
        "nodes" => {
            for (name, node) in value.as_object().into_iter().flatten() {
                if node["online"] != true {
                    findings.push(Finding::bad(
                        Exit::Unreachable,
                        format!("node {name}"),
                        "offline, as the cluster sees it",
                        None,
                    ));
                }
            }
        }
        _ => {}
    }
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
