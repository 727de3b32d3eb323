//! The Merkle tree of RFC 6962: hashes, the compact frontier, and where subtree hashes come from.
//!
//! In scope: hashing and the shape of the tree. Out of scope: proofs ([`crate::proof`]), files ([`crate::tile`]).
//! Source: RFC 6962 section 2.1, RFC 9162 section 2.1.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// A node of the tree: SHA-256 with domain separation between leaves and inner nodes. Written as base64 (C2SP).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The root of the tree without leaves: SHA-256 of nothing.
    pub const EMPTY: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae,
        0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    /// The hash of a leaf: SHA-256 of a zero byte and the entry.
    #[must_use]
    pub fn leaf(entry: &[u8]) -> Self {
        Self(Sha256::new_with_prefix([0]).chain_update(entry).finalize().into())
    }

    /// The hash of an inner node: SHA-256 of a one byte and both children.
    #[must_use]
    pub fn node(left: &Self, right: &Self) -> Self {
        Self(Sha256::new_with_prefix([1]).chain_update(left.0).chain_update(right.0).finalize().into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not the base64 of 32 bytes in its one spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the base64 of a SHA-256 hash")]
pub struct InvalidHash;

impl std::str::FromStr for Hash {
    type Err = InvalidHash;
    fn from_str(s: &str) -> Result<Self, InvalidHash> {
        STANDARD.decode(s).ok().and_then(|v| v.try_into().ok()).map(Self).ok_or(InvalidHash)
    }
}

impl TryFrom<String> for Hash {
    type Error = InvalidHash;
    fn try_from(s: String) -> Result<Self, InvalidHash> {
        s.parse()
    }
}

impl From<Hash> for String {
    fn from(h: Hash) -> Self {
        h.to_string()
    }
}

/// Where the hashes of complete subtrees come from.
pub trait HashSource {
    /// The root of the complete subtree over the leaves `index << level` up to `(index + 1) << level`,
    /// exclusive. `None` if this source does not have it.
    fn hash(&self, level: u8, index: u64) -> Option<Hash>;
}

/// Leaf hashes in memory; inner nodes are computed when asked for.
impl HashSource for [Hash] {
    fn hash(&self, level: u8, index: u64) -> Option<Hash> {
        let width = 1_u64.checked_shl(u32::from(level))?;
        let start = index.checked_mul(width)?;
        let end = start.checked_add(width)?;
        self.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?).map(root_of)
    }
}

impl HashSource for Vec<Hash> {
    fn hash(&self, level: u8, index: u64) -> Option<Hash> {
        self.as_slice().hash(level, index)
    }
}

impl<S: HashSource + ?Sized> HashSource for &S {
    fn hash(&self, level: u8, index: u64) -> Option<Hash> {
        (**self).hash(level, index)
    }
}

/// A source does not have the hash of this subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the hash at level {level}, index {index} is missing")]
pub struct MissingHash {
    /// Height of the subtree.
    pub level: u8,
    /// Its index among the subtrees of that height.
    pub index: u64,
}

/// The root over leaf hashes, all of them in memory.
#[must_use]
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    for leaf in leaves {
        frontier.push(*leaf);
    }
    frontier.root()
}

/// The right edge of a tree: what is needed to append and to know the root. At most 64 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    /// Roots of the complete subtrees, one for each bit set in `size`, the largest first.
    subtrees: Vec<Hash>,
    size: u64,
}

impl Frontier {
    /// The right edge of the tree of `size` leaves.
    ///
    /// # Errors
    ///
    /// [`MissingHash`] if `source` lacks one of the complete subtrees it consists of.
    pub fn restore<S: HashSource + ?Sized>(size: u64, source: &S) -> Result<Self, MissingHash> {
        let subtrees = complete_subtrees(0, size)
            .map(|(level, index)| source.hash(level, index).ok_or(MissingHash { level, index }))
            .collect::<Result<_, _>>()?;
        Ok(Self { subtrees, size })
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                hash = Hash::node(&left, &hash);
            }
        }
        self.subtrees.push(hash);
        self.size += 1;
    }

    /// Leaves so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root over them.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold(&self.subtrees)
    }
}

/// The complete subtrees, as level and index, that `start..end` consists of, left to right. `start` must
/// be a multiple of the least power of two that is not below the range's length, as it is for every
/// range that RFC 6962 splits off.
pub(crate) fn complete_subtrees(start: u64, end: u64) -> impl Iterator<Item = (u8, u64)> {
    let mut at = start;
    std::iter::from_fn(move || {
        let level = u8::try_from(end.checked_sub(at)?.checked_ilog2()?).ok()?;
        let index = at >> level;
        at += 1 << level;
        Some((level, index))
    })
}

/// The root over `start..end`; the same condition on `start` holds.
pub(crate) fn range_root<S: HashSource + ?Sized>(source: &S, start: u64, end: u64) -> Result<Hash, MissingHash> {
    let parts: Vec<Hash> = complete_subtrees(start, end)
        .map(|(level, index)| source.hash(level, index).ok_or(MissingHash { level, index }))
        .collect::<Result<_, _>>()?;
    Ok(fold(&parts))
}

/// Joins complete subtrees, the largest first, into one root.
fn fold(subtrees: &[Hash]) -> Hash {
    subtrees.iter().rev().copied().reduce(|right, left| Hash::node(&left, &right)).unwrap_or(Hash::EMPTY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_model::digest::hex;

    /// Known answers that certificate transparency implementations share: eight leaves and the roots over them.
    const LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn known_roots() {
        let mut frontier = Frontier::default();
        for (size, root) in ROOTS.iter().enumerate() {
            assert_eq!(hex(&frontier.root().0), *root, "size {size}");
            if let Some(leaf) = LEAVES.get(size) {
                frontier.push(Hash::leaf(leaf));
            }
        }
    }

    #[test]
    fn restored_at_every_size_it_goes_on_as_if_never_stopped() {
        let leaves: Vec<Hash> = (0..200_u16).map(|i| Hash::leaf(&i.to_be_bytes())).collect();
        let mut whole = Frontier::default();
        for (size, leaf) in leaves.iter().enumerate() {
            let mut restored = Frontier::restore(size as u64, &leaves).unwrap();
            assert_eq!(restored, whole);
            restored.push(*leaf);
            whole.push(*leaf);
            assert_eq!(restored.root(), whole.root());
        }
        assert_eq!(Frontier::restore(201, &leaves), Err(MissingHash { level: 0, index: 200 }));
        assert!(Frontier::restore(u64::MAX, &leaves).is_err());
    }

    #[test]
    fn a_hash_has_one_spelling() {
        let text = Hash::leaf(b"x").to_string();
        assert_eq!(text.parse(), Ok(Hash::leaf(b"x")));
        for bad in [text.trim_end_matches('=').to_owned(), format!("{text} "), text.replace('=', "=="), "AAAA".into()] {
            assert_eq!(bad.parse::<Hash>(), Err(InvalidHash), "{bad}");
        }
        // 32 bytes leave two bits unused in the last character; setting one is another spelling of the same bytes.
        let last = text.as_bytes()[42];
        let loose = format!("{}{}=", &text[..42], char::from(last + 1));
        assert_eq!(loose.parse::<Hash>(), Err(InvalidHash), "{loose}");
    }
}
