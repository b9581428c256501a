//! The words of the command line, as clap types; no logic.

// Comments on arguments are their help texts, not links.
#![allow(rustdoc::broken_intra_doc_links)]

mod control;
mod guest;
mod init;
mod inventory;
mod journal;
mod push;
mod schedule;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use super::junit::JunitFile;

pub use control::{Approve, Cancel, Decide, OfRun};
pub use guest::{Act, Guest, GuestClone, GuestList, One, Template};
pub use init::Init;
pub use inventory::{Inventory, InventoryCommand, script_words};
pub use journal::{Audit, Export, ExportFormat, Freeze, Import, Lock, LockBreak, Prune, Runs, RunsCommand};
pub use push::{Push, PushNetbox};
pub use schedule::{Schedule, ScheduleInstall};

const HELP: &str = "\
{about-with-newline}
{usage-heading} {usage}

See and plan:
  list                 the runbooks that there are
  show NAME            what one would do, and its parameters (also: graph NAME)
  plan NAME [ARGS]     what it would change at the site now; never changes anything

Do:
  run NAME [ARGS]      the same plan; --apply does it (also: do ACTION K=V, one action)
  guest start GUEST    single acts in few words (also: guest list, stop, migrate, set ...; template list)
  apply PLAN|NAME      exactly a saved plan, or a refusal that names what moved
  resume RUN           goes on with a run that was interrupted, or that waits
                       (also: approve, pause, cancel, abandon, rollback)

Look:
  status [RUN]         how a run stands (also: runs, logs RUN [STEP], replay RUN)
  inventory            every guest with its MACs and addresses (inventory --watch, diff, push)
  doctor               is everything there that a run needs (first of all: init HOST)

A timer: schedule install, list, remove (readings and backups)
The journal: audit, export, import, runs prune; the site's: lock, freeze, unfreeze
More: lint, test, schema, actions, notify, metrics, lab, completions, version; `runbook help COMMAND`

{options}{after-help}";

/// Runbooks for Proxmox VE and Talos: a plan you can believe, steps that verify themselves, an undo for each.
#[derive(Debug, Parser)]
#[command(name = "runbook", version, help_template = HELP, disable_help_subcommand = false, propagate_version = false)]
#[command(after_help = "Try it without a site: runbook --lab plan evacuate pve2")]
pub struct Args {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Taken before or after any command.
#[derive(Debug, Clone, ClapArgs)]
pub struct Global {
    /// The site's configuration [default: RUNBOOK_CONFIG, or cluster-config.yaml here or above]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Runs the command against a fresh simulated site
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "three-node", value_name = "SCENARIO")]
    pub lab: Option<String>,
    /// With --lab: something that goes wrong (see `runbook lab fault --help`)
    #[arg(long, global = true, value_name = "FAULT")]
    pub fault: Vec<String>,
    /// How results are written
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    #[arg(long, global = true, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    pub color: When,
    /// How a run is shown while it goes on
    #[arg(long, global = true, value_enum, default_value_t = Progress::Auto, value_name = "HOW")]
    pub progress: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Wide,
    Json,
    Yaml,
    Jsonl,
    Name,
    /// Of `inventory` alone: a line for each address
    Csv,
    /// Of `inventory` alone: what a script inventory answers
    Ansible,
    /// Of `inventory` alone: the objects that NetBox would have
    Netbox,
    /// Of `inventory` alone: targets for file_sd_configs
    PrometheusSd,
    /// Of `inventory` alone: lines for /etc/hosts
    Hosts,
}

impl Output {
    /// Whether only an inventory can be written so.
    pub fn is_of_inventory(self) -> bool {
        matches!(self, Self::Csv | Self::Ansible | Self::Netbox | Self::PrometheusSd | Self::Hosts)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    Auto,
    Live,
    Plain,
    Jsonl,
    Quiet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    Text,
    Svg,
    Dot,
    Mermaid,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The runbooks that there are
    List,
    /// What a runbook would do, and its parameters
    Show {
        /// A runbook's name or alias, or a file
        name: String,
    },
    /// The picture of a runbook, or of a saved plan with its lists expanded
    Graph {
        /// A runbook's name or alias, a file, or a plan made with `plan --out`
        name: String,
        #[arg(long, value_enum, default_value_t = GraphFormat::Text)]
        format: GraphFormat,
    },
    /// What a runbook would change at the site now; never changes anything
    Plan(Plan),
    /// The same plan; --apply does it
    Run(Run),
    /// Exactly a saved plan, or a refusal that names what moved; with a runbook's name: run NAME --apply
    Apply(Apply),
    /// One action: the same plan, question and journal; --apply does it
    Do(Do),
    /// Single acts on guests: each is `runbook do` of one action, in fewer words
    #[command(subcommand, alias = "vm")]
    Guest(Guest),
    /// Templates
    #[command(subcommand)]
    Template(Template),
    /// Goes on with a run that was interrupted or parked
    Resume(Resume),
    /// Answers what a run asks, from anywhere; then goes on with it
    Approve(Approve),
    /// Starts nothing new of a run; what is in flight finishes, then `finally`
    Cancel(Cancel),
    /// Lets what is in flight finish, and parks the run with its lock
    Pause {
        /// Any unique beginning of its id, or `last`
        #[arg(default_value = "last")]
        run: String,
    },
    /// Gives a run up: looks once more at what is in doubt, runs `finally`, gives the lock back
    Abandon(OfRun),
    /// Undoes what a run has done, also when it is over
    Rollback(OfRun),
    /// Runs, newest first
    Runs(Runs),
    /// How a run stands
    Status {
        #[arg(default_value = "last")]
        run: String,
    },
    /// What happened in a run, or in one step of it
    Logs {
        #[arg(default_value = "last")]
        run: String,
        /// One step, as `runbook status` names it: 'move[104]'
        step: Option<String>,
    },
    /// Proofs of the journal, and who did what when
    #[command(subcommand)]
    Audit(Audit),
    /// A run as a file: to keep, or to go on with it on another machine
    Export(Export),
    /// Takes an exported run into this machine's journal
    Import(Import),
    /// Who holds the locks; breaks one
    #[command(subcommand)]
    Lock(Lock),
    /// Runbooks that a timer runs: only readings and backups, with an approval that stands until they change
    #[command(subcommand)]
    Schedule(Schedule),
    /// Lets no run that changes something start or go on at the site
    Freeze(Freeze),
    /// Ends a freeze
    Unfreeze,
    /// A run's events once more, through the display that showed them
    Replay(Replay),
    /// Everything that is wrong with runbooks [default: all that there are]
    Lint { names: Vec<String> },
    /// Rehearses a runbook in the lab with something going wrong at each place [default: all that say how]
    Test(Test),
    /// The JSON Schema of a kind of file, for editors
    Schema {
        #[arg(default_value = "runbook", value_name = "runbook|site|cluster|test")]
        kind: String,
    },
    /// The actions that a runbook can use
    Actions {
        /// One of them, with its parameters, outputs and privileges
        name: Option<String>,
    },
    /// Every guest with its MACs and addresses, for people and for Ansible, NetBox, Prometheus, /etc/hosts
    Inventory(Inventory),
    /// Is everything there that a run needs: configuration, credential, site, tools
    #[command(alias = "check")]
    Doctor {
        /// Only the privileges that this runbook needs
        #[arg(long, value_name = "NAME")]
        runbook: Option<String>,
    },
    /// Writes a site's configuration from what one of its nodes says; completes one that is there
    Init(Init),
    /// Who is told of runs: what is pending, a test
    #[command(subcommand)]
    Notify(Notify),
    /// Figures about runs, as Prometheus takes them
    Metrics,
    /// The simulated site
    #[command(subcommand)]
    Lab(Lab),
    /// A script that completes this command in a shell
    Completions { shell: clap_complete::Shell },
    /// The version of this command and of the formats that it writes
    Version,
}

impl Command {
    /// Whether it is, or has, a lab: servers in this process, beside which its clients work.
    pub fn is_of_a_lab(&self) -> bool {
        matches!(self, Self::Lab(_) | Self::Test(_))
    }
}

/// What to plan.
#[derive(Debug, Clone, ClapArgs)]
pub struct What {
    /// A runbook's name or alias, or a file
    pub name: String,
    /// Values of its positional parameters
    pub args: Vec<String>,
    /// A parameter
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_value)]
    pub set: Vec<(String, String)>,
    /// The guest cluster (clusters/NAME.yaml)
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Plan {
    #[command(flatten)]
    pub what: What,
    /// Saves the plan, for `runbook apply FILE`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// 0: nothing to do, 2: changes, 1: every error
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Shows it as commands that do the same by hand
    #[arg(long = "as", value_enum, value_name = "WHAT")]
    pub shown_as: Option<ShownAs>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShownAs {
    Commands,
}

/// How questions are answered, and what is to go wrong.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Answers {
    /// Answers ordinary questions with yes; never one that asks for a word
    #[arg(short, long)]
    pub yes: bool,
    /// Answers a question that asks for exactly this word
    #[arg(long, value_name = "WORD")]
    pub confirm: Vec<String>,
    #[arg(long, value_name = "KIND:WHAT", hide_short_help = true)]
    /// Rehearses trouble: fail:STEP, fail-after:STEP, fail-undo:STEP, decline:STEP, repeat:STEP, crash-after:N, roll-back
    pub inject: Vec<String>,
    /// Goes through lists that become known only later without asking
    #[arg(long)]
    pub auto_expand: bool,
    /// Writes the run's results as JUnit XML, however it ends
    #[arg(long, value_name = "FILE")]
    pub junit: Option<JunitFile>,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Run {
    #[command(flatten)]
    pub plan: Plan,
    /// Plans, shows, asks, and does it
    #[arg(long, conflicts_with = "shown_as")]
    pub apply: bool,
    #[command(flatten)]
    pub answers: Answers,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Do {
    /// An action of the catalogue (`runbook actions`)
    pub action: String,
    /// Its parameters
    #[arg(value_name = "NAME=VALUE", value_parser = name_value)]
    pub with: Vec<(String, String)>,
    /// The guest cluster (clusters/NAME.yaml)
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    #[command(flatten)]
    pub act: Act,
    /// The short way by which it was asked for, as it was typed, without `--apply`.
    #[arg(skip)]
    pub short: Option<String>,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Apply {
    /// A plan made with `plan --out`, or a runbook's name
    pub plan: String,
    /// With a name: values of its positional parameters
    pub args: Vec<String>,
    /// With a name: a parameter
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_value)]
    pub set: Vec<(String, String)>,
    /// With a name: the guest cluster (clusters/NAME.yaml)
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    #[command(flatten)]
    pub answers: Answers,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Resume {
    /// Any unique beginning of its id, or `last`
    pub run: String,
    /// What you found out about a step in doubt: it was done, or nothing of it was
    #[arg(long, value_name = "STEP=done|not-done", value_parser = resolution)]
    pub resolve: Vec<(String, bool)>,
    /// Goes on with a run that was handed over, or is a copy; first make sure that no other machine does
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub answers: Answers,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Notify {
    /// Sends one message to each receiver and says how it went
    Test,
    /// Delivers what is pending now
    Flush,
    /// What is still to be delivered
    List {
        /// Also what was delivered or given up in the last days
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Test {
    /// A runbook's name or alias, or a file
    pub name: Option<String>,
    /// Values of its positional parameters, instead of what runbooks/tests/NAME.yaml says
    pub args: Vec<String>,
    /// A parameter, likewise
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_value)]
    pub set: Vec<(String, String)>,
    /// The guest cluster (clusters/NAME.yaml), likewise
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The lab (see `runbook lab scenarios`)
    #[arg(long)]
    pub scenario: Option<String>,
    /// Only runs whose name fits: 'one-by-one/fail:*'
    #[arg(long, value_name = "PATTERN")]
    pub case: Option<String>,
    /// Crashes after every fact, not only once for each kind of fact about each action
    #[arg(long)]
    pub torture: bool,
    /// Runs at once [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Replay {
    /// Any unique beginning of its id, or `last`
    #[arg(default_value = "last")]
    pub run: String,
    /// At a terminal: so many times faster than it was; no pause is longer than a second
    #[arg(long, default_value_t = 1.0, value_name = "N")]
    pub speed: f64,
    /// Stops after the event of this number
    #[arg(long, value_name = "SEQ")]
    pub until: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub enum Lab {
    /// Starts a lab that stays up
    Up(LabUp),
    /// Ends it
    Down,
    /// How it stands
    Status,
    /// The environment that makes every command meet it: eval "$(runbook lab env)"
    Env,
    /// Makes something go wrong
    #[command(after_help = FAULTS)]
    Fault { fault: String },
    /// Runs any program against a fresh lab
    Exec(LabExec),
    /// The scenarios that there are
    Scenarios,
    #[command(hide = true)]
    Serve(LabServe),
    #[command(hide = true)]
    SshHelper {
        #[arg(long)]
        socket: PathBuf,
        #[arg(long)]
        node: String,
    },
    /// What the lab's talosctl is
    #[command(hide = true)]
    Talosctl {
        #[arg(long)]
        socket: PathBuf,
        #[arg(long)]
        of: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

const FAULTS: &str = "\
Faults:
  reset-before:POST /nodes/*/qemu/104/migrate*1   the connection breaks before the request is taken, once
  reset-after:…     the request is taken and its answer lost
  500:… 596:…       such a status   ·   slow:…=2s   ·   hang:…
  node-down:pve3    node-up:pve3    token-rejected
  task-fail:qmigrate/104[=text]     task-abort:… task-warn:… task-hang:… task-forget:… task-full:…
  ssh-drop:ha-manager*1   the connection breaks before the command   ·   ssh-exit:qm=text   it exits with 255
  ssh-drop-after:… ssh-exit-after:…   the command is carried out first   ·   quorum-lost    quorum-back
  lock-stays:104    set-lock:104=backup    clear-lock:104    replace-guest:104    tasks-late=40s
  challenge-fails:pve1.example.org
  talos-rolls-back:cp1   its next new version does not boot   ·   talos-loses-extensions:cp1   it comes up without them
  talos-never-returns:cp1   from its next boot   ·   upgrade-hangs:cp1   talosctl never ends though the node is back
  kubelet-stays:w1   the next kubelet that it is given does not start
  etcd-unhealthy:cp1   etcd-learner:cp1   etcd-alarm:cp1   etcd-corrupt:cp1
  etcd-broken:cp1   its database is damaged, until it is wiped   ·   talos-time-unsynced:cp1   nothing is bootstrapped there
  talos-clock-behind:cp1   talos-disk-full:cp1   talos-kubelet-unhealthy:cp1   ·   snapshot-cut   snapshot-damaged   the next one of etcd
  drain-blocked:shop/web   a disruption budget never allows anything   ·   node-not-ready:w1   ·   storage-degraded
  @40s FAULT        after so much of the lab's time
In paths * is one segment, a trailing ** all the rest, a trailing *N how often.";

#[derive(Debug, Clone, ClapArgs)]
pub struct LabUp {
    /// `runbook lab scenarios` lists them
    #[arg(default_value = "three-node")]
    pub scenario: String,
    /// How many times faster than real time the lab's is
    #[arg(long, default_value_t = 60.0)]
    pub time_scale: f64,
    /// Appends every request that reaches the lab to this file, a JSON line each
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// Listens on 127.0.0.N:8006, as a real site does
    #[arg(long)]
    pub fixed_addresses: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct LabExec {
    /// `runbook lab scenarios` lists them
    #[arg(long, default_value = "three-node")]
    pub scenario: String,
    /// How many times faster than real time the lab's is
    #[arg(long, default_value_t = 60.0)]
    pub time_scale: f64,
    /// Appends every request that reaches the lab to this file, a JSON line each
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// The API token that the configuration names
    #[arg(long, value_name = "ID")]
    pub token: Option<String>,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "CMD")]
    pub command: Vec<String>,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct LabServe {
    #[arg(long)]
    pub folder: PathBuf,
    #[arg(long)]
    pub scenario: String,
    #[arg(long)]
    pub time_scale: f64,
    #[arg(long)]
    pub ledger: Option<PathBuf>,
    #[arg(long)]
    pub fixed_addresses: bool,
}

fn resolution(text: &str) -> Result<(String, bool), String> {
    match text.rsplit_once('=') {
        Some((step, "done")) if !step.is_empty() => Ok((step.to_owned(), true)),
        Some((step, "not-done")) if !step.is_empty() => Ok((step.to_owned(), false)),
        _ => Err("expected STEP=done or STEP=not-done".to_owned()),
    }
}

fn name_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}
