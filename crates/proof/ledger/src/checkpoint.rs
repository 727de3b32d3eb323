//! Checkpoints: what a log says about itself, in a signed note of three lines.
//!
//! Extension lines are refused: nothing here would read them, and what is not read is not to be vouched for.
//! Source: C2SP tlog-checkpoint.

use crate::note::{Note, NoteError, Origin, VerifierKey};
use crate::tree::{Frontier, Hash};
use interlock_signature::Signer;
use std::fmt;

/// A log's size and root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: Origin,
    /// Its leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// Why bytes are not a checkpoint, or not one signed as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text is not the three lines in their one spelling.
    #[error("not a checkpoint: expected an origin, a size and a root hash, one on each line")]
    Form,
    /// It is signed, but by a key of another name.
    #[error("the checkpoint is of another log than the key")]
    Origin,
}

impl Checkpoint {
    /// What `origin` says about the tree that `frontier` is the edge of.
    #[must_use]
    pub fn of(origin: Origin, frontier: &Frontier) -> Self {
        Self { origin, size: frontier.size(), root: frontier.root() }
    }

    /// Reads a checkpoint's text, which is a note's text.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Form`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let parse = || {
            let mut lines = text.split('\n');
            let checkpoint = Self {
                origin: lines.next()?.parse().ok()?,
                size: lines.next()?.parse().ok()?,
                root: lines.next()?.parse().ok()?,
            };
            // Leading zeros, a plus sign, further lines: all of them spell it otherwise.
            (checkpoint.to_string() == text).then_some(checkpoint)
        };
        parse().ok_or(CheckpointError::Form)
    }

    /// Signs it under its origin.
    ///
    /// # Errors
    ///
    /// [`NoteError`], which cannot happen for a checkpoint.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Note, NoteError> {
        Note::sign(self.to_string(), &self.origin, signer)
    }

    /// Reads a signed checkpoint and verifies the log's own signature; those of others are not looked at.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`].
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        note.verify(key)?;
        let checkpoint = Self::parse(note.text())?;
        if checkpoint.origin == *key.name() { Ok(checkpoint) } else { Err(CheckpointError::Origin) }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::InvalidVerifierKey;
    use crate::samples::SoftSigner;

    fn signed() -> (String, VerifierKey) {
        let origin: Origin = "interlock.example/log".parse().unwrap();
        let mut frontier = Frontier::default();
        for i in 0..42_u8 {
            frontier.push(Hash::leaf(&[i]));
        }
        let note = Checkpoint::of(origin.clone(), &frontier).sign(&SoftSigner::new(1)).unwrap();
        (note.to_string(), VerifierKey::new(origin, SoftSigner::new(1).public_key()))
    }

    #[test]
    fn round_trip() {
        let (text, key) = signed();
        let checkpoint = Checkpoint::open(text.as_bytes(), &key).unwrap();
        assert_eq!(checkpoint.size, 42);
        assert_eq!(key.to_string().parse(), Ok(key));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let (text, key) = signed();
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                assert!(Checkpoint::open(&bytes, &key).is_err(), "bit {bit} of byte {at}");
            }
            let mut shorter = text.clone().into_bytes();
            shorter.remove(at);
            assert!(Checkpoint::open(&shorter, &key).is_err(), "without byte {at}");
        }
        for tail in ["\n", " ", "x", "\n\u{2014} a AAAA\n"] {
            assert!(Checkpoint::open(format!("{text}{tail}").as_bytes(), &key).is_err(), "{tail:?}");
        }
    }

    #[test]
    fn texts_have_one_spelling() {
        let root = Hash::EMPTY;
        assert!(Checkpoint::parse(&format!("a\n0\n{root}\n")).is_ok());
        for bad in [
            format!("a\n00\n{root}\n"),
            format!("a\n+1\n{root}\n"),
            format!("a\n-1\n{root}\n"),
            format!("a\n1\n{root}"),
            format!("a\n1\n{root}\n\n"),
            format!("a\n1\n{root}\nextension\n"),
            format!("a \n1\n{root}\n"),
            format!("\n1\n{root}\n"),
            format!("a\r\n1\n{root}\n"),
            format!("a\n18446744073709551616\n{root}\n"),
            "a\n1\nAAAA\n".to_owned(),
            String::new(),
        ] {
            assert_eq!(Checkpoint::parse(&bad), Err(CheckpointError::Form), "{bad:?}");
        }
    }

    #[test]
    fn only_the_logs_own_key_counts() {
        let (text, key) = signed();
        // A witness's line, of a kind and a key we do not know, is carried along.
        let witnessed = format!("{text}\u{2014} witness.example {}\n", "QUFBQUFBQUFB");
        assert!(Checkpoint::open(witnessed.as_bytes(), &key).is_ok());
        assert_eq!(Note::parse(witnessed.as_bytes()).unwrap().to_string(), witnessed);
        let open = |name: &str, seed| {
            let key = VerifierKey::new(name.parse().unwrap(), SoftSigner::new(seed).public_key());
            Checkpoint::open(text.as_bytes(), &key)
        };
        assert_eq!(open("interlock.example/log", 2), Err(NoteError::Unsigned.into()));
        assert_eq!(open("interlock.example/other", 1), Err(NoteError::Unsigned.into()));
        // Another log signs our text: the signature is good, the origin is not its own.
        let theirs: Origin = "other.example/log".parse().unwrap();
        let body = Note::parse(text.as_bytes()).unwrap().text().to_owned();
        let note = Note::sign(body, &theirs, &SoftSigner::new(3)).unwrap().to_string();
        let key = VerifierKey::new(theirs, SoftSigner::new(3).public_key());
        assert_eq!(Checkpoint::open(note.as_bytes(), &key), Err(CheckpointError::Origin));
    }

    #[test]
    fn notes_refuse_what_is_not_a_signature() {
        let (text, key) = signed();
        for (tail, error) in [
            ("- a QUFBQUFB\n", NoteError::Line(2)),
            ("\u{2014} a b QUFBQUFB\n", NoteError::Line(2)),
            ("\u{2014} a+b QUFBQUFB\n", NoteError::Line(2)),
            ("\u{2014} a QUFBQUFB=\n", NoteError::Line(2)),
            ("\u{2014} a QUFBQQ==\n", NoteError::Line(2)),
            ("\u{2014} a\u{a0}b QUFBQUFB\n", NoteError::Line(2)),
            ("\u{2014} a QUFBQUFB", NoteError::Form),
            ("\u{2014} a QUFBQUFB\r\n", NoteError::Text),
        ] {
            let error: CheckpointError = error.into();
            assert_eq!(Checkpoint::open(format!("{text}{tail}").as_bytes(), &key), Err(error), "{tail:?}");
        }
        let many = "\u{2014} a QUFBQUFB\n".repeat(Note::MAX_SIGNATURES);
        assert_eq!(Note::parse(format!("{text}{many}").as_bytes()), Err(NoteError::TooMany));
        assert_eq!(Note::parse(&[b'a'; Note::MAX_LEN + 1]), Err(NoteError::TooLarge(Note::MAX_LEN + 1)));
        // A second signature in the log's own name must verify as well.
        let doubled = text.clone() + text.lines().last().unwrap() + "\n";
        assert!(Checkpoint::open(doubled.as_bytes(), &key).is_ok());
    }

    #[test]
    fn verifier_keys_have_one_spelling() {
        let (_, key) = signed();
        let text = key.to_string();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let parsed = String::from_utf8(bytes).unwrap().parse::<VerifierKey>();
            assert!(matches!(parsed, Err(InvalidVerifierKey::Form | InvalidVerifierKey::Id)), "byte {at}");
        }
    }
}
