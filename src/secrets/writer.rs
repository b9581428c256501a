//! A writer that redacts what goes through it, and the `tracing` sink made of it: `RUST_LOG=trace` shows no secret.

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

use super::Redactor;

/// More than this without a line's end is written as it is known so far.
const LONGEST_LINE: usize = 1 << 20;

/// Redacts line by line: a secret that comes in two writes is still found. What is left without a line's end is
/// written at `flush` or drop.
#[derive(Debug)]
pub struct RedactingWriter<W: Write> {
    redactor: Redactor,
    to: W,
    rest: Vec<u8>,
}

impl<W: Write> RedactingWriter<W> {
    pub fn new(redactor: Redactor, to: W) -> Self {
        Self { redactor, to, rest: Vec::new() }
    }

    fn write_rest(&mut self, upto: usize) -> io::Result<()> {
        let ready: Vec<u8> = self.rest.drain(..upto).collect();
        self.to.write_all(&self.redactor.redact_bytes(&ready))
    }
}

impl<W: Write> Write for RedactingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        let new_from = self.rest.len() - bytes.len();
        match self.rest[new_from..].iter().rposition(|b| *b == b'\n') {
            Some(at) => self.write_rest(new_from + at + 1)?,
            None if self.rest.len() > LONGEST_LINE => self.write_rest(self.rest.len())?,
            None => {}
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_rest(self.rest.len())?;
        self.to.flush()
    }
}

impl<W: Write> Drop for RedactingWriter<W> {
    fn drop(&mut self) {
        // Nobody is left to tell of an error here; who cares has flushed.
        let _ = self.flush();
    }
}

/// Wraps another `MakeWriter` (`io::stderr`) for `tracing_subscriber::fmt().with_writer(…)`.
#[derive(Debug, Clone)]
pub struct RedactingMakeWriter<M> {
    redactor: Redactor,
    make: M,
}

impl<M> RedactingMakeWriter<M> {
    pub fn new(redactor: Redactor, make: M) -> Self {
        Self { redactor, make }
    }
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for RedactingMakeWriter<M> {
    type Writer = RedactingWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        RedactingWriter::new(self.redactor.clone(), self.make.make_writer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_secret_in_two_writes_is_found() {
        let redactor = Redactor::new();
        redactor.register("hunter22");
        let mut out = Vec::new();
        {
            let mut writer = RedactingWriter::new(redactor, &mut out);
            for piece in ["a hun", "ter22 b\nc ", "hunter", "22"] {
                writer.write_all(piece.as_bytes()).unwrap();
            }
        }
        assert_eq!(String::from_utf8(out).unwrap(), "a (redacted) b\nc (redacted)");
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn traces_show_no_secret() {
        let (redactor, shared) = (Redactor::new(), Shared::default());
        redactor.register("hunter22");
        let sink = shared.clone();
        let make = RedactingMakeWriter::new(redactor, move || sink.clone());
        let subscriber = tracing_subscriber::fmt().with_writer(make).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, || tracing::info!(token = "hunter22", "calling with hunter22"));
        let text = String::from_utf8(shared.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("(redacted)") && !text.contains("hunter22"), "{text}");
    }
}
