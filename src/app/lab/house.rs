//! A running lab with everything that a client needs to meet it: configuration, token, SSH, a journal of its own.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Value, json};

use crate::app::error::{AppError, Exit};
use crate::app::settings::Settings;
use crate::contracts::talosctl::MINORS;
use crate::lab::front::{ClientLatency, Lab, LabOptions, Listen};
use crate::lab::ledger::Entry;
use crate::lab::netbox::Netbox;
use crate::lab::scenario::Scenario;
use crate::lab::ssh::{LabSsh, SshMode, SshOptions};
use crate::lab::world::World;
use crate::load::diagnostic::Source;
use crate::load::yaml;
use crate::model::shell;
use crate::sys::{clock, files};

const SITE: &str = include_str!("../../../cluster-config.yaml");
const PROD: &str = include_str!("../../../clusters/prod.yaml");
const TOKEN: &str = "ops@pve!runbook";
/// Of the cluster `prod`, below the lab's folder.
const KUBECONFIG: &str = "talos/prod/kubeconfig";

/// Which lab.
#[derive(Debug, Clone)]
pub struct LabRequest {
    pub scenario: String,
    pub faults: Vec<String>,
    /// Where the ledger is appended to, a JSON line each.
    pub ledger: Option<PathBuf>,
    /// World milliseconds for each real one.
    pub time_scale: f64,
    /// 127.0.0.N:8006 instead of free ports.
    pub fixed_addresses: bool,
    /// The token that the configuration names.
    pub token: Option<String>,
    pub sshd: bool,
    pub seed: u64,
}

impl LabRequest {
    pub fn new(scenario: &str) -> Self {
        Self {
            scenario: scenario.to_owned(),
            faults: Vec::new(),
            ledger: None,
            time_scale: 60.0,
            fixed_addresses: false,
            token: None,
            sshd: true,
            seed: 1,
        }
    }
}

/// A lab and its folder.
pub struct House {
    lab: Lab,
    ssh: LabSsh,
    folder: PathBuf,
    remove: bool,
    time_scale: f64,
}

impl House {
    /// Starts a lab in `folder`, which is made for this user alone; without one, in a folder that goes with the lab.
    ///
    /// # Errors
    /// An unknown scenario or fault, an address in use, a folder that cannot be written.
    pub async fn start(request: &LabRequest, folder: Option<PathBuf>) -> Result<Self, AppError> {
        let scenario = Scenario::named(&request.scenario)
            .map_err(|e| AppError::new(Exit::NotFound, "lab::scenario", e.to_string()))?;
        let remove = folder.is_none();
        let folder = folder.unwrap_or_else(own_folder);
        files::make_private_dir(&folder).map_err(cannot)?;
        let world = World::from_scenario(&scenario, request.seed, clock::now_ms() / 1000);
        let site = world.site().to_owned();
        let prod = profile(&scenario);
        let mut options = LabOptions::new(world);
        options.netbox = Netbox::seeded(&request.scenario, &site);
        options.time_scale = request.time_scale;
        options.ledger.clone_from(&request.ledger);
        request.token.iter().for_each(|id| options.access.add_lacking(id));
        if request.fixed_addresses {
            options.listen = Listen::AnyAddress { port: 8006 };
        }
        let lab = Lab::start(options).await.map_err(|e| AppError::new(Exit::Failed, "lab::start", e.to_string()))?;
        let fingerprints: Vec<_> = lab.endpoints().into_iter().map(|e| (e.node, e.fingerprint.to_string())).collect();
        lab.with_world_as::<World, ()>(|world| {
            fingerprints.iter().for_each(|(node, print)| world.set_fingerprint(node, print));
        });
        let ssh_options = SshOptions {
            folder: folder.join("ssh"),
            helper: vec![program(), "lab".into(), "ssh-helper".into()],
            sshd: request.sshd,
        };
        let ssh = LabSsh::start(&lab, &ssh_options)
            .await
            .map_err(|e| AppError::new(Exit::Failed, "lab::ssh", e.to_string()))?;
        let house = Self { lab, ssh, folder, remove, time_scale: request.time_scale };
        for fault in &request.faults {
            house.add_fault(fault)?;
        }
        house.write_configuration(request, &site, prod)?;
        Ok(house)
    }

    /// Lays a fault (`KIND:WHAT`), now or at its time (`@40s KIND:WHAT`).
    ///
    /// # Errors
    /// Not a fault, or about something that is not there.
    pub fn add_fault(&self, text: &str) -> Result<(), AppError> {
        self.lab.faults().add_text(text).map_err(|why| AppError::new(Exit::Usage, "lab::fault", why))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn ledger(&self) -> Vec<Entry> {
        self.lab.ledger().entries()
    }

    /// What must never have been of the Talos machines.
    pub fn talos_violations(&self) -> Vec<String> {
        self.lab.talos_violations()
    }

    /// Why commands over SSH are answered in-process, where they are.
    pub fn no_sshd(&self) -> Option<&str> {
        match self.ssh.mode() {
            SshMode::Sshd { .. } => None,
            SshMode::InProcess { why } => Some(why),
        }
    }

    /// What a client's environment must have.
    pub fn env(&self) -> Vec<(String, String)> {
        let text = |path: PathBuf| path.display().to_string();
        let mut env = vec![
            ("RUNBOOK_CONFIG".to_owned(), text(self.folder.join("cluster-config.yaml"))),
            ("XDG_STATE_HOME".to_owned(), text(self.folder.join("state"))),
            ("XDG_CACHE_HOME".to_owned(), text(self.folder.join("cache"))),
            ("RUNBOOK_LAB".to_owned(), text(self.folder.clone())),
            ("RUNBOOK_LAB_POLL".to_owned(), "50".to_owned()),
            ("RUNBOOK_LAB_SCALE".to_owned(), self.time_scale.to_string()),
        ];
        let kubeconfig = self.folder.join(KUBECONFIG);
        if kubeconfig.exists() {
            env.push(("KUBECONFIG".to_owned(), text(kubeconfig)));
        }
        if self.no_sshd().is_some() {
            env.push(("RUNBOOK_LAB_SSH".to_owned(), text(self.ssh.socket().to_owned())));
        }
        env
    }

    /// The same for a use case in this process.
    pub fn settle_in(&self, settings: &mut Settings) {
        settings.config = Some(self.folder.join("cluster-config.yaml"));
        settings.state = Some(self.folder.join("state").join("runbook"));
        settings.cache = Some(self.folder.join("cache").join("runbook"));
        settings.lab = Some(self.folder.clone());
        settings.poll = Some(std::time::Duration::from_millis(50));
        settings.lab_scale = Some(self.time_scale);
        settings.ssh_socket = self.no_sshd().is_some().then(|| self.ssh.socket().to_owned());
    }

    /// What the lab's NetBox has: the comparable state.
    pub fn netbox(&self) -> Value {
        self.lab.netbox().comparable()
    }

    /// Acts on the world behind the API's back.
    pub fn with_world<R>(&self, act: impl FnOnce(&mut World) -> R) -> Option<R> {
        self.lab.with_world_as::<World, R>(act)
    }

    /// How long each client waited so far.
    pub fn latency(&self) -> Vec<ClientLatency> {
        self.lab.latency()
    }

    /// How many requests were under way at each node at once at most.
    pub fn most_requests(&self) -> std::collections::BTreeMap<crate::model::ids::NodeName, usize> {
        self.lab.most_requests()
    }

    /// The secret of a token that the lab knows.
    pub fn secret(&self, token: &str) -> Option<String> {
        self.lab.access().token_secret(token)
    }

    /// The repository's own configuration with the lab's addresses, fingerprints and token in it.
    fn write_configuration(&self, request: &LabRequest, site: &str, prod: Option<&str>) -> Result<(), AppError> {
        let nodes = self.lab.endpoints().into_iter().map(|endpoint| {
            json!({"name": endpoint.node, "host": endpoint.addr.to_string(), "fingerprint": endpoint.fingerprint})
        });
        let token = request.token.as_deref().unwrap_or(TOKEN);
        let secret = self.secret(token).unwrap_or_else(|| "00000000-0000-0000-0000-000000000000".to_owned());
        files::write_private(self.folder.join("token"), format!("{token}\n{secret}\n").as_bytes()).map_err(cannot)?;
        // For whoever wants to try a login with a ticket instead.
        for (user, name) in [("ops@pve", "password"), ("root@pam", "root-password")] {
            let password = self.lab.access().password(user).unwrap_or_default();
            files::write_private(self.folder.join(name), password.as_bytes()).map_err(cannot)?;
        }
        let mut credentials = json!({"token": format!("file:{}", self.folder.join("token").display())});
        if let SshMode::Sshd { config, .. } = self.ssh.mode() {
            credentials["ssh_config"] = config.display().to_string().into();
            // Sessions are the invoking user's: the lab's sshd knows no other.
            credentials["ssh_user"] = crate::sys::user().into();
        }
        let mut config = configuration(site, nodes.collect(), credentials)?;
        if let Some(address) = self.lab.netbox_addr() {
            let file = self.folder.join("netbox-token");
            files::write_private(&file, format!("{}\n", self.lab.netbox().token()).as_bytes()).map_err(cannot)?;
            // For whoever wants to try a token of the first kind instead.
            let old = self.lab.netbox().old_token();
            files::write_private(self.folder.join("netbox-token-v1"), format!("{old}\n").as_bytes()).map_err(cannot)?;
            config["netbox"] = json!({"url": format!("http://{address}"), "token": format!("file:{}", file.display())});
        }
        config["talos"]["tools"]["talosctl"] = self.write_talosctl()?;
        self.write("cluster-config.yaml", &config)?;
        if let Some(prod) = prod {
            let own = self.folder.join("talos").join("prod");
            files::make_private_dir(self.folder.join("talos")).map_err(cannot)?;
            files::make_private_dir(&own).map_err(cannot)?;
            // The profile as it is, with its files in the lab's folder.
            let prod = prod.replacen("~/talos/prod", &shell::quote(&own.display().to_string()), 1);
            // What runs, for whoever wants to change it.
            let configs = self.with_world(|world| world.machine_configs()).unwrap_or_default();
            for (name, text) in configs {
                files::write_private(own.join(format!("{name}.yaml")), text.as_bytes()).map_err(cannot)?;
            }
            files::make_private_dir(self.folder.join("clusters")).map_err(cannot)?;
            files::write_private(self.folder.join("clusters").join("prod.yaml"), prod.as_bytes()).map_err(cannot)?;
            if let Some(door) = self.lab.kubernetes_door() {
                let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "admin@prod",
                    "clusters": [{"name": "prod", "cluster": {"server": "https://10.0.0.50:6443", "tls-server-name": "kubernetes",
                        "proxy-url": format!("http://{}", door.proxy),
                        "certificate-authority-data": BASE64.encode(&door.certificate)}}],
                    "users": [{"name": "admin@prod", "user": {"token": door.token}}],
                    "contexts": [{"name": "admin@prod", "context": {"cluster": "prod", "user": "admin@prod", "namespace": "default"}}]});
                self.write(KUBECONFIG, &kubeconfig)?;
            }
        }
        files::make_private_dir(self.folder.join("state")).map_err(cannot)
    }

    /// A program for each version that the lab stands in for; and which they are, as a configuration has it.
    fn write_talosctl(&self) -> Result<Value, AppError> {
        let bin = self.folder.join("bin");
        files::make_private_dir(&bin).map_err(cannot)?;
        let mut programs = serde_json::Map::new();
        for minor in MINORS {
            let path = bin.join(format!("talosctl-{minor}"));
            let socket = self.ssh.socket().display().to_string();
            let words =
                [program().as_str(), "lab", "talosctl", "--socket", &socket, "--of", minor, "--"].map(shell::quote);
            let text = format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" "));
            files::write_atomic(&path, text.as_bytes(), 0o700).map_err(cannot)?;
            programs.insert(minor.to_owned(), path.display().to_string().into());
        }
        Ok(programs.into())
    }

    fn write(&self, name: &str, value: &Value) -> Result<(), AppError> {
        // JSON is YAML.
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        let text = format!("# Written by the lab; goes with it.\n{text}\n");
        files::write_private(self.folder.join(name), text.as_bytes()).map_err(cannot)
    }

    /// Ends the lab and takes its folder away, where it was its own.
    pub async fn leave(self) {
        let Self { lab, ssh, folder, remove, .. } = self;
        ssh.shutdown().await;
        lab.shutdown().await;
        if remove {
            // What cannot be removed is in the system's folder for temporary files.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// The repository's own configuration, for another site of that name with these nodes.
///
/// # Errors
/// The shipped one does not read.
pub(in crate::app) fn configuration(site: &str, nodes: Vec<Value>, credentials: Value) -> Result<Value, AppError> {
    let (Some(tree), _) = yaml::parse(&Source::new("cluster-config.yaml", SITE)) else {
        let message = "the shipped cluster-config.yaml does not read";
        return Err(AppError::new(Exit::Failed, "lab::configuration", message));
    };
    let mut config = tree.to_json();
    config["cluster"]["name"] = site.into();
    config["cluster"]["nodes"] = nodes.into();
    config["credentials"] = credentials;
    Ok(config)
}

/// The shipped profile of the guest cluster `prod`, where the scenario has its guests: in others it would be an error
/// in the configuration.
pub(in crate::app) fn profile(scenario: &Scenario) -> Option<&'static str> {
    scenario.guests.iter().any(|guest| guest.id.0 == 1051 && guest.name == "cp1").then_some(PROD)
}

/// Ourselves, as others start us.
fn program() -> String {
    std::env::current_exe().map_or_else(|_| "runbook".into(), |path| path.display().to_string())
}

fn cannot(error: files::FileError) -> AppError {
    AppError::new(Exit::Failed, "lab::folder", error.to_string())
}

/// A short path: sockets below it may have at most 107 bytes.
fn own_folder() -> PathBuf {
    let name = format!("runbook-lab-{}-{:04x}", std::process::id(), rand::random::<u16>());
    std::env::temp_dir().join(name)
}
