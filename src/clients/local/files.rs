//! Files of this machine: how one is, writing it whole, and one that is for a child's eyes only.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Local;
use crate::sys::files::{self, FileError};

/// How a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    Absent,
    /// A folder, a link, a device: what is not replaced.
    Other(&'static str),
    File {
        bytes: Vec<u8>,
        /// The lowest twelve bits.
        mode: u32,
    },
}

/// A file of mode 0600 that goes with the value.
#[derive(Debug)]
pub struct PrivateFile(PathBuf);

impl PrivateFile {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        // It may be gone already; it was for nobody else's eyes in any case.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Local {
    /// Its length and its SHA-256, read piece by piece; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read, or is no file.
    pub async fn digest(&self, path: PathBuf) -> Result<Option<(u64, String)>, FileError> {
        let read = move || {
            let (mut size, mut sum) = (0, Sha256::new());
            let through = files::read_through(&path, |bytes| {
                size += bytes.len() as u64;
                sum.update(bytes);
            });
            match through {
                Ok(()) => Ok(Some((size, sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            }
        };
        // A reading that was broken off by a panic is one of nothing.
        tokio::task::spawn_blocking(read).await.unwrap_or(Ok(None))
    }

    /// # Errors
    /// It cannot be looked at or read; it is larger than 64 MiB.
    pub fn file(&self, path: &Path) -> Result<FileState, FileError> {
        let io = |source| FileError::Io { act: "inspect", path: path.to_owned(), source };
        let meta = match std::fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(FileState::Absent),
            Err(error) => return Err(io(error)),
        };
        let kind = meta.file_type();
        Ok(match (kind.is_file(), kind.is_dir(), kind.is_symlink()) {
            (true, ..) => FileState::File { bytes: files::read_bytes(path)?, mode: meta.permissions().mode() & 0o7777 },
            (_, true, _) => FileState::Other("a folder"),
            (.., true) => FileState::Other("a link"),
            _ => FileState::Other("no ordinary file"),
        })
    }

    /// Writes the whole file or nothing.
    ///
    /// # Errors
    /// It was not written.
    pub fn write(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
        files::write_atomic(path, bytes, mode)
    }

    /// # Errors
    /// It is still there.
    pub fn remove(&self, path: &Path) -> Result<(), FileError> {
        std::fs::remove_file(path).map_err(|source| FileError::Io { act: "remove", path: path.to_owned(), source })
    }

    /// A new file that nobody else can read, in the user's runtime folder where there is one (which is in memory).
    ///
    /// # Errors
    /// It was not written.
    pub fn private_file(&self, bytes: &[u8], ending: &str) -> Result<PrivateFile, FileError> {
        let folder = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
        let name = format!("runbook-{:016x}{ending}", rand::random::<u64>());
        let path = folder.unwrap_or_else(std::env::temp_dir).join(name);
        files::write_new(&path, bytes, 0o600)?;
        Ok(PrivateFile(path))
    }

    /// The first of these programs that is on PATH.
    pub fn program<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let there = |name: &&&str| {
            let runs =
                |file: PathBuf| file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
            folders.iter().any(|folder| runs(folder.join(name)))
        };
        names.iter().find(there).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_for_the_user_alone_and_goes() {
        let local = Local::default();
        let file = local.private_file(b"s3cret", ".json").unwrap();
        let path = file.path().to_owned();
        assert_eq!(local.file(&path).unwrap(), FileState::File { bytes: b"s3cret".to_vec(), mode: 0o600 });
        drop(file);
        assert_eq!(local.file(&path).unwrap(), FileState::Absent);
        assert_eq!(local.file(Path::new("/")).unwrap(), FileState::Other("a folder"));
    }

    #[test]
    fn programs_are_found_in_the_order_of_their_names() {
        let local = Local::default();
        assert_eq!(local.program(&["no-such-program", "sh", "env"]), Some("sh"));
        assert_eq!(local.program(&["no-such-program"]), None);
    }
}
