//! The request body: which of the described media types is sent, and how arguments become it.
//!
//! Source: OpenAPI 3.1.1, "Request Body Object", "Media Type Object", "Encoding the `x-www-form-urlencoded` Media Type".

use super::Version;
use super::operation::Site;
use super::value::{Value, ValueFault};
use crate::http::Method;
use crate::import::{NoteKind, Reason};
use crate::media;
use crate::percent;
use crate::quote::shortened;
use crate::refs::Refs;
use bytes::Bytes;
use interlock_model::json::{Kind, View};

/// A body that can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) required: bool,
    pub(super) media_type: String,
    pub(super) description: Option<String>,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The argument's bytes.
    Json,
    /// Name and value pairs.
    Pairs,
    /// The argument's text.
    Text,
}

impl Body {
    /// Reads the operation's request body and gives its schema. Of several media types: JSON, else a form, else text.
    pub(super) fn read<'a>(
        refs: &mut Refs<'a>,
        version: Version,
        site: &Site<'a>,
        notes: &mut Vec<NoteKind>,
    ) -> Result<Option<(Self, Option<View<'a>>)>, Reason> {
        let Some(view) = refs.get(site.operation, "requestBody") else { return Ok(None) };
        // Content of GET, HEAD and DELETE has no meaning (RFC 9110, sections 9.3.1, 9.3.2, 9.3.5), and 3.0 ignores it;
        // for GET and HEAD it is also a way to smuggle requests. 3.1 permits it for DELETE, where servers read it.
        let meaningless = site.method.is_safe() || site.method == Method::Delete && version == Version::V30;
        if meaningless {
            notes.push(NoteKind::Body);
            return Ok(None);
        }
        let view = refs.follow(view)?;
        let required = refs.flag(view, "required") == Some(true);
        let Some(content) = refs.get(view, "content") else { return Err(Reason::Form) };
        let mut best: Option<(u8, Form, String, View<'a>)> = None;
        for (name, media) in content.members() {
            if !refs.spend() {
                return Err(Reason::Exhausted);
            }
            let Some((rank, form, media_type)) = name.as_str().and_then(|name| rank(&name)) else { continue };
            if best.as_ref().is_none_or(|(best, ..)| rank < *best) {
                best = Some((rank, form, media_type, media));
            }
        }
        let Some((_, form, media_type, media)) = best else {
            if required {
                return Err(Reason::Body);
            }
            notes.push(NoteKind::Body);
            return Ok(None);
        };
        let description = refs.text(view, "description").map(|d| shortened(&d, 1024));
        let schema = refs.get(media, "schema");
        Ok(Some((Self { required, media_type, description, form }, schema)))
    }

    /// The content for an argument.
    pub(super) fn content(&self, argument: View<'_>) -> Result<Bytes, ValueFault> {
        match self.form {
            Form::Json => Ok(Bytes::copy_from_slice(argument.raw())),
            Form::Text => {
                let text = argument.as_str().filter(|_| argument.kind() == Kind::String);
                text.map(|text| Bytes::from(text.into_owned())).ok_or(ValueFault::Text)
            }
            Form::Pairs => pairs(argument).map(Bytes::from),
        }
    }
}

fn rank(media_type: &str) -> Option<(u8, Form, String)> {
    let essence = media::essence(media_type)?;
    Some(match essence.as_str() {
        "application/json" => (0, Form::Json, essence),
        "*/*" | "application/*" => (2, Form::Json, "application/json".to_owned()),
        "application/x-www-form-urlencoded" => (3, Form::Pairs, essence),
        "text/plain" => (4, Form::Text, "text/plain; charset=utf-8".to_owned()),
        _ if media::kind(&essence) == media::Kind::Json => (1, Form::Json, essence),
        _ => return None,
    })
}

/// Style `form`, exploded, which is the default: a list is several pairs of the same name. Null is an absent member.
fn pairs(argument: View<'_>) -> Result<String, ValueFault> {
    if argument.kind() != Kind::Object {
        return Err(ValueFault::Undefined);
    }
    let mut out = String::new();
    for (key, value) in argument.members() {
        let name = percent::encoded(&key.as_str().ok_or(ValueFault::Text)?);
        if value.kind() == Kind::Null {
            continue;
        }
        let value = Value::read(value)?;
        if matches!(value, Value::Members(_)) {
            return Err(ValueFault::Nested);
        }
        for text in value.texts() {
            if !out.is_empty() {
                out.push('&');
            }
            out.push_str(&name);
            out.push('=');
            percent::encode(text, &[], &mut out);
        }
    }
    Ok(out)
}
