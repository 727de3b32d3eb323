//! Revision 2026-07-28, apart from any transport: the envelope on every request, and what answers it.
//!
//! Source: MCP 2026-07-28, basic and basic/versioning.

use crate::side::severity;
use crate::{SERVER_INFO, era, stamp};
use bytes::Bytes;
use http::StatusCode;
use interlock_engine::front::{Aside, Caller, Governed};
use interlock_mcp::{Ask, Listed, Offers, Request, Revision, RpcError, answer, offers};
use interlock_model::Code;
use interlock_model::json::{Json, Kind, Limits, View};

/// The revisions of this era that are served.
pub(crate) const SERVED: [Revision; 1] = [Revision::V2026_07_28];

const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

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
pub(crate) async fn answer<G: Governed>(
    governed: &G,
    caller: Caller,
    request: Request,
    aside: &dyn Aside,
) -> (StatusCode, Bytes) {
    const MISSING_CAPABILITY: i64 = RpcError::MISSING_CAPABILITY as i64;
    let id = request.id().clone();
    let message = match (request.method(), Ask::of(request.method())) {
        ("server/discover", _) => answer::result(&id, discovery(governed.offers(&caller.endpoint)).as_bytes()),
        (_, Some(Ask::List(Listed::Tools))) => match governed.list_tools(&caller, &request).await {
            Ok(result) => answer::result(&id, &stamp::list(result)),
            Err(error) => error.to_frame(Some(&id)),
        },
        (_, Some(Ask::Task(_))) if governed.offers(&caller.endpoint).tasks && !declares_tasks(&caller.capabilities) => {
            return (StatusCode::BAD_REQUEST, needs_tasks().to_frame(Some(&id)));
        }
        (_, Some(ask)) if is_of_this_era(ask) && era::is_served(governed, &caller.endpoint, ask) => {
            let answered = governed.ask(caller, ask, request, aside).await;
            if answered.error == Some(MISSING_CAPABILITY) {
                return (StatusCode::BAD_REQUEST, answered.message);
            }
            answered.message
        }
        (other, _) => return (StatusCode::NOT_FOUND, era::unknown_method(other).to_frame(Some(&id))),
    };
    (StatusCode::OK, message)
}

/// Whether the client knows what a task is.
fn declares_tasks(capabilities: &Bytes) -> bool {
    let json = Json::parse(capabilities.as_ref(), Limits::REQUEST);
    json.is_ok_and(|json| json.root().get("extensions").is_some_and(|all| all.get(offers::TASKS).is_some()))
}

/// -32021 with what is needed.
fn needs_tasks() -> RpcError {
    RpcError {
        data: format!(r#""requiredCapabilities":{{"extensions":{{"{}":{{}}}}}}"#, offers::TASKS),
        ..RpcError::new(
            RpcError::MISSING_CAPABILITY,
            Code::UnknownMethod,
            "the client did not declare the extension that tasks are",
        )
    }
}

/// Subscriptions are asked for with `subscriptions/listen` here.
const fn is_of_this_era(ask: Ask) -> bool {
    !matches!(ask, Ask::Subscribe | Ask::Unsubscribe)
}

/// What the client can do, as its request says; empty where that is nothing.
pub(crate) fn capabilities(request: &Request) -> Bytes {
    let said = request.param("_meta").and_then(|meta| meta.get(META_CAPABILITIES));
    let said = said.filter(|capabilities| capabilities.members().next().is_some());
    said.map_or_else(Bytes::new, |said| request.bytes().slice(said.span()))
}

/// The mildest severity that the request asks to be told of.
pub(crate) fn level(request: &Request) -> Option<u8> {
    request.param("_meta")?.get(META_LOG_LEVEL).and_then(severity)
}

/// Whether anything may come before the answer: the client can be asked, or asks to be told.
pub(crate) fn may_hear(request: &Request) -> bool {
    request.param("_meta").is_some_and(|meta| {
        let able = meta.get(META_CAPABILITIES).is_some_and(|c| c.members().next().is_some());
        able || meta.get(META_LOG_LEVEL).is_some() || meta.get("progressToken").is_some()
    })
}

/// What `server/discover` says. `listChanged` and `subscribe` promise that `subscriptions/listen` brings it.
fn discovery(offers: Offers) -> String {
    let mut capabilities = era::capabilities(offers);
    if offers.tasks {
        capabilities.push_str(&format!(r#","extensions":{{"{}":{{}}}}"#, offers::TASKS));
    }
    format!(
        r#"{{"resultType":"complete","supportedVersions":["{}"],"capabilities":{{{capabilities}}},"ttlMs":0,"cacheScope":"private","_meta":{{"io.modelcontextprotocol/serverInfo":{SERVER_INFO}}}}}"#,
        Revision::V2026_07_28
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let value: serde_json::Value = serde_json::from_str(&discovery(Offers::default())).unwrap();
        assert_eq!(value["supportedVersions"], serde_json::json!(["2026-07-28"]));
        assert_eq!(value["cacheScope"], "private");
    }
}
