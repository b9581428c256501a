//! A file on a host: read whole with its digest, written beside and renamed, taken away.
//!
//! Fixed scripts for the host's `/bin/sh`; paths reach them as words. They need `stat`, `sha256sum` and `readlink` as GNU
//! or busybox have them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::failure;
use crate::actions::local::source::{SHORT, sha256};
use crate::clients::ssh::{Output, Ssh};
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Found {
    Absent,
    File(Seen),
    /// A folder, a device: not ours to replace.
    Other,
}

/// A file as it is, links followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Octal, as `stat` has it: `644`.
    pub mode: String,
    pub size: u64,
    pub sha256: String,
    /// Of a short file that is UTF-8, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// `$1` path, `$2` the most bytes that are shown. A path in a folder that may not be looked into is not absent.
const READ: &str = "p=$1; if [ -f \"$p\" ]; then s=$(stat -Lc '%a %s' -- \"$p\") && h=$(sha256sum <\"$p\") || exit 1; \
    echo \"file $s ${h%% *}\"; [ \"${s#* }\" -gt \"$2\" ] || cat -- \"$p\"; exit; fi; \
    e=$(LC_ALL=C ls -d -- \"$p\" 2>&1) && { echo other; exit; }; \
    case $e in *'No such file'*) echo absent;; *) echo \"$e\" >&2; exit 1;; esac";

/// `$1` path, `$2` mode, `$3` SHA-256, `$4` end of the temporary name. Input that breaks off does not pass the digest,
/// so nothing is renamed then.
const WRITE: &str = "set -eu; p=$(readlink -f -- \"$1\"); t=\"$p.$4\"; umask 077; \
    trap 'rm -f -- \"$t\"' EXIT; trap 'exit 1' HUP INT TERM; cat >\"$t\"; h=$(sha256sum <\"$t\"); \
    [ \"${h%% *}\" = \"$3\" ] || { echo 'what arrived is not what was sent' >&2; exit 65; }; \
    [ ! -e \"$p\" ] || chown --reference=\"$p\" -- \"$t\" 2>/dev/null || echo 'its owner could not be kept' >&2; \
    chmod \"$2\" \"$t\"; sync \"$t\" 2>/dev/null || true; mv -f -- \"$t\" \"$p\"";

/// # Errors
/// It cannot be reached, or the file may not be read.
pub async fn read(ssh: &Ssh, host: &str, path: &str, deadline: Duration) -> Result<Value, Failure> {
    let attempted = format!("read {host}:{path}");
    let most = SHORT.to_string();
    let words = ["/bin/sh", "-c", READ, "runbook", path, &most];
    let output = ssh.run(host, &words, deadline).await.map_err(|e| failure(attempted.as_str(), &e))?;
    if !output.success() {
        return Err(Failure::new(Class::Failed, attempted, said(&output)));
    }
    match found(&output.stdout) {
        Some(found) => Ok(json!(found)),
        None => {
            let cause = format!("expected `file MODE SIZE SHA256`, `absent` or `other`, got {:?}", output.last_line());
            Err(Failure::new(Class::Internal, attempted, cause))
        }
    }
}

fn found(stdout: &str) -> Option<Found> {
    let (first, rest) = stdout.split_once('\n')?;
    let words: Vec<&str> = first.split_whitespace().collect();
    match words[..] {
        ["absent"] => Some(Found::Absent),
        ["other"] => Some(Found::Other),
        ["file", mode, size, digest] => {
            // What is no UTF-8 has come with other bytes in its place.
            let text = (sha256(rest.as_bytes()) == digest).then(|| rest.to_owned());
            Some(Found::File(Seen { mode: mode.into(), size: size.parse().ok()?, sha256: digest.into(), text }))
        }
        _ => None,
    }
}

/// What is to be there.
pub struct Write<'a> {
    pub path: &'a str,
    pub mode: &'a str,
    pub sha256: &'a str,
    /// Of the temporary file's name.
    pub end: &'a str,
    pub bytes: &'a [u8],
}

/// Says what the host remarked.
///
/// # Errors
/// It was refused, or the connection broke: then it is unknown.
pub async fn write(ssh: &Ssh, host: &str, file: &Write<'_>, deadline: Duration) -> Result<String, Failure> {
    let attempted = format!("write {host}:{}", file.path);
    let words = ["/bin/sh", "-c", WRITE, "runbook", file.path, file.mode, file.sha256, file.end];
    let output = ssh.run_with_input(host, &words, file.bytes, deadline).await;
    let output = output.map_err(|e| failure(attempted.as_str(), &e))?;
    match output.success() {
        true => Ok(output.stderr.trim().to_owned()),
        // The rename is the script's last act.
        false => Err(Failure::new(Class::Failed, attempted, said(&output))),
    }
}

/// # Errors
/// As [`write`].
pub async fn remove(ssh: &Ssh, host: &str, path: &str, deadline: Duration) -> Result<(), Failure> {
    let attempted = format!("remove {host}:{path}");
    let output = ssh.run(host, &["rm", "--", path], deadline).await.map_err(|e| failure(attempted.as_str(), &e))?;
    match output.success() {
        true => Ok(()),
        false => Err(Failure::new(Class::Failed, attempted, said(&output)).done(Done::Unknown)),
    }
}

fn said(output: &Output) -> String {
    format!("exit code {}: {}", output.exit, output.last_line().unwrap_or("it said nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_only_where_it_is_the_file() {
        let digest = sha256(b"a\nb\n");
        let seen = |stdout: &str| match found(stdout) {
            Some(Found::File(seen)) => seen,
            other => panic!("{other:?}"),
        };
        assert_eq!(seen(&format!("file 644 4 {digest}\na\nb\n")).text.as_deref(), Some("a\nb\n"));
        assert_eq!(seen(&format!("file 644 4 {digest}\n")).text, None);
        assert_eq!(seen(&format!("file 644 4 {digest}\na\u{fffd}b\n")).text, None);
        assert_eq!(found("absent\n"), Some(Found::Absent));
        assert_eq!(found("other\n"), Some(Found::Other));
        assert_eq!((found(""), found("file 644\n")), (None, None));
    }
}
