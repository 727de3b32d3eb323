//! The trust record: one closed, canonical JSON object.
//!
//! Members that the profile allows and Interlock never writes are refused: what this reader does not
//! understand it must not call verified.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use interlock_model::Digest;
use interlock_model::json::{Json, JsonError, Limits, canonical};
use interlock_signature::{PublicKey, Signature, Signer};
use serde::{Deserialize, Serialize};

/// The one profile this reads and writes.
pub const PROFILE: &str = "tag:agentrust-io.com,2026:trace-v0.2";

/// A TRACE v0.2 trust record. Members in sorted order, so that serialising one is already RFC 8785.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustRecord {
    /// Who judged the evidence.
    pub appraisal: Appraisal,
    /// The binary.
    pub build_provenance: BuildProvenance,
    /// The key that signs.
    pub cnf: Confirmation,
    /// The highest sensitivity touched.
    pub data_class: String,
    /// [`PROFILE`].
    pub eat_profile: String,
    /// When it was issued, seconds since the Unix epoch.
    pub iat: u64,
    /// The model.
    pub model: Model,
    /// The policy.
    pub policy: Policy,
    /// Facts outside the record.
    pub references: Vec<Reference>,
    /// Where it ran.
    pub runtime: Runtime,
    /// Ed25519 over the record without this member, base64url without padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The agent, as a SPIFFE ID.
    pub subject: String,
    /// What was called.
    pub tool_transcript: ToolTranscript,
}

/// Who judged the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appraisal {
    /// `none` in software mode.
    pub status: String,
    /// A URI.
    pub verifier: String,
}

/// The binary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildProvenance {
    /// Its digest.
    pub digest: Digest,
    /// 0: nothing but the digest.
    pub slsa_level: u8,
}

/// The key that signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// As a JWK.
    pub jwk: Jwk,
}

/// An Ed25519 public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwk {
    /// `Ed25519`.
    pub crv: String,
    /// `OKP`.
    pub kty: String,
    /// base64url without padding.
    pub x: String,
}

/// The model, which a gateway does not see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// `undeclared`.
    pub model_id: String,
    /// `undeclared`.
    pub provider: String,
}

/// The policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Digest of the bundle that judged last.
    pub bundle_hash: Digest,
    /// `enforce` or `advisory`.
    pub enforcement_mode: String,
    /// Its version, or all versions in the order of their use.
    pub version: String,
}

/// A fact outside the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Its digest.
    pub digest: Digest,
    /// Its name at the resolver.
    pub id: String,
    /// How it relates to the record.
    pub rel: String,
    /// Who can produce it.
    pub resolver: String,
}

/// Where it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// The software commitment.
    pub measurement: Digest,
    /// `software-only`.
    pub platform: String,
}

/// What was called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolTranscript {
    /// Calls the agent made or asked about, whatever was decided.
    pub call_count: u64,
    /// Digest of the transcript's bytes.
    pub hash: Digest,
}

/// Why bytes are not a trust record this reads.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Over [`TrustRecord::MAX_LEN`].
    #[error("record of {0} bytes is over {max}", max = TrustRecord::MAX_LEN)]
    TooLarge(usize),
    /// Not JSON, twice the same member, or nested too deep.
    #[error("record is not strict JSON: {0}")]
    Json(#[from] JsonError),
    /// Members missing, unknown, or of another type.
    #[error("record has members that this reader does not know or lacks some: {0}")]
    Form(#[from] serde_json::Error),
    /// Of another profile.
    #[error("record is of the profile `{0}`, this reads `{PROFILE}`")]
    Profile(String),
    /// Spelled in another way than the one canonical one.
    #[error("record is not in its canonical spelling (RFC 8785)")]
    Spelling,
    /// A number beyond what JSON readers agree on.
    #[error("`{0}` is outside the range that the profile allows")]
    Range(&'static str),
    /// The key in the record is not an Ed25519 public key in its one spelling.
    #[error("`cnf.jwk` is not an Ed25519 public key")]
    Key,
    /// There is no signature, or it is not one in its one spelling.
    #[error("`signature` is missing or is not 64 bytes in unpadded base64url")]
    Signature,
}

impl Jwk {
    /// The JWK of `key`.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        Self { crv: "Ed25519".into(), kty: "OKP".into(), x: URL_SAFE_NO_PAD.encode(key.as_bytes()) }
    }

    /// The key.
    ///
    /// # Errors
    ///
    /// [`RecordError::Key`].
    pub fn key(&self) -> Result<PublicKey, RecordError> {
        let bytes: Option<[u8; 32]> = URL_SAFE_NO_PAD.decode(&self.x).ok().and_then(|b| b.try_into().ok());
        match bytes {
            Some(bytes) if self.crv == "Ed25519" && self.kty == "OKP" => Ok(PublicKey::from_bytes(bytes)),
            _ => Err(RecordError::Key),
        }
    }

    /// RFC 7638: SHA-256 over the required members in sorted order, which are all this has.
    #[must_use]
    pub fn thumbprint(&self) -> Digest {
        // Three strings: serialising them cannot fail.
        Digest::of(&canonical::ordered(self).unwrap_or_default())
    }
}

impl TrustRecord {
    /// Most bytes of a record.
    pub const MAX_LEN: usize = 64 * 1024;
    /// 2023-11-14: the profile refuses anything older.
    const IAT_MIN: u64 = 1_700_000_000;
    /// The largest integer that every JSON reader keeps.
    const SAFE: u64 = (1 << 53) - 1;

    /// Reads a record. Everything about its form is checked and nothing about its truth.
    ///
    /// # Errors
    ///
    /// [`RecordError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(RecordError::TooLarge(bytes.len()));
        }
        let json = Json::parse(bytes, Limits { depth: 8, nodes: 512, lone_surrogates: false })?;
        if let Some(other) = json.root().get("eat_profile").and_then(|p| p.as_str()).filter(|p| p != PROFILE) {
            return Err(RecordError::Profile(other.chars().take(80).collect()));
        }
        let record: Self = serde_json::from_slice(bytes)?;
        for (name, number, range) in [
            ("iat", record.iat, Self::IAT_MIN..=Self::SAFE),
            ("tool_transcript.call_count", record.tool_transcript.call_count, 0..=Self::SAFE),
            ("build_provenance.slsa_level", u64::from(record.build_provenance.slsa_level), 0..=3),
        ] {
            if !range.contains(&number) {
                return Err(RecordError::Range(name));
            }
        }
        record.cnf.jwk.key()?;
        record.signature()?;
        if record.to_bytes() == bytes { Ok(record) } else { Err(RecordError::Spelling) }
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, integers and lists only: serialising them cannot fail.
        canonical::ordered(self).unwrap_or_default()
    }

    /// The bytes that are signed: the record without its signature.
    #[must_use]
    pub fn preimage(&self) -> Vec<u8> {
        Self { signature: None, ..self.clone() }.to_bytes()
    }

    /// The signature.
    ///
    /// # Errors
    ///
    /// [`RecordError::Signature`].
    pub fn signature(&self) -> Result<Signature, RecordError> {
        let text = self.signature.as_deref().ok_or(RecordError::Signature)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| RecordError::Signature)?;
        bytes.try_into().map(Signature).map_err(|_| RecordError::Signature)
    }

    /// Puts `signer`'s key and signature in.
    #[must_use]
    pub fn sign(mut self, signer: &dyn Signer) -> Self {
        self.cnf.jwk = Jwk::of(&signer.public_key());
        self.signature = Some(URL_SAFE_NO_PAD.encode(signer.sign_raw(&self.preimage()).0));
        self
    }
}
