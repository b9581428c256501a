//! `runbook lab …`.

use crate::app::lab::{self as app, House, LabRequest};
use crate::app::{AppError, Exit};
use crate::cli::Face;
use crate::cli::args::{Global, Lab, LabExec};
use crate::report::FORMAT_VERSION;

/// The lab that `--lab` asks for.
pub fn request(scenario: &str, global: &Global) -> LabRequest {
    LabRequest { faults: global.fault.clone(), ..LabRequest::new(scenario) }
}

pub async fn run(face: &Face, command: Lab) -> Result<Exit, AppError> {
    let folder = || face.settings.lab_folder();
    match command {
        Lab::Up(args) => {
            let request = LabRequest {
                time_scale: args.time_scale,
                ledger: args.ledger.map(|path| face.settings.cwd.join(path)),
                fixed_addresses: args.fixed_addresses,
                ..request(&args.scenario, &face.args)
            };
            let status = app::up(&folder()?, &request).await?;
            face.printer.note(&format!("The lab ({}) is up, process {}. Meet it:", status.scenario, status.process));
            face.printer.data("eval \"$(runbook lab env)\"");
            if let Some(why) = status.no_sshd {
                face.printer.note(&format!("Commands over SSH are answered in-process ({why})."));
            }
        }
        Lab::Down => {
            app::down(&folder()?).await?;
            face.printer.note("The lab is down.");
        }
        Lab::Status => {
            let status = app::status(&folder()?).await?;
            if !face.printer.json(&serde_json::json!({"format_version": FORMAT_VERSION, "lab": status})) {
                face.printer.data(&format!(
                    "lab {} is up, process {}\nfolder: {}\nrequests: {}, of which {} changed something",
                    status.scenario,
                    status.process,
                    status.folder.display(),
                    status.requests,
                    status.mutating
                ));
                for violation in &status.violations {
                    face.printer.data(&format!("violation: {violation}"));
                }
            }
        }
        Lab::Env => {
            let env = app::up_env(&folder()?).await?;
            let exports: Vec<String> =
                env.iter().map(|(name, value)| format!("export {name}='{}'", value.replace('\'', "'\\''"))).collect();
            face.printer.data(&exports.join("\n"));
        }
        Lab::Fault { fault } => {
            app::fault(&folder()?, &fault).await?;
            face.printer.note("So it will be.");
        }
        Lab::Scenarios => face.printer.data(&app::scenarios().join("\n")),
        Lab::Exec(args) => return exec(face, args).await,
        Lab::Serve(args) => {
            let request = LabRequest {
                time_scale: args.time_scale,
                ledger: args.ledger,
                fixed_addresses: args.fixed_addresses,
                ..request(&args.scenario, &face.args)
            };
            app::serve(args.folder, request).await?;
        }
        Lab::SshHelper { socket, node } => {
            let command = std::env::var("SSH_ORIGINAL_COMMAND").unwrap_or_default();
            let code =
                tokio::task::spawn_blocking(move || app::ssh_helper(&socket, &node, &command)).await.unwrap_or(255);
            std::process::exit(code);
        }
        Lab::Talosctl { socket, of, words } => {
            let code = tokio::task::spawn_blocking(move || app::talosctl(&socket, &of, words)).await.unwrap_or(255);
            std::process::exit(code);
        }
    }
    Ok(Exit::Done)
}

/// Runs a program against a fresh lab; its exit code is ours.
async fn exec(face: &Face, args: LabExec) -> Result<Exit, AppError> {
    let request = LabRequest {
        time_scale: args.time_scale,
        ledger: args.ledger.map(|path| face.settings.cwd.join(path)),
        token: args.token,
        ..request(&args.scenario, &face.args)
    };
    let house = House::start(&request, None).await?;
    let ended = app::exec(&house, &request, &args.command).await;
    house.leave().await;
    let code = ended?;
    if code == 0 { Ok(Exit::Done) } else { std::process::exit(code) }
}
