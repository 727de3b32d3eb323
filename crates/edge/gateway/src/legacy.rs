//! Revisions up to 2025-11-25, apart from any transport: the handshake and what answers after it.
//!
//! Source: MCP 2025-11-25, basic/lifecycle and basic/utilities.

use crate::side::{LegacySide, Sink, severity};
use crate::{SERVER_INFO, era};
use bytes::Bytes;
use interlock_engine::front::{Caller, Governed};
use interlock_mcp::{Ask, Era, Listed, Notification, Offers, Request, Revision, RpcError, answer};
use interlock_model::Code;
use std::sync::Arc;

/// What a notification of the server says when the tools that a client may see have changed.
pub(crate) const LIST_CHANGED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;

/// What `initialize` settles.
pub(crate) struct Opened {
    /// Holds from now on.
    pub(crate) revision: Revision,
    /// What the client can do, a JSON object; empty where it said nothing.
    pub(crate) capabilities: Bytes,
    /// The response.
    pub(crate) message: Bytes,
}

/// Answers `initialize`, toward a client for which there is what `offers` says.
///
/// A client that asks for a revision that is not served here is offered the newest one with sessions;
/// it may go on with that or leave.
///
/// # Errors
///
/// -32602 if no revision is asked for.
pub(crate) fn initialize(request: &Request, oldest: Revision, offers: Offers) -> Result<Opened, RpcError> {
    let asked = request.param("protocolVersion").and_then(|v| v.as_str()).ok_or_else(|| {
        RpcError::new(RpcError::INVALID_PARAMS, Code::Malformed, "`initialize` lacks `params.protocolVersion`")
    })?;
    let revision = match asked.parse::<Revision>() {
        Ok(revision) if revision.era() == Era::Legacy && revision >= oldest => revision,
        _ => Revision::NEWEST_LEGACY,
    };
    let result = format!(
        r#"{{"protocolVersion":"{revision}","capabilities":{{{}}},"serverInfo":{SERVER_INFO}}}"#,
        era::capabilities(offers)
    );
    let message = answer::result(request.id(), result.as_bytes());
    let able = request.param("capabilities").filter(|c| c.members().next().is_some());
    let capabilities = able.map_or_else(Bytes::new, |able| request.bytes().slice(able.span()));
    Ok(Opened { revision, capabilities, message })
}

/// Answers a request within a session.
pub(crate) async fn answer<G: Governed, S: Sink>(
    governed: &Arc<G>,
    caller: Caller,
    request: Request,
    side: LegacySide<S>,
) -> Bytes {
    let unknown = |request: &Request| era::unknown_method(request.method()).to_frame(Some(request.id()));
    match (request.method(), Ask::of(request.method())) {
        ("ping", _) => answer::result(request.id(), b"{}"),
        ("logging/setLevel", _) if governed.offers(&caller.endpoint).logging => {
            let Some(severity) = request.param("level").and_then(severity) else {
                let error =
                    RpcError::new(RpcError::INVALID_PARAMS, Code::InvalidArguments, "`params.level` is no log level");
                return error.to_frame(Some(request.id()));
            };
            let told = governed.set_level(caller, request).await;
            if told.error.is_none() {
                side.set_level(severity);
            }
            told.message
        }
        (_, Some(Ask::List(Listed::Tools))) => match governed.list_tools(&caller, &request).await {
            Ok(result) => answer::result(request.id(), &result),
            Err(error) => error.to_frame(Some(request.id())),
        },
        // Tasks of the extension are for clients of the next era; those of 2025-11-25 are not offered.
        (_, Some(Ask::Task(_))) => unknown(&request),
        (_, Some(ask @ (Ask::Subscribe | Ask::Unsubscribe))) if era::is_served(&**governed, &caller.endpoint, ask) => {
            side.shared().subscribed.change(governed, caller, ask, request).await
        }
        (_, Some(ask)) if era::is_served(&**governed, &caller.endpoint, ask) => {
            governed.ask(caller, ask, request, &side).await.message
        }
        _ => unknown(&request),
    }
}

/// The literal id that `notifications/cancelled` names.
pub(crate) fn cancelled_id(notification: &Notification) -> Option<&[u8]> {
    let id = (notification.method() == "notifications/cancelled").then(|| notification.params())??;
    Some(id.get("requestId")?.raw())
}

/// What to answer to a second request with the id of one that is under way. It does not name the id:
/// the client would take it for the first one's answer.
pub(crate) fn duplicate_id() -> RpcError {
    RpcError::new(RpcError::INVALID_REQUEST, Code::Malformed, "a request with this id is still under way")
}

/// What to answer to a request that its client cancelled, where something must be answered.
pub(crate) fn cancelled() -> RpcError {
    RpcError::new(RpcError::INVALID_REQUEST, Code::Cancelled, "cancelled by the client")
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_mcp::Frame;
    use interlock_model::json::Limits;

    fn request(text: &str) -> Request {
        match Frame::parse(Bytes::copy_from_slice(text.as_bytes()), Limits::REQUEST) {
            Ok(Frame::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_revision_of_a_session() {
        use Revision as R;
        for (asked, oldest, expected) in [
            ("2024-11-05", R::V2024_11_05, R::V2024_11_05),
            ("2024-11-05", R::V2025_03_26, R::V2025_11_25),
            ("2025-03-26", R::V2025_03_26, R::V2025_03_26),
            ("2025-06-18", R::V2025_03_26, R::V2025_06_18),
            ("2025-11-25", R::V2025_03_26, R::V2025_11_25),
            ("2026-07-28", R::V2025_03_26, R::V2025_11_25),
            ("tomorrow", R::V2025_03_26, R::V2025_11_25),
        ] {
            let text =
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"{asked}"}}}}"#);
            let Opened { revision, message, .. } = initialize(&request(&text), oldest, Offers::default()).unwrap();
            assert_eq!(revision, expected, "{asked}");
            let value: serde_json::Value = serde_json::from_slice(&message).unwrap();
            assert_eq!(value["result"]["protocolVersion"], expected.as_str());
        }
        let without = request(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
        assert_eq!(
            initialize(&without, R::V2025_03_26, Offers::default()).err().unwrap().rpc_code,
            RpcError::INVALID_PARAMS
        );
    }
}
