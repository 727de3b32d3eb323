//! Signed notes: a text, and Ed25519 signatures that name their keys.
//!
//! Signatures of keys the reader does not know are carried along unread (witnesses add theirs); any line
//! that is not a signature at all makes the whole note invalid. There is one spelling.
//! Source: C2SP signed-note.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use interlock_model::digest::{hex, unhex};
use interlock_signature::{PublicKey, Signature, Signer};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The name of a log, which is also the name of the key that signs its checkpoints: 1 to 128 printable
/// ASCII characters without space and `+`, usually a host name and a path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(Box<str>);

impl Origin {
    /// Most bytes.
    pub const MAX_LEN: usize = 128;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Not the name of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an origin: 1 to {max} printable ASCII characters without space and `+`", max = Origin::MAX_LEN)]
pub struct InvalidOrigin;

impl std::str::FromStr for Origin {
    type Err = InvalidOrigin;
    fn from_str(s: &str) -> Result<Self, InvalidOrigin> {
        let fits = (1..=Self::MAX_LEN).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_graphic() && b != b'+');
        if fits { Ok(Self(s.into())) } else { Err(InvalidOrigin) }
    }
}
impl TryFrom<String> for Origin {
    type Error = InvalidOrigin;
    fn try_from(s: String) -> Result<Self, InvalidOrigin> {
        s.parse()
    }
}
impl From<Origin> for String {
    fn from(o: Origin) -> Self {
        o.0.into()
    }
}
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// C2SP signed-note, "Signature types": Ed25519 over the note's text.
const ED25519: u8 = 0x01;

/// A key that notes are verified with, and the name it goes by. Written `name+01234567+base64`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: Origin,
    key: PublicKey,
}

impl VerifierKey {
    /// The key under its name.
    #[must_use]
    pub const fn new(name: Origin, key: PublicKey) -> Self {
        Self { name, key }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &Origin {
        &self.name
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The four bytes that name it in a signature: of SHA-256 over name, newline, type and key.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let hash = Sha256::new_with_prefix(self.name.as_str())
            .chain_update([b'\n', ED25519])
            .chain_update(self.key.as_bytes());
        let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
        [a, b, c, d]
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[ED25519][..], self.key.as_bytes()].concat();
        write!(f, "{}+{}+{}", self.name, hex(&self.id()), STANDARD.encode(typed))
    }
}
impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not a verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVerifierKey {
    /// Not of the form.
    #[error("not a verifier key: expected `name+01234567+base64` with an Ed25519 key")]
    Form,
    /// The four bytes in the middle are not those of this name and key.
    #[error("the verifier key's id is not that of its name and key: it was copied wrongly")]
    Id,
}

impl std::str::FromStr for VerifierKey {
    type Err = InvalidVerifierKey;
    fn from_str(s: &str) -> Result<Self, InvalidVerifierKey> {
        let parse = || {
            // Neither the name nor the id holds a plus sign; base64 may.
            let (name, rest) = s.split_once('+')?;
            let (id, key) = rest.split_once('+')?;
            let typed: [u8; 33] = STANDARD.decode(key).ok()?.try_into().ok()?;
            let (kind, key) = typed.split_first_chunk::<1>()?;
            let key: [u8; 32] = key.try_into().ok()?;
            let id: [u8; 4] = unhex(id)?.try_into().ok()?;
            (*kind == [ED25519]).then_some((Self::new(name.parse().ok()?, PublicKey::from_bytes(key)), id))
        };
        let (key, id) = parse().ok_or(InvalidVerifierKey::Form)?;
        if key.id() == id { Ok(key) } else { Err(InvalidVerifierKey::Id) }
    }
}

/// Why bytes are not a note, or not one that is signed as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Over [`Note::MAX_LEN`].
    #[error("note of {0} bytes is over {max}", max = Note::MAX_LEN)]
    TooLarge(usize),
    /// Not UTF-8, or with control characters.
    #[error("note is not plain text")]
    Text,
    /// No blank line between text and signatures, or no final newline.
    #[error("note has no signatures")]
    Form,
    /// A signature line is not one.
    #[error("signature line {0} of the note is malformed")]
    Line(usize),
    /// Over [`Note::MAX_SIGNATURES`].
    #[error("note has more than {max} signatures", max = Note::MAX_SIGNATURES)]
    TooMany,
    /// The key has not signed it.
    #[error("note is not signed by the key asked for")]
    Unsigned,
    /// There is a signature that names the key, and it does not verify.
    #[error("the note's signature does not verify")]
    BadSignature,
}

/// One signature of a note, of whatever kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The key's name.
    pub name: String,
    /// The first four bytes of the key's hash.
    pub id: [u8; 4],
    /// What follows them.
    pub bytes: Vec<u8>,
}

/// A text with signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Most bytes of a note: a checkpoint and its witnesses take a few thousand.
    pub const MAX_LEN: usize = 65_536;
    /// Most signatures; C2SP tlog-witness asks readers to take at least 16.
    pub const MAX_SIGNATURES: usize = 100;

    /// Signs `text` under `name`. `text` must end with a newline.
    ///
    /// # Errors
    ///
    /// [`NoteError`] if the text cannot stand in a note.
    pub fn sign(text: String, name: &Origin, signer: &dyn Signer) -> Result<Self, NoteError> {
        let id = VerifierKey::new(name.clone(), signer.public_key()).id();
        let bytes = signer.sign_raw(text.as_bytes()).0.to_vec();
        let note = Self { text, signatures: vec![NoteSignature { name: name.to_string(), id, bytes }] };
        Self::parse(note.to_string().as_bytes())
    }

    /// Reads a note. No signature is verified.
    ///
    /// # Errors
    ///
    /// [`NoteError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(NoteError::TooLarge(bytes.len()));
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| NoteError::Text)?;
        if whole.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(NoteError::Text);
        }
        // The text may hold blank lines; the signatures follow the last one.
        let split = whole.rfind("\n\n").ok_or(NoteError::Form)?;
        let (text, rest) = whole.split_at_checked(split + 1).ok_or(NoteError::Form)?;
        let lines = rest.strip_prefix('\n').and_then(|r| r.strip_suffix('\n')).ok_or(NoteError::Form)?;
        if lines.split('\n').count() > Self::MAX_SIGNATURES {
            return Err(NoteError::TooMany);
        }
        let signatures = lines
            .split('\n')
            .enumerate()
            .map(|(i, line)| parse_signature(line).ok_or(NoteError::Line(i + 1)))
            .collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text, final newline included.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, in the order of the note.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Whether `key` signed the text. Every signature that names this key must verify.
    ///
    /// # Errors
    ///
    /// [`NoteError::Unsigned`] or [`NoteError::BadSignature`].
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        let id = key.id();
        let mut result = Err(NoteError::Unsigned);
        for signature in self.signatures.iter().filter(|s| s.id == id && s.name == key.name.as_str()) {
            let bytes = <[u8; 64]>::try_from(signature.bytes.as_slice()).map_err(|_| NoteError::BadSignature)?;
            result = key.key.verify_raw(self.text.as_bytes(), &Signature(bytes)).map_err(|_| NoteError::BadSignature);
            result?;
        }
        result
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_str("\n")?;
        for s in &self.signatures {
            writeln!(f, "\u{2014} {} {}", s.name, STANDARD.encode([&s.id[..], &s.bytes].concat()))?;
        }
        Ok(())
    }
}

/// `— name base64`: an em dash, and four bytes of id before at least one of signature.
fn parse_signature(line: &str) -> Option<NoteSignature> {
    let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    if name.is_empty() || name.contains(|c: char| c == '+' || c.is_whitespace()) {
        return None;
    }
    let bytes = STANDARD.decode(encoded).ok()?;
    let (id, rest) = bytes.split_first_chunk::<4>()?;
    (!rest.is_empty()).then(|| NoteSignature { name: name.to_owned(), id: *id, bytes: rest.to_vec() })
}
