//! Purity: what judges and proves does no input or output, so no crate that does may be linked into it, however indirectly.
//!
//! `cargo tree` for one crate at a time, since features of the whole workspace together would tell of dependencies that the
//! crate by itself does not have.

use crate::{Failure, tree};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Sockets, databases, runtimes, TLS: never under a pure crate, at any depth.
const IMPURE: [&str; 22] = [
    "async-std",
    "aws-lc-rs",
    "aws-lc-sys",
    "h2",
    "hyper",
    "hyper-util",
    "libsqlite3-sys",
    "mio",
    "native-tls",
    "postgres",
    "quinn",
    "reqwest",
    "ring",
    "rusqlite",
    "rustls",
    "smol",
    "socket2",
    "sqlx",
    "tokio",
    "tokio-postgres",
    "tokio-rustls",
    "ureq",
];

/// Clock, files and randomness: a pure crate may not use these itself. Below it they cannot be forbidden: hash tables of
/// others seed themselves.
const IMPURE_DIRECTLY: [&str; 7] = ["chrono", "getrandom", "jiff", "rand", "rustix", "tempfile", "time"];

/// A second TLS or cryptographic stack beside rustls with aws-lc.
const FOREIGN_TLS: [&str; 5] = ["boring-sys", "native-tls", "openssl", "openssl-sys", "ring"];

/// Of these there is one in the product: with two, one goes unpatched, or types do not meet.
const ONCE: [&str; 6] = ["aws-lc-sys", "hyper", "libsqlite3-sys", "rustls", "serde", "tokio"];

/// Checks the workspace.
pub(crate) fn run() -> Result<Vec<String>, Failure> {
    let root = tree::root()?;
    let mut complaints = Vec::new();
    for folder in pure_crates(&root)? {
        let manifest = folder.join("Cargo.toml");
        let manifest = manifest.to_str().ok_or("a path is not UTF-8")?;
        let listing = |depth: &str| {
            let arguments = [
                "tree",
                "--offline",
                "--manifest-path",
                manifest,
                "--edges",
                "normal",
                "--prefix",
                "none",
                "--format",
                "{p}",
                "--depth",
                depth,
            ];
            tree::cargo(&root, &arguments)
        };
        complaints.extend(impure(&listing("99")?, &IMPURE, "links"));
        complaints.extend(impure(&listing("1")?, &IMPURE_DIRECTLY, "uses"));
    }
    let product = tree::cargo(
        &root,
        &[
            "tree",
            "--offline",
            "--package",
            "interlock",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ],
    )?;
    complaints.extend(impure(&product, &FOREIGN_TLS, "brings in"));
    complaints.extend(repeated(&product, &ONCE));
    Ok(complaints)
}

/// The folders of model, proof, domain and engine crates.
fn pure_crates(root: &Path) -> Result<Vec<std::path::PathBuf>, Failure> {
    let mut folders = vec![root.join("crates/model"), root.join("crates/engine")];
    for floor in ["crates/proof", "crates/domain"] {
        for entry in fs::read_dir(root.join(floor))? {
            let folder = entry?.path();
            if folder.join("Cargo.toml").is_file() {
                folders.push(folder);
            }
        }
    }
    folders.sort();
    Ok(folders)
}

/// Name and version of each line of `cargo tree --prefix none --format {p}`: `name vVERSION (where)`.
fn packages(listing: &str) -> impl Iterator<Item = (&str, &str)> {
    listing.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next()?))
    })
}

/// Which of `names` the first package of the listing has below it.
fn impure(listing: &str, names: &[&str], verb: &str) -> Vec<String> {
    let root = packages(listing).next().map_or("?", |(name, _)| name);
    let found: BTreeSet<&str> =
        packages(listing).skip(1).map(|(name, _)| name).filter(|name| names.contains(name)).collect();
    found.into_iter().map(|name| format!("`{root}` {verb} `{name}` (see `cargo tree -p {root} -i {name}`)")).collect()
}

/// Which of `names` are there in more than one version.
fn repeated(listing: &str, names: &[&str]) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, version) in packages(listing).filter(|(name, _)| names.contains(name)) {
        versions.entry(name).or_default().insert(version);
    }
    versions
        .into_iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, versions)| {
            format!(
                "`{name}` is there {} times: {}",
                versions.len(),
                versions.into_iter().collect::<Vec<_>>().join(", ")
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "interlock-mcp v0.1.0 (/w/crates/domain/mcp)\nbytes v1.11.0\nserde v1.0.1\ntokio v1.54.1\ntokio v1.54.1 (*)\nserde v2.0.0 (*)\n";

    #[test]
    fn an_impure_dependency_is_named_once_and_the_crate_itself_is_not() {
        let found = impure(LISTING, &["tokio", "interlock-mcp"], "links");
        assert_eq!(found, ["`interlock-mcp` links `tokio` (see `cargo tree -p interlock-mcp -i tokio`)"]);
        assert!(impure(LISTING, &["hyper", "byte"], "links").is_empty(), "names are compared whole");
    }

    #[test]
    fn a_second_version_is_named_and_a_repeated_line_is_not() {
        assert_eq!(repeated(LISTING, &["serde", "tokio"]), ["`serde` is there 2 times: v1.0.1, v2.0.0"]);
    }
}
