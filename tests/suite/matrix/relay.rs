//! A relay on loopback between a client and a server, and what may go wrong on the way.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What goes wrong, and how often: of connections.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    pub kind: Kind,
    /// `None`: for good.
    pub times: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nobody listens.
    Refused,
    /// Taken and closed before a byte was passed on.
    CutBefore,
    /// Closed when half of what is sent has passed.
    CutWithin,
    /// Closed when all was done over there; no answer has come back since most of it was sent.
    CutAfter,
    /// What comes back is held for a while.
    Slow,
    /// Taken, and nothing is ever said.
    Silent,
}

pub const KINDS: [Kind; 6] =
    [Kind::Refused, Kind::CutBefore, Kind::CutWithin, Kind::CutAfter, Kind::Slow, Kind::Silent];

/// From so many bytes on, a connection carries the change itself: all that is said before is less, the change is more.
const CHANGE: u64 = 100 * 1024;
const SLOW: Duration = Duration::from_secs(3);
/// After so long a change that is never carried out is not waited for.
const DONE: Duration = Duration::from_secs(8);

struct State {
    fault: Option<Fault>,
    open: Vec<TcpStream>,
}

pub struct Relay {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

/// Whether it was done over there.
pub type Seen = Arc<dyn Fn() -> bool + Send + Sync>;

impl Relay {
    pub fn start(to: u16, seen: Seen) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { fault: None, open: Vec::new() }));
        let relay = Self { port, state: state.clone() };
        std::thread::spawn(move || accept(listener, to, &state, &seen));
        relay
    }

    /// From now on, connections that are open included.
    pub fn lay(&self, fault: Option<Fault>) {
        let mut state = self.state.lock().unwrap();
        state.fault = fault;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        // For the listener to come or go.
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn accept(first: TcpListener, to: u16, state: &Arc<Mutex<State>>, seen: &Seen) {
    let port = first.local_addr().unwrap().port();
    let mut listener = Some(first);
    loop {
        std::thread::sleep(Duration::from_millis(10));
        let refused = matches!(state.lock().unwrap().fault, Some(Fault { kind: Kind::Refused, .. }));
        if refused {
            listener = None;
            continue;
        }
        let here = listener.get_or_insert_with(|| TcpListener::bind(("127.0.0.1", port)).unwrap());
        here.set_nonblocking(true).unwrap();
        let Ok((client, _)) = here.accept() else { continue };
        client.set_nonblocking(false).unwrap();
        let kind = taken(&mut state.lock().unwrap());
        if kind == Some(Kind::CutBefore) {
            continue;
        }
        state.lock().unwrap().open.push(client.try_clone().unwrap());
        if kind != Some(Kind::Silent) {
            let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
            state.lock().unwrap().open.push(server.try_clone().unwrap());
            pass(client, server, kind, seen.clone());
        }
    }
}

/// The fault that this connection meets.
fn taken(state: &mut State) -> Option<Kind> {
    let fault = state.fault.as_mut()?;
    let kind = fault.kind;
    if let Some(left) = &mut fault.times {
        *left -= 1;
        if *left == 0 {
            state.fault = None;
        }
    }
    Some(kind)
}

fn pass(client: TcpStream, server: TcpStream, kind: Option<Kind>, seen: Seen) {
    let sent = Arc::new(AtomicU64::new(0));
    let cut = {
        let (client, server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        Arc::new(move || {
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        })
    };
    let count = sent.clone();
    let (from, into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let within = cut.clone();
    std::thread::spawn(move || {
        copy(from, into, |bytes| {
            let total = count.fetch_add(bytes as u64, Ordering::SeqCst) + bytes as u64;
            let ends = kind == Some(Kind::CutWithin) && total > CHANGE;
            if ends {
                within();
            }
            !ends
        });
    });
    std::thread::spawn(move || {
        let mut held = false;
        copy(server, client, |_| {
            if kind == Some(Kind::Slow) && !std::mem::replace(&mut held, true) {
                std::thread::sleep(SLOW);
            }
            if kind == Some(Kind::CutAfter) && sent.load(Ordering::SeqCst) > CHANGE {
                let since = Instant::now();
                while !seen() && since.elapsed() < DONE {
                    std::thread::sleep(Duration::from_millis(5));
                }
                cut();
                return false;
            }
            true
        });
    });
}

/// Until one end closes, or `goes_on` says no before a part is passed on.
fn copy(mut from: TcpStream, mut into: TcpStream, mut goes_on: impl FnMut(usize) -> bool) {
    let mut buffer = [0; 8192];
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 || !goes_on(n) || into.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Read), into.shutdown(Shutdown::Write));
}

/// An HTTP server that carries every request out, slowly enough to be cut off, and counts them.
pub struct Server {
    pub port: u16,
    pub taken: Arc<AtomicU64>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::new(AtomicU64::new(0));
        let count = taken.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, count) = (stream.unwrap(), count.clone());
                std::thread::spawn(move || {
                    if whole(&mut stream) {
                        count.fetch_add(1, Ordering::SeqCst);
                        let _ =
                            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
                    }
                });
            }
        });
        Self { port, taken }
    }
}

/// Reads a request; whether all of it came.
fn whole(stream: &mut TcpStream) -> bool {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 8192]);
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some(end) = text.find("\r\n\r\n") {
            let length = text.to_ascii_lowercase();
            let length = length.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if bytes.len() >= end + 4 + length.unwrap_or(0) {
                return true;
            }
        }
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&buffer[..n]),
            _ => return false,
        }
    }
}

/// Whether a file is there with at least so many bytes.
pub fn file_of(path: PathBuf, bytes: u64) -> Seen {
    #[allow(clippy::disallowed_methods, reason = "the test looks from outside")]
    Arc::new(move || std::fs::metadata(&path).is_ok_and(|found| found.len() >= bytes))
}
