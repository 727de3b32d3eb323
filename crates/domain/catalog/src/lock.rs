//! `catalog.lock.json`: every approved definition, in full, signed by the operator.
//!
//! The file is meant to be reviewed: indented, in a stable order, definitions as JSON and not as digests.
//! Its signature covers the canonical JSON of everything but `signature`, so that white space, line ends
//! and a byte order mark (people edit and check out files on Windows) change nothing.

use crate::{Definition, ServerIdentity, ToolFacts, pretty};
use interlock_model::json::{Json, JsonError, Limits, canonical};
use interlock_model::{Digest, OwnerId, ServerName, ToolName, UnixMillis};
use interlock_signature::{BadSignature, PublicKey, Purpose, Signature, Signer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The lock file as a value: definitions are checked, digests recomputed; the signature is not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Rises with every change; an older file is refused where a newer one was accepted.
    pub serial: u64,
    /// The servers.
    pub servers: BTreeMap<ServerName, LockedServer>,
    /// Who signed it; absent after a change.
    pub signature: Option<LockSignature>,
}

/// One server and its approved tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedServer {
    /// What was looked at when the tools were approved.
    pub identity: ServerIdentity,
    /// The tools by name.
    pub tools: BTreeMap<ToolName, LockedTool>,
}

/// One approved tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedTool {
    /// When, milliseconds since the Unix epoch.
    pub approved_at: UnixMillis,
    /// By whom.
    pub approved_by: OwnerId,
    /// The definition's digest.
    pub digest: Digest,
    /// Ids of the concerns that were accepted ([`crate::Concern::id`]), sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<String>,
    /// What it does, as confirmed.
    pub facts: ToolFacts,
    /// The tool object, canonical.
    pub definition: Definition,
}

/// The operator's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockSignature {
    /// The key that made it. Says who claims to have signed; [`Lock::verify`] is told who may.
    pub key: PublicKey,
    /// Over the canonical JSON of the file without `signature`, for [`Purpose::Catalog`].
    pub signature: Signature,
}

/// A lock whose signature holds. Only [`Lock::verify`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedLock {
    lock: Lock,
    digest: Digest,
}

/// Why a lock file was refused.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Over [`Lock::MAX_LEN`].
    #[error("a catalog of {len} bytes is over {max}", max = Lock::MAX_LEN)]
    TooLarge {
        /// Bytes found.
        len: usize,
    },
    /// Not one JSON text, or a member twice.
    #[error("the catalog is not strict JSON: {0}")]
    Json(#[from] JsonError),
    /// A member is missing, unknown, or of the wrong form.
    #[error("the catalog does not have the form of a lock file: {0}")]
    Form(#[from] serde_json::Error),
    /// Another version of the format.
    #[error("the catalog has format version {0}, this program reads 1")]
    Version(u64),
    /// A definition was changed without its digest, or the other way round.
    #[error("tool `{tool}` of server `{server}` does not have the digest that stands beside it")]
    Digest {
        /// The server.
        server: ServerName,
        /// The tool.
        tool: ToolName,
    },
    /// Two tools of one server with one name.
    #[error("server `{server}` has two tools named `{tool}`")]
    Twice {
        /// The server.
        server: ServerName,
        /// The tool.
        tool: ToolName,
    },
    /// Nobody signed it.
    #[error("the catalog is not signed: run `interlock catalog approve`")]
    Unsigned,
    /// Someone else signed it.
    #[error("the catalog is signed by {found}, not by the operator's key {expected}")]
    OtherKey {
        /// [`PublicKey::id`] of the key in the file.
        found: String,
        /// [`PublicKey::id`] of the operator's key.
        expected: String,
    },
    /// The signature is not one over this content.
    #[error("the catalog was changed after it was signed: {0}")]
    Signature(#[from] BadSignature),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u64,
    serial: u64,
    servers: BTreeMap<ServerName, WireServer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<LockSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireServer {
    identity: ServerIdentity,
    tools: Vec<LockedTool>,
}

impl Lock {
    /// Most bytes of a lock file.
    pub const MAX_LEN: usize = 32 * 1024 * 1024;

    const LIMITS: Limits = Limits { depth: 64, nodes: 4 * 1024 * 1024, lone_surrogates: false };

    /// A lock without servers, unsigned, serial 0.
    #[must_use]
    pub const fn empty() -> Self {
        Self { serial: 0, servers: BTreeMap::new(), signature: None }
    }

    /// Reads a lock file.
    ///
    /// # Errors
    ///
    /// [`LockError`]; never about the signature, which [`Lock::verify`] judges.
    pub fn parse(bytes: &[u8]) -> Result<Self, LockError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(LockError::TooLarge { len: bytes.len() });
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        Json::parse(bytes, Self::LIMITS)?;
        let wire: Wire = serde_json::from_slice(bytes)?;
        if wire.version != 1 {
            return Err(LockError::Version(wire.version));
        }
        let mut servers = BTreeMap::new();
        for (server, WireServer { identity, tools: listed }) in wire.servers {
            let mut tools = BTreeMap::new();
            for locked in listed {
                let tool = locked.definition.name().clone();
                if locked.definition.digest() != locked.digest {
                    return Err(LockError::Digest { server, tool });
                }
                if tools.insert(tool.clone(), locked).is_some() {
                    return Err(LockError::Twice { server, tool });
                }
            }
            servers.insert(server, LockedServer { identity, tools });
        }
        Ok(Self { serial: wire.serial, servers, signature: wire.signature })
    }

    /// The file's text, for people to review: indented, sorted, ending in a line feed.
    #[must_use]
    pub fn to_text(&self) -> String {
        let compact = self.compact(true);
        Json::parse(compact, Self::LIMITS).map(|json| pretty::text(json.root())).unwrap_or_default()
    }

    /// What is signed: the canonical JSON of the file without `signature`.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        let compact = self.compact(false);
        Json::parse(compact, Self::LIMITS).map(|json| canonical::respell(json.root())).unwrap_or_default()
    }

    /// The digest of what is signed: it names this catalog in entries.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.signed_bytes())
    }

    /// Signs this content in place of whatever signature there was.
    #[must_use]
    pub fn sign(mut self, signer: &dyn Signer) -> Self {
        let signature = signer.sign(Purpose::Catalog, &self.signed_bytes());
        self.signature = Some(LockSignature { key: signer.public_key(), signature });
        self
    }

    /// Verifies the signature under the operator's key; the key named in the file only makes the error better.
    ///
    /// # Errors
    ///
    /// [`LockError::Unsigned`], [`LockError::OtherKey`] or [`LockError::Signature`].
    pub fn verify(self, operator: &PublicKey) -> Result<VerifiedLock, LockError> {
        let Some(LockSignature { key, signature }) = &self.signature else { return Err(LockError::Unsigned) };
        if key != operator {
            return Err(LockError::OtherKey { found: key.id(), expected: operator.id() });
        }
        let bytes = self.signed_bytes();
        operator.verify(Purpose::Catalog, &bytes, signature)?;
        Ok(VerifiedLock { digest: Digest::of(&bytes), lock: self })
    }

    /// The tool, if it is approved.
    #[must_use]
    pub fn tool(&self, server: &ServerName, tool: &ToolName) -> Option<&LockedTool> {
        self.servers.get(server)?.tools.get(tool)
    }

    /// The next version of this lock: the serial rises, the signature falls.
    pub(crate) fn changed(mut self, change: impl FnOnce(&mut BTreeMap<ServerName, LockedServer>)) -> Self {
        change(&mut self.servers);
        self.serial = self.serial.saturating_add(1);
        self.signature = None;
        self
    }

    /// Writes through the wire form; definitions pass as raw text, so that no literal is rewritten.
    fn compact(&self, with_signature: bool) -> Vec<u8> {
        let servers = self
            .servers
            .iter()
            .map(|(name, server)| {
                let tools = server.tools.values().cloned().collect();
                (name.clone(), WireServer { identity: server.identity.clone(), tools })
            })
            .collect();
        let signature = self.signature.clone().filter(|_| with_signature);
        let wire = Wire { version: 1, serial: self.serial, servers, signature };
        // Names, strings, integers and canonical JSON: serialising them cannot fail.
        serde_json::to_vec(&wire).unwrap_or_default()
    }
}

impl VerifiedLock {
    /// The lock.
    #[must_use]
    pub const fn lock(&self) -> &Lock {
        &self.lock
    }

    /// The digest of what was signed.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The lock, for the next change.
    #[must_use]
    pub fn into_lock(self) -> Lock {
        self.lock
    }
}
