//! Opens a site: fetches the credential and makes the clients.

use std::sync::Arc;
use std::time::Duration;

use super::config::Config;
use super::error::{AppError, Exit};
use super::needs::needs_site;
use super::reach::{keeper, keys, kubernetes, net, talos};
use super::settings::Settings;
use crate::actions;
use crate::actions::files::FileSource;
use crate::actions::kubernetes::{Clusters, KubernetesSource};
use crate::actions::netbox::{NetboxDeps, NetboxSource};
use crate::actions::talos::{BackupSource, TalosSource};
use crate::actions::tools::{AnsibleSetup, ProxmoxToken, ToolSource};
use crate::clients::keeper::Keeper;
use crate::clients::kubernetes::SharedStandIn as SharedKubectl;
use crate::clients::local::Local;
use crate::clients::net::{Keys, Net};
use crate::clients::netbox::{Netbox, NetboxSettings, SharedNetboxWire};
use crate::clients::proxmox::{self, Credential, NodeEndpoint, SecretSink, SharedWire, SiteSettings};
use crate::clients::ssh::{Redact, Ssh, SshSettings, SshVia};
use crate::clients::talos::SharedStandIn;
use crate::contracts;
use crate::engine::ports::{Actions, Capabilities, Source as WorldSource};
use crate::journal::Store;
use crate::model::runbook::Runbook;
use crate::model::site::Site;
use crate::placement::evacuation::QuorumGroup;
use crate::secrets::{Redactor, SecretRef, Secrets};
use crate::sys::{clock, files};

/// A site that can be talked to.
pub struct OpenSite {
    pub config: Config,
    /// Absent where only this machine is acted on.
    pub proxmox: Option<Arc<proxmox::Site>>,
    pub actions: Actions,
    pub source: Arc<dyn WorldSource>,
    /// Of this machine alone.
    local_source: actions::Sources,
    /// What is in the stores of secrets, without any.
    secrets: Arc<dyn WorldSource>,
    netbox: NetboxSource,
    pub clients: Capabilities,
    pub redactor: Redactor,
    pub actor: String,
}

/// How a site is reached, and as whom.
pub(in crate::app) struct Way {
    pub credential: Credential,
    /// Instead of HTTPS.
    pub wire: Option<SharedWire>,
    pub ssh: Ssh,
    pub keeper: Keeper,
    /// Instead of HTTP to the configured NetBox, and who gives its token then.
    pub netbox: Option<(SharedNetboxWire, Arc<dyn Keys>)>,
    /// Instead of the program talosctl.
    pub talos: Option<SharedStandIn>,
    /// Instead of the program kubectl.
    pub kubernetes: Option<SharedKubectl>,
}

impl OpenSite {
    /// Opens what this runbook needs: the site, or this machine alone.
    ///
    /// # Errors
    /// As [`OpenSite::open`].
    pub async fn open_for(settings: &Settings, redactor: &Redactor, runbook: &Runbook) -> Result<Self, AppError> {
        if needs_site(runbook) {
            return Self::open(settings, redactor).await;
        }
        Ok(Self::local(settings, Config::load_or_local(settings)?, redactor))
    }

    /// This machine, and what it reaches by itself: no credential is fetched and nobody is contacted.
    fn local(settings: &Settings, config: Config, redactor: &Redactor) -> Self {
        let talos = (talos(&config, settings, None), kubernetes(&config, settings, None));
        let means = Means::new(&config, ssh(&config, settings), net(redactor), talos, redactor);
        let local_source = means.source(settings);
        let secrets = Arc::new(actions::proxmox::SecretSource::new(keeper(redactor), None));
        Self {
            secrets,
            netbox: NetboxSource::new(None),
            actions: actions::catalogue(&deps(&config, settings)),
            source: Arc::new(local_source.clone()),
            local_source,
            clients: means.clients(),
            config,
            proxmox: None,
            redactor: redactor.clone(),
            actor: settings.actor.clone(),
        }
    }

    /// Fetches the credential, makes the clients, and asks the site for its version, so that an unreachable or
    /// refusing site is said at once.
    ///
    /// # Errors
    /// Configuration, credential, or the site itself.
    pub async fn open(settings: &Settings, redactor: &Redactor) -> Result<Self, AppError> {
        let config = Config::load(settings)?;
        let site = Self::connect(settings, config, redactor).await?;
        if let Some(proxmox) = &site.proxmox {
            let attempted = format!("reach site {}", site.config.site.cluster.name);
            let asked = proxmox.version().await;
            asked.map_err(|e| AppError::from(actions::proxmox::failure(proxmox, attempted, &e)))?;
        }
        Ok(site)
    }

    /// Where one plan reads: what is asked for again and again is read once.
    pub fn planning_source(&self) -> Arc<dyn WorldSource> {
        match &self.proxmox {
            Some(proxmox) => {
                let once = actions::proxmox::ProxmoxSource::for_a_plan((**proxmox).clone());
                let secrets = self.secrets.clone();
                let sources = self.local_source.clone().with("proxmox", Arc::new(once)).with("secret", secrets);
                let cluster = netbox_deps(&self.config).map(|deps| deps.cluster).unwrap_or_default();
                Arc::new(sources.with("netbox", Arc::new(self.netbox.for_a_plan(&cluster))))
            }
            None => self.source.clone(),
        }
    }

    /// What a person must be told each time before this site is talked to.
    pub fn warning(&self) -> Option<String> {
        let cluster = &self.config.site.cluster;
        (cluster.tls.insecure && self.proxmox.is_some()).then(|| {
            format!(
                "Warning: {} is insecure: certificates are not checked, and whoever is on the way can read the credential; \
                 pin a fingerprint instead",
                cluster.name
            )
        })
    }

    /// As [`OpenSite::connect`] with room for so many calls at once to each node.
    ///
    /// # Errors
    /// Configuration or credential.
    pub async fn connect_with(settings: &Settings, at_once: u32, redactor: &Redactor) -> Result<Self, AppError> {
        let mut config = Config::load(settings)?;
        config.site.cluster.api.per_node = at_once.max(config.site.cluster.api.per_node);
        Self::connect(settings, config, redactor).await
    }

    /// As [`OpenSite::open`], but asks nobody.
    ///
    /// # Errors
    /// Configuration or credential.
    pub async fn connect(settings: &Settings, config: Config, redactor: &Redactor) -> Result<Self, AppError> {
        let credential = credential(&config, redactor).await?;
        let ssh = ssh(&config, settings);
        Self::assemble(
            settings,
            config,
            redactor,
            Way { credential, wire: None, ssh, keeper: keeper(redactor), netbox: None, talos: None, kubernetes: None },
        )
    }

    /// Puts the clients together; `way` says how the site is reached.
    ///
    /// # Errors
    /// The configuration makes no client.
    pub(in crate::app) fn assemble(
        settings: &Settings,
        config: Config,
        redactor: &Redactor,
        way: Way,
    ) -> Result<Self, AppError> {
        let token = handed_on(&config.site, &way.credential);
        let keeper = way.keeper;
        // A lab in this process has no network.
        let net = if way.wire.is_some() { Net::unreachable() } else { net(redactor) };
        let talos = (talos(&config, settings, way.talos), kubernetes(&config, settings, way.kubernetes));
        let means = Means { token, ..Means::new(&config, way.ssh, net, talos, redactor) };
        let proxmox = Arc::new(proxmox(&config, settings, way.credential, way.wire, redactor)?);
        if cfg!(debug_assertions) {
            proxmox.set_check(check_call);
        }
        let deps = deps(&config, settings);
        let site_source = actions::proxmox::ProxmoxSource::new((*proxmox).clone());
        let local_source = means.source(settings);
        let secrets: Arc<dyn WorldSource> =
            Arc::new(actions::proxmox::SecretSource::new(keeper.clone(), Some((*proxmox).clone())));
        let source = local_source.clone().with("proxmox", Arc::new(site_source)).with("secret", secrets.clone());
        let netbox = netbox(&config, settings, way.netbox, redactor)?;
        let netbox_source = NetboxSource::new(netbox.clone());
        let source = source.with("netbox", Arc::new(netbox_source.clone()));
        let clients = means.clients().with(proxmox.clone()).with(Arc::new(keeper));
        let clients = netbox.into_iter().fold(clients, |clients, netbox| clients.with(Arc::new(netbox)));
        Ok(Self {
            secrets,
            netbox: netbox_source,
            actions: actions::catalogue(&deps),
            source: Arc::new(source),
            local_source,
            config,
            proxmox: Some(proxmox),
            clients,
            redactor: redactor.clone(),
            actor: settings.actor.clone(),
        })
    }
}

/// This machine's commands get our environment without the variables that hold our own credentials, and what they write
/// is kept without secrets.
fn local(config: &Config, redactor: &Redactor) -> Local {
    let redactor = redactor.clone();
    let given = &config.site.credentials;
    let references = given.token.iter().chain(&given.password).filter_map(|text| text.parse::<SecretRef>().ok());
    let variables = references.filter_map(|reference| match reference {
        SecretRef::Env(name) => Some(name),
        _ => None,
    });
    Local::new(Arc::new(move |text| redactor.redact(text).into_owned())).without(variables)
}

/// What there is with and without a site.
struct Means {
    local: Local,
    ssh: Arc<Ssh>,
    net: Arc<Net>,
    talos: Arc<TalosSource>,
    kubernetes: Clusters,
    /// The site's, for a child that asks for it.
    token: Option<ProxmoxToken>,
}

impl Means {
    fn new(config: &Config, ssh: Ssh, net: Net, nodes: (TalosSource, Clusters), redactor: &Redactor) -> Self {
        let keep = redactor.clone();
        let ssh = ssh.redacting(Redact::new(move |text| keep.redact(text).into_owned()));
        let (ssh, net, talos) = (Arc::new(ssh), Arc::new(net), Arc::new(nodes.0));
        Self { local: local(config, redactor), ssh, net, talos, kubernetes: nodes.1, token: None }
    }

    fn source(&self, settings: &Settings) -> actions::Sources {
        let local = actions::local::LocalSource::new(self.local.clone(), settings.cwd.clone());
        let net = Arc::new(actions::net::NetSource::new(self.net.clone()));
        let tools: Arc<dyn WorldSource> = Arc::new(ToolSource::new(self.local.clone(), self.token.clone()));
        let sources = actions::Sources::default()
            .with("local", Arc::new(local))
            .with("file", Arc::new(FileSource::new(self.local.clone())))
            .with("ssh", Arc::new(actions::ssh::SshSource::new(self.ssh.clone())))
            .with("talos", self.talos.clone())
            .with("kubernetes", Arc::new(KubernetesSource::new(self.kubernetes.clone())))
            .with("backup", Arc::new(BackupSource::new(self.local.clone(), clock::now_ms)))
            .with("tcp", net.clone())
            .with("http", net);
        ["ansible", "git", "task"].into_iter().fold(sources, |sources, kind| sources.with(kind, tools.clone()))
    }

    fn clients(&self) -> Capabilities {
        let clients = Capabilities::default()
            .with(Arc::new(self.local.clone()))
            .with(self.ssh.clone())
            .with(self.net.clone())
            .with(Arc::new(self.kubernetes.clone()))
            .with(self.talos.clone());
        match &self.token {
            Some(token) => clients.with(Arc::new(token.clone())),
            None => clients,
        }
    }
}

/// The site's token as a child may get it that asks for it. A password is handed to nobody.
fn handed_on(site: &Site, credential: &Credential) -> Option<ProxmoxToken> {
    let Credential::Token { id, secret } = credential else { return None };
    let node = site.cluster.nodes.first()?;
    ProxmoxToken::new(node.host.clone(), node.port, id, secret.clone())
}

async fn credential(config: &Config, redactor: &Redactor) -> Result<Credential, AppError> {
    let secrets = Secrets::new(redactor.clone());
    let failed = |message: String| AppError::new(Exit::Configuration, "credential::unavailable", message);
    let reference = |text: &str| {
        let reference = text.parse::<SecretRef>().map_err(|e| failed(e.to_string()))?;
        // A file that happens to lie above the current folder must not choose what program runs.
        if config.found && reference.needs_trust() {
            let hint = format!("if you trust this file, name it: --config {}", config.path.display());
            return Err(
                failed("cmd: runs a program, and the configuration was only found here, not named".into()).hint(hint)
            );
        }
        Ok(reference)
    };
    let given = &config.site.credentials;
    if let Some(token) = &given.token {
        let pair = secrets.token(&reference(token)?).await.map_err(|e| failed(e.to_string()))?;
        return Ok(Credential::Token { id: pair.id, secret: pair.secret });
    }
    let (Some(user), Some(password)) = (&given.user, &given.password) else {
        return Err(failed("the configuration names no credential".into())
            .hint("give `token` (a reference to an API token) or `user` with `password` under `credentials`"));
    };
    let password = secrets.resolve(&reference(password)?).await.map_err(|e| failed(e.to_string()))?;
    Ok(Credential::Password { user: user.clone(), password })
}

fn proxmox(
    config: &Config,
    settings: &Settings,
    credential: Credential,
    wire: Option<SharedWire>,
    redactor: &Redactor,
) -> Result<proxmox::Site, AppError> {
    let cluster = &config.site.cluster;
    let mut nodes = Vec::new();
    for node in &cluster.nodes {
        let fingerprint =
            node.fingerprint.as_deref().map(str::parse).transpose().map_err(|e: crate::model::ids::BadId| {
                AppError::new(Exit::Configuration, "config::fingerprint", format!("node {}: {e}", node.name))
            })?;
        nodes.push(NodeEndpoint { name: node.name.clone(), host: node.host.clone(), port: node.port, fingerprint });
    }
    let mut site = SiteSettings::new(cluster.name.clone(), nodes, credential);
    site.ca_file = cluster
        .tls
        .ca_file
        .as_ref()
        .map(|file| config.folder().join(files::expand_home(file, settings.home.as_deref())));
    site.insecure = cluster.tls.insecure;
    site.wire = wire;
    site.timeout = Duration::from_millis(cluster.api.timeout);
    site.per_node = cluster.api.per_node.max(1) as usize;
    if let Some(poll) = settings.poll {
        site.poll.first = poll;
        site.poll.most = poll;
    }
    let sink = redactor.clone();
    site.on_secret = Some(SecretSink(Arc::new(move |value| {
        // Too short to be told from ordinary text: not redacted, which is the redactor's own rule.
        let _ = sink.register(value);
    })));
    proxmox::Site::connect(site).map_err(|e| AppError::new(Exit::Configuration, "config::site", e.to_string()))
}

/// The configured NetBox, which nobody has asked yet.
fn netbox(
    config: &Config,
    settings: &Settings,
    way: Option<(SharedNetboxWire, Arc<dyn Keys>)>,
    redactor: &Redactor,
) -> Result<Option<Netbox>, AppError> {
    let Some(given) = &config.site.netbox else { return Ok(None) };
    let wrong = |message: String| AppError::new(Exit::Configuration, "config::netbox", message);
    let reference = given.token.parse::<SecretRef>().map_err(|e| wrong(e.to_string()))?;
    if config.found && reference.needs_trust() && way.is_none() {
        // Only a run that uses it needs it.
        return Ok(None);
    }
    let ca_file = given.ca_file.as_ref();
    let ca_file = ca_file.map(|file| config.folder().join(files::expand_home(file, settings.home.as_deref())));
    let made = NetboxSettings { url: given.url.clone(), token: given.token.clone(), ca_file };
    match way {
        Some((wire, keys)) => Ok(Some(Netbox::over(&made, keys, wire.0))),
        None => Netbox::new(&made, keys(redactor)).map(Some).map_err(|e| wrong(e.to_string())),
    }
}

fn netbox_deps(config: &Config) -> Option<NetboxDeps> {
    let site = config.site.cluster.name.clone();
    let given = config.site.netbox.as_ref()?;
    Some(NetboxDeps { cluster: given.cluster.clone().unwrap_or_else(|| site.clone()), site })
}

/// As whom and by which configuration hosts are reached.
pub(in crate::app) fn ssh(config: &Config, settings: &Settings) -> Ssh {
    if let Some(socket) = &settings.ssh_socket {
        return Ssh::via(SshVia::Socket(socket.clone()));
    }
    let given = &config.site.credentials;
    let ssh_config =
        given.ssh_config.as_ref().map(|file| config.folder().join(files::expand_home(file, settings.home.as_deref())));
    // Where nothing is configured, ssh_config says as whom.
    let user = (!config.is_absent()).then(|| given.ssh_user.clone());
    Ssh::new(SshSettings { user, config: ssh_config, ..SshSettings::default() })
}

/// The journal of this user on this machine.
///
/// # Errors
/// The folder or the database cannot be used: which, why, and what to do.
pub fn store(settings: &Settings) -> Result<Arc<Store>, AppError> {
    Ok(settings.journal.at(settings.state()?)?)
}

/// What the actions need of the configuration.
fn deps(config: &Config, settings: &Settings) -> actions::Deps {
    let site = &config.site;
    let below = |path: &str| {
        // Whether or not the configuration was named from where we are.
        settings.cwd.join(config.folder()).join(files::expand_home(path, settings.home.as_deref()))
    };
    let placement = &site.placement;
    let groups = site.policy.quorum_groups.iter();
    let mut deps = actions::Deps {
        placement: actions::PlacementDefaults {
            host_reserve: placement.host_reserve,
            keep_free: placement.keep_free,
            cpu_overcommit: placement.cpu_overcommit,
            quorum_groups: groups
                .map(|g| QuorumGroup { name: g.name.clone(), tags: g.tags.iter().cloned().collect() })
                .collect(),
            ..actions::PlacementDefaults::default()
        },
        timing: actions::Timing::default(),
        folder: settings.cwd.clone(),
        files: settings.cwd.join(config.folder()),
        ansible: site.ansible.as_ref().map(|given| {
            let folder = below(&given.fleet_infra_path);
            let inventory = given.inventory.as_ref().map(|path| folder.join(path));
            AnsibleSetup { folder, inventory }
        }),
        taskfile: site.taskfile.as_ref().map(|given| below(&given.path)),
        netbox: netbox_deps(config),
        vmid_ranges: site.vmid_ranges,
    };
    if let Some(poll) = settings.poll {
        deps.timing.poll = poll;
    }
    if let Some(scale) = settings.lab_scale.filter(|scale| *scale >= 1.0) {
        let timing = &mut deps.timing;
        for wait in [&mut timing.late_task, &mut timing.late_command, &mut timing.settle] {
            // Answers and workers take their own time, whatever the lab's clock does.
            *wait = wait.div_f64(scale) + Duration::from_secs(2);
        }
    }
    deps
}

/// Holds a call against the official schema before it is sent (debug builds and tests).
fn check_call(version: Option<&str>, verb: &str, path: &str, params: &[(String, String)]) -> Result<(), String> {
    let Some(version) = version else { return Ok(()) };
    let verb = contracts::Verb::parse(verb).ok_or_else(|| format!("verb {verb:?}"))?;
    let params = params.iter().cloned().collect();
    let checked = match contracts::check_call(version, verb, path, &params) {
        // Nodes of a cluster may run different versions, and what another version has is asked for to learn whether
        // this one has it: the server's own 501 is the answer.
        Err(contracts::Violation::Unknown { .. }) => contracts::check_call(contracts::NEWEST, verb, path, &params),
        checked => checked,
    };
    checked.map(drop).map_err(|violation| violation.to_string())
}
