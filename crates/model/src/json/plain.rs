//! The bytes of a string that stand for themselves: neither quote, backslash nor control character.
//!
//! Eight bytes are judged at once, as one number. In a lane of eight bits, `x - 1` borrows into the top bit only if
//! `x` is zero or has that bit itself, and `x - 32` only if `x` is a control character or has it itself.
//! A borrow goes on into the lane above, so that a hit there may be a false one; the lowest hit is always true.

const EACH: u64 = 0x0101_0101_0101_0101;

/// How many bytes at the start of `bytes` stand for themselves.
#[inline]
pub(super) fn run(bytes: &[u8]) -> usize {
    let (Some(start), Some(end)) = (bytes.first_chunk(), bytes.last_chunk()) else { return few(bytes) };
    // Most strings, and most runs between escapes, are short.
    match hits(*start) {
        0 if bytes.len() <= 16 => bytes.len() - 8 + lowest(hits(*end)),
        0 => 8 + many(bytes.get(8..).unwrap_or_default()),
        found => lowest(found),
    }
}

/// Eight bytes or more.
fn many(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<32>();
    // Where nothing is found there is one branch for 32 bytes.
    let clean = |block: &&[u8; 32]| block.as_chunks().0.iter().fold(0, |found, word| found | hits(*word)) == 0;
    let clean = 32 * blocks.iter().take_while(clean).count();
    let (words, _) = bytes.get(clean..).unwrap_or_default().as_chunks();
    for (i, word) in words.iter().enumerate() {
        let found = hits(*word);
        if found != 0 {
            return clean + 8 * i + lowest(found);
        }
    }
    // The last bytes, fewer than eight, together with some that were looked at.
    bytes.last_chunk().map_or(0, |end| bytes.len() - 8 + lowest(hits(*end)))
}

/// Fewer than eight bytes.
fn few(bytes: &[u8]) -> usize {
    // Four to seven are two times four that may overlap.
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some([a, b, c, d]), Some([e, f, g, h])) if hits([*a, *b, *c, *d, *e, *f, *g, *h]) == 0 => bytes.len(),
        _ => bytes.iter().position(|b| *b < 0x20 || matches!(b, b'"' | b'\\')).unwrap_or(bytes.len()),
    }
}

/// The offset of the first hit in a word; 8 if there is none.
#[inline]
const fn lowest(hits: u64) -> usize {
    hits.trailing_zeros() as usize / 8
}

/// The top bit of each byte that does not stand for itself, the first byte lowest. Above the lowest one some may be wrong.
#[inline]
const fn hits(word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
    let quote = word ^ (EACH * b'"' as u64);
    let backslash = word ^ (EACH * b'\\' as u64);
    let below = quote.wrapping_sub(EACH) & !quote
        | backslash.wrapping_sub(EACH) & !backslash
        | word.wrapping_sub(EACH * 0x20) & !word;
    below & (EACH << 7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn one_by_one(bytes: &[u8]) -> usize {
        bytes.iter().position(|b| matches!(b, 0..0x20 | b'"' | b'\\')).unwrap_or(bytes.len())
    }

    #[test]
    fn every_byte_at_every_offset() {
        // Before and after it stand the bytes closest to the ones looked for, and those with the top bit.
        for around in [b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0x9f, 0xa2, 0xdc, 0xff] {
            for len in 0..80 {
                let mut bytes = vec![around; len];
                assert_eq!(run(&bytes), len);
                for at in 0..len {
                    for byte in 0..=255 {
                        bytes[at] = byte;
                        assert_eq!(run(&bytes), one_by_one(&bytes), "{byte:#x} at {at} of {len} among {around:#x}");
                    }
                    bytes[at] = around;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_first_of_several(
            around in prop::sample::select(&[b'a', b'!', b'#', b'[', b']', 0x80, 0xa2, 0xdc, 0xff][..]),
            len in 0_usize..200,
            others in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let mut bytes = vec![around; len];
            for (at, byte) in others {
                if let Some(slot) = bytes.get_mut(at.index(len.max(1))) {
                    *slot = byte;
                }
            }
            prop_assert_eq!(run(&bytes), one_by_one(&bytes));
        }
    }
}
