//! The one spelling of what is hashed or signed (RFC 8785).
//!
//! Two uses. Our own records are structs whose members are declared in sorted order, so that
//! serialising them is already canonical ([`ordered`]). Foreign documents are respelled ([`respell`]):
//! as RFC 8785, except that a number outside the integers of ±(2^53-1) keeps its literal instead of
//! being rounded to a double, so that two documents with different numbers never share a digest.

use super::{Kind, View};
use serde::Serialize;

/// Canonical bytes of one of our own records.
///
/// `record` must serialise its members in sorted order and hold no floats; tests of each record
/// compare this with [`respell`].
///
/// # Errors
///
/// Whatever its `Serialize` says; derived ones over strings, integers and lists say nothing.
pub fn ordered<T: Serialize>(record: &T) -> Result<Vec<u8>, serde_json::Error> {
    // Most records are entries of the ledger, and few of those are longer.
    let mut out = Vec::with_capacity(1536);
    serde_json::to_writer(&mut out, record)?;
    Ok(out)
}

/// The canonical spelling of a foreign value.
#[must_use]
pub fn respell(value: View<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.raw().len());
    write(value, &mut out);
    out
}

// Recursion is bounded by the depth limit that the tape was checked with.
fn write(value: View<'_>, out: &mut Vec<u8>) {
    match value.kind() {
        Kind::Null | Kind::Bool => out.extend_from_slice(value.raw()),
        Kind::Number => write_number(value, out),
        Kind::String => write_string(value, out),
        Kind::Array => {
            out.push(b'[');
            for (i, element) in value.elements().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(element, out);
            }
            out.push(b']');
        }
        Kind::Object => {
            let mut members: Vec<(Vec<u16>, View<'_>, View<'_>)> = value
                .members()
                .map(|(key, value)| (key.as_str().unwrap_or_default().encode_utf16().collect(), key, value))
                .collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            out.push(b'{');
            for (i, (_, key, value)) in members.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write(value, out);
            }
            out.push(b'}');
        }
    }
}

fn write_number(value: View<'_>, out: &mut Vec<u8>) {
    const SAFE: i64 = (1 << 53) - 1;
    match value.as_i64() {
        Some(n) if (-SAFE..=SAFE).contains(&n) => out.extend_from_slice(n.to_string().as_bytes()),
        _ => out.extend_from_slice(value.raw()),
    }
}

fn write_string(value: View<'_>, out: &mut Vec<u8>) {
    match value.as_str() {
        Some(text) => {
            // serde_json escapes exactly what RFC 8785 section 3.2.2.2 asks for, in the same spelling.
            if serde_json::to_writer(&mut *out, &text).is_err() {
                out.extend_from_slice(value.raw());
            }
        }
        // Half a surrogate pair has no canonical form; its literal still tells documents apart.
        None => out.extend_from_slice(value.raw()),
    }
}
