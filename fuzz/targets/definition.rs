//! A tool's definition as a server gives it: no schema of a stranger's makes us panic, hang or disagree with ourselves.
#![no_main]

use interlock_catalog::{Definition, InputSchema};
use interlock_model::json::{Json, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(definition) = Definition::parse(data) else { return };
    let again = Definition::parse(definition.canonical()).expect("its canonical spelling is a definition");
    assert_eq!(again.digest(), definition.digest());
    if let Ok(schema) = InputSchema::compile(definition.input_schema()) {
        let arguments = Json::parse(&br#"{"path":"/a","n":1,"list":[1,"x",null]}"#[..], Limits::REQUEST).expect("JSON");
        let first = schema.check(Some(arguments.root())).is_ok();
        assert_eq!(schema.check(Some(arguments.root())).is_ok(), first);
        _ = schema.check(None);
    }
});
