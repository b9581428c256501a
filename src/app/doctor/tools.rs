//! The programs that configured parts start, each with its version.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Finding;
use crate::app::config::Config;
use crate::app::error::Exit;
use crate::app::settings::Settings;
use crate::model::site::Tools;
use crate::secrets::SecretRef;
use crate::sys::files;
use crate::sys::process::{self, Spec};

/// For a program to say its version; ansible takes a second or two.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program, how it says its version, and what needs it.
struct Tool {
    program: String,
    version: &'static [&'static str],
    needed_by: String,
}

/// Looks for all of them at once.
pub async fn look(settings: &Settings, config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if settings.ssh_socket.is_some() {
        findings.push(Finding::good("ssh", "answered in-process by the lab"));
    }
    let asked: Vec<_> = wanted(settings, config).into_iter().map(|tool| tokio::spawn(one(tool))).collect();
    for finding in asked {
        findings.extend(finding.await);
    }
    findings
}

fn wanted(settings: &Settings, config: &Config) -> Vec<Tool> {
    let site = &config.site;
    let mut tools: BTreeMap<String, Tool> = BTreeMap::new();
    let mut want = |program: &str, version: &'static [&'static str], needed_by: &str| {
        let program = files::expand_home(program, settings.home.as_deref()).display().to_string();
        tools.entry(program.clone()).or_insert(Tool { program, version, needed_by: needed_by.to_owned() });
    };
    if settings.ssh_socket.is_none() {
        want("ssh", &["-V"], "commands on nodes");
    }
    let references = site.credentials.token.iter().chain(&site.credentials.password);
    let references = references.chain(site.netbox.iter().map(|netbox| &netbox.token));
    for reference in references.filter_map(|text| text.parse::<SecretRef>().ok()) {
        match reference {
            SecretRef::Pass { .. } => want("pass", &["version"], "a reference `pass:`"),
            // It could be any program: it is not started to ask for its version.
            SecretRef::Cmd(argv) => argv.iter().take(1).for_each(|program| want(program, &[], "a reference `cmd:`")),
            SecretRef::Env(_) | SecretRef::File(_) => {}
        }
    }
    if site.ansible.is_some() {
        want("ansible-playbook", &["--version"], "`ansible`");
    }
    if site.taskfile.is_some() {
        want("task", &["--version"], "`taskfile`");
    }
    // The defaults are there in every site; who names others means to use them.
    let talos = &site.talos.tools;
    if *talos != Tools::default() {
        talos.talosctl.values().for_each(|path| want(path, &["version", "--client", "--short"], "`talos.tools`"));
        want(&talos.kubectl, &["version", "--client"], "`talos.tools`");
        if talos.flux != Tools::default().flux {
            want(&talos.flux, &["--version"], "`talos.tools`");
        }
    }
    tools.into_values().collect()
}

async fn one(tool: Tool) -> Finding {
    let Ok(path) = process::which(&tool.program, None) else {
        let says = format!("not found, and {} needs it", tool.needed_by);
        let remedy = match tool.program.as_str() {
            "ssh" => "install openssh-client".to_owned(),
            "task" => "install go-task".to_owned(),
            "ansible-playbook" => "install ansible-core".to_owned(),
            program => format!("install {program}, or put its folder on PATH"),
        };
        return Finding::bad(Exit::Configuration, tool.program, says, Some(remedy));
    };
    if tool.version.is_empty() {
        return Finding::good(tool.program, path.display().to_string());
    }
    let said = process::run(Spec::new(&path).args(tool.version.iter().copied()).deadline(PATIENCE)).await;
    match said {
        // `ssh -V` speaks on stderr.
        Ok(said) if said.success() => {
            let (out, err) = (said.stdout_text(), said.last_error_line());
            // `pass version` draws a box round it.
            let has_digit = |line: &&str| line.contains(|c: char| c.is_ascii_digit());
            let version = out.lines().map(|line| line.trim_matches([' ', '='])).find(has_digit);
            let version = version.map(str::to_owned).or(err);
            Finding::good(tool.program, format!("{}: {}", path.display(), version.unwrap_or_default()))
        }
        Ok(said) => {
            let why = said.last_error_line().unwrap_or_else(|| "it ends with an error".to_owned());
            broken(&tool, why)
        }
        Err(error) => broken(&tool, error.to_string()),
    }
}

fn broken(tool: &Tool, why: String) -> Finding {
    let remedy = format!("try it by hand: {} {}", tool.program, tool.version.join(" "));
    Finding::warning(&tool.program, format!("is there, but does not say its version: {why}"), remedy)
}
