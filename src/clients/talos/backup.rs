//! Backups of etcd as files of this machine: taken by talosctl, checked, encrypted, copied and listed. A file has its
//! name only once it is whole and on the disk; until then it ends with [`UNCHECKED`].

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::snapshot::{self, NoSnapshot};
use super::{Talos, TalosError};
use crate::model::talos::Minor;
use crate::sys::clock;
use crate::sys::files::{self, FileError};
use crate::sys::process::{self, Ended, ProcessError, Spec};

/// What a file ends with of which nothing is known yet.
pub const UNCHECKED: &str = ".unchecked";
/// What talosctl adds to a file while it writes.
const PART: &str = ".part";
const ENDING: &str = ".snapshot";
const AGE: &str = ".age";
/// A backup holds every secret of its cluster.
const MODE: u32 = 0o600;
/// How a file of age begins, what ends its header, and of what pieces the rest is (age-encryption.org/v1).
const AGE_BEGINS: &[u8] = b"age-encryption.org/v1\n";
const AGE_MAC: &[u8] = b"\n--- ";
const AGE_NONCE: u64 = 16;
const AGE_TAG: u64 = 16;
const AGE_CHUNK: u64 = 64 << 10;
/// A header of so many bytes has hundreds of recipients.
const AGE_HEADER: u64 = 64 << 10;
/// For encrypting one.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What talosctl said of a snapshot that it saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub bytes: u64,
    pub hash: String,
    pub revision: u64,
    pub keys: u64,
}

/// A file that has a backup's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    pub path: PathBuf,
    /// By its name: milliseconds since 1970.
    pub taken_at: i64,
    pub bytes: u64,
    pub encrypted: bool,
}

/// A backup that was looked at from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whole {
    pub bytes: u64,
    pub sha256: String,
    pub encrypted: bool,
}

/// Why a backup is none, or was not made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Talos(#[from] TalosError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    NoSnapshot(#[from] NoSnapshot),
    #[error("{0}")]
    NotEncrypted(String),
    #[error(transparent)]
    Program(#[from] ProcessError),
    #[error("talosctl said that it saved {said} bytes, and the file has {is}")]
    OtherSize { said: u64, is: u64 },
    #[error("what was written is not what was read: its SHA-256 is {is}, and should be {should}")]
    OtherSum { is: String, should: String },
    #[error("{0}")]
    Drill(String),
    #[error("the checking broke off: {0}")]
    Broken(String),
}

/// `prod-etcd-20261121T231538Z.snapshot`
pub fn name(cluster: &str, taken_at: i64) -> String {
    format!("{cluster}-etcd-{}{ENDING}", clock::stamp(taken_at))
}

/// When it was taken and whether it is encrypted, if that is the name of a backup of this cluster.
pub fn named(cluster: &str, name: &str) -> Option<(i64, bool)> {
    let rest = name.strip_prefix(cluster)?.strip_prefix("-etcd-")?;
    let (rest, encrypted) = rest.strip_suffix(AGE).map_or((rest, false), |rest| (rest, true));
    Some((clock::of_stamp(rest.strip_suffix(ENDING)?)?, encrypted))
}

/// Whether a name is that of a file which was never finished.
fn unfinished(cluster: &str, name: &str) -> bool {
    let rest = name.strip_suffix(PART).unwrap_or(name);
    rest.strip_suffix(UNCHECKED).is_some_and(|rest| named(cluster, rest).is_some())
}

/// The same path with something behind it.
pub fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// What a backup is called once it is encrypted.
pub fn encrypted(path: &Path) -> PathBuf {
    with_ending(path, AGE)
}

/// The backups of a cluster in a folder by their names, newest first; what is not an ordinary file is none.
///
/// # Errors
/// The folder cannot be read.
pub fn list(folder: &Path, cluster: &str) -> Result<Vec<Backup>, FileError> {
    let mut found = Vec::new();
    for name in files::names(folder)? {
        let Some((taken_at, encrypted)) = named(cluster, &name) else { continue };
        let path = folder.join(&name);
        if let Ok(meta) = std::fs::symlink_metadata(&path)
            && meta.is_file()
        {
            found.push(Backup { path, taken_at, bytes: meta.len(), encrypted });
        }
    }
    found.sort_by(|a, b| b.taken_at.cmp(&a.taken_at).then_with(|| a.path.cmp(&b.path)));
    Ok(found)
}

/// What of a cluster was begun in a folder and never finished.
///
/// # Errors
/// The folder cannot be read.
pub fn leftovers(folder: &Path, cluster: &str) -> Result<Vec<PathBuf>, FileError> {
    let names = files::names(folder)?.into_iter();
    Ok(names.filter(|name| unfinished(cluster, name)).map(|name| folder.join(name)).collect())
}

/// Reads all of a backup. Of an encrypted one only its form can be told: that it is age's, and as long as one of a
/// snapshot is.
///
/// # Errors
/// It cannot be read, or is no whole backup.
pub fn check(path: &Path) -> Result<Whole, BackupError> {
    let mut begin = Vec::new();
    let opened = files::open(path)?.take(AGE_HEADER).read_to_end(&mut begin);
    opened.map_err(FileError::io("read", path))?;
    if !begin.starts_with(AGE_BEGINS) {
        let whole = snapshot::check(path)?;
        return Ok(Whole { bytes: whole.bytes, sha256: whole.sha256, encrypted: false });
    }
    let (bytes, sha256) = digest(path)?;
    let plain = plain_bytes(&begin, bytes).ok_or_else(|| {
        BackupError::NotEncrypted(format!("it has {bytes} bytes: age writes none of that length, so it is cut short"))
    })?;
    match snapshot::fits(plain) {
        true => Ok(Whole { bytes, sha256, encrypted: true }),
        false => Err(BackupError::NotEncrypted(format!(
            "what is encrypted in it has {plain} bytes, which no snapshot has: it is cut short, or something else"
        ))),
    }
}

/// How much is in a file of age, by its length and its header.
fn plain_bytes(begin: &[u8], bytes: u64) -> Option<u64> {
    let mac = begin.windows(AGE_MAC.len()).position(|window| window == AGE_MAC)? + AGE_MAC.len();
    let end = mac + begin[mac..].iter().position(|byte| *byte == b'\n')? + 1;
    let body = bytes.checked_sub(end as u64)?.checked_sub(AGE_NONCE)?;
    let last = body % (AGE_CHUNK + AGE_TAG);
    let chunks = body / (AGE_CHUNK + AGE_TAG) + u64::from(last > 0);
    (last == 0 || last > AGE_TAG).then(|| body - chunks * AGE_TAG)
}

fn digest(path: &Path) -> Result<(u64, String), FileError> {
    let (mut size, mut sum) = (0, Sha256::new());
    files::read_through(path, |bytes| {
        size += bytes.len() as u64;
        sum.update(bytes);
    })?;
    Ok((size, sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// Work on files beside the runtime's threads.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(BackupError::Broken(e.to_string())))
}

/// As [`check`], beside the runtime's threads.
///
/// # Errors
/// As [`check`].
pub async fn checked(path: PathBuf) -> Result<Whole, BackupError> {
    aside(move || check(&path)).await
}

/// Takes what was never finished away; that there is nothing is no error.
fn sweep(path: &Path) {
    for left in [with_ending(path, UNCHECKED), with_ending(&with_ending(path, UNCHECKED), PART)] {
        // What is left over is told apart by its name, and taken away by the next pruning.
        let _ = files::remove(left);
    }
}

impl Talos {
    /// Has a member of etcd write a snapshot of itself to a file that is not there yet, and checks it: talosctl's own
    /// words, and the file. It keeps another name until [`settle`].
    ///
    /// # Errors
    /// It was not taken, or is not whole: nothing is left of it.
    pub async fn snapshot(
        &self,
        minor: Option<Minor>,
        node: &str,
        path: &Path,
        deadline: Duration,
    ) -> Result<(Said, Whole), BackupError> {
        let taken = self.snapshot_unchecked(minor, node, path, deadline).await;
        if taken.is_err() {
            sweep(path);
        }
        taken
    }

    /// What the database is like now, by a snapshot that is thrown away at once: nothing else of talosctl says its revision.
    ///
    /// # Errors
    /// As [`Talos::snapshot`].
    pub async fn weigh(&self, minor: Option<Minor>, node: &str, deadline: Duration) -> Result<Said, BackupError> {
        let name = format!("runbook-etcd-{}-{:08x}", std::process::id(), rand::random::<u32>());
        let folder = std::env::temp_dir().join(name);
        files::make_private_dir(&folder)?;
        let path = folder.join("now");
        let taken = self.snapshot(minor, node, &path, deadline).await;
        sweep(&path);
        files::remove_folder(&folder)?;
        Ok(taken?.0)
    }

    async fn snapshot_unchecked(
        &self,
        minor: Option<Minor>,
        node: &str,
        path: &Path,
        deadline: Duration,
    ) -> Result<(Said, Whole), BackupError> {
        let file = with_ending(path, UNCHECKED);
        let text = self.ask(minor, node, &["etcd", "snapshot", &file.display().to_string()], deadline).await?;
        let whole = aside(move || Ok(snapshot::check(&file)?)).await?;
        let said = said(&text).ok_or_else(|| TalosError::Strange {
            node: node.to_owned(),
            what: "etcd snapshot".to_owned(),
            why: format!("{text:?}"),
        })?;
        if said.bytes != whole.bytes {
            return Err(BackupError::OtherSize { said: said.bytes, is: whole.bytes });
        }
        Ok((said, Whole { bytes: whole.bytes, sha256: whole.sha256, encrypted: false }))
    }
}

/// Gives a checked file its name, for good.
///
/// # Errors
/// It was not renamed.
pub async fn settle(path: PathBuf) -> Result<(), BackupError> {
    aside(move || Ok(files::settle(with_ending(&path, UNCHECKED), &path, MODE)?)).await
}

/// `etcd snapshot saved to "x" (2015264 bytes)` and `snapshot info: hash c25fd181, revision 4193, total keys 1287, …`
fn said(text: &str) -> Option<Said> {
    let after = |before: &str, end: &[char]| {
        let rest = &text[text.rfind(before)? + before.len()..];
        Some(rest.split(end).next()?.trim().to_owned())
    };
    Some(Said {
        bytes: after("\" (", &[' '])?.parse().ok()?,
        hash: after("snapshot info: hash ", &[','])?,
        revision: after(", revision ", &[','])?.parse().ok()?,
        keys: after(", total keys ", &[','])?.parse().ok()?,
    })
}

/// Encrypts a backup by the program `age`, checks the length of what it wrote, and only then takes the plain file away.
///
/// # Errors
/// The plain file is as it was.
pub async fn encrypt(path: PathBuf, recipients: &[String]) -> Result<Whole, BackupError> {
    let to = encrypted(&path);
    let done = encrypt_to(&path, &to, recipients).await;
    if done.is_err() {
        sweep(&to);
    }
    done
}

async fn encrypt_to(path: &Path, to: &Path, recipients: &[String]) -> Result<Whole, BackupError> {
    let (plain, unchecked) = (path.to_owned(), with_ending(to, UNCHECKED));
    let bytes = aside(move || Ok(snapshot::check(&plain)?.bytes)).await?;
    let words = recipients.iter().flat_map(|one| ["--recipient".to_owned(), one.clone()]);
    let mut spec = Spec::new("age").args(words).arg("--output").arg(&unchecked).arg(path);
    spec.deadline = Some(PATIENCE);
    let ended = process::run(spec).await?;
    if ended.ended != Ended::Exit(0) {
        let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
        return Err(BackupError::NotEncrypted(format!("age failed: {said}")));
    }
    let (path, to) = (path.to_owned(), to.to_owned());
    aside(move || {
        let whole = check(&unchecked)?;
        let mut begin = Vec::new();
        let read = files::open(&unchecked)?.take(AGE_HEADER).read_to_end(&mut begin);
        read.map_err(FileError::io("read", &unchecked))?;
        let holds = plain_bytes(&begin, whole.bytes).filter(|_| whole.encrypted);
        if holds != Some(bytes) {
            let cause = format!("age wrote {} bytes, which do not hold the snapshot's {bytes}", whole.bytes);
            return Err(BackupError::NotEncrypted(cause));
        }
        files::settle(&unchecked, &to, MODE)?;
        files::remove(&path)?;
        Ok(whole)
    })
    .await
}

/// Copies a file of any size and reads the copy again before it gets its name.
///
/// # Errors
/// There is no copy.
pub async fn copy(from: PathBuf, to: PathBuf, sha256: String) -> Result<(), BackupError> {
    aside(move || {
        let unchecked = with_ending(&to, UNCHECKED);
        let copied = files::copy_private(&from, &unchecked).and_then(|()| digest(&unchecked));
        let done = match copied {
            Ok((_, is)) if is == sha256 => files::settle(&unchecked, &to, MODE).map_err(BackupError::File),
            Ok((_, is)) => Err(BackupError::OtherSum { is, should: sha256 }),
            Err(error) => Err(error.into()),
        };
        if done.is_err() {
            sweep(&to);
        }
        done
    })
    .await
}

/// # Errors
/// It is still there.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match files::remove(path) {
        Err(error) if error.is_not_found() => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_whose_they_are_and_when() {
        let name = name("prod", 1_763_766_938_004);
        assert_eq!(name, "prod-etcd-20251121T231538Z.snapshot");
        assert_eq!(named("prod", &name), Some((1_763_766_938_000, false)));
        assert_eq!(named("prod", &format!("{name}.age")), Some((1_763_766_938_000, true)));
        for no in [
            "prod2-etcd-20251121T231538Z.snapshot",
            "prod-etcd-20251121T231538Z.snapshot.unchecked",
            "prod-etcd-x.snapshot",
        ] {
            assert_eq!(named("prod", no), None, "{no}");
        }
        assert!(
            unfinished("prod", &format!("{name}.unchecked.part")) && unfinished("prod", &format!("{name}.unchecked"))
        );
        assert!(!unfinished("prod", &name) && !unfinished("prod", "x.unchecked"));
    }

    #[test]
    fn what_talosctl_says_is_read() {
        let text = "etcd snapshot saved to \"a (1 b) \\\" (7 bytes)\" (2015264 bytes)\nsnapshot info: hash c25fd181, revision \
                    4193, total keys 1287, total size 3035136\n";
        let wanted = Said { bytes: 2_015_264, hash: "c25fd181".into(), revision: 4193, keys: 1287 };
        assert_eq!(said(text), Some(wanted));
        assert_eq!(said(""), None);
    }

    #[test]
    fn the_length_of_a_file_of_age_says_how_much_is_in_it() {
        let head = b"age-encryption.org/v1\n-> X25519 abc\ndef\n--- mac\n";
        let of = |plain: u64| head.len() as u64 + 16 + plain + 16 * plain.div_ceil(AGE_CHUNK).max(1);
        for plain in [1, 4128, AGE_CHUNK, AGE_CHUNK + 1, 20 * AGE_CHUNK + 32] {
            assert_eq!(plain_bytes(head, of(plain)), Some(plain));
        }
        assert_eq!(plain_bytes(head, head.len() as u64 + 16 + 7), None);
        assert_eq!(plain_bytes(b"age-encryption.org/v1\n", 100), None);
    }
}
