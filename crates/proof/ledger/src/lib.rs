//! The ledger's format: entries, the Merkle tree over them, tiles, signed checkpoints, receipts.
//!
//! In scope: pure encodings and their verification. Out of scope: files, SQL, signing keys at rest.
//! Source: RFC 6962 section 2.1 (tree), C2SP tlog-tiles, tlog-checkpoint and signed-note.

pub mod audit;
pub mod checkpoint;
pub mod entry;
pub mod note;
pub mod proof;
pub mod receipt;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
pub mod tile;
pub mod tree;
