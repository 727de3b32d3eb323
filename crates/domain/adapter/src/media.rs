//! Media types, as far as it matters how content is shown and sent.
//!
//! Source: RFC 9110, section 8.3.1; RFC 6838, section 4.2 (structured syntax suffixes).

/// What kind of content a media type names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Json,
    Text,
    Image,
    Audio,
    Other,
}

/// `type/subtype` in lower case, without parameters; `None` if it is not of that form.
pub(crate) fn essence(media_type: &str) -> Option<String> {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (kind, subtype) = essence.split_once('/')?;
    let word = |text: &str| !text.is_empty() && text.len() <= 127 && text.bytes().all(is_token);
    (word(kind) && word(subtype)).then_some(essence)
}

pub(crate) fn is_json(media_type: &str) -> bool {
    essence(media_type).is_some_and(|essence| kind(&essence) == Kind::Json)
}

/// The kind of an essence.
pub(crate) fn kind(essence: &str) -> Kind {
    match essence {
        "application/json" | "text/json" => Kind::Json,
        "application/xml"
        | "application/javascript"
        | "application/ecmascript"
        | "application/yaml"
        | "application/x-yaml"
        | "application/toml"
        | "application/sql"
        | "application/graphql"
        | "application/x-ndjson"
        | "application/jsonl"
        | "application/x-sh"
        | "application/x-www-form-urlencoded" => Kind::Text,
        // What hosts show; other images are files to them.
        "image/png" | "image/jpeg" | "image/gif" | "image/webp" => Kind::Image,
        _ if essence.ends_with("+json") => Kind::Json,
        _ if essence.starts_with("text/") || essence.ends_with("+xml") || essence.ends_with("+yaml") => Kind::Text,
        _ if essence.starts_with("audio/") => Kind::Audio,
        _ => Kind::Other,
    }
}

/// A character of a token (RFC 9110, section 5.6.2).
pub(crate) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (media_type, expected) in [
            ("application/json; charset=utf-8", Some(Kind::Json)),
            (" Application/Problem+JSON ", Some(Kind::Json)),
            ("text/html", Some(Kind::Text)),
            ("image/svg+xml", Some(Kind::Text)),
            ("image/png", Some(Kind::Image)),
            ("image/tiff", Some(Kind::Other)),
            ("audio/mpeg", Some(Kind::Audio)),
            ("application/octet-stream", Some(Kind::Other)),
            ("json", None),
            ("a/b/c", None),
            ("a/b\"c", None),
            ("", None),
        ] {
            assert_eq!(essence(media_type).map(|e| kind(&e)), expected, "{media_type:?}");
        }
        let tokens: String = (0..=255).filter(|b| is_token(*b)).map(char::from).collect();
        assert_eq!(tokens, "!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~");
    }
}
