//! Reads an upload the way pveproxy does: parts of a form, the file last. The file itself is not kept, only its length and
//! checksums.
//!
//! Source: PVE::APIServer::AnyEvent (`file_upload_multipart`).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::response::Response;
use crate::lab::call::Upload;

/// More than all the parts before the file need.
const MOST_HEAD: usize = 64 << 10;

/// A file that goes by.
#[derive(Debug, Default)]
pub struct Passing {
    size: u64,
    sha224: Sha224,
    sha256: Sha256,
    sha384: Sha384,
    sha512: Sha512,
}

impl Passing {
    pub fn add(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.sha224.update(bytes);
        self.sha256.update(bytes);
        self.sha384.update(bytes);
        self.sha512.update(bytes);
    }

    pub fn end(self) -> Upload {
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
        };
        let sums = [
            ("sha224", hex(&self.sha224.finalize())),
            ("sha256", hex(&self.sha256.finalize())),
            ("sha384", hex(&self.sha384.finalize())),
            ("sha512", hex(&self.sha512.finalize())),
        ];
        Upload { size: self.size, sums: sums.into() }
    }
}

type Params = BTreeMap<String, Value>;

enum State {
    /// Before a part's head.
    Head,
    /// In the value of this name.
    Field(String),
    File,
    End,
}

struct Parser {
    /// `\r\n--boundary`
    delimiter: Vec<u8>,
    buffer: Vec<u8>,
    state: State,
    params: Params,
    file: Passing,
    has_file: bool,
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// The value of `name="…"` in a head.
fn quoted<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let rest = head.split_once(&format!("; {name}=\""))?.1;
    rest.split('"').next()
}

fn malformed(what: &str) -> Response {
    Response::text(501, format!("upload failed: {what}"))
}

impl Parser {
    fn new(boundary: &str) -> Self {
        // The first delimiter has no line before it.
        let (delimiter, buffer) = (format!("\r\n--{boundary}").into_bytes(), b"\r\n".to_vec());
        Self { delimiter, buffer, state: State::Head, params: Params::new(), file: Passing::default(), has_file: false }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), Response> {
        self.buffer.extend_from_slice(bytes);
        while self.step()? {}
        match self.buffer.len() > MOST_HEAD && !matches!(self.state, State::File | State::End) {
            true => Err(malformed("its parts are too long")),
            false => Ok(()),
        }
    }

    /// Whether there may be more to do.
    fn step(&mut self) -> Result<bool, Response> {
        match &self.state {
            State::Head => {
                let Some(end) = find(&self.buffer, b"\r\n\r\n") else { return Ok(false) };
                let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                if !self.buffer.starts_with(&self.delimiter) {
                    return Err(malformed("no delimiter"));
                }
                let name = quoted(&head, "name").ok_or_else(|| malformed("a part has no name"))?.to_owned();
                self.buffer.drain(..end + 4);
                self.state = match quoted(&head, "filename") {
                    Some(file) => {
                        self.params.insert(name, Value::String(file.to_owned()));
                        self.has_file = true;
                        State::File
                    }
                    None => State::Field(name),
                };
            }
            State::Field(name) => {
                let Some(end) = find(&self.buffer, &self.delimiter) else { return Ok(false) };
                let value = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.params.insert(name.clone(), Value::String(value));
                self.buffer.drain(..end);
                self.state = State::Head;
            }
            State::File => {
                let end = find(&self.buffer, &self.delimiter);
                let sure = end.unwrap_or_else(|| self.buffer.len().saturating_sub(self.delimiter.len()));
                self.file.add(&self.buffer[..sure]);
                self.buffer.drain(..sure);
                if end.is_none() {
                    return Ok(false);
                }
                self.state = State::End;
            }
            State::End => {
                self.buffer.clear();
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn end(mut self) -> Result<(Params, Upload), Response> {
        if !self.has_file || !matches!(self.state, State::End) {
            return Err(malformed("no file"));
        }
        let tmp = format!("/var/tmp/pveupload-{:032x}", rand::random::<u128>());
        self.params.insert("tmpfilename".into(), Value::String(tmp));
        Ok((self.params, self.file.end()))
    }
}

/// Reads all of it.
///
/// # Errors
/// The answer to a request that never gets as far as the API.
pub(super) async fn read(kind: &str, mut body: Incoming) -> Result<(Params, Upload), Response> {
    let boundary = kind.split(';').find_map(|part| part.trim().strip_prefix("boundary="));
    let boundary = boundary.map(|text| text.trim_matches('"')).ok_or_else(|| malformed("no boundary"))?;
    let mut parser = Parser::new(boundary);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Response::text(400, "incomplete request"))?;
        if let Some(bytes) = frame.data_ref() {
            parser.feed(bytes)?;
        }
    }
    parser.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "--b\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n--b\r\nContent-Disposition: form-data; \
        name=\"filename\"; filename=\"x.iso\"\r\nContent-Type: application/octet-stream\r\n\r\nab\r\n--c\r\n--b--\r\n";

    #[test]
    fn parts_are_read_however_they_arrive() {
        for size in [1, 2, 7, BODY.len()] {
            let mut parser = Parser::new("b");
            BODY.as_bytes().chunks(size).for_each(|chunk| parser.feed(chunk).unwrap());
            let (params, upload) = parser.end().unwrap();
            assert_eq!((&params["content"], &params["filename"]), (&"iso".into(), &"x.iso".into()));
            assert!(params["tmpfilename"].as_str().unwrap().starts_with("/var/tmp/pveupload-"));
            let mut passing = Passing::default();
            passing.add(b"ab\r\n--c");
            assert_eq!(upload, passing.end(), "in pieces of {size}");
        }
    }

    #[test]
    fn half_an_upload_is_none() {
        let mut parser = Parser::new("b");
        parser.feed(&BODY.as_bytes()[..BODY.len() - 8]).unwrap();
        assert!(parser.end().is_err());
        assert!(Parser::new("b").feed(b"nothing of the sort\r\n\r\n").is_err());
    }
}
