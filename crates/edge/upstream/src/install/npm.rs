//! Packages from npm.

use super::run::{find, run};
use super::{InstallError, Installed, PackageRef, Progress, Registry, choose};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path};

pub(super) const LOCK: &str = "package-lock.json";

/// Nothing of the packages runs; nothing but them is fetched; the lock names no registry, so that it
/// holds wherever the packages come from.
const FLAGS: [&str; 5] =
    ["--ignore-scripts", "--no-audit", "--no-fund", "--omit-lockfile-registry-resolved=true", "--loglevel=error"];

/// The members of `package.json` that are needed here.
#[derive(serde::Deserialize)]
struct Manifest {
    version: String,
    #[serde(default)]
    bin: Option<Bin>,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Bin {
    One(String),
    Many(BTreeMap<String, String>),
}

/// The members of `package-lock.json` that are needed here.
#[derive(serde::Deserialize)]
struct Lock {
    packages: BTreeMap<String, Locked>,
}

#[derive(serde::Deserialize)]
struct Locked {
    integrity: Option<String>,
    #[serde(default, rename = "inBundle")]
    in_bundle: bool,
}

pub(super) async fn install(
    package: &PackageRef,
    dir: &Path,
    locked: bool,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Installed, InstallError> {
    let (npm, node) = (find("npm")?, find("node")?);
    let lock = dir.join(LOCK);
    let at = |source| InstallError::Dir { path: dir.to_owned(), source };
    if !(locked && lock.is_file()) {
        progress(Progress::Resolving);
        for old in [&lock, &dir.join("package.json")] {
            let _ = fs::remove_file(old);
        }
        fs::write(dir.join("package.json"), "{\"private\":true}\n").map_err(at)?;
        let wanted = format!("{}@{}", package.name, package.version.as_deref().unwrap_or("latest"));
        let args: Vec<&str> =
            ["install", "--package-lock-only", "--save-exact"].into_iter().chain(FLAGS).chain([&*wanted]).collect();
        run("npm", &npm, &args, dir).await?;
    }
    check_lock(&lock)?;
    progress(Progress::Installing);
    let args: Vec<&str> = ["ci"].into_iter().chain(FLAGS).collect();
    run("npm", &npm, &args, dir).await?;
    progress(Progress::Checking);
    let root = format!("node_modules/{}", package.name);
    let manifest: Manifest = read(&dir.join(&root).join("package.json"))?;
    let programs: Vec<(String, String)> = match manifest.bin {
        None => Vec::new(),
        Some(Bin::One(path)) => vec![(package.name.rsplit('/').next().unwrap_or_default().to_owned(), path)],
        Some(Bin::Many(all)) => all.into_iter().collect(),
    };
    let (_, path) = choose(&programs, package)?;
    let path = path.trim_start_matches("./");
    // The package wrote this path: it stays inside of it.
    if !Path::new(path).components().all(|c| matches!(c, Component::Normal(_))) {
        return Err(InstallError::Output { path: dir.join(&root), why: format!("its program is at `{path}`") });
    }
    let entry = format!("{root}/{path}");
    Ok(Installed {
        registry: Registry::Npm,
        name: package.name.clone(),
        version: manifest.version,
        entry,
        program: node,
        tree: "node_modules".into(),
        requested: String::new(),
        dir: dir.to_owned(),
    })
}

/// Everything that will be unpacked has to have a digest; what is bundled in a package is covered by its.
fn check_lock(path: &Path) -> Result<(), InstallError> {
    let lock: Lock = read(path)?;
    for (name, locked) in &lock.packages {
        let strong = locked.integrity.as_deref().is_some_and(|i| i.starts_with("sha512-") || i.starts_with("sha256-"));
        if !name.is_empty() && !locked.in_bundle && !strong {
            return Err(InstallError::NotPinned(name.clone()));
        }
    }
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, InstallError> {
    let output = |why: String| InstallError::Output { path: path.to_owned(), why };
    let bytes = fs::read(path).map_err(|e| output(e.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|e| output(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_locked_package_has_a_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOCK);
        for (packages, pinned) in [
            (r#"{"":{"name":"x"},"node_modules/a":{"integrity":"sha512-AA=="}}"#, true),
            (
                r#"{"node_modules/a":{"integrity":"sha512-AA=="},"node_modules/a/node_modules/b":{"inBundle":true}}"#,
                true,
            ),
            (r#"{"node_modules/a":{"integrity":"sha1-AA=="}}"#, false),
            (r#"{"node_modules/a":{"resolved":"git+ssh://x"}}"#, false),
            (r#"{"node_modules/a":{"link":true}}"#, false),
        ] {
            fs::write(&path, format!("{{\"packages\":{packages}}}")).unwrap();
            assert_eq!(check_lock(&path).is_ok(), pinned, "{packages}");
        }
    }
}
