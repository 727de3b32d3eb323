//! A GraphQL response as a tool result.
//!
//! Source: GraphQL October 2021, section 7.1 (Response Format); GraphQL over HTTP, "Response".

use crate::http::HttpResponse;
use crate::result::{self, ResultLimits, Results};
use bytes::Bytes;
use interlock_model::json::{Json, Kind, Limits};

pub(super) fn tool_result(field: &str, response: &HttpResponse<'_>, limits: &ResultLimits) -> Bytes {
    let Some(has_failed) = has_failed(field, response.body) else {
        // A page of a proxy, a login form, nothing at all: whatever its status, not an answer.
        return result::tool_result_with(response, limits, Some("not a GraphQL response"));
    };
    let failed = has_failed || response.status >= 400;
    let heading = if response.status >= 400 { format!("HTTP status {}", response.status) } else { String::new() };
    let mut out = Results::new(heading);
    out.text(std::str::from_utf8(response.body).unwrap_or_default(), limits);
    if response.body.len() <= limits.text_bytes {
        out.structured(response.body);
    }
    out.finish(failed)
}

/// Whether the field has no result for errors; `None` if the body is no GraphQL response.
fn has_failed(field: &str, body: &[u8]) -> Option<bool> {
    let json = Json::parse(body, Limits::RESULT).ok()?;
    let root = json.root();
    let data = root.get("data");
    let errors = root.get("errors").is_some_and(|errors| errors.elements().next().is_some());
    match data.map(|data| (data.kind(), data.get(field))) {
        Some((Kind::Object, Some(found))) => Some(errors && found.kind() == Kind::Null),
        // Data without the field that was asked for is no answer to this.
        Some((Kind::Object | Kind::Null, None)) | None if errors => Some(true),
        _ => None,
    }
}
