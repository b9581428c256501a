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
