//! What a tool does to the world, as a human confirmed it at approval.

use interlock_model::{Effects, Sensitivity};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a tool's data can go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// Stays on the machine.
    Local,
    /// Stays within the operator's own systems.
    Internal,
    /// One named host outside.
    Host(String),
    /// Anywhere; what is not known counts as this.
    #[default]
    Internet,
}

impl Destination {
    /// The name used in policy: `local`, `internal`, `internet`, or the host. A host that is called like one
    /// of the milder ones counts as the internet: no name makes a place nearer than it is.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Local => "local",
            Self::Internal => "internal",
            Self::Host(host) if !matches!(host.as_str(), "local" | "internal") => host,
            Self::Host(_) | Self::Internet => "internet",
        }
    }

    /// Whether data can leave the operator's own systems.
    #[must_use]
    pub const fn is_outside(&self) -> bool {
        matches!(self, Self::Host(_) | Self::Internet)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The facts about one tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolFacts {
    /// What it can do.
    pub effects: Effects,
    /// Where its data can go.
    pub destination: Destination,
    /// How sensitive the data behind it is.
    pub sensitivity: Sensitivity,
    /// Whether a human said so. Otherwise the rest is a proposal, and [`ToolFacts::effective`] is the worst.
    pub confirmed: bool,
}

impl ToolFacts {
    /// What is assumed of a tool that nobody confirmed anything about.
    #[must_use]
    pub const fn worst() -> Self {
        Self {
            effects: Effects::WORST,
            destination: Destination::Internet,
            sensitivity: Sensitivity::Restricted,
            confirmed: false,
        }
    }

    /// What decisions read: these facts if confirmed, else the worst.
    #[must_use]
    pub fn effective(&self) -> Self {
        if self.confirmed { self.clone() } else { Self::worst() }
    }

    /// What it can do, as decisions read it.
    #[must_use]
    pub const fn effective_effects(&self) -> Effects {
        if self.confirmed { self.effects } else { Effects::WORST }
    }

    /// How sensitive its data is, as decisions read it.
    #[must_use]
    pub const fn effective_sensitivity(&self) -> Sensitivity {
        if self.confirmed { self.sensitivity } else { Sensitivity::Restricted }
    }

    /// Whether a human confirmed that it only observes.
    #[must_use]
    pub const fn is_read_only(&self) -> bool {
        self.confirmed && self.effects.is_read_only()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_model::Effect;

    #[test]
    fn unconfirmed_facts_read_as_the_worst() {
        let mut facts = ToolFacts {
            effects: [Effect::Read].into_iter().collect(),
            destination: Destination::Local,
            sensitivity: Sensitivity::Public,
            confirmed: false,
        };
        assert_eq!(facts.effective(), ToolFacts::worst());
        facts.confirmed = true;
        assert_eq!(facts.effective(), facts);
    }

    #[test]
    fn spelling() {
        for (destination, text) in [
            (Destination::Local, r#""local""#),
            (Destination::Internet, r#""internet""#),
            (Destination::Host("api.example.com".into()), r#"{"host":"api.example.com"}"#),
        ] {
            assert_eq!(serde_json::to_string(&destination).unwrap(), text);
            assert_eq!(serde_json::from_str::<Destination>(text).unwrap(), destination);
        }
        assert_eq!(Destination::Host("api.example.com".into()).as_str(), "api.example.com");
        assert_eq!(Destination::Host("local".into()).as_str(), "internet");
        assert!(
            serde_json::from_str::<ToolFacts>(
                r#"{"effects":["read"],"destination":"local","sensitivity":"public","confirmed":true,"x":1}"#
            )
            .is_err()
        );
    }
}
