//! Asking a server for its tools, page by page.

use crate::link::Link;
use crate::link::count;
use crate::session::{Session, error_text};
use crate::spec::Limits;
use crate::wire::header;
use bytes::Bytes;
use interlock_engine::ports::UpstreamFault;
use interlock_model::json::{Kind, View};
use interlock_model::{Code, Digest};
use std::collections::{HashMap, HashSet};
use tokio::time::Instant;

/// A server's tools at one time.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Each tool object exactly as sent.
    pub(crate) tools: Vec<Bytes>,
    /// Tells listings apart.
    pub(crate) digest: Digest,
    /// The headers that calls of them repeat arguments in, by tool.
    pub(crate) headers: HashMap<Box<str>, Vec<header::ParamHeader>>,
}

/// Most pages; a server that always has one more is not listing.
const MAX_PAGES: usize = 1000;

/// Lists all tools of `session`, and which headers their calls need toward a modern server.
pub(crate) async fn list(
    session: &Session,
    link: &Link,
    limits: Limits,
    deadline: Instant,
) -> Result<Listing, UpstreamFault> {
    if let Some(adapted) = session.adapted() {
        return adapted.list(deadline).await;
    }
    let invalid = |why: String| link.sent(Code::UpstreamInvalid, format!("answered `tools/list` with {why}"));
    let mut tools = Vec::new();
    let mut headers = HashMap::new();
    let mut bytes = 0_usize;
    let mut cursors = HashSet::new();
    let mut params = String::new();
    while session.has_tools() {
        let response = session.ask("tools/list", &params, deadline).await?;
        bytes += response.bytes().len();
        if bytes > limits.listing_bytes {
            return Err(
                link.sent(Code::UpstreamTooLarge, format!("lists more than {} bytes of tools", limits.listing_bytes))
            );
        }
        let Some(result) = response.result() else { return Err(invalid(error_text(&response))) };
        let page = result.get("tools").filter(|t| t.kind() == Kind::Array).ok_or_else(|| invalid("no tools".into()))?;
        for tool in page.elements() {
            if tool.kind() != Kind::Object {
                return Err(invalid("a tool that is no object".into()));
            }
            if !note_headers(tool, &mut headers) && session.wants_param_headers() {
                // MCP 2026-07-28, "Custom headers from tool parameters": such a tool must not be used.
                count(&link.tally.tools_dropped);
                continue;
            }
            tools.push(response.bytes().slice(tool.span()));
            if tools.len() > limits.tools {
                return Err(link.sent(Code::UpstreamTooLarge, format!("lists more than {} tools", limits.tools)));
            }
        }
        let Some(cursor) = result.get("nextCursor").filter(|c| c.kind() == Kind::String) else { break };
        if !cursors.insert(cursor.raw().to_vec()) || cursors.len() > MAX_PAGES {
            return Err(invalid("pages without end".into()));
        }
        params = format!("\"cursor\":{}", String::from_utf8_lossy(cursor.raw()));
    }
    let parts: Vec<&[u8]> = tools.iter().map(AsRef::as_ref).collect();
    let digest = Digest::of_parts("interlock/listing", &parts);
    Ok(Listing { tools, digest, headers })
}

/// Whether the tool's annotations are acceptable; notes them if there are any.
fn note_headers(tool: View<'_>, headers: &mut HashMap<Box<str>, Vec<header::ParamHeader>>) -> bool {
    let Ok(found) = header::annotations(tool) else { return false };
    if let (false, Some(name)) = (found.is_empty(), tool.get("name").and_then(|n| n.as_str())) {
        headers.insert((&*name).into(), found);
    }
    true
}
