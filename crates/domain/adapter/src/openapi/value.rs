//! Argument values where they are not JSON: single texts, lists and members, nothing nested.
//!
//! Source: OpenAPI 3.1.1, "Style Values" (primitive, array, object) and "Undefined Values and Type Coercion".

use crate::percent;
use interlock_model::json::{Kind, View};

/// Why a value cannot stand where the description puts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueFault {
    /// Null has no spelling outside JSON.
    #[error("null cannot be sent here")]
    Null,
    /// Lists or objects inside lists or objects: no style defines them.
    #[error("nested lists and objects cannot be sent here")]
    Nested,
    /// Half a surrogate pair.
    #[error("a string that is not text")]
    Text,
    /// A part of the path would be empty.
    #[error("a part of the path must not be empty")]
    Empty,
    /// A part of the path would be `.` or `..`, as it stands or once decoded.
    #[error("a part of the path must not be a dot segment")]
    DotSegment,
    /// A control character in the path.
    #[error("control characters cannot be part of the path")]
    Control,
    /// Not visible ASCII with inner spaces.
    #[error("a header's value must be visible ASCII, with spaces only inside")]
    Header,
    /// An item or a key with the character that ends items or keys here.
    #[error("an item contains the character that separates items")]
    Delimiter,
    /// A member with the name of another parameter.
    #[error("a member has the name of another parameter")]
    Taken,
    /// The parameter's style does not say how such a value is spelled.
    #[error("the parameter's style is not defined for a value of this kind")]
    Undefined,
}

/// A value as texts: strings as they are, numbers as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    One(String),
    List(Vec<String>),
    Members(Vec<(String, String)>),
}

impl Value {
    pub(super) fn read(view: View<'_>) -> Result<Self, ValueFault> {
        Ok(match view.kind() {
            Kind::Array => Self::List(view.elements().map(scalar).collect::<Result<_, _>>()?),
            Kind::Object => {
                let member = |(key, value): (View<'_>, View<'_>)| Ok((scalar(key)?, scalar(value)?));
                Self::Members(view.members().map(member).collect::<Result<_, _>>()?)
            }
            Kind::Null | Kind::Bool | Kind::Number | Kind::String => Self::One(scalar(view)?),
        })
    }

    /// Whether it is a list or an object without anything in it.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::One(_) => false,
            Self::List(items) => items.is_empty(),
            Self::Members(members) => members.is_empty(),
        }
    }

    /// All texts, keys included.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let (one, list, members): (Option<&String>, &[String], &[(String, String)]) = match self {
            Self::One(text) => (Some(text), &[], &[]),
            Self::List(items) => (None, items, &[]),
            Self::Members(members) => (None, &[], members),
        };
        let members = members.iter().flat_map(|(key, text)| [key, text]);
        one.into_iter().chain(list).chain(members).map(String::as_str)
    }

    /// Refuses items and keys that contain what separates them.
    pub(super) fn refuse(&self, separator: char) -> Result<(), ValueFault> {
        match self {
            Self::One(_) => Ok(()),
            _ if self.texts().any(|text| text.contains(separator)) => Err(ValueFault::Delimiter),
            _ => Ok(()),
        }
    }

    /// The encoded texts with `separator` between items, and between keys and values `pair`, or else `separator`.
    pub(super) fn joined(&self, separator: &str, pair: Option<&str>, kept: &[u8]) -> String {
        let mut out = String::new();
        match self {
            Self::One(text) => percent::encode(text, kept, &mut out),
            Self::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push_str(separator);
                    }
                    percent::encode(item, kept, &mut out);
                }
            }
            Self::Members(members) => {
                for (i, (key, text)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push_str(separator);
                    }
                    percent::encode(key, &[], &mut out);
                    out.push_str(pair.unwrap_or(separator));
                    percent::encode(text, kept, &mut out);
                }
            }
        }
        out
    }
}

fn scalar(view: View<'_>) -> Result<String, ValueFault> {
    match view.kind() {
        Kind::String => view.as_str().map(std::borrow::Cow::into_owned).ok_or(ValueFault::Text),
        // Their literals, which are ASCII: a number is not read, so that it is not rounded.
        Kind::Number | Kind::Bool => Ok(String::from_utf8_lossy(view.raw()).into_owned()),
        Kind::Null => Err(ValueFault::Null),
        Kind::Array | Kind::Object => Err(ValueFault::Nested),
    }
}
