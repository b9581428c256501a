//! Whether a file is a whole snapshot of etcd: pages of its database, and the SHA-256 of them at the end.
//!
//! Source: etcd's `snapshot save`, which appends the sum, and talosctl's check of it (size % 512 = 32).

use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::sys::files::{self, FileError};

/// Bytes of a sum.
const SUM: u64 = 32;
/// The smallest page that the database may have.
const PAGE: u64 = 512;
/// What a page of a bbolt database has at byte 16, on its first two pages.
const MAGIC: u32 = 0xED0C_DAED;

/// A whole snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub bytes: u64,
    /// Of the whole file, as `sha256sum` says it: another than the sum that the file ends with, which is of the rest.
    pub sha256: String,
}

/// Why a file is none.
#[derive(Debug, thiserror::Error)]
pub enum NoSnapshot {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "it has {0} bytes: a snapshot has a multiple of 512 and 32 more, so this one is cut short, or is a bare copy of the database without its sum"
    )]
    Size(u64),
    #[error("its sum is not that of its contents: it was changed or damaged after it was taken")]
    Sum,
    #[error("it does not begin as a database of etcd")]
    Kind,
}

/// Reads the file, which may be of any size, and compares it with its own sum.
///
/// # Errors
/// It cannot be read, or it is no whole snapshot.
pub fn check(path: &Path) -> Result<Snapshot, NoSnapshot> {
    let file = files::open(path)?;
    let bytes = file.metadata().map_err(FileError::io("inspect", path))?.len();
    of(std::io::BufReader::new(file), bytes).map_err(|error| match error {
        Broken::Read(source) => FileError::io("read", path)(source).into(),
        Broken::Kind(why) => why,
    })
}

/// Whether a snapshot can have so many bytes.
pub(super) fn fits(bytes: u64) -> bool {
    bytes >= PAGE + SUM && bytes % PAGE == SUM
}

enum Broken {
    Read(std::io::Error),
    Kind(NoSnapshot),
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Self::Read(error)
    }
}

fn of(mut file: impl Read, bytes: u64) -> Result<Snapshot, Broken> {
    if !fits(bytes) {
        return Err(Broken::Kind(NoSnapshot::Size(bytes)));
    }
    let mut head = [0; 20];
    file.read_exact(&mut head)?;
    let mut hash = Sha256::new_with_prefix(head);
    std::io::copy(&mut (&mut file).take(bytes - SUM - 20), &mut hash)?;
    let mut told = [0; SUM as usize];
    file.read_exact(&mut told)?;
    let whole = hash.clone().chain_update(told);
    let sum = hash.finalize();
    if sum[..] != told {
        return Err(Broken::Kind(NoSnapshot::Sum));
    }
    if head[16..] != MAGIC.to_le_bytes() {
        return Err(Broken::Kind(NoSnapshot::Kind));
    }
    Ok(Snapshot { bytes, sha256: whole.finalize().iter().map(|byte| format!("{byte:02x}")).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Vec<u8> {
        let mut bytes = vec![7; 4096];
        bytes[16..20].copy_from_slice(&MAGIC.to_le_bytes());
        let sum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Snapshot, NoSnapshot> {
        of(bytes, bytes.len() as u64).map_err(|error| match error {
            Broken::Kind(why) => why,
            Broken::Read(error) => panic!("{error}"),
        })
    }

    #[test]
    fn only_a_whole_one_is_taken() {
        let whole = snapshot();
        let sum: String = Sha256::digest(&whole).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(read(&whole).unwrap(), Snapshot { bytes: 4128, sha256: sum });
        assert!(matches!(read(&whole[..whole.len() - 32]), Err(NoSnapshot::Size(4096))), "no sum");
        assert!(matches!(read(&whole[..3000]), Err(NoSnapshot::Size(3000))), "cut");
        assert!(matches!(read(&[]), Err(NoSnapshot::Size(0))));
        for at in [0, 2000, 4127] {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            assert!(matches!(read(&flipped), Err(NoSnapshot::Sum)), "byte {at}");
        }
        let mut other = vec![7; 512];
        let sum = Sha256::digest(&other);
        other.extend_from_slice(&sum);
        assert!(matches!(read(&other), Err(NoSnapshot::Kind)));
    }
}
