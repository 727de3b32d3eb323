//! The file of approved definitions: what is read and written again is the same catalog, in one spelling.
#![no_main]

use interlock_catalog::Lock;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(lock) = Lock::parse(data) else { return };
    let text = lock.to_text();
    let again = Lock::parse(text.as_bytes()).expect("what we write, we read");
    assert_eq!(again.digest(), lock.digest());
    assert_eq!(again.to_text(), text);
});
