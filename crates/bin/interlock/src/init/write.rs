//! Writing what `init` decided: nothing is replaced unless that was asked for, and then a backup stays.

use super::{InitError, plan::Plan};
use crate::{
    config::{Config, FILE_NAME, SECRETS_FILE, Secrets, render_server},
    private_file,
};
use interlock_catalog::Lock;
use interlock_model::UnixMillis;
use interlock_policy::{MANIFEST, Preset, preset_files, write_manifest};
use interlock_signature::Signer;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// The data directory's usual name.
pub const DATA_DIR: &str = ".interlock";
const POLICY_DIR: &str = "policy";
const CATALOG_FILE: &str = "catalog.lock.json";

/// What was written where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The files and directories.
    pub files: Vec<PathBuf>,
    /// What was there before, and what it is called now.
    pub backups: Vec<(PathBuf, PathBuf)>,
}

/// What in `dir` would be replaced.
#[must_use]
pub fn existing(dir: &Path) -> Vec<PathBuf> {
    let not_empty = |p: &Path| fs::read_dir(p).is_ok_and(|mut entries| entries.next().is_some());
    [FILE_NAME, POLICY_DIR, CATALOG_FILE]
        .iter()
        .map(|name| dir.join(name))
        .filter(|path| path.exists() && (!path.is_dir() || not_empty(path)))
        .collect()
}

/// Writes the secrets, the bundle, the catalog and last the configuration, which says that all is there.
/// A crash before that leaves files that the next `init --force` backs up like any others.
///
/// # Errors
///
/// [`InitError`].
pub fn write(
    plan: &Plan,
    dir: &Path,
    policy: Preset,
    signer: &dyn Signer,
    force: bool,
    now: UnixMillis,
) -> Result<Written, InitError> {
    let there = existing(dir);
    if !there.is_empty() && !force {
        return Err(InitError::Exists(there));
    }
    let text = configuration(plan);
    let file = dir.join(FILE_NAME);
    // What `init` writes, `run` must read: better to fail here than there.
    Config::parse(&text, &file).map_err(|e| InitError::Unsound(e.to_string()))?;

    let mut written = Written::default();
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| InitError::Io { path, source }
    };
    let data_dir = dir.join(DATA_DIR);
    private_file::create_dir(&data_dir).map_err(io(&data_dir))?;
    let ignore = data_dir.join(".gitignore");
    if !ignore.exists() {
        private_file::replace(&ignore, b"*\n").map_err(io(&ignore))?;
    }
    let secrets_file = data_dir.join(SECRETS_FILE);
    let mut secrets = Secrets::load(&secrets_file)?;
    for (name, moved) in plan.secrets() {
        if let Some(value) = &moved.value {
            secrets.set(name.clone(), value.clone());
        }
    }
    if !secrets.is_empty() {
        secrets.save(&secrets_file)?;
        written.files.push(secrets_file);
    }

    // Serial and version go on from what was there: the store refuses to go back.
    let serial = fs::read(dir.join(CATALOG_FILE)).ok().and_then(|b| Lock::parse(&b).ok()).map_or(1, |l| l.serial + 1);
    let version =
        fs::read(dir.join(POLICY_DIR).join(MANIFEST)).ok().and_then(|b| manifest_version(&b)).map_or(1, |v| v + 1);
    for path in there {
        let backup = backup_of(&path, now);
        fs::rename(&path, &backup).map_err(io(&path))?;
        written.backups.push((path, backup));
    }

    let policy_dir = dir.join(POLICY_DIR);
    for (name, bytes) in bundle(policy, signer, version) {
        let path = policy_dir.join(name);
        let parent = path.parent().unwrap_or(&policy_dir);
        fs::create_dir_all(parent).map_err(io(parent))?;
        private_file::replace_public(&path, &bytes).map_err(io(&path))?;
    }
    written.files.push(policy_dir);

    let catalog_file = dir.join(CATALOG_FILE);
    let catalog = Lock { serial, servers: BTreeMap::new(), signature: None }.sign(signer);
    private_file::replace_public(&catalog_file, catalog.to_text().as_bytes()).map_err(io(&catalog_file))?;
    written.files.push(catalog_file);

    private_file::replace_public(&file, text.as_bytes()).map_err(io(&file))?;
    written.files.push(file);
    Ok(written)
}

/// The preset's files, its manifest signed.
fn bundle(preset: Preset, signer: &dyn Signer, version: u64) -> BTreeMap<String, Vec<u8>> {
    let mut files = preset_files(preset, Some(signer));
    if version > 1 {
        files.remove(MANIFEST);
        let manifest = write_manifest(&files, version, Some(signer));
        files.insert(MANIFEST.to_owned(), manifest);
    }
    files
}

fn manifest_version(bytes: &[u8]) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(bytes).ok()?.get("version")?.as_u64()
}

/// `interlock.toml.20261120T094538Z.bak`, beside it.
pub(super) fn backup_of(path: &Path, now: UnixMillis) -> PathBuf {
    let stamp: String = now.to_rfc3339().chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let backup = |n: usize| {
        let number = if n == 0 { String::new() } else { format!("-{n}") };
        path.with_file_name(format!("{name}.{stamp}Z{number}.bak"))
    };
    (0..1000).map(backup).find(|p| !p.exists()).unwrap_or_else(|| backup(1000))
}

fn configuration(plan: &Plan) -> String {
    let mut text = String::from(
        "# Interlock's configuration, written by `interlock init`. What is not said here has its default;\n\
         # docs/interlock.toml explains every key.\n\
         version = 1\n\
         mode = \"enforcing\"\n\
         environment = \"dev\"\n",
    );
    for planned in &plan.servers {
        text.push('\n');
        for note in &planned.notes {
            text.push_str("# ");
            text.push_str(&crate::term::clean(note));
            text.push('\n');
        }
        text.push_str(&render_server(&planned.server));
    }
    text
}
