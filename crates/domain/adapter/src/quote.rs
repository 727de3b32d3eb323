//! Writing JSON text.

/// Appends `text` as a JSON string.
pub(crate) fn quote(text: &str, out: &mut Vec<u8>) {
    // Writing a string to memory does not fail.
    if serde_json::to_writer(&mut *out, text).is_err() {
        out.extend_from_slice(b"\"\"");
    }
}

/// Appends `"key":`, after a comma unless it is the first member.
pub(crate) fn key(name: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    quote(name, out);
    out.push(b':');
}

/// `text` up to `max` bytes, cut between characters and said to be.
pub(crate) fn shortened(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max);
    format!("{} […]", text.get(..end).unwrap_or_default())
}

/// Foreign text for a message: hidden characters visible, and not long.
pub(crate) fn visible(text: &str) -> String {
    let mut out: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    if text.chars().nth(64).is_some() {
        out.push('…');
    }
    out
}
