//! The command line: words in, use cases called, text out. Nothing here decides anything about a site.

mod args;
mod ask;
mod commands;
mod diagnostic;
mod junit;
mod printer;
mod settings;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use crate::app::redact::Redactor;
use crate::app::{AppError, Exit};
use args::{Args, Command};
use printer::Printer;

/// Everything a command needs of the face.
pub(crate) struct Face {
    pub settings: crate::app::Settings,
    pub printer: Printer,
    pub redactor: Redactor,
    pub args: args::Global,
}

impl Face {
    /// Whether results are for a program.
    pub fn is_json(&self) -> bool {
        matches!(self.printer.output, args::Output::Json | args::Output::Jsonl | args::Output::Yaml)
    }
}

/// The process, from its arguments to its exit code.
pub fn main() -> ExitCode {
    let args = match Args::try_parse_from(args::script_words(std::env::args_os())) {
        Ok(args) => args,
        Err(error) => {
            // clap's own words and exit codes: 2 for usage, 0 for --help and --version.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let redactor = Redactor::new();
    start_tracing(&redactor);
    let printer = Printer::new(&args.global, redactor.clone());
    if args.global.output.is_of_inventory() && !matches!(args.command, Command::Inventory(_)) {
        let error = AppError::new(Exit::Usage, "cli::output", "only `runbook inventory` is written in this format")
            .hint("choose -o table, wide, json, yaml, jsonl or name");
        return end(&printer, Err(error));
    }
    let settings = match settings::settings(&args.global) {
        Ok(settings) => settings,
        Err(error) => return end(&printer, Err(error)),
    };
    let face = Face { settings, printer, redactor, args: args.global.clone() };
    let runtime = match runtime(&face, &args.command) {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = AppError::new(Exit::Failed, "runbook::internal", format!("cannot start: {error}"));
            return end(&face.printer, Err(error));
        }
    };
    let (printer, ended) = runtime.block_on(in_lab_or_not(face, args.command));
    // What is still under way (a request whose answer nobody waits for) does not hold the process up.
    runtime.shutdown_background();
    end(&printer, ended)
}

/// One thread drives a run, its commands and its requests, which wait and do not compute: handing each step from thread
/// to thread cost more than it gained (docs/performance.md). A lab in this process gets threads of its own.
fn runtime(face: &Face, command: &Command) -> std::io::Result<tokio::runtime::Runtime> {
    use tokio::runtime::Builder;
    let mut builder = if face.args.lab.is_some() || command.is_of_a_lab() {
        let mut threads = Builder::new_multi_thread();
        threads.worker_threads(2);
        threads
    } else {
        Builder::new_current_thread()
    };
    builder.enable_all().build()
}

/// `--lab` puts a fresh lab round any command.
async fn in_lab_or_not(mut face: Face, command: Command) -> (Printer, Result<Exit, AppError>) {
    let printer = face.printer.clone();
    let Some(scenario) = face.args.lab.clone() else {
        return (printer, commands::run(&face, command).await);
    };
    let request = commands::lab::request(&scenario, &face.args);
    let house = match crate::app::lab::House::start(&request, None).await {
        Ok(house) => house,
        Err(error) => return (printer, Err(error)),
    };
    house.settle_in(&mut face.settings);
    if let Some(why) = house.no_sshd() {
        face.printer.note(&format!("lab: commands over SSH are answered in-process ({why})"));
    }
    // Runs answer signals themselves; anything else is simply ended, and the lab with it.
    let answers = matches!(
        command,
        Command::Run(_) | Command::Apply(_) | Command::Do(_) | Command::Guest(_) | Command::Resume(_) | Command::Lab(_)
    );
    let ended = tokio::select! {
        ended = commands::run(&face, command) => ended,
        exit = signals::cut_off(), if !answers => Ok(exit),
    };
    house.leave().await;
    (printer, ended)
}

fn end(printer: &Printer, ended: Result<Exit, AppError>) -> ExitCode {
    let exit = match ended {
        Ok(exit) => exit,
        Err(error) => {
            printer.error(&error);
            error.exit
        }
    };
    ExitCode::from(exit as u8)
}

/// Tracing is for whoever asks for it with `RUST_LOG`; nobody else pays for setting it up.
fn start_tracing(redactor: &Redactor) {
    use tracing_subscriber::EnvFilter;
    if std::env::var_os(EnvFilter::DEFAULT_ENV).is_none_or(|wanted| wanted.is_empty()) {
        return;
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    let writer = crate::app::redact::RedactingMakeWriter::new(redactor.clone(), std::io::stderr);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false).init();
}
