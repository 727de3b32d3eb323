//! The environment of a child, and where its executable is found.
//!
//! A child gets [`INHERITED`] from us and what its configuration says; nothing else. Our own
//! environment may hold credentials of people, of other servers and of cloud machines, and a server is
//! code that somebody else wrote.

use crate::secret::SecretString;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

/// What a child inherits: where programs, its home and temporary files are, and how text and time are
/// spelled. Not among them, on purpose: proxies (their URLs hold passwords), the addresses of SSH and
/// desktop agents, `LD_*`, `NODE_OPTIONS`, `PYTHONPATH` and the like, which put other code into it.
#[cfg(not(windows))]
pub const INHERITED: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];

/// What a child inherits: as elsewhere, and what the system itself needs to start a process.
#[cfg(windows)]
pub const INHERITED: &[&str] = &[
    "PATH",
    "PATHEXT",
    "USERPROFILE",
    "HOMEDRIVE",
    "HOMEPATH",
    "USERNAME",
    "TEMP",
    "TMP",
    "SystemRoot",
    "SystemDrive",
    "ComSpec",
    "windir",
    "APPDATA",
    "LOCALAPPDATA",
    "ProgramData",
    "ProgramFiles",
    "PROCESSOR_ARCHITECTURE",
];

/// The child's whole environment.
pub(crate) fn of_child(configured: &[(String, SecretString)]) -> Vec<(OsString, OsString)> {
    let inherited = INHERITED.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
    let own = configured.iter().map(|(name, value)| (name.into(), value.danger_str().into()));
    // A later entry of the same name replaces an earlier one.
    inherited.chain(own).collect()
}

/// The absolute path of `program`, as the child's own `PATH` has it.
///
/// # Errors
///
/// [`io::ErrorKind::NotFound`] with what was looked for and where.
pub fn resolve(program: &Path, configured: &[(String, SecretString)], cwd: Option<&Path>) -> io::Result<PathBuf> {
    if program.components().count() > 1 || program.is_absolute() {
        let path = cwd.map_or_else(|| program.to_owned(), |cwd| cwd.join(program));
        let path = std::path::absolute(path)?;
        return if is_executable(&path) { Ok(path) } else { Err(not_found(program, "no such executable file")) };
    }
    let set =
        configured.iter().rev().find(|(name, _)| name == "PATH").map(|(_, v)| OsStr::new(v.danger_str()).to_owned());
    let path = set.or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    std::env::split_paths(&path)
        // A relative entry would mean another file in another working directory.
        .filter(|dir| dir.is_absolute())
        .flat_map(|dir| EXTENSIONS.iter().map(move |ext| dir.join(with_extension(program, ext))))
        .find(|candidate| is_executable(candidate))
        .ok_or_else(|| not_found(program, "not found in PATH; install it, or give its absolute path"))
}

#[cfg(not(windows))]
const EXTENSIONS: &[&str] = &[""];
#[cfg(windows)]
const EXTENSIONS: &[&str] = &["", ".exe", ".cmd", ".bat"];

fn with_extension(program: &Path, extension: &str) -> PathBuf {
    let mut name = program.as_os_str().to_owned();
    name.push(extension);
    name.into()
}

fn not_found(program: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("`{}`: {why}", program.display()))
}

fn is_executable(path: &Path) -> bool {
    let Ok(meta) = path.metadata() else { return false };
    #[cfg(unix)]
    let may_run = std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let may_run = true;
    meta.is_file() && may_run
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_list_is_inherited() {
        // Cargo sets CARGO_* for tests, so there is something that must not pass.
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some() || std::env::vars_os().count() > INHERITED.len());
        let env = of_child(&[("TOKEN".into(), SecretString::from("x".to_owned()))]);
        for (name, _) in &env {
            let name = name.to_str().unwrap();
            assert!(name == "TOKEN" || INHERITED.contains(&name), "{name}");
        }
        assert!(env.iter().any(|(n, v)| n == "TOKEN" && v == "x"));
    }

    #[test]
    fn programs_are_found_in_the_childs_own_path() {
        let none = resolve(Path::new("sh"), &[("PATH".into(), SecretString::from("/nowhere:.".to_owned()))], None);
        assert_eq!(none.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(resolve(Path::new("sh"), &[], None).unwrap().is_absolute());
        let bin = resolve(Path::new("./sh"), &[], Some(Path::new("/bin"))).unwrap();
        assert!(bin.ends_with("sh") && bin.is_absolute());
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("data"), "").unwrap();
        assert!(resolve(&dir.path().join("data"), &[], None).is_err(), "not executable");
    }
}
