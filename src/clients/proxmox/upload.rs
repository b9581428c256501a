//! A file on its way to a node, as `multipart/form-data`: read while it is sent, whatever its size, and with its length
//! said beforehand, since pveproxy takes no chunked bodies.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::io::{AsyncRead, ReadBuf};

/// Read at once.
const CHUNK: usize = 64 << 10;

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub path: PathBuf,
    /// What it is called there; plain characters.
    pub filename: String,
    /// Bytes. Another length when it is sent is a failure.
    pub size: u64,
}

impl Upload {
    /// The parts before the file, and what comes behind it. The server wants the file last.
    fn frame(&self, boundary: &str, params: &[(String, String)]) -> (Vec<u8>, Vec<u8>) {
        let mut head = String::new();
        for (name, value) in params.iter().filter(|(name, _)| name != "filename") {
            head += &format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        }
        let file = format!("form-data; name=\"filename\"; filename=\"{}\"", self.filename);
        head +=
            &format!("--{boundary}\r\nContent-Disposition: {file}\r\nContent-Type: application/octet-stream\r\n\r\n");
        (head.into_bytes(), format!("\r\n--{boundary}--\r\n").into_bytes())
    }

    /// Its content type, and the body.
    ///
    /// # Errors
    /// The file cannot be opened, or has another length.
    pub(super) fn body(&self, params: &[(String, String)]) -> io::Result<(String, UploadBody)> {
        let file = crate::sys::files::open(&self.path).map_err(|e| io::Error::other(e.to_string()))?;
        if file.metadata()?.len() != self.size {
            return Err(io::Error::other(format!("{} has changed since it was looked at", self.path.display())));
        }
        let boundary = format!("runbook-{:032x}", rand::random::<u128>());
        let (head, tail) = self.frame(&boundary, params);
        let left = head.len() as u64 + self.size + tail.len() as u64;
        let file = tokio::fs::File::from_std(file);
        let body = UploadBody { head: Some(head.into()), file, in_file: self.size, tail: Some(tail.into()), left };
        Ok((format!("multipart/form-data; boundary={boundary}"), body))
    }
}

/// The body.
pub(super) struct UploadBody {
    head: Option<Bytes>,
    file: tokio::fs::File,
    /// Bytes of the file that are still to come.
    in_file: u64,
    tail: Option<Bytes>,
    left: u64,
}

impl UploadBody {
    pub fn length(&self) -> u64 {
        self.left
    }

    fn chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(head)));
        }
        if self.in_file == 0 {
            return Poll::Ready(self.tail.take().map(Ok));
        }
        let mut space = vec![0; CHUNK.min(usize::try_from(self.in_file).unwrap_or(CHUNK))];
        let mut buffer = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.file).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        if read == 0 {
            let short = io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was sent");
            return Poll::Ready(Some(Err(short)));
        }
        self.in_file -= read as u64;
        space.truncate(read);
        Poll::Ready(Some(Ok(space.into())))
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let chunk = ready!(self.chunk(cx));
        if let Some(Ok(bytes)) = &chunk {
            self.left -= bytes.len() as u64;
        }
        Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_file_is_sent_last_and_as_long_as_was_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.iso");
        let content = vec![7; CHUNK * 2 + 5];
        crate::sys::files::write_atomic(&path, &content, 0o600).unwrap();
        let upload = Upload { path: path.clone(), filename: "x.iso".into(), size: content.len() as u64 };
        let params = [("content".to_owned(), "iso".to_owned()), ("filename".to_owned(), "x.iso".to_owned())];
        let (kind, body) = upload.body(&params).unwrap();
        let boundary = kind.split_once("boundary=").unwrap().1.to_owned();
        let length = body.length();
        let sent = body.collect().await.unwrap().to_bytes();
        assert_eq!(sent.len() as u64, length);
        let head = String::from_utf8_lossy(&sent[..400]).into_owned();
        assert!(
            head.starts_with(&format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n"
            )),
            "{head}"
        );
        assert!(
            head.contains("name=\"filename\"; filename=\"x.iso\"\r\nContent-Type: application/octet-stream\r\n\r\n")
        );
        assert!(sent.ends_with(format!("\r\n--{boundary}--\r\n").as_bytes()));
        crate::sys::files::write_atomic(&path, b"other", 0o600).unwrap();
        assert!(upload.body(&params).is_err_and(|e| e.to_string().contains("has changed")));
    }
}
