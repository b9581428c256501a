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

/// Whether this process may do anything on this machine.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
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

/// While it lives, a key that sends a signal is not written (`^C`) where the cursor of stdin's terminal stands, which
/// would move what is drawn there.
pub struct UnmarkedKeys(rustix::termios::Termios);

impl UnmarkedKeys {
    /// Nothing, where stdin is no terminal, or not ours at present: who works in the background and changes it is stopped.
    pub fn new() -> Option<Self> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let stdin = std::io::stdin();
        let before = is_ours(&stdin).then(|| tcgetattr(&stdin).ok()).flatten()?;
        let mut unmarked = before.clone();
        unmarked.local_modes -= LocalModes::ECHOCTL;
        tcsetattr(&stdin, OptionalActions::Now, &unmarked).ok()?;
        Some(Self(before))
    }
}

impl Drop for UnmarkedKeys {
    fn drop(&mut self) {
        let stdin = std::io::stdin();
        if is_ours(&stdin) {
            // A terminal that went away needs nothing.
            let _ = rustix::termios::tcsetattr(&stdin, rustix::termios::OptionalActions::Now, &self.0);
        }
    }
}

/// Whether this process is in the terminal's foreground.
fn is_ours(stdin: &std::io::Stdin) -> bool {
    rustix::termios::tcgetpgrp(stdin).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// The name of whoever runs this process; their number where they have no name.
#[allow(clippy::disallowed_methods, reason = "the table of users is the system's")]
pub fn user() -> String {
    let id = rustix::process::getuid().as_raw().to_string();
    let table = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut rows = table.lines().map(|line| line.split(':').collect::<Vec<_>>());
    rows.find(|row| row.get(2) == Some(&id.as_str())).map_or_else(|| format!("uid {id}"), |row| row[0].to_owned())
}
