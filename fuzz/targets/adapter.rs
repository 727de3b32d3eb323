//! A description of somebody's API: whatever it says, the tools are definitions that the catalog reads, the same each
//! time, and no argument leaves its place in the request.
#![no_main]

use interlock_adapter::openapi::Operation;
use interlock_adapter::{HttpResponse, Limits, ResultLimits, graphql, openapi, tool_result};
use interlock_catalog::{Definition, InputSchema};
use interlock_model::json::{Json, Kind, Limits as JsonLimits};
use libfuzzer_sys::fuzz_target;

const HOSTILE: [&str; 10] = ["a/../b", "..", "%2e%2e/x", "a\r\nb: c", "?x=1&y#z", "a,b;c=d|e f", "", "é\u{0}", "7", "{x}"];

fuzz_target!(|data: &[u8]| {
    if let Ok(import) = openapi::import(data, &Limits::DEFAULT) {
        let again = openapi::import(data, &Limits::DEFAULT).expect("the same document");
        for (operation, other) in import.tools.iter().zip(&again.tools) {
            assert_eq!(operation.definition(), other.definition());
            let definition = definition(operation.definition());
            assert_eq!(definition.name().as_str(), operation.name());
            // Arguments that the schema names, each with every hostile text.
            let names: Vec<String> = definition
                .input_schema()
                .get("properties")
                .expect("an object of arguments")
                .members()
                .map(|(name, _)| name.as_str().expect("text").into_owned())
                .collect();
            for text in HOSTILE {
                call(operation, &names, &serde_json::Value::from(text));
                call(operation, &names, &serde_json::json!([text, 1.5]));
                call(operation, &names, &serde_json::json!({ text: text, "k": null }));
            }
        }
    }
    if let Ok(import) = graphql::import(data, graphql::DEFAULT_LEVELS, &Limits::DEFAULT) {
        for field in &import.tools {
            definition(field.definition());
            let response = HttpResponse { status: 200, content_type: None, body: data };
            read_result(&field.result(&response, &ResultLimits::DEFAULT));
        }
    }
    for content_type in [None, Some("application/json"), Some("text/plain"), Some("image/png")] {
        let response = HttpResponse { status: 200, content_type, body: data };
        read_result(&tool_result(&response, &ResultLimits { text_bytes: 64, blob_bytes: 4096 }));
    }
});

fn definition(bytes: &[u8]) -> Definition {
    let definition = Definition::parse(bytes).expect("a definition");
    // It may be refused, for a pattern that does not compile, say; not endlessly.
    drop(InputSchema::compile(definition.input_schema()));
    definition
}

fn call(operation: &Operation, names: &[String], value: &serde_json::Value) {
    let arguments: serde_json::Map<_, _> = names.iter().map(|name| (name.clone(), value.clone())).collect();
    let text = serde_json::Value::from(arguments).to_string();
    let json = Json::parse(text.as_bytes(), JsonLimits::REQUEST).expect("JSON");
    let Ok(request) = operation.request(Some(json.root())) else { return };
    let target = &request.path_and_query;
    assert!(target.starts_with('/') && target.bytes().all(|b| (0x21..0x7f).contains(&b)) && !target.contains('#'));
    let path = target.split('?').next().expect("a path");
    // Slashes inside of expressions are parts of names.
    let mut depth = 0;
    let described = operation.path().bytes().filter(|b| {
        depth += i32::from(*b == b'{') - i32::from(*b == b'}');
        *b == b'/' && depth == 0
    });
    assert_eq!(path.matches('/').count(), described.count());
    for (name, value) in &request.headers {
        assert!(name.bytes().chain(value.bytes()).all(|b| (0x20..0x7f).contains(&b)));
        assert!(!["authorization", "host", "content-length"].contains(&name.to_ascii_lowercase().as_str()));
    }
}

fn read_result(bytes: &[u8]) {
    let json = Json::parse(bytes, JsonLimits::RESULT).expect("a result is JSON");
    assert_eq!(json.root().get("content").map(|content| content.kind()), Some(Kind::Array));
}
