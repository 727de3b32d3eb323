//! JSON for people to review: two spaces, one value a line, literals as they are written.

use interlock_model::json::{Kind, View};

/// The indented spelling of `value`, with a final line feed.
///
/// Going through a generic value would rewrite numbers, and a definition's digest covers them.
pub(crate) fn text(value: View<'_>) -> String {
    let mut out = Vec::with_capacity(value.raw().len() * 2);
    write(value, 0, &mut out);
    out.push(b'\n');
    String::from_utf8(out).unwrap_or_default()
}

// Recursion is bounded by the depth limit that the tape was checked with.
fn write(value: View<'_>, depth: usize, out: &mut Vec<u8>) {
    let (open, close) = match value.kind() {
        Kind::Object => (b'{', b'}'),
        Kind::Array => (b'[', b']'),
        _ => return out.extend_from_slice(value.raw()),
    };
    out.push(open);
    let mut empty = true;
    let mut item = |key: Option<View<'_>>, value: View<'_>, out: &mut Vec<u8>| {
        if !std::mem::take(&mut empty) {
            out.push(b',');
        }
        new_line(depth + 1, out);
        if let Some(key) = key {
            out.extend_from_slice(key.raw());
            out.extend_from_slice(b": ");
        }
        write(value, depth + 1, out);
    };
    value.members().for_each(|(key, value)| item(Some(key), value, out));
    value.elements().for_each(|value| item(None, value, out));
    if !empty {
        new_line(depth, out);
    }
    out.push(close);
}

fn new_line(depth: usize, out: &mut Vec<u8>) {
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b' ', depth * 2));
}

#[cfg(test)]
mod tests {
    use interlock_model::json::{Json, Limits};

    #[test]
    fn literals_survive() {
        let json = Json::parse(r#"{"a":[1.10,{}],"b":[],"c":"\u0041\n"}"#, Limits::REQUEST).unwrap();
        assert_eq!(
            super::text(json.root()),
            "{\n  \"a\": [\n    1.10,\n    {}\n  ],\n  \"b\": [],\n  \"c\": \"\\u0041\\n\"\n}\n"
        );
    }
}
