//! The strict walk against serde_json: it accepts what serde_json accepts, but for what it refuses on purpose, reads the same
//! values out of it, and its canonical spelling is a fixed point.
#![no_main]

use interlock_model::json::{Fault, Json, Limits, canonical};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let parsed = Json::parse(data, Limits::REQUEST);
    let Ok(text) = std::str::from_utf8(data) else {
        assert!(parsed.is_err(), "accepted what is not UTF-8");
        return;
    };
    // The grammar alone: no numbers are computed, no recursion is limited.
    let grammatical = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let json = match parsed {
        Ok(json) => json,
        Err(error) => {
            let on_purpose =
                matches!(error.fault, Fault::Duplicate | Fault::Depth | Fault::Size | Fault::LoneSurrogate);
            assert!(on_purpose || !grammatical, "refused ({error}) what serde_json accepts");
            return;
        }
    };
    assert!(grammatical, "accepted what serde_json refuses");

    let spelled = canonical::respell(json.root());
    let again = Json::parse(&*spelled, Limits::REQUEST).expect("the canonical spelling is JSON");
    assert_eq!(canonical::respell(again.root()), spelled, "the canonical spelling is a fixed point");
    // Numbers over what a double holds are no value to serde_json.
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        let respelled: Value = serde_json::from_slice(&spelled).expect("the canonical spelling is JSON to all");
        assert!(same(&value, &respelled), "the canonical spelling has another value");
    }
});

/// Equal, with numbers as doubles: `1.0` is spelled `1`.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}
