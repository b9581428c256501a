//! The journal's place on this machine: the state folder, its file system, the runs' lock files, the time.
//!
//! The one file of the journal that touches the machine beside the database.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::StoreError;
use crate::engine::ports::Clock;
use crate::model::ids::RunId;
use crate::sys::{clock, files};

/// How often and how long a process tries to own a run: another one may be looking whether it is owned, for a moment.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

#[derive(Debug, Clone)]
pub(super) struct Place {
    dir: PathBuf,
}

impl Place {
    /// Makes the folder (0700) and the journal's file (0600) where they are missing.
    ///
    /// # Errors
    /// Not a folder, not writable, or on a network file system.
    pub fn prepare(dir: &Path) -> Result<Self, StoreError> {
        let place = Self { dir: dir.to_owned() };
        make_folder(dir)?;
        if let Some(kind) = network_kind(dir)? {
            return Err(StoreError::Network { path: dir.to_owned(), kind });
        }
        make_folder(&place.dir.join("runs"))?;
        // SQLite would make it with the umask's rights, and gives its -wal and -shm the rights of this file.
        // Only where it is missing: whoever closes a file gives up all locks that the process has on it, SQLite's too.
        if !place.database().exists() {
            open_private(&place.database()).map_err(|e| StoreError::of_io(dir, "make journal.db in it", &e))?;
        }
        Ok(place)
    }

    pub fn database(&self) -> PathBuf {
        self.dir.join("journal.db")
    }

    fn lock_file(&self, run: &RunId) -> PathBuf {
        self.dir.join("runs").join(format!("{run}.lock"))
    }

    /// Takes the run for this process, until the file is closed or the process ends, however it ends.
    /// `None`: another process has it.
    ///
    /// # Errors
    /// The lock file cannot be made.
    pub fn own(&self, run: &RunId) -> Result<Option<File>, StoreError> {
        let path = self.lock_file(run);
        let file = open_private(&path).map_err(|e| StoreError::of_io(&self.dir, "make a run's lock file in it", &e))?;
        for attempt in 1..=TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) if attempt < TRIES => std::thread::sleep(BETWEEN_TRIES),
                Err(TryLockError::WouldBlock) => break,
                Err(TryLockError::Error(e)) => return Err(StoreError::of_io(&self.dir, "lock a file in it", &e)),
            }
        }
        Ok(None)
    }

    /// The run is gone, and so is its lock file. One that stays harms nobody.
    pub fn forget(&self, run: &RunId) {
        let _ = std::fs::remove_file(self.lock_file(run));
    }

    /// Whether a process has the run. It looks with a shared lock, so that those who look do not hinder each other.
    pub fn is_owned(&self, run: &RunId) -> bool {
        let Ok(file) = OpenOptions::new().read(true).open(self.lock_file(run)) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }
}

/// Makes a file that is there at least so long, with zeros and not with a hole: that would be filled by an allocation
/// later, which is what is to be spared. On a full disk it stays as it was.
pub(super) fn lengthen(path: &Path, bytes: u64) -> io::Result<()> {
    const PIECE: &[u8] = &[0; 64 << 10];
    let mut file = OpenOptions::new().write(true).open(path)?;
    let before = file.seek(SeekFrom::End(0))?;
    let mut missing = bytes.saturating_sub(before);
    while missing > 0 {
        let piece = &PIECE[..usize::try_from(missing).map_or(PIECE.len(), |missing| missing.min(PIECE.len()))];
        if let Err(error) = file.write_all(piece) {
            return file.set_len(before).and(Err(error));
        }
        missing -= piece.len() as u64;
    }
    Ok(())
}

fn make_folder(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| StoreError::of_io(path, "create it", &e))
}

fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// File systems of other machines by `statfs` type. Source: linux/magic.h, statfs(2).
const NETWORK: &[(u64, &str)] = &[
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x0102_1997, "9p"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0BD0_0BD0, "Lustre"),
    (0x786F_4256, "VirtualBox shared folder"),
];
const FUSE: u64 = 0x6573_5546;

/// FUSE drivers that reach other machines, as the mount table spells them; and pmxcfs (plain `fuse` at /etc/pve).
const NETWORK_FUSE: &[(&str, &str)] = &[
    ("fuse.sshfs", "sshfs"),
    ("fuse.rclone", "rclone"),
    ("fuse.s3fs", "s3fs"),
    ("fuse.glusterfs", "GlusterFS"),
    ("fuse.ceph", "Ceph"),
    ("fuse.ceph-fuse", "Ceph"),
    ("fuse.davfs", "WebDAV"),
    ("fuse.juicefs", "JuiceFS"),
    ("fuse", "FUSE"),
];

fn network_kind(dir: &Path) -> Result<Option<&'static str>, StoreError> {
    let found = rustix::fs::statfs(dir).map_err(|e| StoreError::of_io(dir, "look at its file system", &e.into()))?;
    // The field is signed on some machines; the numbers are 32 bits wide.
    let magic = found.f_type as u64 & 0xFFFF_FFFF;
    Ok(judge(magic, || mounted_as(dir)))
}

/// The name of the network file system, if it is one.
fn judge(magic: u64, mounted_as: impl FnOnce() -> Option<String>) -> Option<&'static str> {
    if magic == FUSE {
        let kind = mounted_as()?;
        return NETWORK_FUSE.iter().find(|(name, _)| *name == kind).map(|(_, shown)| *shown);
    }
    NETWORK.iter().find(|(number, _)| *number == magic).map(|(_, shown)| *shown)
}

fn mounted_as(dir: &Path) -> Option<String> {
    let full = dir.canonicalize().ok()?;
    file_system_of(&files::read_text("/proc/self/mountinfo").ok()?, &full)
}

/// The type of the deepest mount that holds `path`. Source: proc_pid_mountinfo(5).
fn file_system_of(mountinfo: &str, path: &Path) -> Option<String> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        // Only blanks can be in a usual path; they are written in octal.
        let point = PathBuf::from(left.split(' ').nth(4)?.replace("\\040", " "));
        path.starts_with(&point).then(|| (point.components().count(), right.split(' ').next().unwrap_or_default()))
    });
    // A later mount lies over an earlier one of the same place, and `max_by_key` keeps the last of equals.
    mounts.max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind.to_owned())
}

/// The time of this machine, for the journal's rows and for runs.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        u64::try_from(clock::now_ms()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_number_or_their_driver() {
        assert_eq!(judge(0x6969, || None), Some("NFS"));
        assert_eq!(judge(0xFF53_4D42, || None), Some("CIFS"));
        assert_eq!(judge(0xEF53, || None), None, "ext4");
        assert_eq!(judge(FUSE, || Some("fuse.sshfs".into())), Some("sshfs"));
        assert_eq!(judge(FUSE, || Some("fuse.gocryptfs".into())), None, "encrypted, but on this disk");
    }

    #[test]
    fn the_deepest_mount_counts() {
        let table = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                     40 22 0:50 / /home/ops/far\\040away rw - fuse.sshfs ops@far: rw\n";
        assert_eq!(file_system_of(table, Path::new("/home/ops/far away/state")).as_deref(), Some("fuse.sshfs"));
        assert_eq!(file_system_of(table, Path::new("/home/ops/near")).as_deref(), Some("ext4"));
    }

    #[test]
    fn the_folder_is_private() {
        let temp = tempfile::tempdir().unwrap();
        let place = Place::prepare(&temp.path().join("a/b")).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&temp.path().join("a/b")), 0o700);
        assert_eq!(mode(&place.database()), 0o600);
    }
}
