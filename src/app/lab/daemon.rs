//! A lab that stays up: a process of its own, asked over a socket in its folder.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::house::{House, LabRequest};
use crate::app::error::{AppError, Exit};
use crate::sys::files;

const SOCKET: &str = "control.sock";

/// What a lab that is up says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    pub scenario: String,
    pub process: u32,
    pub folder: PathBuf,
    pub env: Vec<(String, String)>,
    /// Requests that reached it, and those of them that changed something.
    pub requests: usize,
    pub mutating: usize,
    /// What must never have been of the Talos machines: etcd without quorum by what was asked for, no API server.
    pub violations: Vec<String>,
    /// Why SSH is answered in-process, where it is.
    pub no_sshd: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Ask {
    Status,
    Fault(String),
    Down,
}

#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    Status(Status),
    Done,
    Refused(String),
}

fn not_up() -> AppError {
    AppError::new(Exit::NotFound, "lab::down", "no lab is up").hint("start one: `runbook lab up`")
}

/// Starts a lab that outlives this command.
///
/// # Errors
/// One is up already, or it did not start: with its own words.
pub async fn up(folder: &Path, request: &LabRequest) -> Result<Status, AppError> {
    if let Ok(status) = status(folder).await {
        return Err(AppError::new(
            Exit::Locked,
            "lab::up",
            format!("a lab is up already ({}, process {})", status.scenario, status.process),
        )
        .hint("use it: eval \"$(runbook lab env)\", or end it: `runbook lab down`"));
    }
    let above = folder.parent().unwrap_or(folder);
    files::make_private_dir(above).and_then(|()| files::make_private_dir(folder)).map_err(cannot)?;
    let log = folder.join("log");
    let exe = std::env::current_exe().map_err(|e| AppError::new(Exit::Failed, "lab::start", e.to_string()))?;
    let mut spec = crate::sys::process::Spec::new(exe).args(["lab", "serve", "--folder"]).arg(folder);
    spec = spec.args(["--scenario", &request.scenario, "--time-scale", &request.time_scale.to_string()]);
    for fault in &request.faults {
        spec = spec.args(["--fault", fault]);
    }
    if let Some(ledger) = &request.ledger {
        spec = spec.arg("--ledger").arg(ledger);
    }
    if request.fixed_addresses {
        spec = spec.arg("--fixed-addresses");
    }
    let process = crate::sys::process::detach(&spec, &log)
        .map_err(|e| AppError::new(Exit::Failed, "lab::start", e.to_string()))?;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Ok(status) = status(folder).await {
            return Ok(status);
        }
        if !crate::sys::process::is_alive(process) {
            break;
        }
    }
    let said = files::read_text(&log).unwrap_or_default();
    Err(AppError::new(Exit::Failed, "lab::start", "the lab did not start")
        .details(said.lines().map(str::to_owned).collect()))
}

fn cannot(error: files::FileError) -> AppError {
    AppError::new(Exit::Configuration, "lab::folder", error.to_string())
}

/// The process behind [`up`]: a lab until it is told to end.
///
/// # Errors
/// It did not start.
pub async fn serve(folder: PathBuf, request: LabRequest) -> Result<(), AppError> {
    let house = House::start(&request, Some(folder.clone())).await?;
    let listener = listen(&house)?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|e| AppError::new(Exit::Failed, "lab::signal", e.to_string()))?;
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                if answer(stream, &house, &request, true).await {
                    break;
                }
            }
            _ = terminate.recv() => break,
        }
    }
    house.leave().await;
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}

/// Where a lab is asked for its state and told what is to go wrong.
pub(super) fn listen(house: &House) -> Result<UnixListener, AppError> {
    let socket = house.folder().join(SOCKET);
    let _ = std::fs::remove_file(&socket);
    UnixListener::bind(&socket)
        .map_err(|e| AppError::new(Exit::Failed, "lab::control", format!("{}: {e}", socket.display())))
}

/// Answers for a lab that ends with the program that runs in it.
pub(super) async fn answer_meanwhile(listener: UnixListener, house: &House, request: &LabRequest) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                answer(stream, house, request, false).await;
            }
            // Out of file descriptors, for example; the program goes on.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Whether the lab is to end.
async fn answer(stream: UnixStream, house: &House, request: &LabRequest, may_end: bool) -> bool {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    if stream.read_line(&mut line).await.is_err() {
        return false;
    }
    let (reply, end) = match serde_json::from_str(&line) {
        Ok(Ask::Status) => (Reply::Status(describe(house, request)), false),
        Ok(Ask::Fault(text)) => match house.add_fault(&text) {
            Ok(()) => (Reply::Done, false),
            Err(error) => (Reply::Refused(error.message), false),
        },
        Ok(Ask::Down) if may_end => (Reply::Done, true),
        Ok(Ask::Down) => (Reply::Refused("this lab ends with the program that runs in it".to_owned()), false),
        Err(error) => (Reply::Refused(error.to_string()), false),
    };
    let mut text = serde_json::to_string(&reply).unwrap_or_default();
    text.push('\n');
    // Whoever asked may be gone.
    let _ = stream.write_all(text.as_bytes()).await;
    end
}

fn describe(house: &House, request: &LabRequest) -> Status {
    let ledger = house.ledger();
    Status {
        scenario: request.scenario.clone(),
        process: std::process::id(),
        folder: house.folder().to_owned(),
        env: house.env(),
        requests: ledger.len(),
        mutating: ledger.iter().filter(|entry| entry.mutating).count(),
        violations: house.talos_violations(),
        no_sshd: house.no_sshd().map(str::to_owned),
    }
}

async fn ask(folder: &Path, ask: &Ask) -> Result<Reply, AppError> {
    let stream = UnixStream::connect(folder.join(SOCKET)).await.map_err(|_| not_up())?;
    let mut stream = BufReader::new(stream);
    let broken = |e: String| AppError::new(Exit::Failed, "lab::control", format!("the lab does not answer: {e}"));
    let mut text = serde_json::to_string(ask).unwrap_or_default();
    text.push('\n');
    stream.write_all(text.as_bytes()).await.map_err(|e| broken(e.to_string()))?;
    let mut line = String::new();
    stream.read_line(&mut line).await.map_err(|e| broken(e.to_string()))?;
    serde_json::from_str(&line).map_err(|e| broken(e.to_string()))
}

/// How the lab that is up stands.
///
/// # Errors
/// None is up.
pub async fn status(folder: &Path) -> Result<Status, AppError> {
    match ask(folder, &Ask::Status).await? {
        Reply::Status(status) => Ok(status),
        other => Err(AppError::new(Exit::Failed, "lab::control", format!("unexpected answer: {other:?}"))),
    }
}

/// The environment of the lab that is up.
///
/// # Errors
/// None is up.
pub async fn env(folder: &Path) -> Result<Vec<(String, String)>, AppError> {
    Ok(status(folder).await?.env)
}

/// Lays a fault on the lab that is up.
///
/// # Errors
/// None is up, or it refused.
pub async fn fault(folder: &Path, text: &str) -> Result<(), AppError> {
    match ask(folder, &Ask::Fault(text.to_owned())).await? {
        Reply::Refused(why) => Err(AppError::new(Exit::Usage, "lab::fault", why)),
        _ => Ok(()),
    }
}

/// Ends the lab that is up, and waits until it is gone.
///
/// # Errors
/// None is up, or it does not end.
pub async fn down(folder: &Path) -> Result<(), AppError> {
    let process = status(folder).await?.process;
    if let Reply::Refused(why) = ask(folder, &Ask::Down).await? {
        return Err(AppError::new(Exit::Usage, "lab::down", why));
    }
    for _ in 0..100 {
        if !crate::sys::process::is_alive(process) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(AppError::new(Exit::Failed, "lab::down", format!("the lab (process {process}) does not end"))
        .hint(format!("kill {process}")))
}
