//! Receipts: one entry, the proof that it is in the log, and the log's signed word for the log.
//!
//! A receipt is a file that an auditor verifies with nothing but the log's key.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::entry::{Entry, EntryError};
use crate::note::{Note, VerifierKey};
use crate::proof::{ProofError, verify_inclusion};
use crate::tree::Hash;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use interlock_model::json::{Json, JsonError, Limits, canonical};
use serde::{Deserialize, Serialize};

/// One entry with the proof that it stands in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The signed checkpoint, as a note's text.
    pub checkpoint: String,
    /// The entry, as it stands in the log.
    pub entry: Vec<u8>,
    /// Its index.
    pub index: u64,
    /// The inclusion proof in the checkpoint's tree, the lowest sibling first.
    pub proof: Vec<Hash>,
}

/// The file: canonical JSON, members in sorted order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    checkpoint: String,
    entry: String,
    format: String,
    index: u64,
    proof: Vec<Hash>,
    v: u8,
}

/// Why a receipt is refused.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// Over [`Receipt::MAX_LEN`].
    #[error("receipt of {0} bytes is over {max}", max = Receipt::MAX_LEN)]
    TooLarge(usize),
    /// Not JSON, or twice the same member.
    #[error("receipt is not strict JSON: {0}")]
    Json(#[from] JsonError),
    /// Not the members this version has.
    #[error("receipt has the wrong members: {0}")]
    Form(#[from] serde_json::Error),
    /// Not marked as a receipt of the version this reads.
    #[error("not a receipt of version 1")]
    Version,
    /// Spelled in another way than the one canonical one.
    #[error("receipt is not in its canonical spelling")]
    Spelling,
    /// Its checkpoint is not one of the log whose key was given.
    #[error("the receipt's checkpoint does not hold: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The entry is not in the log at this index.
    #[error("the receipt's inclusion proof does not hold: {0}")]
    Proof(#[from] ProofError),
    /// What the log holds there is not an entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
}

impl Receipt {
    /// Most bytes of a receipt: the largest entry in base64, the largest note, a proof.
    pub const MAX_LEN: usize = 256 * 1024;
    /// The value of the member `format`, by which a file is known to be a receipt.
    pub const FORMAT: &'static str = "interlock-receipt";

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let wire = Wire {
            checkpoint: self.checkpoint.clone(),
            entry: STANDARD.encode(&self.entry),
            format: Self::FORMAT.to_owned(),
            index: self.index,
            proof: self.proof.clone(),
            v: 1,
        };
        // Strings, integers and lists only: serialising them cannot fail.
        canonical::ordered(&wire).unwrap_or_default()
    }

    /// Reads a receipt, refusing any spelling but the canonical one. Nothing is verified yet.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`] up to [`ReceiptError::Spelling`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(ReceiptError::TooLarge(bytes.len()));
        }
        Json::parse(bytes, Limits::REQUEST)?;
        let wire: Wire = serde_json::from_slice(bytes)?;
        if wire.format != Self::FORMAT || wire.v != 1 {
            return Err(ReceiptError::Version);
        }
        let entry = STANDARD.decode(&wire.entry).map_err(|_| ReceiptError::Spelling)?;
        let receipt = Self { checkpoint: wire.checkpoint, entry, index: wire.index, proof: wire.proof };
        if receipt.to_bytes() == bytes { Ok(receipt) } else { Err(ReceiptError::Spelling) }
    }

    /// The checkpoint, if the log's key signed it.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`].
    pub fn open_checkpoint(&self, key: &VerifierKey) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open(self.checkpoint.as_bytes(), key)
    }

    /// The entry, if the log that `key` speaks for holds it at this index.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`].
    pub fn verify(&self, key: &VerifierKey) -> Result<Entry, ReceiptError> {
        let checkpoint = self.open_checkpoint(key)?;
        verify_inclusion(self.index, checkpoint.size, &Hash::leaf(&self.entry), &self.proof, &checkpoint.root)?;
        Ok(Entry::from_bytes(&self.entry)?)
    }

    /// A receipt for `entry`, from a signed checkpoint.
    #[must_use]
    pub fn new(checkpoint: &Note, entry: Vec<u8>, index: u64, proof: Vec<Hash>) -> Self {
        Self { checkpoint: checkpoint.to_string(), entry, index, proof }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::Origin;
    use crate::proof::prove_inclusion;
    use crate::samples::{self, SoftSigner};
    use crate::tree::Frontier;
    use interlock_signature::Signer as _;

    fn receipt(index: usize) -> (Receipt, VerifierKey) {
        let entries: Vec<Vec<u8>> = samples::every_kind().iter().map(|e| e.to_bytes().unwrap()).collect();
        let leaves: Vec<Hash> = entries.iter().map(|e| Hash::leaf(e)).collect();
        let size = leaves.len() as u64;
        let origin: Origin = "interlock.example/log".parse().unwrap();
        let frontier = Frontier::restore(size, &leaves).unwrap();
        let note = Checkpoint::of(origin.clone(), &frontier).sign(&SoftSigner::new(1)).unwrap();
        let proof = prove_inclusion(&leaves, index as u64, size).unwrap();
        let receipt = Receipt::new(&note, entries[index].clone(), index as u64, proof);
        (receipt, VerifierKey::new(origin, SoftSigner::new(1).public_key()))
    }

    #[test]
    fn holds_for_every_entry() {
        for (i, entry) in samples::every_kind().iter().enumerate() {
            let (receipt, key) = receipt(i);
            let read = Receipt::from_bytes(&receipt.to_bytes()).unwrap();
            assert_eq!(read, receipt);
            assert_eq!(&read.verify(&key).unwrap(), entry);
        }
    }

    #[test]
    fn is_canonical() {
        let bytes = receipt(3).0.to_bytes();
        let json = Json::parse(&bytes[..], Limits::REQUEST).unwrap();
        assert_eq!(canonical::respell(json.root()), bytes);
    }

    #[test]
    fn every_flipped_byte_is_refused() {
        let (receipt, key) = receipt(20);
        let bytes = receipt.to_bytes();
        for at in 0..bytes.len() {
            for mask in [1, 2, 0x10, 0x20, 0x80, 0xff] {
                let mut bent = bytes.clone();
                bent[at] ^= mask;
                let holds = Receipt::from_bytes(&bent).and_then(|r| r.verify(&key));
                assert!(holds.is_err(), "byte {at} ^ {mask:#x}");
            }
        }
    }

    #[test]
    fn another_index_entry_proof_or_key_does_not_hold() {
        let (receipt, key) = receipt(5);
        for index in [0, 4, 6, 25, 26, u64::MAX] {
            assert!(matches!(Receipt { index, ..receipt.clone() }.verify(&key), Err(ReceiptError::Proof(_))));
        }
        let other = samples::stop().to_bytes().unwrap();
        assert!(matches!(Receipt { entry: other, ..receipt.clone() }.verify(&key), Err(ReceiptError::Proof(_))));
        assert!(matches!(Receipt { proof: vec![], ..receipt.clone() }.verify(&key), Err(ReceiptError::Proof(_))));
        let stranger = VerifierKey::new(key.name().clone(), SoftSigner::new(2).public_key());
        assert!(matches!(receipt.verify(&stranger), Err(ReceiptError::Checkpoint(_))));
    }
}
