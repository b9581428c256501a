//! Reading a child's stream: what is kept of it, and its lines for who watches.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc::UnboundedSender;

use super::Spec;

/// Which of the child's streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// One line as it was written, without its end; bytes that are no UTF-8 are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub stream: Stream,
    pub text: String,
}

/// One stream being read in a task of its own.
pub(super) struct Capture {
    kept: Arc<Mutex<Kept>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    cut: bool,
}

impl Capture {
    pub fn start(pipe: Option<impl AsyncRead + Unpin + Send + 'static>, stream: Stream, spec: &Spec) -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (shared, keep, mut lines) = (kept.clone(), spec.keep, LineCutter::new(stream, spec.lines.clone()));
        let task = tokio::spawn(async move {
            let Some(mut pipe) = pipe else { return };
            let mut buffer = vec![0; 16 << 10];
            while let Ok(n @ 1..) = pipe.read(&mut buffer).await {
                lines.push(&buffer[..n]);
                lock(&shared).push(&buffer[..n], stream, keep);
            }
            lines.finish();
        });
        Self { kept, task }
    }

    pub async fn done(&mut self) {
        // A reader that panicked has read what it has read.
        let _ = (&mut self.task).await;
    }

    pub fn take(self) -> (Vec<u8>, bool) {
        self.task.abort();
        let mut kept = lock(&self.kept);
        (std::mem::take(&mut kept.bytes), kept.cut)
    }
}

impl Kept {
    fn push(&mut self, bytes: &[u8], stream: Stream, keep: usize) {
        match stream {
            Stream::Stdout => {
                let room = keep.saturating_sub(self.bytes.len()).min(bytes.len());
                self.bytes.extend_from_slice(&bytes[..room]);
                self.cut |= room < bytes.len();
            }
            Stream::Stderr => {
                self.bytes.extend_from_slice(bytes);
                // Trimmed only at twice the size, so that each byte is moved once at most.
                if self.bytes.len() > keep.saturating_mul(2).max(1) {
                    self.bytes.drain(..self.bytes.len() - keep);
                    self.cut = true;
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Cuts a stream of bytes into lines for the caller who watches.
struct LineCutter {
    stream: Stream,
    to: Option<UnboundedSender<Line>>,
    rest: Vec<u8>,
}

impl LineCutter {
    fn new(stream: Stream, to: Option<UnboundedSender<Line>>) -> Self {
        Self { stream, to, rest: Vec::new() }
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.to.is_none() {
            return;
        }
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.finish();
            }
        }
    }

    fn finish(&mut self) {
        if let Some(to) = self.to.as_ref().filter(|_| !self.rest.is_empty()) {
            let text = String::from_utf8_lossy(&self.rest).trim_end_matches(['\n', '\r']).to_owned();
            // Nobody listens any more: the lines are still captured.
            let _ = to.send(Line { stream: self.stream, text });
            self.rest.clear();
        }
    }
}
