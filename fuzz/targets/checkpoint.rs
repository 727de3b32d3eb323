//! Signed notes, the checkpoints in them and the keys for them: one spelling each, and nothing that was not signed verifies.
#![no_main]

use interlock_ledger::samples::SoftSigner;
use interlock_ledger::checkpoint::Checkpoint;
use interlock_ledger::note::{Note, Origin, VerifierKey};
use interlock_signature::Signer;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

/// A key that signed none of the seeds: without its secret, no input verifies.
static STRANGER: LazyLock<VerifierKey> = LazyLock::new(|| {
    let origin: Origin = "example.org/log".parse().expect("an origin");
    VerifierKey::new(origin, SoftSigner::new(0x5a).public_key())
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        assert!(Note::parse(data).is_err(), "a note is UTF-8");
        return;
    };
    if let Ok(note) = Note::parse(data) {
        assert_eq!(note.to_string().as_bytes(), data);
        assert!(note.verify(&STRANGER).is_err());
        assert!(Checkpoint::open(data, &STRANGER).is_err());
        if let Ok(checkpoint) = Checkpoint::parse(note.text()) {
            assert_eq!(checkpoint.to_string(), note.text());
        }
    }
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.to_string(), text);
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
    }
});
