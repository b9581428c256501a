//! Reading and writing files: whole, atomically, with the path in every error. Not a place for formats.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What went wrong with which file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{path}: cannot {act}: {source}")]
    Io { act: &'static str, path: PathBuf, source: io::Error },
    #[error("{path}: not UTF-8 text (byte {at})")]
    NotText { path: PathBuf, at: usize },
    #[error("{path}: {size} bytes, more than the {most} that are read")]
    TooLarge { path: PathBuf, size: u64, most: u64 },
    #[error("{path}: belongs to user id {owner}, expected you ({me}) or root; run: chown {me} {path}")]
    ForeignOwner { path: PathBuf, owner: u32, me: u32 },
    #[error("{path}: others can write to it (mode {mode:04o}); run: chmod go-w {path}")]
    WritableByOthers { path: PathBuf, mode: u32 },
    #[error("{path}: others can read it (mode {mode:04o}); run: chmod 600 {path}")]
    ReadableByOthers { path: PathBuf, mode: u32 },
}

impl FileError {
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub fn io(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { act, path: path.to_owned(), source }
    }
}

/// No text file that this program reads is near this size; it keeps a wrong path (a disk image) out of memory.
const MOST: u64 = 64 << 20;

/// The whole file as UTF-8 text.
pub fn read_text(path: impl AsRef<Path>) -> Result<String, FileError> {
    let path = path.as_ref();
    String::from_utf8(read_bytes(path)?)
        .map_err(|e| FileError::NotText { path: path.to_owned(), at: e.utf8_error().valid_up_to() })
}

/// The whole file, at most 64 MiB.
#[allow(clippy::disallowed_methods, reason = "this module owns file access")]
pub fn read_bytes(path: impl AsRef<Path>) -> Result<Vec<u8>, FileError> {
    let path = path.as_ref();
    let file = File::open(path).map_err(FileError::io("open", path))?;
    read_open(path, file)
}

/// For reading piece by piece.
#[allow(clippy::disallowed_methods, reason = "this module owns file access")]
pub fn open(path: impl AsRef<Path>) -> Result<File, FileError> {
    let path = path.as_ref();
    let file = File::open(path).map_err(FileError::io("open", path))?;
    let meta = file.metadata().map_err(FileError::io("inspect", path))?;
    match meta.is_file() {
        true => Ok(file),
        false => Err(FileError::Io { act: "read", path: path.to_owned(), source: io::Error::other("it is no file") }),
    }
}

/// Hands all of a file to `each`, piece by piece.
pub fn read_through(path: impl AsRef<Path>, mut each: impl FnMut(&[u8])) -> Result<(), FileError> {
    let path = path.as_ref();
    let mut file = open(path)?;
    let mut space = vec![0; 1 << 20];
    loop {
        match file.read(&mut space).map_err(FileError::io("read", path))? {
            0 => return Ok(()),
            read => each(&space[..read]),
        }
    }
}

fn read_open(path: &Path, file: File) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    // One byte more than allowed is asked for: /proc files and FIFOs say nothing true about their size.
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(FileError::io("read", path))?;
    if bytes.len() as u64 > MOST {
        return Err(FileError::TooLarge { path: path.to_owned(), size: bytes.len() as u64, most: MOST });
    }
    Ok(bytes)
}

/// A file that holds a secret, as text: refused when group or others may read it, or when it is not ours or root's.
#[allow(clippy::disallowed_methods, reason = "this module owns file access")]
pub fn read_private_text(path: impl AsRef<Path>) -> Result<String, FileError> {
    let path = path.as_ref();
    let file = File::open(path).map_err(FileError::io("open", path))?;
    // The open file is asked, not the path: what is checked is what is read.
    let meta = file.metadata().map_err(FileError::io("inspect", path))?;
    check_owner(path, &meta)?;
    if meta.mode() & 0o077 != 0 && meta.is_file() {
        return Err(FileError::ReadableByOthers { path: path.to_owned(), mode: meta.mode() & 0o7777 });
    }
    let bytes = read_open(path, file)?;
    String::from_utf8(bytes).map_err(|e| FileError::NotText { path: path.to_owned(), at: e.utf8_error().valid_up_to() })
}

/// Writes the whole file or nothing: a temporary file beside it, fsync, rename, fsync of the folder.
/// `mode` is the new file's, whatever the old one had and whatever the umask is.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    write_atomic_by(path, mode, |to| to.write_all(bytes))
}

/// As [`write_private`], piece by piece: for what is long and need not be in memory as a whole.
pub fn write_private_by(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FileError> {
    write_atomic_by(path, 0o600, |file| {
        let mut to = io::BufWriter::new(file);
        write(&mut to)?;
        to.flush()
    })
}

fn write_atomic_by(
    path: impl AsRef<Path>,
    mode: u32,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), FileError> {
    let path = path.as_ref();
    let folder = folder_of(path);
    let temporary = temporary_beside(path);
    let written = write_new_by(&temporary, mode, write)
        .and_then(|()| fs::rename(&temporary, path).map_err(FileError::io("replace", path)));
    if written.is_err() {
        // The first error is the one to tell; a left-over temporary file harms nobody.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_folder(folder)
}

/// As [`write_atomic`] with mode 0600.
pub fn write_private(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), FileError> {
    write_atomic(path, bytes, 0o600)
}

/// Creates the file with this content; an existing one is an error (`AlreadyExists`) and is left alone.
pub fn write_new(path: impl AsRef<Path>, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    write_new_by(path.as_ref(), mode, |to| to.write_all(bytes))
}

fn write_new_by(path: &Path, mode: u32, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), FileError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(FileError::io("create", path))?;
    write(&mut file).map_err(FileError::io("write", path))?;
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(FileError::io("set the mode of", path))?;
    file.sync_all().map_err(FileError::io("sync", path))
}

/// Takes a file away; that it is gone is on the disk when this returns.
pub fn remove(path: impl AsRef<Path>) -> Result<(), FileError> {
    let path = path.as_ref();
    fs::remove_file(path).map_err(FileError::io("remove", path))?;
    sync_folder(folder_of(path))
}

/// Makes a file that is whole the one of that name: what it holds is on the disk before, and its name when this returns.
pub fn settle(from: impl AsRef<Path>, to: impl AsRef<Path>, mode: u32) -> Result<(), FileError> {
    let (from, to) = (from.as_ref(), to.as_ref());
    let file = open(from)?;
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(FileError::io("set the mode of", from))?;
    file.sync_all().map_err(FileError::io("sync", from))?;
    fs::rename(from, to).map_err(FileError::io("rename", from))?;
    sync_folder(folder_of(to))
}

/// Copies a file of any size, piece by piece, to a new one for the user alone; one that is there is replaced.
pub fn copy_private(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), FileError> {
    let to = to.as_ref();
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to);
    let mut file = opened.map_err(FileError::io("create", to))?;
    let mut written = Ok(());
    read_through(from, |bytes| {
        if written.is_ok() {
            written = file.write_all(bytes);
        }
    })?;
    written.map_err(FileError::io("write", to))
}

/// The names of what is in a folder, sorted.
pub fn names(folder: impl AsRef<Path>) -> Result<Vec<String>, FileError> {
    let folder = folder.as_ref();
    let io = || FileError::io("list", folder);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(io())? {
        // What is no text was not named by us.
        names.extend(entry.map_err(io())?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// Makes a folder and its parents; new ones are for the user alone.
pub fn make_private_dir(path: impl AsRef<Path>) -> Result<(), FileError> {
    use std::os::unix::fs::DirBuilderExt;
    let path = path.as_ref();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(FileError::io("make the folder", path))
}

/// Makes a folder and its parents, as the umask has it.
pub fn make_dir(path: impl AsRef<Path>) -> Result<(), FileError> {
    let path = path.as_ref();
    fs::create_dir_all(path).map_err(FileError::io("make the folder", path))
}

/// Takes a folder away with all that is in it.
pub fn remove_folder(path: impl AsRef<Path>) -> Result<(), FileError> {
    let path = path.as_ref();
    fs::remove_dir_all(path).map_err(FileError::io("remove the folder", path))
}

/// An error unless the file belongs to the user or root and nobody else can write to it.
/// The group's right to write counts as others'.
pub fn check_trusted(path: impl AsRef<Path>) -> Result<(), FileError> {
    let path = path.as_ref();
    let meta = fs::metadata(path).map_err(FileError::io("inspect", path))?;
    check_owner(path, &meta)?;
    if meta.mode() & 0o022 != 0 {
        return Err(FileError::WritableByOthers { path: path.to_owned(), mode: meta.mode() & 0o7777 });
    }
    Ok(())
}

fn check_owner(path: &Path, meta: &fs::Metadata) -> Result<(), FileError> {
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() == me || meta.uid() == 0 {
        return Ok(());
    }
    Err(FileError::ForeignOwner { path: path.to_owned(), owner: meta.uid(), me })
}

/// `~` and `~/…` with the home folder in place of the tilde; anything else as it is. `home` is `$HOME`.
pub fn expand_home(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_owned(),
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(path),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    folder_of(path).join(format!(".{name}.{:08x}.tmp", rand::random::<u32>()))
}

#[allow(clippy::disallowed_methods, reason = "this module owns file access")]
fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(FileError::io("sync the folder", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_whole_with_the_wanted_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        write_atomic(&path, b"one", 0o644).unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(read_text(&path).unwrap(), "two");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_failed_write_leaves_nothing_and_names_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("taken");
        fs::create_dir(&taken).unwrap();
        fs::create_dir(taken.join("inside")).unwrap();
        let error = write_atomic(&taken, b"x", 0o600).unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_file_is_told_apart() {
        let error = read_text("no/such/file").unwrap_err();
        assert!(error.is_not_found());
        assert!(error.to_string().starts_with("no/such/file: cannot open"), "{error}");
    }

    #[test]
    fn a_new_file_never_replaces_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        write_new(&path, b"one", 0o640).unwrap();
        assert!(write_new(&path, b"two", 0o640).is_err());
        assert_eq!((read_text(&path).unwrap().as_str(), mode(&path)), ("one", 0o640));
    }

    #[test]
    fn what_others_can_write_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cluster-config.yaml");
        for (mode, trusted) in [(0o644, true), (0o600, true), (0o664, false), (0o646, false)] {
            write_atomic(&path, b"", mode).unwrap();
            assert_eq!(check_trusted(&path).is_ok(), trusted, "{mode:o}");
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        write_atomic(&path, b"s3cret", 0o640).unwrap();
        let error = read_private_text(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("chmod 600 {}", path.display())) && error.contains("0640"), "{error}");
        write_private(&path, b"s3cret").unwrap();
        assert_eq!(read_private_text(&path).unwrap(), "s3cret");
    }

    #[test]
    fn the_tilde_is_home() {
        let home = Some(Path::new("/home/ops"));
        assert_eq!(expand_home("~/x/y", home), Path::new("/home/ops/x/y"));
        assert_eq!(expand_home("~", home), Path::new("/home/ops"));
        assert_eq!(expand_home("~other/x", home), Path::new("~other/x"));
        assert_eq!(expand_home("a/~", home), Path::new("a/~"));
    }
}
