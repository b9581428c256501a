//! What stands in for a program: it hands the call to the lab and shows the answer as its own.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;

use super::socket::{Question, SocketReply};
use crate::lab::talos::read;
use crate::sys::files;

/// Runs `command` (of `SSH_ORIGINAL_COMMAND`) on `node` of the lab that listens on `socket`, writes to this process's
/// standard output and error, and returns the exit code; 255, as ssh has it, where the lab is not there.
pub fn run(socket: &Path, node: &str, command: &str) -> i32 {
    run_to(socket, node, command, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
}

/// The same to writers of the caller's choice.
pub fn run_to(socket: &Path, node: &str, command: &str, out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    let question = Question { node: node.to_owned(), command: Some(command.to_owned()), ..Question::default() };
    show(ask(socket, &question), out, err)
}

/// The same for a call of talosctl of that version, which may write a file.
pub fn talosctl(socket: &Path, version: &str, words: Vec<String>) -> i32 {
    let file = read(version, &words);
    let question = Question { talosctl: Some(version.to_owned()), argv: Some(words), file, ..Question::default() };
    let mut reply = ask(socket, &question);
    if let Some((path, contents)) = reply.file.take() {
        let written = BASE64.decode(contents).map_err(|e| e.to_string());
        let written = written.and_then(|bytes| files::write_private(&path, &bytes).map_err(|e| e.to_string()));
        if let Err(why) = written {
            reply = SocketReply { exit: 1, stdout: String::new(), stderr: format!("{why}\n"), file: None };
        }
    }
    show(reply, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
}

fn show(reply: SocketReply, out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    let written = out
        .write_all(reply.stdout.as_bytes())
        .and_then(|()| out.flush())
        .and_then(|()| err.write_all(reply.stderr.as_bytes()))
        .and_then(|()| err.flush());
    if written.is_err() { 255 } else { reply.exit }
}

fn ask(socket: &Path, question: &Question) -> SocketReply {
    answered(socket, question).unwrap_or_else(|error| SocketReply {
        exit: 255,
        stderr: format!("the lab does not answer on {}: {error}; is it still up?\n", socket.display()),
        ..SocketReply::default()
    })
}

fn answered(socket: &Path, question: &Question) -> std::io::Result<SocketReply> {
    let mut stream = UnixStream::connect(socket)?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}
