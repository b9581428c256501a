//! The lab's way: one JSON line `{"node","argv","stdin"}` answered by one `{"exit","stdout","stderr"}`.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{Output, SshError};

pub(super) async fn run(
    path: &Path,
    host: &str,
    argv: &[&str],
    input: &[u8],
    deadline: Duration,
) -> Result<Output, SshError> {
    match tokio::time::timeout(deadline, exchange(path, host, argv, input)).await {
        Ok(result) => result,
        Err(_) => Err(SshError::Deadline { host: host.to_owned() }),
    }
}

async fn exchange(path: &Path, host: &str, argv: &[&str], input: &[u8]) -> Result<Output, SshError> {
    let unreachable = |e: std::io::Error| {
        let message = format!("{}: {e}", path.display());
        SshError::Unreachable { host: host.to_owned(), message }
    };
    let dropped = |message: String| SshError::Dropped { host: host.to_owned(), message };
    let stream = UnixStream::connect(path).await.map_err(unreachable)?;
    let mut stream = BufReader::new(stream);
    let mut request = json!({"node": host, "argv": argv});
    if !input.is_empty() {
        request["stdin"] = Value::from(String::from_utf8_lossy(input));
    }
    stream.write_all(format!("{request}\n").as_bytes()).await.map_err(|e| dropped(e.to_string()))?;
    let mut line = String::new();
    stream.read_line(&mut line).await.map_err(|e| dropped(e.to_string()))?;
    if line.is_empty() {
        return Err(dropped("closed without an answer".into()));
    }
    let answer: Value = serde_json::from_str(&line).map_err(|e| dropped(format!("not JSON: {e}")))?;
    read(host, &answer).ok_or_else(|| dropped(format!("expected exit, stdout and stderr, got {answer}")))?
}

/// `{"error": TEXT}` is what ssh itself would have written: the node cannot be reached.
fn read(host: &str, answer: &Value) -> Option<Result<Output, SshError>> {
    if let Some(text) = answer.get("error").and_then(Value::as_str) {
        return Some(Err(SshError::of_connect(host, text)));
    }
    let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    let exit = answer.get("exit").and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok())?;
    let output = Output { exit, stdout: text("stdout")?, stderr: text("stderr")? };
    Some(SshError::of_output(host, output.exit, &output.stderr).map_or(Ok(output), Err))
}

#[cfg(test)]
mod tests {
    use super::super::{Ssh, SshVia};
    use super::*;
    use tokio::net::UnixListener;

    async fn ask(answer: &'static str) -> (Result<Output, SshError>, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(async move {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            line
        });
        let ssh = Ssh::via(SshVia::Socket(path));
        let got = ssh.run("pve1", &["ha-manager", "it's"], Duration::from_secs(5)).await;
        (got, server.await.unwrap())
    }

    #[tokio::test]
    async fn a_command_goes_as_one_line_each_way() {
        let (got, line) = ask("{\"exit\":2,\"stdout\":\"a\",\"stderr\":\"b\"}\n").await;
        assert_eq!(got.unwrap(), Output { exit: 2, stdout: "a".into(), stderr: "b".into() });
        assert_eq!(line, "{\"node\":\"pve1\",\"argv\":[\"ha-manager\",\"it's\"]}\n");
    }

    #[tokio::test]
    async fn silence_after_sending_leaves_the_outcome_open() {
        for answer in ["", "not json\n", "{\"exit\":\"x\"}\n"] {
            assert!(ask(answer).await.0.unwrap_err().outcome_unknown(), "{answer}");
        }
        let (got, _) = ask("{\"error\":\"connect to host pve1 port 22: No route to host\"}\n").await;
        assert!(matches!(got.unwrap_err(), SshError::Unreachable { .. }));
        let gone = Ssh::via(SshVia::Socket("no-such-socket".into()));
        let error = gone.run("pve1", &["true"], Duration::from_secs(5)).await.unwrap_err();
        assert!(!error.outcome_unknown(), "{error}");
    }
}
