//! Text files as people's editors leave them: UTF-8 with or without a byte order mark, UTF-16 with one.

use std::{io::Read, path::Path};

/// Why a file has no text.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// More than anyone writes by hand.
    #[error("it is over {max} bytes")]
    TooLarge {
        /// The limit.
        max: u64,
    },
    /// Neither UTF-8 nor marked UTF-16.
    #[error("it is not text: invalid {encoding} at byte {at}; save it as UTF-8")]
    Encoding {
        /// What it was taken for.
        encoding: &'static str,
        /// The first byte that does not fit.
        at: usize,
    },
}

/// Reads at most `max` bytes of text.
///
/// # Errors
///
/// [`TextError`].
pub fn read_text(path: &Path, max: u64) -> Result<String, TextError> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(TextError::TooLarge { max });
    }
    decode(&bytes)
}

/// The text of `bytes`, without its byte order mark. Line ends stay as they are.
///
/// # Errors
///
/// [`TextError::Encoding`].
pub fn decode(bytes: &[u8]) -> Result<String, TextError> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes, "UTF-16LE"),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes, "UTF-16BE"),
        _ => {
            let body = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            match std::str::from_utf8(body) {
                Ok(text) => Ok(text.to_owned()),
                Err(e) => {
                    Err(TextError::Encoding { encoding: "UTF-8", at: bytes.len() - body.len() + e.valid_up_to() })
                }
            }
        }
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16, encoding: &'static str) -> Result<String, TextError> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(TextError::Encoding { encoding, at: bytes.len() + 1 });
    }
    let mut text = String::with_capacity(pairs.len());
    let mut at = 2;
    for c in char::decode_utf16(pairs.iter().map(|p| unit(*p))) {
        let c = c.map_err(|_| TextError::Encoding { encoding, at })?;
        at += c.len_utf16() * 2;
        text.push(c);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings() {
        for (bytes, expected) in [
            (&b"a = 1"[..], Some("a = 1")),
            (b"\xef\xbb\xbfa\r\n", Some("a\r\n")),
            (b"\xff\xfea\x00\xe9\x00", Some("a\u{e9}")),
            (b"\xfe\xff\x00a\xd8\x3d\xde\x00", Some("a\u{1f600}")),
            (b"\xff\xfea\x00\x00", None),     // half a unit
            (b"\xff\xfe\x00\xd8a\x00", None), // half a surrogate pair
            (b"caf\xe9", None),
        ] {
            assert_eq!(decode(bytes).ok().as_deref(), expected, "{bytes:x?}");
        }
        assert!(decode(b"caf\xe9").unwrap_err().to_string().contains("byte 3"));
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12345").unwrap();
        assert_eq!(read_text(file.path(), 5).unwrap(), "12345");
        assert!(matches!(read_text(file.path(), 4), Err(TextError::TooLarge { max: 4 })));
    }
}
