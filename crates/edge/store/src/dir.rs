//! The data directory: its files by name, who may read them, and who owns it.

use crate::error::OpenError;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A data directory.
#[derive(Clone, Debug)]
pub(crate) struct DataDir(PathBuf);

/// Held for as long as this process owns the directory; the kernel lets go of it when the process ends.
#[derive(Debug)]
pub(crate) struct OwnerLock(#[expect(dead_code, reason = "held, not read")] File);

impl DataDir {
    /// The directory at `path`, which must exist.
    pub(crate) fn existing(path: &Path) -> Result<Self, OpenError> {
        let dir = Self(path.to_owned());
        if !dir.database().exists() {
            return Err(OpenError::NoLedger(path.to_owned()));
        }
        Ok(dir)
    }

    /// The directory at `path`, made (mode 0700) where there is none.
    pub(crate) fn create(path: &Path) -> Result<Self, OpenError> {
        let dir = Self(path.to_owned());
        for at in [path, &dir.keys()] {
            make_private_dir(at).map_err(|source| OpenError::io(at, source))?;
            let mode = fs::metadata(at).map_err(|source| OpenError::io(at, source))?.mode();
            if mode & 0o077 != 0 {
                return Err(OpenError::Permissions { path: at.to_owned(), mode: mode & 0o777, want: 0o700 });
            }
        }
        Ok(dir)
    }

    /// Takes the directory for this process.
    pub(crate) fn lock(&self) -> Result<OwnerLock, OpenError> {
        let path = self.0.join("lock");
        let io = |source| OpenError::io(&path, source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match exclusive(&file) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // The holder writes its id just after locking; an empty file only makes the message poorer.
                let _ = (&file).take(20).read_to_string(&mut holder);
                return Err(OpenError::Held { dir: self.0.clone(), pid: holder.trim().parse().ok() });
            }
            Err(errno) => return Err(io(errno.into())),
        }
        file.set_len(0).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(OwnerLock(file))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("ledger.db")
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    pub(crate) fn log_key(&self) -> PathBuf {
        self.keys().join("log.key")
    }

    pub(crate) fn vault_key(&self) -> PathBuf {
        self.keys().join("vault.key")
    }

    /// The published log: what may be copied anywhere.
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

/// Locks, and tries again for a moment: whoever asks [`is_owned`] has the lock for an instant.
fn exclusive(file: &File) -> rustix::io::Result<()> {
    for _ in 0..5 {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(10)),
            settled => return settled,
        }
    }
    Err(rustix::io::Errno::WOULDBLOCK)
}

/// Whether a process owns the data directory at `path` now. One that is stopping owns it to its end.
#[must_use]
pub fn is_owned(path: &Path) -> bool {
    File::open(path.join("lock"))
        .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK))
}

/// Makes `path` and what is missing above it, for the owner alone.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        sync_dir(parent)?;
    }
    Ok(())
}

/// Puts `bytes` at `path` so that after a crash there is either the file as it was or the whole new one:
/// a temporary file beside it, synced, renamed over it, and the directory synced.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = StagedFile::write(path.to_owned(), bytes)?;
    file.sync()?;
    let path = file.name()?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// A file that is written and not yet called what it shall be: it lies under a temporary name beside it.
pub(crate) struct StagedFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl StagedFile {
    /// Writes `bytes`, which are not durable before [`StagedFile::sync`].
    pub(crate) fn write(path: PathBuf, bytes: &[u8]) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(".new");
        let temporary = parent.join(hidden);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        Ok(Self { file, temporary, path })
    }

    /// Makes the contents durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives the file its name, which is durable once its directory is synced. What had it before is gone.
    pub(crate) fn name(self) -> io::Result<PathBuf> {
        fs::rename(&self.temporary, &self.path)?;
        Ok(self.path)
    }
}

/// Makes names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn one_owner_at_a_time_and_the_error_names_it() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = DataDir::create(&temporary.path().join("data")).unwrap();
        assert!(!is_owned(dir.path()));
        let held = dir.lock().unwrap();
        assert!(is_owned(dir.path()));
        let refused = dir.lock().unwrap_err();
        assert!(matches!(&refused, OpenError::Held { pid: Some(pid), .. } if *pid == std::process::id()), "{refused}");
        drop(held);
        assert!(!is_owned(dir.path()));
        dir.lock().unwrap();
    }

    #[test]
    fn a_directory_open_to_others_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("data");
        DataDir::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(DataDir::create(&path), Err(OpenError::Permissions { mode: 0o750, .. })));
    }
}
