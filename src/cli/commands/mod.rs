//! One small file a command: calls its use case and shows what came back.

mod actions;
mod apply;
mod doctor;
mod export;
mod graph;
pub mod lab;
mod lint;
mod list;
mod plan;
mod replay;
mod runs;
mod show;

use super::Face;
use super::args::Command;
use crate::app::open::OpenSite;
use crate::app::{AppError, Exit};

/// Opens the site, with the warning that it asks for.
async fn open(face: &Face) -> Result<OpenSite, AppError> {
    let site = OpenSite::open(&face.settings, &face.redactor).await?;
    if let Some(warning) = site.warning() {
        face.printer.note(&warning);
    }
    Ok(site)
}

pub async fn run(face: &Face, command: Command) -> Result<Exit, AppError> {
    match command {
        Command::List => list::run(face),
        Command::Show { name } => show::run(face, &name),
        Command::Graph { name, format } => graph::run(face, &name, format),
        Command::Plan(args) => plan::run(face, &args).await,
        Command::Run(args) if args.apply => {
            apply::run(face, args.plan.what, args.plan.out.as_deref(), args.answers).await
        }
        Command::Run(args) => plan::run(face, &args.plan).await,
        Command::Apply(args) => apply::apply(face, args).await,
        Command::Resume(args) => apply::resume(face, args).await,
        Command::Runs { limit } => runs::list(face, limit),
        Command::Status { run } => runs::status(face, &run),
        Command::Logs { run, step } => runs::logs(face, &run, step.as_deref()),
        Command::Export(args) => export::run(face, &args),
        Command::Replay(args) => replay::run(face, &args).await,
        Command::Lint { names } => lint::lint(face, &names),
        Command::Schema { kind } => lint::schema(face, &kind),
        Command::Actions { name } => actions::run(face, name.as_deref()),
        Command::Doctor => doctor::run(face).await,
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
