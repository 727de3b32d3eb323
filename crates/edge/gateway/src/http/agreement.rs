//! Header and body of a modern request say the same.
//!
//! Intermediaries may route and limit by these headers, so a request whose body says something else is
//! refused. We decide on the body alone. Source: MCP 2026-07-28, basic/transports, "Request metadata".

use crate::modern::mismatch;
use http::{HeaderMap, HeaderName};
use interlock_mcp::mirrored::header_text;
use interlock_mcp::{Mirrored, Request, RpcError};
use interlock_model::json::{Kind, View};
use std::borrow::Cow;

pub(super) const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// The one value of a header; `None` if it is absent.
///
/// # Errors
///
/// -32020 where it is there twice or is not plain ASCII.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, RpcError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(text) => Ok(Some(text.trim_matches([' ', '\t']))),
            Err(_) => Err(mismatch(&format!("the header {name} is not plain ASCII"))),
        },
        (Some(_), Some(_)) => Err(mismatch(&format!("the header {name} is there twice"))),
    }
}

/// `Mcp-Method` and `Mcp-Name` against the body.
///
/// # Errors
///
/// -32020.
pub(super) fn check(headers: &HeaderMap, request: &Request) -> Result<(), RpcError> {
    if single(headers, &METHOD)? != Some(request.method()) {
        return Err(mismatch("the header Mcp-Method is not the body's `method`"));
    }
    let member = match request.method() {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => return Ok(()),
    };
    let said = single(headers, &NAME)?.map(decode).transpose()?;
    let meant = request.param(member).and_then(|v| v.as_str());
    if said == meant {
        Ok(())
    } else {
        Err(mismatch(&format!("the header Mcp-Name is not the body's `params.{member}`")))
    }
}

/// `Mcp-Method` of a notification, where it is sent.
///
/// # Errors
///
/// -32020.
pub(super) fn check_method(headers: &HeaderMap, method: &str) -> Result<(), RpcError> {
    match single(headers, &METHOD)? {
        Some(said) if said != method => Err(mismatch("the header Mcp-Method is not the body's `method`")),
        _ => Ok(()),
    }
}

/// `Mcp-Param-*` against the arguments that the tool's schema wants repeated. Others are ignored.
///
/// # Errors
///
/// -32020.
pub(super) fn check_mirrored(headers: &HeaderMap, request: &Request, mirrored: &[Mirrored]) -> Result<(), RpcError> {
    for one in mirrored {
        let wrong = || mismatch(&format!("the header Mcp-Param-{} is not the argument it repeats", one.header));
        let name = HeaderName::try_from(format!("mcp-param-{}", one.header)).map_err(|_| wrong())?;
        let said = single(headers, &name)?.map(decode).transpose()?;
        let mut meant = request.param("arguments");
        for step in &one.path {
            meant = meant.and_then(|value| value.get(step));
        }
        let meant = meant.filter(|value| value.kind() != Kind::Null);
        let agree = match (said, meant) {
            (None, None) => true,
            (Some(said), Some(meant)) => says(&said, meant),
            _ => false,
        };
        if !agree {
            return Err(wrong());
        }
    }
    Ok(())
}

fn says(header: &str, value: View<'_>) -> bool {
    match value.kind() {
        Kind::String => value.as_str().as_deref() == Some(header),
        Kind::Bool => value.raw() == header.as_bytes(),
        // Integers compare as numbers: `42.0` and `4.2e1` are 42.
        Kind::Number => {
            value.as_number() == Some(header)
                || matches!(
                    (header.parse::<f64>(), value.as_number().map(str::parse::<f64>)),
                    (Ok(a), Some(Ok(b))) if a.is_finite() && a.abs() < 9_007_199_254_740_992.0 && a.to_bits() == b.to_bits()
                )
        }
        Kind::Null | Kind::Array | Kind::Object => false,
    }
}

/// The text behind a header's value.
fn decode(value: &str) -> Result<Cow<'_, str>, RpcError> {
    header_text(value).ok_or_else(|| mismatch("a header's value is not valid base64 of UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use interlock_mcp::Frame;
    use interlock_model::json::Limits;

    fn request(method: &str, params: &str) -> Request {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        match Frame::parse(Bytes::from(text), Limits::REQUEST) {
            Ok(Frame::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn method_and_name() {
        let call = r#"{"name":"Grüße"}"#;
        for (method, params, sent, agree) in [
            ("tools/list", "{}", &[("mcp-method", "tools/list")][..], true),
            ("tools/list", "{}", &[], false),
            ("tools/list", "{}", &[("mcp-method", "TOOLS/LIST")], false),
            ("tools/list", "{}", &[("mcp-method", "tools/list"), ("mcp-method", "tools/list")], false),
            ("tools/call", r#"{"name":"a"}"#, &[("mcp-method", "tools/call"), ("mcp-name", "a")], true),
            ("tools/call", r#"{"name":"a"}"#, &[("mcp-method", "tools/call"), ("mcp-name", " \ta  ")], true),
            ("tools/call", r#"{"name":"a"}"#, &[("mcp-method", "tools/call"), ("mcp-name", "A")], false),
            ("tools/call", r#"{"name":"a"}"#, &[("mcp-method", "tools/call")], false),
            ("tools/call", "{}", &[("mcp-method", "tools/call")], true),
            ("tools/call", "{}", &[("mcp-method", "tools/call"), ("mcp-name", "a")], false),
            ("tools/call", call, &[("mcp-method", "tools/call"), ("mcp-name", "=?base64?R3LDvMOfZQ==?=")], true),
            ("tools/call", call, &[("mcp-method", "tools/call"), ("mcp-name", "=?base64?R3LDvMOfZQ?=")], false),
            ("tools/call", call, &[("mcp-method", "tools/call"), ("mcp-name", "=?base64?//8=?=")], false),
            ("resources/read", r#"{"uri":"u:1"}"#, &[("mcp-method", "resources/read"), ("mcp-name", "u:1")], true),
            ("tasks/get", r#"{"taskId":"t"}"#, &[("mcp-method", "tasks/get"), ("mcp-name", "x")], false),
        ] {
            let found = check(&headers(sent), &request(method, params));
            assert_eq!(found.is_ok(), agree, "{method} {params} {sent:?}");
            assert!(found.map_or_else(|e| e.rpc_code == -32020, |()| true));
        }
    }

    #[test]
    fn mirrored_parameters() {
        let mirrored = [
            Mirrored { header: "Region".into(), path: ["where".into(), "region".into()].into() },
            Mirrored { header: "Count".into(), path: ["count".into()].into() },
        ];
        for (arguments, sent, agree) in [
            (
                r#"{"where":{"region":"eu"},"count":42}"#,
                &[("mcp-param-region", "eu"), ("mcp-param-count", "42")][..],
                true,
            ),
            (
                r#"{"where":{"region":"eu"},"count":42}"#,
                &[("mcp-param-region", "eu"), ("mcp-param-count", "42.0")],
                true,
            ),
            (
                r#"{"where":{"region":"eu"},"count":42}"#,
                &[("mcp-param-region", "eu"), ("mcp-param-count", "43")],
                false,
            ),
            (r#"{"where":{"region":"eu"}}"#, &[("mcp-param-region", "us")], false),
            (r#"{"where":{"region":"eu"}}"#, &[], false),
            (r#"{"where":{"region":null}}"#, &[], true),
            ("{}", &[("mcp-param-other", "x")], true),
            ("{}", &[("mcp-param-region", "eu")], false),
            (r#"{"where":{"region":"Hello"}}"#, &[("mcp-param-region", "=?base64?SGVsbG8=?=")], true),
            (r#"{"where":{"region":"Hello"}}"#, &[("mcp-param-region", "=?base64?SGVsbG8?=")], false),
            (r#"{"where":{"region":"Hello"}}"#, &[("mcp-param-region", "=?base64?SGVs!!!bG8=?=")], false),
            (r#"{"where":{"region":"=?base64?SGVsbG8="}}"#, &[("mcp-param-region", "=?base64?SGVsbG8=")], true),
            (r#"{"where":{"region":{}}}"#, &[("mcp-param-region", "{}")], false),
            (r#"{"count":9007199254740993}"#, &[("mcp-param-count", "9007199254740992")], false),
        ] {
            let call = request("tools/call", &format!(r#"{{"name":"a","arguments":{arguments}}}"#));
            assert_eq!(check_mirrored(&headers(sent), &call, &mirrored).is_ok(), agree, "{arguments} {sent:?}");
        }
    }
}
