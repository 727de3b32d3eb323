//! How the gateway acts on a decision, what a decision can be, and how much a human must do.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether a denial stops the call (design 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A denied call is not forwarded.
    #[default]
    Enforcing,
    /// A denied call is forwarded; the agent is told what would have happened.
    Advisory,
    /// A denied call is forwarded; only the ledger shows what would have happened.
    Silent,
}

impl Mode {
    /// The name used in configuration and in entries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforcing => "enforcing",
            Self::Advisory => "advisory",
            Self::Silent => "silent",
        }
    }

    /// Whether what policy denies is stopped.
    #[must_use]
    pub const fn stops(self) -> bool {
        matches!(self, Self::Enforcing)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was decided about one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Forward as it came.
    Allow,
    /// Do not forward.
    Deny,
    /// Forward after the obligations changed it.
    Modify,
    /// A human must approve this very call first.
    StepUp,
    /// A fact that the decision needs is not available yet.
    Defer,
}

impl Outcome {
    /// The name used in entries and in refusals.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Modify => "modify",
            Self::StepUp => "step_up",
            Self::Defer => "defer",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much a human must do before a call goes ahead (design section 6, "Tiers"): 0 to 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Tier(u8);

impl Tier {
    /// The highest tier.
    pub const MAX: Self = Self(4);

    /// The tier as a number, 0 to 4.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Tier {
    type Error = InvalidTier;
    fn try_from(n: u8) -> Result<Self, InvalidTier> {
        if n <= Self::MAX.0 { Ok(Self(n)) } else { Err(InvalidTier(n)) }
    }
}

impl From<Tier> for u8 {
    fn from(t: Tier) -> Self {
        t.0
    }
}

impl std::str::FromStr for Tier {
    type Err = InvalidTier;
    fn from_str(s: &str) -> Result<Self, InvalidTier> {
        s.parse::<u8>().map_err(|_| InvalidTier(u8::MAX)).and_then(Self::try_from)
    }
}

/// Not a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tier is a number from 0 to 4")]
pub struct InvalidTier(u8);
