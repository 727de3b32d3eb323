//! Digests of public things and commitments to private ones.
//!
//! A digest (SHA-256) names something that anyone may see: a tool definition, a policy bundle.
//! A commitment (HMAC-SHA-256) names a payload: without the session's key it cannot be guessed
//! at, and once that key is destroyed it says nothing (design 4.7).

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// SHA-256, written `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of several parts, each preceded by its length, so that no two lists of parts
    /// have the same preimage.
    #[must_use]
    pub fn of_parts(label: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in std::iter::once(&label.as_bytes()).chain(parts) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The first eight hexadecimal digits, for people; never compared.
    #[must_use]
    pub fn short(&self) -> String {
        hex(&self.0[..4])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Spelling::new("sha256", b':', &self.0).as_str())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(Spelling::new("sha256", b':', &self.0).as_str())
    }
}

impl std::str::FromStr for Digest {
    type Err = InvalidDigest;
    fn from_str(s: &str) -> Result<Self, InvalidDigest> {
        s.strip_prefix("sha256:").and_then(unhex32).map(Self).ok_or(InvalidDigest)
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;
    fn try_from(s: String) -> Result<Self, InvalidDigest> {
        s.parse()
    }
}

impl From<Digest> for String {
    fn from(d: Digest) -> Self {
        d.to_string()
    }
}

/// Not a digest or commitment in its one spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest: expected an algorithm, a colon and 64 lower-case hexadecimal digits")]
pub struct InvalidDigest;

/// HMAC-SHA-256 under a governance session's key, written `hmac-sha256:` and 64 digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Commitment(pub [u8; 32]);

impl Commitment {
    /// Equality in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Spelling::new("hmac-sha256", b':', &self.0).as_str())
    }
}

impl fmt::Debug for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Commitment {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(Spelling::new("hmac-sha256", b':', &self.0).as_str())
    }
}

impl std::str::FromStr for Commitment {
    type Err = InvalidDigest;
    fn from_str(s: &str) -> Result<Self, InvalidDigest> {
        s.strip_prefix("hmac-sha256:").and_then(unhex32).map(Self).ok_or(InvalidDigest)
    }
}

impl TryFrom<String> for Commitment {
    type Error = InvalidDigest;
    fn try_from(s: String) -> Result<Self, InvalidDigest> {
        s.parse()
    }
}

impl From<Commitment> for String {
    fn from(c: Commitment) -> Self {
        c.to_string()
    }
}

/// The secret of one governance session: it keys commitments and, through [`SessionKey::derive`],
/// the vault. Never printed, never serialised in the clear.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    /// A key from 32 random bytes.
    #[must_use]
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// Commits to `parts` under `label`; each part is preceded by its length.
    #[must_use]
    pub fn commit(&self, label: &str, parts: &[&[u8]]) -> Commitment {
        let mut mac = self.mac();
        for part in std::iter::once(&label.as_bytes()).chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Commitment(mac.finalize().into_bytes().into())
    }

    /// A key for another use, told apart by `label` (HMAC as a PRF).
    #[must_use]
    pub fn derive(&self, label: &str) -> [u8; 32] {
        self.commit("interlock/derive", &[label.as_bytes()]).0
    }

    /// The key itself, for the vault that wraps it.
    #[must_use]
    pub const fn danger_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn mac(&self) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        Hmac::new_from_slice(&self.0).expect("a key of any length")
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// A word, a mark and hexadecimal digits, spelled on the stack: each entry of the ledger has a dozen.
pub(crate) struct Spelling {
    text: [u8; Self::MAX],
    len: usize,
}

impl Spelling {
    /// `hmac-sha256:` and 64 digits.
    pub(crate) const MAX: usize = 76;

    #[inline]
    pub(crate) fn new<const N: usize>(word: &'static str, mark: u8, bytes: &[u8; N]) -> Self {
        let mut text = [0; Self::MAX];
        let (start, rest) = text.split_at_mut(word.len());
        start.copy_from_slice(word.as_bytes());
        if let Some((at, rest)) = rest.split_first_mut() {
            *at = mark;
            spell(bytes, rest);
        }
        Self { text, len: word.len() + 1 + 2 * N }
    }

    /// All of it is ASCII: there is always a text.
    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        self.text.get(..self.len).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut out = vec![0; bytes.len() * 2];
    spell(bytes, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

fn spell(bytes: &[u8], out: &mut [u8]) {
    for (to, byte) in out.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *to = pair(*byte);
    }
}

/// The two digits of a byte. No branch and no table: some of what is spelled is secret.
const fn pair(byte: u8) -> [u8; 2] {
    const fn digit(n: u8) -> u8 {
        n + b'0' + (n > 9) as u8 * (b'a' - b'0' - 10)
    }
    [digit(byte >> 4), digit(byte & 15)]
}

/// The bytes behind lower-case hexadecimal; `None` for any other spelling.
#[must_use]
pub fn unhex(s: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = s.as_bytes().as_chunks::<2>();
    rest.is_empty().then_some(())?;
    pairs.iter().map(|[hi, lo]| Some(digit(*hi)? << 4 | digit(*lo)?)).collect()
}

fn unhex32(s: &str) -> Option<[u8; 32]> {
    unhex(s)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_spelling_only() {
        let d = Digest::of(b"abc");
        assert_eq!(d.to_string(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(d.to_string().parse(), Ok(d));
        for bad in [
            d.to_string().to_uppercase(),
            d.to_string()[7..].to_owned(),
            format!("{d}0"),
            format!("{d} "),
            "sha256:".to_owned(),
        ] {
            assert_eq!(bad.parse::<Digest>(), Err(InvalidDigest), "{bad}");
        }
    }

    #[test]
    fn parts_do_not_run_together() {
        let key = SessionKey::new([7; 32]);
        assert_ne!(key.commit("x", &[b"ab", b"c"]), key.commit("x", &[b"a", b"bc"]));
        assert_ne!(Digest::of_parts("x", &[b"ab"]), Digest::of_parts("xa", &[b"b"]));
        assert_ne!(key.commit("x", &[b"a"]), SessionKey::new([8; 32]).commit("x", &[b"a"]));
    }

    #[test]
    fn hmac_known_answer() {
        // RFC 4231 test case 2, reached through the raw MAC.
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        assert_eq!(
            hex(&mac.finalize().into_bytes()),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    proptest! {
        #[test]
        fn spelled_as_it_is_formatted(bytes in any::<[u8; 32]>()) {
            let digits: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            prop_assert_eq!(&hex(&bytes), &digits);
            prop_assert_eq!(unhex(&digits), Some(bytes.to_vec()));
            for (text, json) in [
                (Digest(bytes).to_string(), serde_json::to_string(&Digest(bytes)).unwrap()),
                (Commitment(bytes).to_string(), serde_json::to_string(&Commitment(bytes)).unwrap()),
            ] {
                prop_assert_eq!(text.split_once(':').map(|(_, digits)| digits), Some(&*digits));
                prop_assert_eq!(json, format!("\"{text}\""));
            }
        }
    }
}
