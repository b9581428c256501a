//! What touches the machine: files, child processes, the clock, HTTP. It knows nothing of runbooks or Proxmox,
//! and uses nothing else of this crate.

pub mod clock;
pub mod files;
pub mod http;
pub mod process;

/// This machine's name.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Columns of the terminal that stderr is on, if it is on one.
pub fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
    (size.ws_col > 0).then(|| usize::from(size.ws_col))
}

/// Does it while the terminal of stdin shows nothing of what is typed. A signal that ends the process meanwhile leaves it
/// so; shells set it right.
///
/// # Errors
/// Its settings cannot be read or changed; nothing was done.
pub fn without_echo<T>(act: impl FnOnce() -> T) -> std::io::Result<T> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut silent = before.clone();
    silent.local_modes -= LocalModes::ECHO;
    tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    let done = act();
    tcsetattr(&stdin, OptionalActions::Now, &before)?;
    Ok(done)
}

/// The name of whoever runs this process; their number where they have no name.
#[allow(clippy::disallowed_methods, reason = "the table of users is the system's")]
pub fn user() -> String {
    let id = rustix::process::getuid().as_raw().to_string();
    let table = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut rows = table.lines().map(|line| line.split(':').collect::<Vec<_>>());
    rows.find(|row| row.get(2) == Some(&id.as_str())).map_or_else(|| format!("uid {id}"), |row| row[0].to_owned())
}
