//! Packages from Python's package index.

use super::run::{find, run};
use super::{InstallError, Installed, PackageRef, Progress, Registry, choose};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

pub(super) const LOCK: &str = "requirements.lock";
const VENV: &str = "venv";
/// Only to choose versions; what runs later has no installer in it.
const RESOLVER: &str = "resolver";

/// The members of pip's installation report that are needed here.
#[derive(serde::Deserialize)]
struct Report {
    install: Vec<Chosen>,
}

#[derive(serde::Deserialize)]
struct Chosen {
    download_info: Download,
    metadata: Metadata,
}

#[derive(serde::Deserialize)]
struct Metadata {
    name: String,
    version: String,
}

#[derive(serde::Deserialize)]
struct Download {
    archive_info: Option<Archive>,
}

#[derive(serde::Deserialize)]
struct Archive {
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

pub(super) async fn install(
    package: &PackageRef,
    dir: &Path,
    locked: bool,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Installed, InstallError> {
    let python = find("python3")?;
    let at = |source| InstallError::Dir { path: dir.to_owned(), source };
    let lock = dir.join(LOCK);
    for old in [VENV, RESOLVER] {
        if dir.join(old).exists() {
            fs::remove_dir_all(dir.join(old)).map_err(at)?;
        }
    }
    progress(Progress::Resolving);
    run("python3", &python, &["-m", "venv", RESOLVER], dir).await?;
    let pip = python_of(&dir.join(RESOLVER));
    if !(locked && lock.is_file()) {
        let wanted = match &package.version {
            Some(version) => format!("{}=={version}", package.name),
            None => package.name.clone(),
        };
        // Built packages only: building one runs its code.
        let mut args = vec![
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--ignore-installed",
            "--only-binary=:all:",
            "--no-input",
            "--quiet",
            "--report",
            "report.json",
            &wanted,
        ];
        args.extend(package.with.iter().map(String::as_str));
        run("pip", &pip, &args, dir).await?;
        let path = dir.join("report.json");
        let report = fs::read(&path).map_err(at)?;
        let report: Report = serde_json::from_slice(&report)
            .map_err(|e| InstallError::Output { path: path.clone(), why: e.to_string() })?;
        fs::write(&lock, lock_of(&report)?).map_err(at)?;
        let _ = fs::remove_file(path);
    }
    progress(Progress::Installing);
    run("python3", &python, &["-m", "venv", "--without-pip", VENV], dir).await?;
    let program = python_of(&dir.join(VENV));
    let shown = program.display().to_string();
    let args = [
        "-m",
        "pip",
        "--python",
        &shown,
        "install",
        "--require-hashes",
        "--no-deps",
        "--only-binary=:all:",
        "--no-input",
        "--no-compile",
        "--quiet",
        "-r",
        LOCK,
    ];
    run("pip", &pip, &args, dir).await?;
    progress(Progress::Checking);
    let tree = site_packages(dir)?;
    // Compiled files that say which source they are of, not when it was written: the same wherever they
    // are made, and read, never trusted over the source.
    let compile = ["-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "-s", &tree, &tree];
    // A file that does not compile is one for another Python; it fails when it is imported, not here.
    let _ = run("python3", &program, &compile, dir).await;
    let (version, programs) = metadata(&dir.join(&tree), &package.name)?;
    let (name, _) = choose(&programs, package)?;
    fs::remove_dir_all(dir.join(RESOLVER)).map_err(at)?;
    Ok(Installed {
        registry: Registry::Pypi,
        name: package.name.clone(),
        version,
        entry: format!("{VENV}/{BIN}/{name}{SUFFIX}"),
        program,
        tree,
        requested: String::new(),
        dir: dir.to_owned(),
    })
}

#[cfg(not(windows))]
const BIN: &str = "bin";
#[cfg(windows)]
const BIN: &str = "Scripts";
#[cfg(not(windows))]
const SUFFIX: &str = "";
#[cfg(windows)]
const SUFFIX: &str = "-script.py";

fn python_of(venv: &Path) -> PathBuf {
    venv.join(BIN).join(if cfg!(windows) { "python.exe" } else { "python" })
}

/// Where the packages are, relative to `dir`.
fn site_packages(dir: &Path) -> Result<String, InstallError> {
    let lib = dir.join(VENV).join("lib");
    let found = fs::read_dir(&lib).ok().into_iter().flatten().flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        entry.path().join("site-packages").is_dir().then(|| format!("{VENV}/lib/{name}/site-packages"))
    });
    found
        .or_else(|| dir.join(VENV).join("Lib/site-packages").is_dir().then(|| format!("{VENV}/Lib/site-packages")))
        .ok_or_else(|| InstallError::Output { path: lib, why: "no site-packages".into() })
}

/// The lock: every package with its exact version and the digest of its file.
fn lock_of(report: &Report) -> Result<String, InstallError> {
    let mut lines = BTreeMap::new();
    for Chosen { download_info, metadata } in &report.install {
        let pinned = || InstallError::NotPinned(metadata.name.clone());
        // They become part of a line that pip reads, where a line break would start an option.
        let word = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+!".contains(&b));
        if !word(&metadata.name) || !word(&metadata.version) || metadata.name.starts_with('-') {
            return Err(pinned());
        }
        let sha256 = download_info.archive_info.as_ref().and_then(|a| a.hashes.get("sha256")).ok_or_else(pinned)?;
        if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(pinned());
        }
        lines.insert(&metadata.name, (&metadata.version, sha256));
    }
    let mut out = String::new();
    for (name, (version, sha256)) in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name}=={version} --hash=sha256:{sha256}");
    }
    Ok(out)
}

/// The installed version of `name`, and its console scripts.
fn metadata(tree: &Path, name: &str) -> Result<(String, Vec<(String, String)>), InstallError> {
    let missing = || InstallError::Output { path: tree.to_owned(), why: format!("`{name}` is not in it") };
    let entries = fs::read_dir(tree).map_err(|source| InstallError::Dir { path: tree.to_owned(), source })?;
    let (version, info) = entries
        .flatten()
        .find_map(|entry| {
            let file = entry.file_name().into_string().ok()?;
            let (found, version) = file.strip_suffix(".dist-info")?.split_once('-')?;
            (normal(found) == normal(name)).then(|| (version.to_owned(), entry.path()))
        })
        .ok_or_else(missing)?;
    let text = fs::read_to_string(info.join("entry_points.txt")).unwrap_or_default();
    Ok((version, console_scripts(&text)))
}

fn console_scripts(text: &str) -> Vec<(String, String)> {
    let mut scripts = Vec::new();
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[console_scripts]";
        } else if let (true, Some((name, target))) = (inside, line.split_once('=')) {
            let name = name.trim();
            // It becomes part of a path.
            if !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                && !name.starts_with('.')
            {
                scripts.push((name.to_owned(), target.trim().to_owned()));
            }
        }
    }
    scripts
}

/// PEP 503: case and the kind of separator do not matter.
fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_names_every_file() {
        let hash = "a".repeat(64);
        let report = |hash: &str| -> Report {
            serde_json::from_str(&format!(
                r#"{{"version":"1","install":[
                {{"download_info":{{"url":"u","archive_info":{{"hashes":{{"sha256":"{hash}"}}}}}},"metadata":{{"name":"b","version":"2.0"}}}},
                {{"download_info":{{"url":"u","archive_info":{{"hashes":{{"sha256":"{hash}"}}}}}},"metadata":{{"name":"a","version":"1.0"}}}}]}}"#
            ))
            .unwrap()
        };
        assert_eq!(
            lock_of(&report(&hash)).unwrap(),
            format!("a==1.0 --hash=sha256:{hash}\nb==2.0 --hash=sha256:{hash}\n")
        );
        assert!(lock_of(&report("short")).is_err());
        let unpinned: Report = serde_json::from_str(
            r#"{"install":[{"download_info":{"url":"git"},"metadata":{"name":"a","version":"1"}}]}"#,
        )
        .unwrap();
        assert!(matches!(lock_of(&unpinned), Err(InstallError::NotPinned(_))));
        let mut crafted = report(&hash);
        crafted.install[0].metadata.version = "1.0\n--index-url=http://x".into();
        assert!(lock_of(&crafted).is_err());
    }

    #[test]
    fn scripts_of_a_package() {
        let text = "[gui_scripts]\nx = a:b\n[console_scripts]\nmcp-server-x = m:main\n../evil = m:f\nother=m:g\n[z]\ny = c:d\n";
        let names: Vec<String> = console_scripts(text).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["mcp-server-x", "other"]);
        assert_eq!(normal("Mcp_Server.Git"), normal("mcp-server-git"));
    }
}
