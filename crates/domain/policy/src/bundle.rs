//! A policy bundle: the files of a directory, checked as a whole.
//!
//! In scope: which files belong, the manifest and its signature, policies one by one, the bundle's own
//! tests. Out of scope: reading a directory (edges), validating against tools ([`crate::PolicySnapshot`]).
//!
//! `manifest.json` pins every file but itself and `schema.cedarschema`; the schema follows from the
//! catalog and is written out for editors only.

use crate::cases::{self, Case};
use crate::diagnostic::{Diagnostic, InvalidBundle, Place};
use crate::policy::Policy;
use crate::text::{self, TextLimits};
use interlock_model::{Digest, json::canonical};
use interlock_signature::{PublicKey, Purpose, Signature, Signer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// The files of a bundle: path relative to its directory, with `/`, and contents.
pub type BundleFiles = BTreeMap<String, Vec<u8>>;

/// The manifest's name.
pub const MANIFEST: &str = "manifest.json";
/// The generated schema's name.
pub const SCHEMA: &str = "schema.cedarschema";

/// A bundle whose files are what its manifest says and whose policies are well formed.
#[derive(Debug)]
pub struct Bundle {
    version: u64,
    digest: Digest,
    signed_by: Option<PublicKey>,
    policies: Vec<Arc<Policy>>,
    cases: Vec<Case>,
    schema: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    files: BTreeMap<String, Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<ManifestSignature>,
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestSignature {
    key: PublicKey,
    signature: Signature,
}

impl Manifest {
    /// What is signed and what the bundle's digest is of: the manifest without its signature.
    fn unsigned(files: &BTreeMap<String, Digest>, version: u64) -> Vec<u8> {
        #[derive(Serialize)]
        struct Unsigned<'a> {
            files: &'a BTreeMap<String, Digest>,
            version: u64,
        }
        // Strings and an integer: serialising them cannot fail.
        canonical::ordered(&Unsigned { files, version }).unwrap_or_default()
    }
}

/// The manifest for these files, signed if there is a signer. Versions must rise from one to the next.
#[must_use]
pub fn write_manifest(files: &BundleFiles, version: u64, signer: Option<&dyn Signer>) -> Vec<u8> {
    let files: BTreeMap<String, Digest> = files
        .iter()
        .filter(|(name, _)| is_pinned(name))
        .map(|(name, bytes)| (name.clone(), Digest::of(bytes)))
        .collect();
    let unsigned = Manifest::unsigned(&files, version);
    let signature = signer.map(|signer| ManifestSignature {
        key: signer.public_key(),
        signature: signer.sign(Purpose::PolicyBundle, &unsigned),
    });
    let mut out = serde_json::to_vec_pretty(&Manifest { files, signature, version }).unwrap_or_default();
    out.push(b'\n');
    out
}

fn is_pinned(name: &str) -> bool {
    name != MANIFEST && name != SCHEMA
}

impl Bundle {
    /// Checks the files of a bundle.
    ///
    /// Cedar's parser recurses with its input. It therefore runs on a thread with a 64 MiB stack, after
    /// the text has passed [`TextLimits`].
    ///
    /// # Errors
    ///
    /// [`InvalidBundle`] with every fault found.
    pub fn parse(files: &BundleFiles) -> Result<Self, InvalidBundle> {
        on_large_stack(|| Reader::default().read(files))
    }

    /// The bundle behind one text: each file is a line `== name`, then its contents; the manifest is
    /// made up. For fuzzing and for pipes.
    ///
    /// # Errors
    ///
    /// As [`Bundle::parse`].
    pub fn parse_text(bytes: &[u8]) -> Result<Self, InvalidBundle> {
        let mut files = BundleFiles::new();
        let mut name = "main.cedar".to_owned();
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            match line.strip_prefix(b"== ").and_then(|rest| std::str::from_utf8(rest).ok()) {
                Some(title) => name = title.trim().to_owned(),
                None => files.entry(name.clone()).or_default().extend_from_slice(line),
            }
        }
        if !files.contains_key(MANIFEST) {
            let manifest = write_manifest(&files, 1, None);
            files.insert(MANIFEST.to_owned(), manifest);
        }
        Self::parse(&files)
    }

    /// Its version; a bundle of a lower one never replaces it.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// SHA-256 of the canonical manifest without its signature: it covers version and every pinned file.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The key whose signature the manifest bears and which verified; whether that key is trusted is the caller's to say.
    #[must_use]
    pub const fn signed_by(&self) -> Option<PublicKey> {
        self.signed_by
    }

    /// The bundle's own tests.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// `schema.cedarschema` as found, without carriage returns.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    pub(crate) fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }
}

/// Runs what recurses with policy text on a stack that the limits are safe for.
pub(crate) fn on_large_stack<T: Send>(
    run: impl FnOnce() -> Result<T, InvalidBundle> + Send,
) -> Result<T, InvalidBundle> {
    let failed = |what: &str| InvalidBundle(vec![Diagnostic::at(&Place::file(MANIFEST), what, "")]);
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("policy-load".to_owned())
            .stack_size(64 << 20)
            .spawn_scoped(scope, run)
            .map_err(|_| failed("no thread to read the policies on"))?
            .join()
            .map_err(|_| failed("reading the policies failed inside the parser"))?
    })
}

#[derive(Default)]
struct Reader {
    faults: Vec<Diagnostic>,
    policies: Vec<Arc<Policy>>,
    ids: BTreeMap<Arc<str>, Place>,
    cases: Vec<Case>,
    schema: Option<String>,
}

impl Reader {
    fn read(mut self, files: &BundleFiles) -> Result<Bundle, InvalidBundle> {
        let limits = TextLimits::DEFAULT;
        let total: usize = files.values().map(Vec::len).sum();
        if files.len() > limits.files || total > limits.bundle_bytes {
            self.fault(
                MANIFEST,
                format!("the bundle is over {} files or {} bytes", limits.files, limits.bundle_bytes),
                "",
            );
            return Err(InvalidBundle(self.faults));
        }
        let manifest = self.manifest(files);
        for (name, bytes) in files.iter().filter(|(name, _)| *name != MANIFEST) {
            if bytes.len() > limits.file_bytes {
                self.fault(name, format!("over {} bytes", limits.file_bytes), "split the file");
                continue;
            }
            let Ok(source) = std::str::from_utf8(bytes) else {
                self.fault(name, "not UTF-8", "save the file as UTF-8");
                continue;
            };
            let source = source.strip_prefix('\u{feff}').unwrap_or(source);
            match kind(name) {
                Some(Kind::Policies) => self.policies(name, source, &limits),
                Some(Kind::Tests) => match cases::parse(name, source) {
                    Ok(cases) => self.cases.extend(cases),
                    Err(fault) => self.faults.push(fault),
                },
                Some(Kind::Schema) => self.schema = Some(source.replace('\r', "")),
                None => self.fault(
                    name,
                    "not a file of a policy bundle",
                    "a bundle has manifest.json, schema.cedarschema, *.cedar and tests/*.json",
                ),
            }
        }
        match manifest {
            Some((version, digest, signed_by)) if self.faults.is_empty() => Ok(Bundle {
                version,
                digest,
                signed_by,
                policies: self.policies,
                cases: self.cases,
                schema: self.schema,
            }),
            _ => {
                self.faults.sort();
                Err(InvalidBundle(self.faults))
            }
        }
    }

    fn fault(&mut self, file: &str, message: impl Into<String>, help: &str) {
        self.faults.push(Diagnostic::at(&Place::file(file), message, help));
    }

    fn manifest(&mut self, files: &BundleFiles) -> Option<(u64, Digest, Option<PublicKey>)> {
        let Some(bytes) = files.get(MANIFEST) else {
            self.fault(MANIFEST, "there is no manifest", "write one with `interlock policy sign`");
            return None;
        };
        let manifest: Manifest = match serde_json::from_slice(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)) {
            Ok(manifest) => manifest,
            Err(e) => {
                let place = Place { file: MANIFEST.to_owned(), line: e.line().max(1), column: e.column().max(1) };
                self.faults.push(Diagnostic::at(&place, e.to_string(), ""));
                return None;
            }
        };
        for (name, bytes) in files.iter().filter(|(name, _)| is_pinned(name)) {
            match manifest.files.get(name) {
                Some(digest) if *digest == Digest::of(bytes) => {}
                Some(_) => self.fault(
                    name,
                    "the file is not the one that the manifest pins",
                    "review it, then `interlock policy sign`",
                ),
                None => {
                    self.fault(name, "the manifest does not name this file", "review it, then `interlock policy sign`")
                }
            }
        }
        for name in manifest.files.keys().filter(|name| !files.contains_key(*name) || !is_pinned(name)) {
            self.faults.push(Diagnostic::at(
                &Place::file(MANIFEST),
                format!("`{}` is pinned but not there", name.escape_debug()),
                "",
            ));
        }
        let unsigned = Manifest::unsigned(&manifest.files, manifest.version);
        let signed_by =
            manifest.signature.map(|s| (s.key, s.key.verify(Purpose::PolicyBundle, &unsigned, &s.signature)));
        if let Some((_, Err(e))) = &signed_by {
            self.fault(MANIFEST, e.to_string(), "sign again with `interlock policy sign`");
        }
        Some((manifest.version, Digest::of(&unsigned), signed_by.map(|(key, _)| key)))
    }

    fn policies(&mut self, file: &str, source: &str, limits: &TextLimits) {
        let pieces = match text::split(source, limits) {
            Ok(pieces) => pieces,
            Err(e) => {
                let place = Place::new(file, source, e.at);
                self.faults.push(Diagnostic::at(&place, e.fault.to_string(), ""));
                return;
            }
        };
        if self.policies.len() + pieces.len() > limits.policies {
            self.fault(file, format!("the bundle has more than {} policies", limits.policies), "");
            return;
        }
        for piece in pieces {
            let place = Place::new(file, source, piece.at);
            // The index counts those that were read; a bundle with a fault is not used anyway.
            match Policy::parse(piece.text, &place, source, piece.at) {
                Ok(policy) => match self.ids.entry(policy.id.clone()) {
                    Entry::Vacant(free) => {
                        free.insert(place);
                        self.policies.push(Arc::new(policy));
                    }
                    Entry::Occupied(taken) => {
                        let message = format!("the id `{}` is taken by the policy at {}", policy.id, taken.get());
                        self.faults.push(Diagnostic::at(&place, message, "ids are unique in a bundle"));
                    }
                },
                Err(faults) => self.faults.extend(faults),
            }
        }
    }
}

enum Kind {
    Policies,
    Tests,
    Schema,
}

fn kind(name: &str) -> Option<Kind> {
    let plain = |s: &str| {
        !s.is_empty() && !s.starts_with('.') && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if name == SCHEMA {
        return Some(Kind::Schema);
    }
    if let Some(stem) = name.strip_prefix("tests/").and_then(|n| n.strip_suffix(".json")) {
        return plain(stem).then_some(Kind::Tests);
    }
    name.strip_suffix(".cedar").is_some_and(plain).then_some(Kind::Policies)
}
