//! What a tool can do to the world, as a human confirmed it at approval.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// One kind of effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Observes only. A set that holds anything beside it is not read-only.
    Read,
    /// Changes state that can be changed back.
    Write,
    /// Removes or overwrites state.
    Destructive,
    /// Sends data to, or acts on, something outside the operator's own systems.
    External,
    /// Runs code or commands of the caller's choosing.
    Execute,
    /// Makes a signature.
    Sign,
}

impl Effect {
    /// Every effect, mildest first.
    pub const ALL: [Self; 6] = [Self::Read, Self::Write, Self::Destructive, Self::External, Self::Execute, Self::Sign];

    /// The name used in the catalog and in policy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
            Self::External => "external",
            Self::Execute => "execute",
            Self::Sign => "sign",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl std::str::FromStr for Effect {
    type Err = UnknownEffect;
    fn from_str(s: &str) -> Result<Self, UnknownEffect> {
        Self::ALL.into_iter().find(|e| e.as_str() == s).ok_or(UnknownEffect)
    }
}

/// Not the name of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an effect: use read, write, destructive, external, execute or sign")]
pub struct UnknownEffect;

/// A set of effects. What nobody confirmed is [`Effects::WORST`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(from = "Vec<Effect>")]
pub struct Effects(u8);

impl Effects {
    /// Everything at once: what an unconfirmed tool is taken to do.
    pub const WORST: Self = Self(0b11_1111);

    /// Whether `effect` is in the set.
    #[must_use]
    pub const fn has(self, effect: Effect) -> bool {
        self.0 & effect.bit() != 0
    }

    /// Whether the tool only observes. The empty set is not read-only: it says nothing.
    #[must_use]
    pub const fn is_read_only(self) -> bool {
        self.0 == Effect::Read.bit()
    }

    /// The effects, mildest first.
    pub fn iter(self) -> impl Iterator<Item = Effect> {
        Effect::ALL.into_iter().filter(move |e| self.has(*e))
    }
}

impl From<Vec<Effect>> for Effects {
    fn from(v: Vec<Effect>) -> Self {
        v.into_iter().collect()
    }
}

impl Serialize for Effects {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter())
    }
}

impl FromIterator<Effect> for Effects {
    fn from_iter<I: IntoIterator<Item = Effect>>(iter: I) -> Self {
        Self(iter.into_iter().fold(0, |bits, e| bits | e.bit()))
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl fmt::Display for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for e in self.iter() {
            if !first {
                f.write_str(", ")?;
            }
            f.write_str(e.as_str())?;
            first = false;
        }
        Ok(())
    }
}

/// How sensitive the data behind a tool is. Ordered: later is more sensitive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sensitivity {
    /// Anyone may see it.
    Public,
    /// The organisation's own.
    Internal,
    /// Need to know.
    Confidential,
    /// The worst; what nobody confirmed counts as this.
    #[default]
    Restricted,
}

impl Sensitivity {
    /// The name used in the catalog, in policy and in claims.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Confidential => "confidential",
            Self::Restricted => "restricted",
        }
    }
}

impl std::str::FromStr for Sensitivity {
    type Err = UnknownSensitivity;
    fn from_str(s: &str) -> Result<Self, UnknownSensitivity> {
        [Self::Public, Self::Internal, Self::Confidential, Self::Restricted]
            .into_iter()
            .find(|x| x.as_str() == s)
            .ok_or(UnknownSensitivity)
    }
}

/// Not the name of a sensitivity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sensitivity: use public, internal, confidential or restricted")]
pub struct UnknownSensitivity;
