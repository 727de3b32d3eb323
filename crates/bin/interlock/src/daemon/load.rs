//! Reading what the operator signed: the catalog and the policy bundle. What is not signed by them, does
//! not validate, fails its own tests or is older than what was in force is refused, with the reason.

use interlock_bin::config::{Config, read_text};
use interlock_catalog::{Catalog, Lock};
use interlock_model::Digest;
use interlock_policy::{Bundle, BundleFiles, PolicySnapshot};
use interlock_signature::PublicKey;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Most bytes of a catalog.
const MAX_CATALOG: u64 = 64 << 20;
/// Most bytes of one file of a bundle.
const MAX_POLICY_FILE: u64 = 4 << 20;
/// Most files of a bundle.
const MAX_POLICY_FILES: usize = 512;

/// What was in force before, as the ledger says; nothing older comes into force.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Floors {
    pub(crate) catalog_serial: u64,
    pub(crate) catalog: Option<Digest>,
    pub(crate) policy_version: u64,
    pub(crate) policy: Option<Digest>,
}

/// Why something the operator wrote does not come into force.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotInForce(pub(crate) String);

impl NotInForce {
    fn new(why: impl ToString) -> Self {
        Self(why.to_string())
    }
}

/// The catalog as it stands on disk.
pub(crate) fn catalog(config: &Config, operator: &PublicKey, floors: &Floors) -> Result<Arc<Catalog>, NotInForce> {
    let file = &config.catalog.file;
    let named = |why: &dyn std::fmt::Display| NotInForce(format!("`{}`: {why}", file.display()));
    let text = match read_text(file, MAX_CATALOG) {
        Ok(text) => text,
        Err(interlock_bin::config::TextError::Io(e)) if e.kind() == io::ErrorKind::NotFound => {
            return Err(named(&"there is no catalog yet; `interlock catalog scan` and `approve` make one"));
        }
        Err(e) => return Err(named(&e)),
    };
    let lock = Lock::parse(text.as_bytes()).map_err(|e| named(&e))?;
    let verified = lock.verify(operator).map_err(|e| named(&e))?;
    let catalog = Catalog::from_lock(&verified, floors.catalog_serial).map_err(|e| named(&e))?;
    let same_serial = catalog.serial() == floors.catalog_serial && floors.catalog_serial > 0;
    if same_serial && floors.catalog.is_some_and(|digest| digest != catalog.digest()) {
        return Err(named(&"another catalog with this serial was in force before; approve again to raise the serial"));
    }
    Ok(Arc::new(catalog))
}

/// The bundle as it stands on disk, valid for the catalog's tools, its own tests passing.
pub(crate) fn policy(
    config: &Config,
    operator: &PublicKey,
    catalog: &Catalog,
    floors: &Floors,
) -> Result<Arc<PolicySnapshot>, NotInForce> {
    let files = bundle_files(&config.policy_dir)?;
    let bundle = Bundle::parse(&files).map_err(NotInForce::new)?;
    if bundle.signed_by() != Some(*operator) {
        return Err(NotInForce::new(
            "the policy bundle is not signed by this operator; `interlock policy sign` signs it",
        ));
    }
    if bundle.version() < floors.policy_version {
        let why = format!(
            "the policy bundle is version {}, and version {} was in force before",
            bundle.version(),
            floors.policy_version
        );
        return Err(NotInForce(why));
    }
    if bundle.version() == floors.policy_version && floors.policy.is_some_and(|digest| digest != bundle.digest()) {
        return Err(NotInForce::new(
            "another policy bundle with this version was in force before; `interlock policy sign` raises it",
        ));
    }
    let (snapshot, _) = PolicySnapshot::new(&bundle, catalog.tools()).map_err(NotInForce::new)?;
    let results = bundle.run_cases(catalog.tools()).map_err(NotInForce::new)?;
    let failed: Vec<String> = results
        .iter()
        .filter(|r| !r.passed())
        .map(|r| format!("{}: {}: {}", r.file, r.name, r.differences.join("; ")))
        .collect();
    if failed.is_empty() {
        Ok(Arc::new(snapshot))
    } else {
        Err(NotInForce(format!("the policy bundle's own tests fail: {}", failed.join(" | "))))
    }
}

/// The files of the bundle in `dir`, by relative path with `/`.
pub(crate) fn bundle_files(dir: &Path) -> Result<BundleFiles, NotInForce> {
    let mut files = BundleFiles::new();
    collect(dir, "", &mut files).map_err(|e| NotInForce(format!("`{}`: {e}", dir.display())))?;
    Ok(files)
}

fn collect(dir: &Path, prefix: &str, files: &mut BundleFiles) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        // Editors' leavings are no part of a bundle.
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() && prefix.is_empty() {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() {
            if files.len() >= MAX_POLICY_FILES {
                return Err(io::Error::other(format!("more than {MAX_POLICY_FILES} files")));
            }
            if entry.metadata()?.len() > MAX_POLICY_FILE {
                return Err(io::Error::other(format!("`{path}` is over {MAX_POLICY_FILE} bytes")));
            }
            files.insert(path, std::fs::read(entry.path())?);
        }
    }
    Ok(())
}
