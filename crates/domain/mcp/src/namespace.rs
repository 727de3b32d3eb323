//! Names of prompts and addresses of resources where many servers stand behind one endpoint.
//!
//! A prompt is `server__name`, whatever the name: a server's name has no underscore, so the first `__` ends it. A
//! resource is `server+address`: RFC 3986, 3.1 allows `+` in a scheme, so that it is an address again, and a
//! server's name has no `+`. Both can be taken apart without knowing what servers have, by any process.

use interlock_model::json::{Kind, View};
use interlock_model::{ServerName, ToolName};
use std::ops::Range;

/// A prompt's name on the aggregate endpoint.
#[must_use]
pub fn prompt(server: &ServerName, name: &str) -> String {
    format!("{server}__{name}")
}

/// The server and its own name for the prompt.
#[must_use]
pub fn split_prompt(exposed: &str) -> Option<(ServerName, &str)> {
    let (server, name) = exposed.split_once("__")?;
    Some((server.parse().ok()?, name))
}

/// A resource's address on the aggregate endpoint; the same for templates.
#[must_use]
pub fn address(server: &ServerName, uri: &str) -> String {
    format!("{server}+{uri}")
}

/// The server and its own address for the resource. An address whose scheme merely has a `+` (`git+ssh:`) comes
/// apart, too: whoever asks looks whether there is such a server.
#[must_use]
pub fn split_address(exposed: &str) -> Option<(ServerName, &str)> {
    let (server, uri) = exposed.split_once('+')?;
    Some((server.parse().ok()?, uri))
}

/// A task's id toward clients: the server and the tool that began it stand before what the caller sealed it into, so
/// that any process knows whom to ask. Neither has a slash.
#[must_use]
pub fn task(server: &ServerName, tool: &ToolName, sealed: &str) -> String {
    format!("{server}/{tool}/{sealed}")
}

/// The server, the tool and the sealed id.
#[must_use]
pub fn split_task(exposed: &str) -> Option<(ServerName, &str, &str)> {
    let (server, rest) = exposed.split_once('/')?;
    let (tool, sealed) = rest.split_once('/')?;
    Some((server.parse().ok()?, tool, sealed))
}

/// Where the addresses of resources stand in a result of `tools/call`, `prompts/get` or `resources/read`, so that
/// they can be changed into those of the aggregate endpoint: each place, in order, and what stands there.
#[must_use]
pub fn addresses_in(result: View<'_>) -> Vec<(Range<usize>, String)> {
    let mut found = Vec::new();
    let mut note = |value: Option<View<'_>>| {
        if let Some((value, text)) = value.and_then(|value| Some((value, value.as_str()?))) {
            found.push((value.span(), text.into_owned()));
        }
    };
    let mut block = |block: View<'_>| {
        let Some(kind) = block.get("type") else { return };
        if kind.is_str("resource") {
            note(block.get("resource").and_then(|resource| resource.get("uri")));
        } else if kind.is_str("resource_link") {
            note(block.get("uri"));
        }
    };
    for (key, value) in result.members() {
        match key.as_str().as_deref() {
            Some("content") => value.elements().for_each(&mut block),
            Some("messages") => {
                for content in value.elements().filter_map(|message| message.get("content")) {
                    if content.kind() == Kind::Array { content.elements().for_each(&mut block) } else { block(content) }
                }
            }
            _ => {}
        }
    }
    if let Some(contents) = result.get("contents") {
        contents.elements().for_each(|content| note(content.get("uri")));
    }
    found.sort_by_key(|(at, _)| at.start);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_model::json::{Json, Limits};
    use proptest::prelude::*;

    #[test]
    fn addresses_wherever_results_have_them() {
        for (result, expected) in [
            (r#"{"contents":[{"uri":"a:1"},{"uri":"a:2"},{"text":"x"}]}"#, vec!["a:1", "a:2"]),
            (
                r#"{"content":[{"type":"text","uri":"no"},{"type":"resource","resource":{"uri":"a:1"}},{"type":"resource_link","uri":"a:2"}]}"#,
                vec!["a:1", "a:2"],
            ),
            (
                r#"{"messages":[{"content":{"type":"resource","resource":{"uri":"a:1"}}},{"content":[{"type":"resource_link","uri":"a:2"}]}]}"#,
                vec!["a:1", "a:2"],
            ),
            (r#"{"content":"text","structuredContent":{"uri":"a:1"}}"#, vec![]),
            ("[]", vec![]),
        ] {
            let json = Json::parse(result, Limits::RESULT).unwrap();
            let found: Vec<String> = addresses_in(json.root()).into_iter().map(|(_, uri)| uri).collect();
            assert_eq!(found, expected, "{result}");
        }
    }

    proptest! {
        #[test]
        fn names_come_apart_as_they_were_put_together(server in "[a-z][a-z0-9-]{0,23}", name in ".{0,40}") {
            let server: ServerName = server.parse().unwrap();
            let (prompt, address) = (prompt(&server, &name), address(&server, &name));
            prop_assert_eq!(split_prompt(&prompt), Some((server.clone(), name.as_str())));
            prop_assert_eq!(split_address(&address), Some((server, name.as_str())));
        }
    }
}
