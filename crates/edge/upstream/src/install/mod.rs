//! Installing a server's package once, from its registry, so that later starts run exactly that.
//!
//! In scope: exact versions, lock files with digests, no code of the package run while installing,
//! where its program is. Out of scope: approving what was installed; starting it. An operator's act:
//! nothing here runs when a gateway starts.

mod npm;
mod pypi;
mod run;

use crate::secret::SecretString;
use crate::spec::Launch;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where packages come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registry {
    /// npm's.
    Npm,
    /// Python's package index.
    Pypi,
}

/// What to install.
#[derive(Clone, Debug)]
pub struct PackageRef {
    /// Where from.
    pub registry: Registry,
    /// Its name there.
    pub name: String,
    /// The exact version; the newest if there is none.
    pub version: Option<String>,
    /// Which of its programs, where it has several.
    pub bin: Option<String>,
    /// Further requirements (`mcp<2`), for Python packages that need to be held back.
    pub with: Vec<String>,
}

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installed {
    /// Where from.
    pub registry: Registry,
    /// Its name there.
    pub name: String,
    /// Its exact version.
    pub version: String,
    /// Its program's script, relative to [`Installed::dir`].
    pub entry: String,
    /// The interpreter, absolute.
    pub program: PathBuf,
    /// Where all of it is, relative to `dir`: what [`crate::identity::of_package`] looks at.
    tree: String,
    /// What was asked for, so that the same request does nothing.
    requested: String,
    /// Where it was installed; not stored, since it is where the record was found.
    #[serde(skip)]
    pub dir: PathBuf,
}

/// How far an installation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Choosing versions.
    Resolving,
    /// Downloading and unpacking what the lock file names.
    Installing,
    /// Looking at what came.
    Checking,
}

/// Why a package was not installed. What was there before counts as not installed either, but its lock
/// is used the next time the same is asked for.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Not the name, version or requirement of a package.
    #[error("`{0}` is not the name, exact version or requirement of a package")]
    Reference(String),
    /// A tool is missing.
    #[error("{tool} is needed to install this package: {source}")]
    Tool {
        /// Its name.
        tool: &'static str,
        /// Why it cannot be used.
        source: io::Error,
    },
    /// A tool said no.
    #[error("{tool} failed ({status}): {said}")]
    Failed {
        /// Its name.
        tool: &'static str,
        /// How it ended.
        status: String,
        /// The end of what it said.
        said: String,
    },
    /// The registry's answer lacks what pins a version.
    #[error("`{0}` has no digest in the registry's answer, so it cannot be pinned")]
    NotPinned(String),
    /// No single program to start.
    #[error("the package has no program {wanted}; it has: {found}")]
    Program {
        /// What was looked for.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// A file that the tool should have written is not what it should be.
    #[error("cannot understand `{}`: {why}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The directory cannot be used.
    #[error("cannot use `{}`: {source}", path.display())]
    Dir {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

const RECORD: &str = "installed.json";
const UNFINISHED: &str = "installed.json.old";

/// Installs `package` into `dir`, which is this package's own. Nothing is done if the same request is
/// installed there; if a lock of it is there without the files, exactly that is installed. No code
/// of the package or its dependencies runs: install scripts are off, and Python packages come built.
///
/// # Errors
///
/// [`InstallError`].
pub async fn install(
    package: &PackageRef,
    dir: &Path,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Installed, InstallError> {
    check(package)?;
    let requested = package.requested();
    if let Ok(installed) = Installed::load(dir)
        && installed.requested == requested
        && installed.is_complete()
    {
        return Ok(installed);
    }
    let dir = std::path::absolute(dir).map_err(|source| InstallError::Dir { path: dir.to_owned(), source })?;
    let at = |source| InstallError::Dir { path: dir.clone(), source };
    fs::create_dir_all(&dir).map_err(at)?;
    // Until the record is written again, what is there counts as not installed; only its lock counts.
    if dir.join(RECORD).exists() {
        fs::rename(dir.join(RECORD), dir.join(UNFINISHED)).map_err(at)?;
    }
    let known = read_record(&dir.join(UNFINISHED)).ok().filter(|r| r.requested == requested);
    let mut installed = match package.registry {
        Registry::Npm => npm::install(package, &dir, known.is_some(), &mut progress).await?,
        Registry::Pypi => pypi::install(package, &dir, known.is_some(), &mut progress).await?,
    };
    installed.requested = requested;
    installed.dir.clone_from(&dir);
    let text = serde_json::to_vec_pretty(&installed)
        .map_err(|e| InstallError::Output { path: dir.join(RECORD), why: e.to_string() })?;
    fs::write(dir.join(RECORD), text).map_err(at)?;
    let _ = fs::remove_file(dir.join(UNFINISHED));
    Ok(installed)
}

impl PackageRef {
    fn requested(&self) -> String {
        let (version, bin) = (self.version.as_deref().unwrap_or("*"), self.bin.as_deref().unwrap_or("*"));
        format!("{} {version} {bin} {}", self.name, self.with.join(" "))
    }
}

impl Installed {
    /// What is installed in `dir`. Never installs anything.
    ///
    /// # Errors
    ///
    /// [`InstallError::Output`] if nothing (complete) is.
    pub fn load(dir: &Path) -> Result<Self, InstallError> {
        let dir = std::path::absolute(dir).map_err(|source| InstallError::Dir { path: dir.to_owned(), source })?;
        let installed = read_record(&dir.join(RECORD))?;
        if installed.is_complete() {
            Ok(installed)
        } else {
            Err(InstallError::Output { path: dir, why: "the package is not completely there; install it again".into() })
        }
    }

    /// How to start it with `args`.
    #[must_use]
    pub fn launch(&self, args: &[String], env: Vec<(String, SecretString)>, cwd: Option<PathBuf>) -> Launch {
        // Python would else write compiled files into the tree that was looked at.
        let flags = match self.registry {
            Registry::Npm => &[][..],
            Registry::Pypi => &["-B"],
        };
        let entry = self.dir.join(&self.entry).display().to_string();
        let args = flags.iter().map(ToString::to_string).chain([entry]).chain(args.iter().cloned()).collect();
        Launch::Stdio { program: self.program.clone(), args, env, cwd }
    }

    /// The lock file.
    #[must_use]
    pub fn lock_path(&self) -> PathBuf {
        self.dir.join(match self.registry {
            Registry::Npm => npm::LOCK,
            Registry::Pypi => pypi::LOCK,
        })
    }

    /// The directory whose files are the package and its dependencies.
    #[must_use]
    pub fn tree_path(&self) -> PathBuf {
        self.dir.join(&self.tree)
    }

    fn is_complete(&self) -> bool {
        self.program.exists()
            && self.lock_path().is_file()
            && self.tree_path().is_dir()
            && self.dir.join(&self.entry).is_file()
    }
}

fn read_record(path: &Path) -> Result<Installed, InstallError> {
    let bytes = fs::read(path).map_err(|source| InstallError::Dir { path: path.to_owned(), source })?;
    let mut installed: Installed = serde_json::from_slice(&bytes)
        .map_err(|e| InstallError::Output { path: path.to_owned(), why: e.to_string() })?;
    installed.dir = path.parent().unwrap_or(path).to_owned();
    Ok(installed)
}

/// Refuses what a tool could take for an option, a path or a URL.
fn check(package: &PackageRef) -> Result<(), InstallError> {
    let word = |s: &str, also: &str| {
        s.len() <= 214
            && s.starts_with(|c: char| c.is_ascii_alphanumeric())
            && s.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
    };
    let name = match (package.registry, package.name.strip_prefix('@')) {
        (Registry::Npm, Some(scoped)) => {
            scoped.split_once('/').is_some_and(|(scope, name)| word(scope, "-_.~") && word(name, "-_.~"))
        }
        (Registry::Npm, None) => word(&package.name, "-_.~"),
        (Registry::Pypi, _) => word(&package.name, "-_."),
    };
    let all = [(name, Some(package.name.as_str()))]
        .into_iter()
        .chain(
            package
                .version
                .iter()
                .map(|v| (word(v, ".-+!_") && v.starts_with(|c: char| c.is_ascii_digit()), Some(v.as_str()))),
        )
        .chain(package.bin.iter().map(|b| (word(b, "-_."), Some(b.as_str()))))
        .chain(package.with.iter().map(|w| (word(w, "-_.[],<>=!~ *+"), Some(w.as_str()))));
    for (valid, text) in all {
        if !valid {
            return Err(InstallError::Reference(text.unwrap_or_default().to_owned()));
        }
    }
    Ok(())
}

/// Chooses a program by name: the one asked for, else the one named like the package, else the only one.
fn choose<'a>(programs: &'a [(String, String)], package: &PackageRef) -> Result<&'a (String, String), InstallError> {
    let plain = package.name.rsplit('/').next().unwrap_or_default();
    let named = |name: &str| programs.iter().find(|(found, _)| found == name);
    let chosen = match (&package.bin, programs) {
        (Some(bin), _) => named(bin),
        (None, [only]) => Some(only),
        (None, _) => named(plain),
    };
    chosen.ok_or_else(|| InstallError::Program {
        wanted: format!("`{}`", package.bin.as_deref().unwrap_or(plain)),
        found: programs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(registry: Registry, name: &str) -> PackageRef {
        PackageRef { registry, name: name.into(), version: None, bin: None, with: Vec::new() }
    }

    #[test]
    fn references() {
        for (registry, name, valid) in [
            (Registry::Npm, "@scope/server-files", true),
            (Registry::Npm, "server", true),
            (Registry::Npm, "--registry=http://x", false),
            (Registry::Npm, "../x", false),
            (Registry::Npm, "git+ssh://x", false),
            (Registry::Npm, "@scope/../x", false),
            (Registry::Npm, "a@b", false),
            (Registry::Pypi, "mcp-server-git", true),
            (Registry::Pypi, "-r", false),
            (Registry::Pypi, "x @ https://y", false),
        ] {
            assert_eq!(check(&package(registry, name)).is_ok(), valid, "{name}");
        }
        let with = |with: &str| check(&PackageRef { with: vec![with.into()], ..package(Registry::Pypi, "x") }).is_ok();
        assert!(
            with("mcp<2") && with("mcp[cli]>=1,<2") && !with("--index-url=x") && !with("x @ file:///y") && !with("x;y")
        );
        let version = |v: &str| check(&PackageRef { version: Some(v.into()), ..package(Registry::Npm, "x") }).is_ok();
        assert!(version("1.2.3-rc.1+b") && !version("latest") && !version("^1") && !version("1 || 2"));
    }

    #[test]
    fn programs() {
        let programs = |names: &[&str]| names.iter().map(|n| (n.to_string(), String::new())).collect::<Vec<_>>();
        let npm = package(Registry::Npm, "@scope/tool");
        let pick = |names: &[&str], bin: Option<&str>| {
            let package = PackageRef { bin: bin.map(str::to_owned), ..npm.clone() };
            choose(&programs(names), &package).ok().map(|(name, _)| name.clone())
        };
        assert_eq!(pick(&["other"], None).as_deref(), Some("other"));
        assert_eq!(pick(&["a", "tool"], None).as_deref(), Some("tool"));
        assert_eq!(pick(&["a", "b"], None), None);
        assert_eq!(pick(&["a", "b"], Some("b")).as_deref(), Some("b"));
        assert_eq!(pick(&["a"], Some("b")), None);
        assert_eq!(pick(&[], None), None);
    }

    #[test]
    fn a_record_without_its_files_is_not_installed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Installed::load(dir.path()).is_err());
        let record = r#"{"registry":"npm","name":"x","version":"1.0.0","entry":"node_modules/x/i.js","program":"/bin/sh","tree":"node_modules","requested":"x * * "}"#;
        fs::write(dir.path().join(RECORD), record).unwrap();
        assert!(Installed::load(dir.path()).is_err());
        fs::create_dir_all(dir.path().join("node_modules/x")).unwrap();
        fs::write(dir.path().join("node_modules/x/i.js"), "").unwrap();
        fs::write(dir.path().join(npm::LOCK), "{}").unwrap();
        let installed = Installed::load(dir.path()).unwrap();
        let Launch::Stdio { program, args, .. } = installed.launch(&["a".into()], Vec::new(), None) else { panic!() };
        assert_eq!(program, Path::new("/bin/sh"));
        assert!(args[0].ends_with("node_modules/x/i.js") && Path::new(&args[0]).is_absolute() && args[1] == "a");
    }
}
