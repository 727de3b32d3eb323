//! Names that people give (agents, owners, servers, tools) and ids that we mint (calls, sessions, approvals).

use crate::{
    digest::{self, Spelling},
    instant::UnixMillis,
};
use serde::{Deserialize, Serialize};
use std::{fmt, marker::PhantomData, sync::Arc};

/// What one kind of name may look like.
pub trait NameKind {
    /// What to call it in an error.
    const WHAT: &'static str;
    /// Most bytes.
    const MAX: usize;
    /// Whether `b` may stand at `at`.
    fn allows(at: usize, b: u8) -> bool;
}

/// A name of kind `K`: ASCII, compared byte for byte, cheap to clone.
pub struct Name<K>(Arc<str>, PhantomData<fn() -> K>);

impl<K: NameKind> Name<K> {
    /// Checks `s`.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] with the first byte that does not belong, or with the length.
    pub fn new(s: &str) -> Result<Self, InvalidName> {
        if s.is_empty() || s.len() > K::MAX {
            return Err(InvalidName { what: K::WHAT, fault: NameFault::Length { len: s.len(), max: K::MAX } });
        }
        match s.bytes().enumerate().find(|(i, b)| !K::allows(*i, *b)) {
            Some((at, _)) => Err(InvalidName { what: K::WHAT, fault: NameFault::Character { at } }),
            None => Ok(Self(s.into(), PhantomData)),
        }
    }
}

impl<K> Name<K> {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<K> Clone for Name<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}
impl<K> PartialEq for Name<K> {
    fn eq(&self, o: &Self) -> bool {
        self.0 == o.0
    }
}
impl<K> Eq for Name<K> {}
impl<K> PartialOrd for Name<K> {
    fn partial_cmp(&self, o: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(o))
    }
}
impl<K> Ord for Name<K> {
    fn cmp(&self, o: &Self) -> std::cmp::Ordering {
        self.0.cmp(&o.0)
    }
}
impl<K> std::hash::Hash for Name<K> {
    fn hash<H: std::hash::Hasher>(&self, h: &mut H) {
        self.0.hash(h);
    }
}
impl<K> std::borrow::Borrow<str> for Name<K> {
    fn borrow(&self) -> &str {
        &self.0
    }
}
impl<K> fmt::Display for Name<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl<K> fmt::Debug for Name<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
impl<K: NameKind> std::str::FromStr for Name<K> {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        Self::new(s)
    }
}
impl<K> Serialize for Name<K> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}
impl<'de, K: NameKind> Deserialize<'de> for Name<K> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        Self::new(&s).map_err(serde::de::Error::custom)
    }
}

/// Why a name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {what}: {fault}")]
pub struct InvalidName {
    what: &'static str,
    fault: NameFault,
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// Empty or too long, in bytes.
    #[error("{len} bytes long, must be 1 to {max}")]
    Length {
        /// Bytes found.
        len: usize,
        /// Most bytes allowed.
        max: usize,
    },
    /// A character that may not stand there.
    #[error("the character at byte {at} is not allowed")]
    Character {
        /// Byte offset.
        at: usize,
    },
}

/// Marks agents' names.
#[derive(Debug)]
pub enum AgentKind {}
impl NameKind for AgentKind {
    const WHAT: &'static str = "an agent id";
    const MAX: usize = 128;
    fn allows(at: usize, b: u8) -> bool {
        b.is_ascii_alphanumeric() || at > 0 && matches!(b, b'.' | b'_' | b'-' | b'/' | b':')
    }
}
/// An agent's id: letters, digits and, after the first, `. _ - / :`.
pub type AgentId = Name<AgentKind>;

/// Marks owners' names.
#[derive(Debug)]
pub enum OwnerKind {}
impl NameKind for OwnerKind {
    const WHAT: &'static str = "an owner";
    const MAX: usize = 128;
    fn allows(at: usize, b: u8) -> bool {
        b.is_ascii_alphanumeric() || at > 0 && matches!(b, b'.' | b'_' | b'-' | b'+' | b'@')
    }
}
/// The accountable human: usually a mail address.
pub type OwnerId = Name<OwnerKind>;

/// Marks servers' names.
#[derive(Debug)]
pub enum ServerKind {}
impl NameKind for ServerKind {
    const WHAT: &'static str = "a server name";
    const MAX: usize = 24;
    fn allows(at: usize, b: u8) -> bool {
        b.is_ascii_lowercase() || at > 0 && (b.is_ascii_digit() || b == b'-')
    }
}
/// A configured server: a lower-case letter, then lower-case letters, digits and `-`, at most 24.
///
/// No underscore, so that the first `__` of an exposed tool name always ends the server's part.
pub type ServerName = Name<ServerKind>;

/// Marks tools' names.
#[derive(Debug)]
pub enum ToolKind {}
impl NameKind for ToolKind {
    const WHAT: &'static str = "a tool name";
    const MAX: usize = 128;
    fn allows(_: usize, b: u8) -> bool {
        b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')
    }
}
/// A tool's name within one server (MCP 2026-07-28, server/tools, "Tool Names"): 1 to 128 of
/// `A-Z a-z 0-9 _ - .`. The specification says SHOULD; we refuse the rest, so that two names that
/// look alike cannot fall under different rules.
pub type ToolName = Name<ToolKind>;

/// What one kind of minted id is called.
pub trait UidKind {
    /// The prefix in its spelling, without the hyphen.
    const PREFIX: &'static str;
}

/// A minted id: 48 bits of milliseconds, then 80 random bits; sorts by time.
/// Written as the kind's prefix, a hyphen and 32 hexadecimal digits.
pub struct Uid<K>([u8; 16], PhantomData<fn() -> K>);

impl<K: UidKind> Uid<K> {
    /// An id for `now` from ten random bytes.
    #[must_use]
    pub fn new(now: UnixMillis, entropy: [u8; 10]) -> Self {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&now.0.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&entropy);
        Self(bytes, PhantomData)
    }

    /// The id behind its 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes, PhantomData)
    }

    fn spelling(&self) -> Spelling {
        const { assert!(K::PREFIX.len() + 1 + 32 <= Spelling::MAX, "the prefix is too long to be spelled") }
        Spelling::new(K::PREFIX, b'-', &self.0)
    }
}

impl<K> Uid<K> {
    /// The 16 bytes, time first.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl<K> Clone for Uid<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Uid<K> {}
impl<K> PartialEq for Uid<K> {
    fn eq(&self, o: &Self) -> bool {
        self.0 == o.0
    }
}
impl<K> Eq for Uid<K> {}
impl<K> PartialOrd for Uid<K> {
    fn partial_cmp(&self, o: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(o))
    }
}
impl<K> Ord for Uid<K> {
    fn cmp(&self, o: &Self) -> std::cmp::Ordering {
        self.0.cmp(&o.0)
    }
}
impl<K> std::hash::Hash for Uid<K> {
    fn hash<H: std::hash::Hasher>(&self, h: &mut H) {
        self.0.hash(h);
    }
}
impl<K: UidKind> fmt::Display for Uid<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spelling().as_str())
    }
}
impl<K: UidKind> fmt::Debug for Uid<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl<K: UidKind> std::str::FromStr for Uid<K> {
    type Err = InvalidUid;
    fn from_str(s: &str) -> Result<Self, InvalidUid> {
        let invalid = InvalidUid { prefix: K::PREFIX };
        let digits = s.strip_prefix(K::PREFIX).and_then(|r| r.strip_prefix('-')).ok_or(invalid)?;
        let bytes = digest::unhex(digits).and_then(|v| v.try_into().ok()).ok_or(invalid)?;
        Ok(Self::from_bytes(bytes))
    }
}
impl<K: UidKind> Serialize for Uid<K> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.spelling().as_str())
    }
}
impl<'de, K: UidKind> Deserialize<'de> for Uid<K> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

/// Not an id of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected `{prefix}-` and 32 lower-case hexadecimal digits")]
pub struct InvalidUid {
    prefix: &'static str,
}

/// Marks calls.
#[derive(Debug)]
pub enum CallKind {}
impl UidKind for CallKind {
    const PREFIX: &'static str = "call";
}
/// One call through the gateway; minted here, never the JSON-RPC id.
pub type CallId = Uid<CallKind>;

/// Marks governance sessions.
#[derive(Debug)]
pub enum SessionKind {}
impl UidKind for SessionKind {
    const PREFIX: &'static str = "session";
}
/// A governance session: what one agent of one owner did since the last human reset (design 4.6).
pub type SessionId = Uid<SessionKind>;

/// Marks approvals.
#[derive(Debug)]
pub enum ApprovalKind {}
impl UidKind for ApprovalKind {
    const PREFIX: &'static str = "approval";
}
/// One request for a human's approval.
pub type ApprovalId = Uid<ApprovalKind>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, ok) in [
            ("firmware.sign", true),
            ("firmware\u{2024}sign", false), // looks like a dot
            ("a b", false),
            ("", false),
            (&"a".repeat(128), true),
            (&"a".repeat(129), false),
        ] {
            assert_eq!(ToolName::new(name).is_ok(), ok, "{name:?}");
        }
        for (name, ok) in [("fs", true), ("my-db2", true), ("2db", false), ("a_b", false), ("Fs", false)] {
            assert_eq!(ServerName::new(name).is_ok(), ok, "{name:?}");
        }
        assert_eq!(
            ToolName::new("a/b").unwrap_err().to_string(),
            "not a tool name: the character at byte 1 is not allowed"
        );
    }

    #[test]
    fn uids_sort_by_time_and_round_trip() {
        let early = CallId::new(UnixMillis(1), [255; 10]);
        let late = CallId::new(UnixMillis(2), [0; 10]);
        assert!(early < late);
        assert_eq!(early.to_string(), "call-000000000001ffffffffffffffffffff");
        assert_eq!(serde_json::to_string(&early).unwrap(), format!("\"{early}\""));
        assert_eq!(early.to_string().parse(), Ok(early));
        assert!("session-00".parse::<CallId>().is_err());
        assert!(early.to_string().parse::<SessionId>().is_err());
    }
}
