//! A policy bundle as one text: Cedar, annotations, tests. What is accepted is accepted again, as the same bundle.
#![no_main]

use interlock_policy::Bundle;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(bundle) = Bundle::parse_text(data) {
        let again = Bundle::parse_text(data).expect("the same text");
        assert_eq!(bundle.digest(), again.digest());
    }
});
