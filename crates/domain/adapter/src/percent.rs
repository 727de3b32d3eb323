//! Percent-encoding (RFC 3986, section 2.1).

/// Appends `text`, each byte outside `A-Z a-z 0-9 - . _ ~` and outside `kept` as `%XX`.
///
/// `kept` never holds what separates parts of an address where the text is put.
pub(crate) fn encode(text: &str, kept: &[u8], out: &mut String) {
    for byte in text.bytes() {
        if is_unreserved(byte) || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            push_triplet(byte, out);
        }
    }
}

pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    encode(text, &[], &mut out);
    out
}

/// RFC 3986, section 2.3.
pub(crate) const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

pub(crate) fn push_triplet(byte: u8, out: &mut String) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or('0');
    out.push('%');
    out.push(digit(byte >> 4));
    out.push(digit(byte & 15));
}

/// The bytes that `text` stands for. A `%` without two digits stands for itself, as most readers have it.
pub(crate) fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        match (first, triplet(rest)) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = rest.get(3..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// The byte of the triplet at the start of `text`, if there is one.
pub(crate) fn triplet(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table() {
        for (text, expected) in [
            ("aZ09-._~", "aZ09-._~"),
            ("a b+c", "a%20b%2Bc"),
            ("/?#[]@:&=%", "%2F%3F%23%5B%5D%40%3A%26%3D%25"),
            ("%2e", "%252e"),
            ("é\u{0}\r\n", "%C3%A9%00%0D%0A"),
        ] {
            assert_eq!(encoded(text), expected, "{text:?}");
        }
        assert_eq!(decode(b"%2e%zz%4"), b".%zz%4");
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(text in any::<String>()) {
            let encoded = encoded(&text);
            prop_assert!(encoded.bytes().all(|b| is_unreserved(b) || b == b'%'));
            prop_assert_eq!(decode(encoded.as_bytes()), text.as_bytes());
        }
    }
}
