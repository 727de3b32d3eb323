//! One JSON-RPC message from anybody: what is accepted is what a lenient reader would see too.
#![no_main]

use bytes::Bytes;
use interlock_mcp::Frame;
use interlock_model::json::Limits;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for limits in [Limits::REQUEST, Limits::RESULT] {
        let Ok(frame) = Frame::parse(Bytes::copy_from_slice(data), limits) else { continue };
        // A string of half a surrogate pair has no text elsewhere, a number may be over what a double holds.
        let Ok(lenient) = serde_json::from_slice::<serde_json::Value>(data) else { continue };
        assert_eq!(lenient["jsonrpc"], "2.0");
        match frame {
            Frame::Request(request) => {
                assert_eq!(request.bytes(), data);
                assert_eq!(lenient["method"], request.method());
                let id: serde_json::Value = serde_json::from_slice(request.id().raw()).expect("an id is JSON");
                assert_eq!(lenient["id"], id);
                let name = request.param("name").and_then(|name| name.as_str().map(std::borrow::Cow::into_owned));
                assert_eq!(lenient["params"]["name"].as_str(), name.as_deref());
            }
            Frame::Notification(notification) => {
                assert_eq!(lenient["method"], notification.method());
                assert!(lenient.get("id").is_none());
            }
            Frame::Response(response) => {
                assert!(lenient.get("method").is_none());
                assert_ne!(response.result().is_some(), response.error().is_some());
            }
        }
    }
});
