//! What a server is, computed from the files that will run.
//!
//! In scope: digests of executables, lock files and installed trees. Out of scope: comparing them with
//! what was approved. Not covered: interpreters (`node`, `python3`) of packages, the machine's shared
//! libraries, and whatever a command that is no package reads or fetches once it runs.

use crate::adapted::DocumentKind;
use crate::install::{Installed, Registry};
use crate::spec::{KeyPin, Launch};
use crate::stdio::env;
use base64::Engine as _;
use interlock_catalog::ServerIdentity;
use interlock_model::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

/// Why a server's identity is not known.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A link leads out of the tree, to files that the digest would not cover.
    #[error("`{}` links to files outside of the installed package; install it again", path.display())]
    Escapes {
        /// The link.
        path: PathBuf,
    },
    /// Neither file, directory nor link, or a name that is not UTF-8.
    #[error("`{}` does not belong into an installed package", path.display())]
    Strange {
        /// What was found.
        path: PathBuf,
    },
    /// More files than a package has.
    #[error("`{}` holds more than {max} files", path.display())]
    TooMany {
        /// The tree.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
    /// The program of a child is not there.
    #[error("cannot be started: {0}")]
    Program(io::Error),
}

/// Most files of a tree.
const MAX_FILES: usize = 200_000;

/// The identity of a server as it would be started now. Reads every file of an installed package, so
/// it takes a moment: call it where blocking is fine.
///
/// # Errors
///
/// [`IdentityError`]; a server without an identity must not be started.
pub fn of_launch(launch: &Launch) -> Result<ServerIdentity, IdentityError> {
    match launch {
        Launch::Http { url, key_pins, .. } => {
            Ok(ServerIdentity::Http { key_pins: encoded(key_pins), url: url.to_string() })
        }
        Launch::Adapted { kind, url, key_pins, .. } => {
            let (key_pins, url) = (encoded(key_pins), url.to_string());
            Ok(match kind {
                DocumentKind::OpenApi => ServerIdentity::OpenApi { key_pins, url },
                DocumentKind::GraphQl => ServerIdentity::GraphQl { key_pins, url },
            })
        }
        Launch::Stdio { program, args, env, cwd } => {
            let path = env::resolve(program, env, cwd.as_deref()).map_err(IdentityError::Program)?;
            let digest = Digest(file(&path)?);
            Ok(ServerIdentity::Executable { args: args.clone(), digest, path: path.display().to_string() })
        }
    }
}

fn encoded(key_pins: &[KeyPin]) -> Vec<String> {
    let encode = |pin: &KeyPin| base64::engine::general_purpose::STANDARD.encode(pin.0.0);
    let mut key_pins: Vec<String> = key_pins.iter().map(encode).collect();
    key_pins.sort();
    key_pins
}

/// The identity of an installed package, started with `args`.
///
/// # Errors
///
/// As [`of_launch`].
pub fn of_package(installed: &Installed, args: &[String]) -> Result<ServerIdentity, IdentityError> {
    let lock = Digest(file(&installed.lock_path())?);
    let tree = tree(&installed.tree_path())?;
    let (args, entry) = (args.to_vec(), installed.entry.clone());
    let (package, version) = (installed.name.clone(), installed.version.clone());
    match installed.registry {
        Registry::Npm => Ok(ServerIdentity::Npm { args, entry, lock, package, tree, version }),
        Registry::Pypi => {
            // The script is outside of the tree; its first line names this machine's interpreter.
            let path = installed.dir.join(&installed.entry);
            let script = fs::read(&path).map_err(|source| IdentityError::Read { path, source })?;
            let body = script.iter().position(|b| *b == b'\n').and_then(|at| script.get(at..)).unwrap_or_default();
            let tree = Digest::of_parts("interlock/python-tree", &[&tree.0, body]);
            Ok(ServerIdentity::Pypi { args, entry, lock, package, tree, version })
        }
    }
}

/// The digest of everything below `root`: paths in order, each with its kind, whether it can be
/// executed, and its content; links by their target.
///
/// # Errors
///
/// [`IdentityError`], also for links that lead out.
pub fn tree(root: &Path) -> Result<Digest, IdentityError> {
    let mut entries: Vec<(String, [u8; 32])> = Vec::new();
    let mut open = vec![(root.to_owned(), String::new())];
    while let Some((dir, prefix)) = open.pop() {
        let read = |source| IdentityError::Read { path: dir.clone(), source };
        for entry in fs::read_dir(&dir).map_err(read)? {
            let entry = entry.map_err(read)?;
            let path = entry.path();
            let name = entry.file_name().into_string().map_err(|_| IdentityError::Strange { path: path.clone() })?;
            let relative = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            // Of the entry itself: links are never followed.
            let kind = entry.file_type().map_err(read)?;
            if kind.is_dir() {
                open.push((path, relative));
                continue;
            }
            let digest = if kind.is_symlink() {
                link(&path, &relative)?
            } else if kind.is_file() {
                Digest::of_parts(if is_executable(&path) { "executable" } else { "file" }, &[&file(&path)?]).0
            } else if is_volatile(&relative) {
                continue;
            } else {
                return Err(IdentityError::Strange { path });
            };
            if is_volatile(&relative) {
                continue;
            }
            entries.push((relative, digest));
            if entries.len() > MAX_FILES {
                return Err(IdentityError::TooMany { path: root.to_owned(), max: MAX_FILES });
            }
        }
    }
    entries.sort();
    let parts: Vec<&[u8]> = entries.iter().flat_map(|(path, digest)| [path.as_bytes(), &digest[..]]).collect();
    Ok(Digest::of_parts("interlock/tree", &parts))
}

/// Bookkeeping of installers that names this machine's paths and is never executed.
fn is_volatile(relative: &str) -> bool {
    relative.rsplit_once('/').is_some_and(|(dir, name)| {
        dir.ends_with(".dist-info")
            && !dir.contains('/')
            && matches!(name, "RECORD" | "INSTALLER" | "REQUESTED" | "direct_url.json")
    })
}

fn link(path: &Path, relative: &str) -> Result<[u8; 32], IdentityError> {
    let target = fs::read_link(path).map_err(|source| IdentityError::Read { path: path.to_owned(), source })?;
    let escapes = || IdentityError::Escapes { path: path.to_owned() };
    // Lexically: where the link's own directory is, and how far up its target climbs.
    let mut depth = relative.matches('/').count();
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => depth = depth.checked_sub(1).ok_or_else(escapes)?,
            Component::RootDir | Component::Prefix(_) => return Err(escapes()),
        }
    }
    let target = target.to_str().ok_or_else(|| IdentityError::Strange { path: path.to_owned() })?;
    Ok(Digest::of_parts("link", &[target.as_bytes()]).0)
}

fn file(path: &Path) -> Result<[u8; 32], IdentityError> {
    let read = |source| IdentityError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(read)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = file.read(&mut buffer).map_err(read)?;
        if n == 0 {
            return Ok(hash.finalize().into());
        }
        hash.update(buffer.get(..n).unwrap_or_default());
    }
}

fn is_executable(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        path.metadata().is_ok_and(|m| m.permissions().mode() & 0o111 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn any_change_of_the_tree_changes_its_digest() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/x.js"), "1").unwrap();
        symlink("b/x.js", root.join("a/l")).unwrap();
        let mut seen = vec![tree(root).unwrap()];
        assert_eq!(tree(root).unwrap(), seen[0]);
        let mut step = |what: &str, change: &dyn Fn()| {
            change();
            let digest = tree(root).unwrap();
            assert!(!seen.contains(&digest), "{what}");
            seen.push(digest);
        };
        step("content", &|| fs::write(root.join("a/b/x.js"), "2").unwrap());
        step("new file", &|| fs::write(root.join("a/y"), "").unwrap());
        step("name", &|| fs::rename(root.join("a/y"), root.join("a/z")).unwrap());
        step("link", &|| {
            fs::remove_file(root.join("a/l")).unwrap();
            symlink("./b/x.js", root.join("a/l")).unwrap();
        });
        step("mode", &|| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(root.join("a/z"), mode).unwrap();
        });
    }

    #[test]
    fn links_that_lead_out_are_refused() {
        for (target, out) in [("../x", false), ("../../x", true), ("/etc/passwd", true), ("b/../../../x", true)] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("a")).unwrap();
            symlink(target, dir.path().join("a/l")).unwrap();
            assert_eq!(matches!(tree(dir.path()), Err(IdentityError::Escapes { .. })), out, "{target}");
        }
    }

    #[test]
    fn a_command_is_its_file_and_its_arguments() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("server");
        fs::copy("/bin/sh", &program).unwrap();
        let launch = |args: &[&str]| Launch::Stdio {
            program: "server".into(),
            args: args.iter().map(ToString::to_string).collect(),
            env: vec![("PATH".into(), dir.path().display().to_string().into())],
            cwd: None,
        };
        let plain = of_launch(&launch(&[])).unwrap();
        assert_ne!(of_launch(&launch(&["x"])).unwrap().digest(), plain.digest());
        let ServerIdentity::Executable { path, .. } = &plain else { panic!("{plain:?}") };
        assert_eq!(Path::new(path), program);
        fs::write(&program, "#!/bin/sh\n").unwrap();
        assert_ne!(of_launch(&launch(&[])).unwrap().digest(), plain.digest());
    }
}
