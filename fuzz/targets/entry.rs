//! A ledger entry: only its one canonical spelling is an entry.
#![no_main]

use interlock_ledger::entry::Entry;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(entry) = Entry::from_bytes(data) {
        assert_eq!(entry.to_bytes().expect("it was small enough"), data);
        assert!(data.len() <= Entry::MAX_LEN);
    }
});
