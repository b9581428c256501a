//! One small file a command: calls its use case and shows what came back.

mod act;
mod actions;
mod apply;
mod audit;
mod control;
mod doctor;
mod export;
mod found;
mod graph;
mod guest;
mod init;
mod inventory;
pub mod lab;
mod lint;
mod list;
mod locks;
mod notify;
mod plan;
mod prune;
mod push;
mod replay;
mod runs;
mod schedule;
mod show;
mod test;

use super::Face;
use super::args::{Command, Do, Inventory, InventoryCommand, RunsCommand};
use super::junit::JunitFile;
use crate::app::open::OpenSite;
use crate::app::{AppError, Exit};
use crate::model::runbook::Runbook;

/// Opens what this runbook needs, with the warning that it asks for.
async fn open(face: &Face, runbook: &Runbook) -> Result<OpenSite, AppError> {
    let site = OpenSite::open_for(&face.settings, &face.redactor, runbook).await?;
    if let Some(warning) = site.warning() {
        face.printer.note(&warning);
    }
    Ok(site)
}

/// Does it; `--junit` is written also where no run began.
async fn reported(
    face: &Face,
    junit: Option<JunitFile>,
    name: &str,
    act: impl Future<Output = Result<Exit, AppError>>,
) -> Result<Exit, AppError> {
    let ended = act.await;
    match junit {
        Some(file) => file.see_to(face, name, ended),
        None => ended,
    }
}

/// One action.
async fn one(face: &Face, args: Do) -> Result<Exit, AppError> {
    if !args.act.apply {
        return act::run(face, args).await;
    }
    let (junit, name) = (args.act.answers.junit.clone(), args.action.clone());
    reported(face, junit, &name, act::run(face, args)).await
}

pub async fn run(face: &Face, command: Command) -> Result<Exit, AppError> {
    match command {
        Command::List => list::run(face),
        Command::Show { name } => show::run(face, &name),
        Command::Graph { name, format } => graph::run(face, &name, format),
        Command::Plan(args) => plan::run(face, &args).await,
        Command::Run(args) if args.apply => {
            let (what, out, junit) = (args.plan.what, args.plan.out, args.answers.junit.clone());
            let name = what.name.clone();
            reported(face, junit, &name, apply::run(face, what, out.as_deref(), args.answers)).await
        }
        Command::Run(args) => plan::run(face, &args.plan).await,
        Command::Apply(args) => {
            let (junit, name) = (args.answers.junit.clone(), args.plan.clone());
            reported(face, junit, &name, apply::apply(face, args)).await
        }
        Command::Do(args) => one(face, args).await,
        Command::Guest(short) => one(face, guest::of_guest(short)).await,
        Command::Template(short) => one(face, guest::of_template(short)).await,
        Command::Resume(args) => {
            let (junit, name) = (args.answers.junit.clone(), args.run.clone());
            reported(face, junit, &name, apply::resume(face, args)).await
        }
        Command::Approve(args) => control::approve(face, args).await,
        Command::Cancel(args) => control::cancel(face, args).await,
        Command::Pause { run } => control::pause(face, &run),
        Command::Abandon(args) => control::abandon(face, args).await,
        Command::Rollback(args) => control::rollback(face, args).await,
        Command::Runs(args) => match args.command {
            None => runs::list(face, args.limit),
            Some(RunsCommand::Prune(args)) => prune::run(face, &args),
        },
        Command::Audit(command) => audit::run(face, command),
        Command::Export(args) => export::export(face, &args),
        Command::Import(args) => export::import(face, &args),
        Command::Lock(command) => locks::run(face, command).await,
        Command::Schedule(command) => schedule::run(face, command).await,
        Command::Freeze(args) => locks::freeze(face, &args),
        Command::Unfreeze => locks::unfreeze(face),
        Command::Status { run } => runs::status(face, &run),
        Command::Logs { run, step } => runs::logs(face, &run, step.as_deref()),
        Command::Replay(args) => replay::run(face, &args).await,
        Command::Lint { names } => lint::lint(face, &names),
        Command::Test(args) => test::run(face, args).await,
        Command::Schema { kind } => lint::schema(face, &kind),
        Command::Actions { name } => actions::run(face, name.as_deref()),
        Command::Doctor { runbook } => doctor::run(face, runbook.as_deref()).await,
        Command::Inventory(Inventory { command: Some(InventoryCommand::Push(push)), .. }) => {
            push::run(face, push).await
        }
        Command::Inventory(args) => inventory::run(face, args).await,
        Command::Init(args) => init::run(face, &args).await,
        Command::Notify(command) => notify::run(face, command).await,
        Command::Metrics => notify::metrics(face),
        Command::Lab(command) => lab::run(face, command).await,
        Command::Completions { shell } => {
            use clap::CommandFactory;
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut super::args::Args::command(), "runbook", &mut script);
            face.printer.data(&String::from_utf8_lossy(&script));
            Ok(Exit::Done)
        }
        Command::Version => {
            let value = serde_json::json!({
                "version": env!("CARGO_PKG_VERSION"),
                "events": crate::event::FORMAT,
                "plan": crate::report::FORMAT_VERSION,
            });
            if !face.printer.json(&value) {
                face.printer.data(&format!(
                    "runbook {}\njournal events: version {}\nplans: version {}",
                    env!("CARGO_PKG_VERSION"),
                    crate::event::FORMAT,
                    crate::report::FORMAT_VERSION
                ));
            }
            Ok(Exit::Done)
        }
    }
}
