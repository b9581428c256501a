//! A job's streams as they come: the line that names its process, its lines, and what is kept of it.

use std::collections::VecDeque;

use openssh::{Session, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedSender;

use super::job::{self, Ended, First, Heard, Job};
use super::mux::{exit_of, told};
use super::{Output, SshError};

/// A line that is longer is told in parts.
const LONGEST: usize = 16 << 10;

/// Whatever fails from here on, the command may have begun.
pub(super) async fn run(
    session: &Session,
    host: &str,
    job: &Job,
    hear: &UnboundedSender<Heard>,
) -> Result<Ended, SshError> {
    let dropped = |e: openssh::Error| SshError::Dropped { host: host.to_owned(), message: told(&e) };
    let broken = |e: std::io::Error| SshError::Dropped { host: host.to_owned(), message: e.to_string() };
    let words = job::begin(job);
    let mut command = session.command(words[0].as_str());
    command.args(&words[1..]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if job.stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
    let _ = hear.send(Heard::Sent);
    let mut child = command.spawn().await.map_err(dropped)?;
    let (stdin, out, err) = (child.stdin().take(), child.stdout().take(), child.stderr().take());
    let mut stdout = Stream { first: true, ..Stream::new(Keep::First, job.keep) };
    let mut stderr = Stream::new(Keep::Last, job.keep);
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command that does not read its input says so by its exit code.
            let _ = stdin.write_all(&job.stdin).await;
        }
        Ok(())
    };
    tokio::try_join!(feed, stdout.read(out, hear), stderr.read(err, hear)).map_err(broken)?;
    let exit = exit_of(child.wait().await).map_err(|message| SshError::Dropped { host: host.to_owned(), message })?;
    let cut = stdout.cut || stderr.cut;
    Ok(Ended { exit, found: !stdout.missing, stdout: stdout.text(), stderr: stderr.text(), cut })
}

/// A command's output as a job's.
pub(super) fn whole(output: Output, keep: usize) -> Ended {
    let take = |text: &str, which| {
        let mut stream = Stream::new(which, keep);
        stream.keep(text.as_bytes());
        (stream.cut, stream.text())
    };
    let (out_cut, stdout) = take(&output.stdout, Keep::First);
    let (err_cut, stderr) = take(&output.stderr, Keep::Last);
    Ended { exit: output.exit, stdout, stderr, cut: out_cut || err_cut, found: true }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    First,
    Last,
}

struct Stream {
    which: Keep,
    most: usize,
    kept: VecDeque<u8>,
    line: Vec<u8>,
    cut: bool,
    /// Whether the line that names the process is still to come.
    first: bool,
    missing: bool,
}

impl Stream {
    fn new(which: Keep, most: usize) -> Self {
        Self { which, most, kept: VecDeque::new(), line: Vec::new(), cut: false, first: false, missing: false }
    }

    async fn read(
        &mut self,
        pipe: Option<impl AsyncRead + Unpin>,
        hear: &UnboundedSender<Heard>,
    ) -> std::io::Result<()> {
        let Some(mut pipe) = pipe else { return Ok(()) };
        let mut buffer = vec![0; 16 << 10];
        loop {
            let n = pipe.read(&mut buffer).await?;
            if n == 0 {
                break;
            }
            self.take(&buffer[..n], hear);
        }
        if !self.line.is_empty() {
            self.end_line(hear);
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], hear: &UnboundedSender<Heard>) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !self.first {
                self.keep(part);
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") || self.line.len() >= LONGEST {
                self.end_line(hear);
            }
        }
    }

    fn end_line(&mut self, hear: &UnboundedSender<Heard>) {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches(['\n', '\r']);
        // What a login shell's own files write comes before it, and is none of the command's.
        if self.first {
            if let Some(first) = job::first(text) {
                self.first = false;
                match first {
                    First::Missing => self.missing = true,
                    First::Began(process) => drop(hear.send(Heard::Began(process))),
                }
            }
            return;
        }
        let _ = hear.send(Heard::Line(text.to_owned()));
    }

    fn keep(&mut self, bytes: &[u8]) {
        match self.which {
            Keep::First => {
                let room = self.most.saturating_sub(self.kept.len());
                self.kept.extend(&bytes[..room.min(bytes.len())]);
                self.cut |= bytes.len() > room;
            }
            Keep::Last => {
                self.kept.extend(bytes);
                let over = self.kept.len().saturating_sub(self.most);
                self.cut |= over > 0;
                self.kept.drain(..over);
            }
        }
    }

    fn text(self) -> String {
        String::from_utf8_lossy(&Vec::from(self.kept)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_line_is_not_the_commands_own() {
        let (tell, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let mut stream = Stream { first: true, ..Stream::new(Keep::First, 8) };
        let text = "Welcome!\nrunbook-job b 12 3 12 1\nrunbook-job x\nlonger\n";
        stream.read(Some(text.as_bytes()), &tell).await.unwrap();
        assert!(matches!(heard.recv().await, Some(Heard::Began(Some(process))) if process.pid == 12));
        assert_eq!(heard.recv().await, Some(Heard::Line("runbook-job x".into())));
        assert!(stream.cut);
        assert_eq!(stream.text(), "runbook-");
    }

    #[test]
    fn the_end_of_stderr_is_kept() {
        let kept = whole(Output { exit: 1, stdout: "abcdef".into(), stderr: "abcdef".into() }, 4);
        assert_eq!((kept.stdout.as_str(), kept.stderr.as_str(), kept.cut), ("abcd", "cdef", true));
    }
}
