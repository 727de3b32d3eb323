//! Revision 2026-07-28, apart from any transport: the envelope on every request, and what answers it.
//!
//! Source: MCP 2026-07-28, basic and basic/versioning.

use crate::{SERVER_INFO, era, stamp};
use bytes::Bytes;
use http::StatusCode;
use interlock_engine::front::{Caller, Governed};
use interlock_mcp::{Request, Revision, RpcError, answer};
use interlock_model::Code;
use interlock_model::json::{Kind, View};

/// The revisions of this era that are served.
pub(crate) const SERVED: [Revision; 1] = [Revision::V2026_07_28];

const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// Checks the envelope of a request. `header` is the transport's version header: `None` where the
/// transport has none, `Some(None)` where it has but the request did not send it.
///
/// # Errors
///
/// -32602 for an envelope that lacks something, -32020 where header and envelope disagree, -32022 for
/// a revision that is not served; with status 400 on HTTP.
pub(crate) fn check_envelope(params: Option<View<'_>>, header: Option<Option<&str>>) -> Result<Revision, RpcError> {
    let lacks =
        |what: &str| RpcError::new(RpcError::INVALID_PARAMS, Code::Malformed, format!("`params._meta` lacks `{what}`"));
    let claimed = era::claimed(params).and_then(|v| v.as_str()).ok_or_else(|| lacks(era::META_REVISION))?;
    if let Some(header) = header
        && header != Some(&*claimed)
    {
        return Err(mismatch("the header MCP-Protocol-Version is not the revision in `params._meta`"));
    }
    let revision = match claimed.parse::<Revision>() {
        Ok(revision) if SERVED.contains(&revision) => revision,
        _ => return Err(era::unsupported(&claimed, &SERVED)),
    };
    let capabilities = params.and_then(|p| p.get("_meta")).and_then(|m| m.get(META_CAPABILITIES));
    if capabilities.is_none_or(|c| c.kind() != Kind::Object) {
        return Err(lacks(META_CAPABILITIES));
    }
    Ok(revision)
}

/// -32020.
pub(crate) fn mismatch(message: &str) -> RpcError {
    RpcError::new(RpcError::HEADER_MISMATCH, Code::HeaderMismatch, message)
}

/// Answers a request whose envelope holds. The status is that of HTTP: 404 for a method that is not
/// served, 400 for a call that needs a capability which the client did not declare; everything else is in
/// the message.
pub(crate) async fn answer<G: Governed>(governed: &G, caller: Caller, request: Request) -> (StatusCode, Bytes) {
    const MISSING_CAPABILITY: i64 = -32021;
    let id = request.id().clone();
    let message = match request.method() {
        "tools/call" => {
            let answered = governed.call_tool(caller, request).await;
            if answered.error == Some(MISSING_CAPABILITY) {
                return (StatusCode::BAD_REQUEST, answered.message);
            }
            answered.message
        }
        "tools/list" => match governed.list_tools(&caller, &request).await {
            Ok(result) => answer::result(&id, &stamp::list(result)),
            Err(error) => error.to_frame(Some(&id)),
        },
        "server/discover" => answer::result(&id, discovery().as_bytes()),
        other => return (StatusCode::NOT_FOUND, era::unknown_method(other).to_frame(Some(&id))),
    };
    (StatusCode::OK, message)
}

/// What `server/discover` says. No `listChanged`: in this era it would promise `subscriptions/listen`.
fn discovery() -> String {
    format!(
        r#"{{"resultType":"complete","supportedVersions":["{}"],"capabilities":{{"tools":{{}}}},"ttlMs":0,"cacheScope":"private","_meta":{{"io.modelcontextprotocol/serverInfo":{SERVER_INFO}}}}}"#,
        Revision::V2026_07_28
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_model::json::{Json, Limits};

    #[test]
    fn the_envelope_ladder() {
        let full = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}"#;
        let now = Some("2026-07-28");
        for (params, header, expected) in [
            (full.to_owned(), None, Ok(())),
            (full.to_owned(), Some(now), Ok(())),
            (full.to_owned(), Some(None), Err(-32020)),
            (full.to_owned(), Some(Some("2025-11-25")), Err(-32020)),
            (full.replace("2026-07-28", "2027-07-28"), Some(now), Err(-32020)),
            (full.replace("2026-07-28", "2027-07-28"), Some(Some("2027-07-28")), Err(-32022)),
            (full.replace("2026-07-28", "2025-11-25"), None, Err(-32022)),
            (full.replace(r#""2026-07-28""#, "1"), Some(now), Err(-32602)),
            (full.replace("{}", "[]"), Some(now), Err(-32602)),
            (full.replace("clientCapabilities", "other"), Some(now), Err(-32602)),
            ("{}".to_owned(), Some(now), Err(-32602)),
            (r#"{"_meta":1}"#.to_owned(), Some(now), Err(-32602)),
        ] {
            let json = Json::parse(params.as_str(), Limits::REQUEST).unwrap();
            let found = check_envelope(Some(json.root()), header).map(drop).map_err(|e| e.rpc_code);
            assert_eq!(found, expected, "{params} {header:?}");
        }
    }

    #[test]
    fn discovery_is_json() {
        let value: serde_json::Value = serde_json::from_str(&discovery()).unwrap();
        assert_eq!(value["supportedVersions"], serde_json::json!(["2026-07-28"]));
        assert_eq!(value["cacheScope"], "private");
    }
}
