//! The floors: a crate uses those below it and none above, and on its own floor only those listed before it.
//!
//! A crate's floor is the folder it stands in. Cycles need no check here: cargo refuses them, save through development
//! dependencies, which may only lead down or to the testkit.

use crate::{Failure, tree};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// From the lowest to the highest, with the order among neighbours: a crate may use a neighbour that stands before it here. A
/// crate that is not named here may use those that are, and no other.
const FLOORS: [(&str, &[&str]); 6] = [
    ("model", &[]),
    ("proof", &["signature", "ledger", "attest", "provenance", "claim", "verifier"]),
    ("domain", &["mcp", "catalog", "identity", "policy", "inspect", "flow", "approval", "release"]),
    ("engine", &[]),
    ("edge", &["platform"]),
    ("bin", &[]),
];

/// For tests: it stands on everything up to the engine, and only tests stand on it.
const TESTKIT: &str = "testkit";

/// What `cargo metadata --no-deps` says, as far as it is needed here.
#[derive(Debug, Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `None` for a normal one, else `dev` or `build`.
    kind: Option<String>,
    /// Where it is, if it is one of ours.
    path: Option<PathBuf>,
}

/// Where a crate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place<'a> {
    /// On a floor, by its height, with the crate's folder.
    Floor(usize, &'a str),
    Testkit,
    /// Beside the building: benchmarks and these checks.
    Beside,
}

/// Checks the workspace.
pub(crate) fn run() -> Result<Vec<String>, Failure> {
    let metadata = tree::cargo(&tree::root()?, &["metadata", "--format-version", "1", "--no-deps", "--offline"])?;
    check(&metadata)
}

fn check(metadata: &str) -> Result<Vec<String>, Failure> {
    let metadata: Metadata = serde_json::from_str(metadata)?;
    let mut complaints = Vec::new();
    for package in &metadata.packages {
        let folder = package.manifest_path.parent().unwrap_or(&package.manifest_path);
        let Some(place) = place(&metadata.workspace_root, folder) else {
            complaints.push(format!("`{}` stands on no floor that is known here", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let Some(used) = &dependency.path else { continue };
            let Some(used) = self::place(&metadata.workspace_root, used) else { continue };
            if let Some(why) = forbidden(place, used, dependency.kind.as_deref()) {
                complaints.push(format!("`{}` uses `{}`: {why}", package.name, dependency.name));
            }
        }
    }
    Ok(complaints)
}

fn place<'a>(root: &Path, folder: &'a Path) -> Option<Place<'a>> {
    let mut parts = folder.strip_prefix(root).ok()?.iter().filter_map(|part| part.to_str());
    match parts.next()? {
        "crates" => {}
        "bench" | "xtask" => return Some(Place::Beside),
        _ => return None,
    }
    let floor = parts.next()?;
    if floor == TESTKIT {
        return Some(Place::Testkit);
    }
    let height = FLOORS.iter().position(|(name, _)| *name == floor)?;
    Some(Place::Floor(height, parts.next().unwrap_or(floor)))
}

/// Why this dependency may not be.
fn forbidden(user: Place<'_>, used: Place<'_>, kind: Option<&str>) -> Option<String> {
    let engine = FLOORS.iter().position(|(name, _)| *name == "engine").unwrap_or(FLOORS.len());
    let name = |height: usize| FLOORS.get(height).map_or("?", |(name, _)| name);
    match (user, used) {
        (_, Place::Testkit) if kind == Some("dev") => None,
        (_, Place::Testkit) => Some("the testkit is for tests only".to_owned()),
        (_, Place::Beside) => Some("nothing stands on benchmarks or checks".to_owned()),
        (Place::Beside, Place::Floor(..)) => None,
        (Place::Testkit, Place::Floor(height, _)) => {
            (height > engine).then(|| format!("the testkit stands on nothing above `{}`", name(engine)))
        }
        (Place::Floor(upper, _), Place::Floor(lower, _)) if upper > lower => None,
        (Place::Floor(lower, _), Place::Floor(upper, _)) if lower < upper => {
            Some(format!("floor `{}` is above `{}`", name(upper), name(lower)))
        }
        // A crate may switch features of itself on for its own tests.
        (Place::Floor(_, user), Place::Floor(_, used)) if user == used && kind == Some("dev") => None,
        (Place::Floor(height, user), Place::Floor(_, used)) => {
            let order = FLOORS.get(height).map_or(&[][..], |(_, order)| order);
            let at = |folder: &str| order.iter().position(|name| *name == folder);
            let before = at(used).is_some_and(|used| at(user).is_none_or(|user| used < user));
            (!before).then(|| format!("`{used}` does not stand before `{user}` on floor `{}`", name(height)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The complaints about one crate that uses another.
    fn complaints(user: &str, used: &str, kind: Option<&str>) -> Vec<String> {
        let metadata = serde_json::json!({
            "workspace_root": "/w",
            "packages": [{
                "name": "user",
                "manifest_path": format!("/w/{user}/Cargo.toml"),
                "dependencies": [
                    { "name": "used", "kind": kind, "path": format!("/w/{used}") },
                    { "name": "foreign", "kind": null },
                ],
            }],
        });
        check(&metadata.to_string()).unwrap()
    }

    #[test]
    fn floors_stand_on_those_below_only() {
        for (user, used, kind, allowed) in [
            ("crates/engine", "crates/domain/mcp", None, true),
            ("crates/domain/approval", "crates/proof/ledger", None, true),
            ("crates/proof/ledger", "crates/model", None, true),
            ("crates/bin/interlock", "crates/edge/store", None, true),
            // Upwards, also in tests.
            ("crates/model", "crates/proof/ledger", None, false),
            ("crates/proof/ledger", "crates/domain/mcp", Some("dev"), false),
            ("crates/domain/policy", "crates/engine", None, false),
            ("crates/engine", "crates/edge/store", None, false),
            // Neighbours, in their order.
            ("crates/domain/policy", "crates/domain/catalog", None, true),
            ("crates/domain/catalog", "crates/domain/policy", None, false),
            ("crates/proof/claim", "crates/proof/ledger", None, true),
            ("crates/proof/ledger", "crates/proof/verifier", None, false),
            ("crates/edge/upstream", "crates/edge/platform", None, true),
            ("crates/edge/upstream", "crates/edge/store", None, false),
            ("crates/proof/ledger", "crates/proof/ledger", Some("dev"), true),
            // What is for tests.
            ("crates/engine", "crates/testkit", Some("dev"), true),
            ("crates/engine", "crates/testkit", None, false),
            ("crates/testkit", "crates/engine", None, true),
            ("crates/testkit", "crates/edge/store", None, false),
            // What stands beside.
            ("bench", "crates/model", None, true),
            ("crates/engine", "bench", None, false),
        ] {
            let found = complaints(user, used, kind);
            assert_eq!(found.is_empty(), allowed, "{user} -> {used} ({kind:?}): {found:?}");
        }
    }

    #[test]
    fn a_crate_on_an_unknown_floor_is_named() {
        assert_eq!(
            complaints("crates/attic/x", "crates/model", None),
            ["`user` stands on no floor that is known here"]
        );
    }
}
