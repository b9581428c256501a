//! What sshd runs in place of any command: it hands the command to the lab and shows the answer as its own.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::socket::{Question, SocketReply};

/// Runs `command` (of `SSH_ORIGINAL_COMMAND`) on `node` of the lab that listens on `socket`, writes to this process's
/// standard output and error, and returns the exit code; 255, as ssh has it, where the lab is not there.
pub fn run(socket: &Path, node: &str, command: &str) -> i32 {
    run_to(socket, node, command, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
}

/// The same to writers of the caller's choice.
pub fn run_to(socket: &Path, node: &str, command: &str, out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    let reply = ask(socket, node, command).unwrap_or_else(|error| SocketReply {
        exit: 255,
        stdout: String::new(),
        stderr: format!("the lab does not answer on {}: {error}; is it still up?\n", socket.display()),
    });
    let written = out
        .write_all(reply.stdout.as_bytes())
        .and_then(|()| out.flush())
        .and_then(|()| err.write_all(reply.stderr.as_bytes()))
        .and_then(|()| err.flush());
    if written.is_err() { 255 } else { reply.exit }
}

fn ask(socket: &Path, node: &str, command: &str) -> std::io::Result<SocketReply> {
    let mut stream = UnixStream::connect(socket)?;
    let question = Question { node: node.to_owned(), command: Some(command.to_owned()), argv: None };
    let mut line = serde_json::to_vec(&question)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}
