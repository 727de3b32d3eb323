//! Files that only the gateway's user may read, and replacing a file in one step.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Creates `dir` and its parents; `dir` itself with mode 0700. An existing directory is left as it is.
///
/// # Errors
///
/// What the system says.
pub fn create_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Replaces `file` by `bytes` with mode 0600: a new file beside it, synced, renamed over it, the directory synced.
/// A crash leaves the old file or the new one, and perhaps the new one's temporary name.
///
/// # Errors
///
/// What the system says.
pub fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    write_beside(file, bytes, true)
}

/// As [`replace`], for a file that anyone may read.
///
/// # Errors
///
/// What the system says.
pub fn replace_public(file: &Path, bytes: &[u8]) -> io::Result<()> {
    write_beside(file, bytes, false)
}

/// Writes `bytes` to a file that must not exist yet, mode 0600. It appears whole or not at all: written beside, linked in.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`], or what else the system says.
pub fn create_new(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(file)?;
    write_beside(&beside, bytes, true)?;
    let linked = fs::hard_link(&beside, file);
    let _ = fs::remove_file(&beside);
    linked?;
    sync_parent(file)
}

fn write_beside(file: &Path, bytes: &[u8], private: bool) -> io::Result<()> {
    let beside = beside(file)?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if private { 0o600 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = private;
    let written = (|| {
        let mut out = options.open(&beside)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        fs::rename(&beside, file)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
        return written;
    }
    sync_parent(file)
}

/// Makes a name durable. Windows has no such call, nor the need for one.
fn sync_parent(file: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(dir) = file.parent().filter(|d| !d.as_os_str().is_empty()) {
        fs::File::open(dir)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

/// A name in the same directory that nobody has: the rename must not cross a file system.
fn beside(file: &Path) -> io::Result<PathBuf> {
    let name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|_| io::Error::other("no randomness"))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", interlock_model::digest::hex(&random)));
    Ok(file.with_file_name(beside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_stays_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        replace(&file, b"one").unwrap();
        replace(&file, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(create_new(&file, b"three").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&file).unwrap(), b"two");
        create_new(&dir.path().join("y"), b"four").unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert!(replace(&dir.path().join("absent/x"), b"").is_err());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let sub = dir.path().join("a/b");
            create_dir(&sub).unwrap();
            assert_eq!(fs::metadata(&sub).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }
}
