//! Fakes for tests; development only.
//!
//! [`SoftSigner`] is an Ed25519 key in memory. The binary `interlock-fake-server` is an MCP server on stdio
//! whose tools have effects that a test can count, and that can misbehave on request.

use ed25519_dalek::{Signer as _, SigningKey};
use interlock_signature::{PublicKey, Signature, Signer};

/// A key in memory, made from a seed byte so that tests are repeatable.
#[derive(Debug)]
pub struct SoftSigner(SigningKey);

impl SoftSigner {
    /// The key of `seed`.
    #[must_use]
    pub fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&[seed; 32]))
    }
}

impl Signer for SoftSigner {
    fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.verifying_key().to_bytes())
    }
    fn sign_raw(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}
