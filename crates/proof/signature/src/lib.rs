//! Ed25519 public keys and signatures as values, and the labels that keep uses apart.
//!
//! In scope: verifying, pure Rust, so that the verifier builds anywhere. Out of scope: making
//! signatures (edges do, behind [`Signer`]). Source: RFC 8032; verification is strict (no small-order
//! keys, no malleable signatures).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature as DalekSignature, VerifyingKey};
use interlock_model::digest;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a signature is for. The label is part of what is signed, so that a signature made for one
/// use is not one for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An operator's command to the daemon.
    AdminCommand,
    /// An operator's yes or no to an approval statement.
    ApprovalSettlement,
    /// The catalog.
    Catalog,
    /// A policy bundle's manifest.
    PolicyBundle,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::AdminCommand => "interlock/admin-command/v1",
            Self::ApprovalSettlement => "interlock/approval-settlement/v1",
            Self::Catalog => "interlock/catalog/v1",
            Self::PolicyBundle => "interlock/policy-bundle/v1",
        }
    }

    /// The bytes that are signed: the label, a zero byte, the message.
    #[must_use]
    pub fn preimage(self, message: &[u8]) -> Vec<u8> {
        [self.label().as_bytes(), &[0], message].concat()
    }
}

/// An Ed25519 public key; written as base64 of its 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

/// An Ed25519 signature; written as base64 of its 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signature(pub [u8; 64]);

/// The text is not a key or signature in its one spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the base64 of an Ed25519 {0}")]
pub struct InvalidEncoding(&'static str);

/// The signature does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signature does not verify under the key {0}")]
pub struct BadSignature(PublicKey);

impl PublicKey {
    /// A key from its bytes; whether they are a point on the curve shows when something is verified.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Sixteen hexadecimal digits that tell keys apart in entries: of the SHA-256 of the key.
    #[must_use]
    pub fn id(&self) -> String {
        digest::hex(&interlock_model::Digest::of(&self.0).0[..8])
    }

    /// Verifies a signature over raw bytes, for formats that fix their own preimage (C2SP signed-note, TRACE).
    ///
    /// # Errors
    ///
    /// [`BadSignature`].
    pub fn verify_raw(&self, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        let bad = BadSignature(*self);
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| bad)?;
        key.verify_strict(message, &DalekSignature::from_bytes(&signature.0)).map_err(|_| bad)
    }

    /// Verifies a signature made for `purpose`.
    ///
    /// # Errors
    ///
    /// [`BadSignature`].
    pub fn verify(&self, purpose: Purpose, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        self.verify_raw(&purpose.preimage(message), signature)
    }
}

/// Something that holds an Ed25519 private key. Two implementations: aws-lc in edges, a soft one in tests.
pub trait Signer: Send + Sync {
    /// The public half.
    fn public_key(&self) -> PublicKey;
    /// Signs raw bytes.
    fn sign_raw(&self, message: &[u8]) -> Signature;
    /// Signs `message` for `purpose`.
    fn sign(&self, purpose: Purpose, message: &[u8]) -> Signature {
        self.sign_raw(&purpose.preimage(message))
    }
}

fn decode<const N: usize>(text: &str, what: &'static str) -> Result<[u8; N], InvalidEncoding> {
    STANDARD.decode(text).ok().and_then(|v| v.try_into().ok()).ok_or(InvalidEncoding(what))
}

impl std::str::FromStr for PublicKey {
    type Err = InvalidEncoding;
    fn from_str(s: &str) -> Result<Self, InvalidEncoding> {
        decode(s, "public key").map(Self)
    }
}
impl TryFrom<String> for PublicKey {
    type Error = InvalidEncoding;
    fn try_from(s: String) -> Result<Self, InvalidEncoding> {
        s.parse()
    }
}
impl From<PublicKey> for String {
    fn from(k: PublicKey) -> Self {
        k.to_string()
    }
}
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl std::str::FromStr for Signature {
    type Err = InvalidEncoding;
    fn from_str(s: &str) -> Result<Self, InvalidEncoding> {
        decode(s, "signature").map(Self)
    }
}
impl TryFrom<String> for Signature {
    type Error = InvalidEncoding;
    fn try_from(s: String) -> Result<Self, InvalidEncoding> {
        s.parse()
    }
}
impl From<Signature> for String {
    fn from(s: Signature) -> Self {
        s.to_string()
    }
}
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}
impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer as _, SigningKey};

    #[test]
    fn a_signature_holds_for_one_key_purpose_and_message() {
        let key = SigningKey::from_bytes(&[5; 32]);
        let public = PublicKey::from_bytes(key.verifying_key().to_bytes());
        let signature = Signature(key.sign(&Purpose::Catalog.preimage(b"m")).to_bytes());
        assert_eq!(public.verify(Purpose::Catalog, b"m", &signature), Ok(()));
        assert!(public.verify(Purpose::PolicyBundle, b"m", &signature).is_err());
        assert!(public.verify(Purpose::Catalog, b"n", &signature).is_err());
        let other = PublicKey::from_bytes(SigningKey::from_bytes(&[6; 32]).verifying_key().to_bytes());
        assert!(other.verify(Purpose::Catalog, b"m", &signature).is_err());
        assert!(PublicKey::from_bytes([0; 32]).verify(Purpose::Catalog, b"m", &signature).is_err());
    }

    #[test]
    fn one_spelling() {
        let key = PublicKey::from_bytes([9; 32]);
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<PublicKey>(&text).unwrap(), key);
        assert!("AAAA".parse::<PublicKey>().is_err());
        assert!(key.to_string().trim_end_matches('=').parse::<PublicKey>().is_err());
    }
}
