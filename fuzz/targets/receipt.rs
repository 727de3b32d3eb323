//! A receipt: only its one canonical spelling, and without the log's signature none holds.
#![no_main]

use interlock_ledger::samples::SoftSigner;
use interlock_ledger::note::{Origin, VerifierKey};
use interlock_ledger::receipt::Receipt;
use interlock_signature::Signer;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

/// A key that signed none of the seeds.
static STRANGER: LazyLock<VerifierKey> = LazyLock::new(|| {
    let origin: Origin = "example.org/log".parse().expect("an origin");
    VerifierKey::new(origin, SoftSigner::new(0x5a).public_key())
});

fuzz_target!(|data: &[u8]| {
    if let Ok(receipt) = Receipt::from_bytes(data) {
        assert_eq!(receipt.to_bytes(), data);
        assert!(receipt.verify(&STRANGER).is_err());
    }
});
