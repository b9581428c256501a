//! `ansible.playbook`: hands a procedure to ansible-playbook, and reads from its recap what it has done.
//!
//! Playbooks are never edited and variables never stand among the words of a command. The exit code alone is trusted for
//! nothing: a host that failed, could not be reached or does not appear is a failure.

use std::path::{Component, Path, PathBuf};

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::listing::{hosts, plays};
use super::recap::Recap;
use super::resource::{Playbook, Resource};
use super::setup::{AnsibleSetup, ProxmoxToken};
use crate::actions::files::resource as file;
use crate::actions::local::order::{GRACE, KEEP};
use crate::actions::local::resource::Resource as Here;
use crate::actions::local::work::{Handle, Watch, ended_unseen, known, last_lines, left_behind};
use crate::clients::local::{Command, Ended, Local, PrivateFile};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::shell::quote as quoted;

const PROGRAM: &str = "ansible-playbook";

/// Tasks that a plan shows of each play.
const MOST_TASKS: usize = 40;

/// The action.
pub struct AnsiblePlaybook {
    spec: ActionSpec,
    setup: Option<AnsibleSetup>,
}

impl AnsiblePlaybook {
    /// `setup` is absent where the configuration says nothing of ansible.
    pub fn new(setup: Option<AnsibleSetup>) -> Self {
        let list = |name: &str, help: &str| Param::new(name, ValueType::List).items(ValueType::String).help(help);
        let spec =
            ActionSpec::new("ansible.playbook", Effect::Change, "Run a playbook with ansible-playbook")
                .param(
                    Param::new("playbook", ValueType::Path)
                        .required()
                        .help("Below ansible.fleet_infra_path of the configuration"),
                )
                .param(Param::new("limit", ValueType::String).help("A pattern of hosts, as --limit takes it"))
                .param(list("tags", "Only tasks with one of these"))
                .param(list("skip_tags", "No task with one of these"))
                .param(
                    Param::new("extra_vars", ValueType::Map)
                        .help("Variables, handed over by a file that only the user can read"),
                )
                .param(flag("check", "Change nothing: --check --diff"))
                .param(Param::new("preview", ValueType::String).choices(&["list", "check"]).default_value("list").help(
                    "What a plan asks for: list (syntax, hosts, tasks), or check (a run with --check --diff, too)",
                ))
                .param(flag(
                    "proxmox_token",
                    "Hand the site's token over as PROXMOX_HOST, _PORT, _USER, _TOKEN_ID and _TOKEN_SECRET",
                ))
                .output(
                    "hosts",
                    ValueType::Map,
                    "For each host ok, changed, unreachable, failed, skipped, rescued, ignored",
                )
                .output("totals", ValueType::Map, "The same of all hosts together")
                .output("changed", ValueType::Bool, "Whether any host says that something has changed")
                .output("code", ValueType::Int, "The exit code")
                .needs_privilege("what the playbook itself needs, on its hosts; with proxmox_token what the token may");
        Self { spec, setup }
    }

    fn order(&self, call: &Call) -> Result<Order, Failure> {
        Order::of(call, self.setup.as_ref())
    }
}

fn flag(name: &str, help: &str) -> Param {
    Param::new(name, ValueType::Bool).default_value(false).help(help)
}

/// What a step asks for.
struct Order {
    folder: PathBuf,
    /// Below the folder.
    playbook: String,
    args: Vec<String>,
    extra_vars: Map<String, Value>,
    check: bool,
    preview: bool,
    token: bool,
}

impl Order {
    fn of(call: &Call, setup: Option<&AnsibleSetup>) -> Result<Self, Failure> {
        let refuse = |cause: String, remedy: &str| {
            Err(Failure::new(Class::Precondition, "run a playbook", cause).remedy(remedy.to_owned()))
        };
        let Some(setup) = setup else {
            let remedy = "give ansible: {fleet_infra_path: …, inventory: …} in cluster-config.yaml";
            return refuse("the configuration says nothing of ansible".into(), remedy);
        };
        let playbook: String = call.arg("playbook")?;
        let inside =
            Path::new(&playbook).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside || playbook.is_empty() || playbook.starts_with('-') {
            return refuse(
                format!("{playbook:?} is not below {}", setup.folder.display()),
                "name it from that folder on",
            );
        }
        let mut args = Vec::new();
        if let Some(inventory) = &setup.inventory {
            args.extend(["-i".to_owned(), inventory.display().to_string()]);
        }
        // One word each, so that no value can be taken for an option.
        if let Some(limit) = call.arg::<Option<String>>("limit")? {
            args.push(format!("--limit={limit}"));
        }
        for (name, option) in [("tags", "--tags"), ("skip_tags", "--skip-tags")] {
            let tags = call.arg::<Option<Vec<String>>>(name)?.unwrap_or_default();
            if !tags.is_empty() {
                args.push(format!("{option}={}", tags.join(",")));
            }
        }
        args.push(playbook.clone());
        Ok(Self {
            folder: setup.folder.clone(),
            playbook,
            args,
            extra_vars: call.arg::<Option<_>>("extra_vars")?.unwrap_or_default(),
            check: call.arg::<Option<_>>("check")?.unwrap_or_default(),
            preview: call.get("preview") == "check",
            token: call.arg::<Option<_>>("proxmox_token")?.unwrap_or_default(),
        })
    }

    fn path(&self) -> PathBuf {
        self.folder.join(&self.playbook)
    }

    fn attempted(&self) -> String {
        format!("run the playbook {}", self.playbook)
    }

    /// What changes nothing says so.
    fn words(&self) -> Vec<String> {
        let check = ["--check", "--diff"].into_iter().filter(|_| self.check).map(str::to_owned);
        check.chain(self.args.clone()).collect()
    }

    fn resource(&self) -> Resource {
        Resource::Playbook(Playbook {
            folder: self.folder.display().to_string(),
            args: self.args.clone(),
            extra_vars: self.extra_vars.clone(),
            token: self.token,
            check: self.preview,
        })
    }
}

/// The program with these words, saying what can be read again.
pub fn command(folder: PathBuf, args: &[String], token: Vec<(String, Option<String>)>) -> Command {
    let ours = [
        ("ANSIBLE_NOCOLOR", "1"),
        ("ANSIBLE_FORCE_COLOR", "0"),
        ("ANSIBLE_NOCOWS", "1"),
        ("ANSIBLE_STDOUT_CALLBACK", "default"),
        ("ANSIBLE_CALLBACK_RESULT_FORMAT", "json"),
        ("ANSIBLE_RETRY_FILES_ENABLED", "0"),
        ("PYTHONUNBUFFERED", "1"),
        // It refuses any other encoding.
        ("LC_ALL", "C.UTF-8"),
    ];
    let mut env = ours.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).to_vec();
    env.extend(token);
    let argv = std::iter::once(PROGRAM.to_owned()).chain(args.iter().cloned()).collect();
    Command { argv, env, cwd: folder, stdin: Vec::new(), keep: KEEP, grace: GRACE }
}

/// A file with the variables, where there are any.
pub fn vars_file(local: &Local, vars: &Map<String, Value>) -> Result<Option<PrivateFile>, Failure> {
    if vars.is_empty() {
        return Ok(None);
    }
    let text = Value::Object(vars.clone()).to_string();
    let file = local.private_file(text.as_bytes(), ".json");
    file.map(Some).map_err(|e| Failure::new(Class::Precondition, "hand variables to ansible-playbook", e.to_string()))
}

/// The site's token, where it is asked for.
pub fn token_env(wanted: bool, token: Option<&ProxmoxToken>) -> Result<Vec<(String, Option<String>)>, Failure> {
    match (wanted, token) {
        (false, _) => Ok(Vec::new()),
        (true, Some(token)) => Ok(token.env()),
        (true, None) => {
            let cause = "proxmox_token is asked for, and this site is not reached by a token";
            Err(Failure::new(Class::Precondition, "hand the site's token over", cause)
                .remedy("give credentials.token in cluster-config.yaml"))
        }
    }
}

fn refused(attempted: String, said: &Value, what: &str) -> Failure {
    let text = [&said["stderr"], &said["stdout"]].iter().filter_map(|v| v.as_str()).collect::<Vec<_>>().join("\n");
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let first = lines.iter().find(|line| line.contains("ERROR")).or(lines.first()).copied().unwrap_or("no word of why");
    let details = lines.iter().take(20).map(|line| (*line).to_owned()).collect::<Vec<_>>();
    Failure::new(Class::Precondition, attempted, format!("{what}: {first}")).details(details)
}

#[async_trait]
impl Action for AnsiblePlaybook {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let order = self.order(call)?;
        let state = file::read(world, &order.path()).await?;
        if !state.is_file() {
            let cause = format!("{} is not there", order.path().display());
            return Err(Failure::new(Class::Precondition, order.attempted(), cause).into());
        }
        let mode = if order.check { "check mode: changes nothing" } else { "what it changes is not previewed" };
        let before = json!({"playbook": order.path(), "sha256": state.sha256()});
        let mut probe = Probe::new(format!("run the playbook {} ({mode})", order.playbook), before);
        probe.guards = vec![file::unchanged(&order.path(), &state)];
        if call.run.is_some() {
            // It says the same again by itself, at the same cost.
            return Ok(probe);
        }
        let seen = world.read(&order.resource().key()).await?.known(&order.playbook)?;
        for what in ["syntax", "listing"] {
            if seen[what]["ok"] != true {
                return Err(refused(order.attempted(), &seen[what], "ansible-playbook refuses it").into());
            }
        }
        let plays = plays(seen["listing"]["stdout"].as_str().unwrap_or_default());
        let hosts = hosts(&plays);
        if hosts.is_empty() {
            let cause = "no play of it has a host: look at the inventory and `limit`";
            return Err(Failure::new(Class::Precondition, order.attempted(), cause).into());
        }
        let tasks: usize = plays.iter().map(|play| play.tasks.len()).sum();
        probe.summary = format!("run the playbook {} on {}: {tasks} tasks ({mode})", order.playbook, some(&hosts));
        for play in &plays {
            let shown: Vec<&str> = play.tasks.iter().take(MOST_TASKS).map(String::as_str).collect();
            let more = play.tasks.len().saturating_sub(MOST_TASKS);
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            probe.notes.push(format!("{} on {} hosts: {}{more}", play.title, play.hosts.len(), shown.join(", ")));
        }
        if !seen["check"].is_null() {
            let mut recap = Recap::default();
            seen["check"]["stdout"].as_str().unwrap_or_default().lines().for_each(|line| recap.line(line));
            probe.notes.push(match recap.problem() {
                Some(why) => format!("--check fails, which need not mean that a run would: {why}"),
                None => format!("--check says: {} would change", recap.totals().changed),
            });
        }
        Ok(probe)
    }

    fn predict(&self, call: &Call, _: &Probe) -> Prediction {
        if call.get("check") == true {
            return Prediction::default();
        }
        // What it changes cannot be told, but that it may is: a reading behind it is made when its turn comes.
        let unseen = ResourceKey::new(format!("local/unseen/{}", call.path));
        Prediction { taints: vec![(unseen, "a playbook".into())], ..Prediction::default() }
    }

    async fn prepare(&self, _: &Call, world: &dyn World) -> Result<Value, Failure> {
        known(world, Here::Now).await
    }

    async fn apply(&self, call: &Call, _: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let order = self.order(call)?;
        let local = mutate.client::<Local>()?;
        let token = match order.token {
            true => token_env(true, mutate.client::<ProxmoxToken>().ok().as_deref())?,
            false => Vec::new(),
        };
        let vars = vars_file(&local, &order.extra_vars)?;
        let mut words = order.words();
        words.extend(vars.iter().flat_map(|file| ["-e".to_owned(), format!("@{}", file.path().display())]));
        let watch = Watch { mutate, attempted: order.attempted() };
        let mut recap = Recap::default();
        let command = command(order.folder.clone(), &words, token);
        let output = watch.run(&local, call, command, &mut |line| recap.line(line)).await?;
        let failed = |cause: String| Failure::new(Class::Failed, order.attempted(), cause).done(Done::Partial);
        match (recap.problem(), output.ended) {
            (None, Ended::Exit(0)) => Ok(recap.outputs(Some(0))),
            (None, ended) => {
                let cause = format!("{ended}, though no host of the recap has failed");
                Err(failed(cause).details(last_lines(&output.stdout, &output.stderr)))
            }
            (Some(why), ended) => {
                let mut details = recap.details();
                if details.is_empty() {
                    details = last_lines(&output.stdout, &output.stderr);
                }
                Err(failed(format!("{why} ({ended})")).details(details))
            }
        }
    }

    async fn attach(&self, call: &Call, _: &Intent, handle: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        let order = self.order(call)?;
        let local = mutate.client::<Local>()?;
        let watch = Watch { mutate, attempted: order.attempted() };
        watch.gone(&local, Handle::of(handle, &watch.attempted)?).await?;
        Err(watch.unseen())
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        handle: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let order = self.order(call)?;
        let what = format!("{PROGRAM} {}", order.playbook);
        let found = left_behind(call, handle, &what, world).await?;
        Ok(found.unwrap_or_else(|| ended_unseen(&what, &order.folder, intent)))
    }

    fn commands(&self, call: &Call, _: &Probe) -> Vec<String> {
        let Ok(order) = self.order(call) else { return Vec::new() };
        let words = order.words().iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        let folder = quoted(&order.folder.display().to_string());
        // By hand they may well stand in the line; they are in the plan anyway.
        let vars = match order.extra_vars.is_empty() {
            true => String::new(),
            false => format!(" -e {}", quoted(&Value::Object(order.extra_vars.clone()).to_string())),
        };
        vec![format!("cd {folder} && {PROGRAM} {words}{vars}")]
    }
}

/// `2 hosts (h1, h2)`
fn some(hosts: &[&str]) -> String {
    const MOST: usize = 5;
    let shown = hosts.iter().take(MOST).copied().collect::<Vec<_>>().join(", ");
    let more = if hosts.len() > MOST { ", …" } else { "" };
    match hosts.len() {
        1 => shown,
        count => format!("{count} hosts ({shown}{more})"),
    }
}
