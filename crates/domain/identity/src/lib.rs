//! Agents, their owners and the keys they present.
//!
//! In scope: who a bearer key belongs to and whether that agent may act.
//! Out of scope: storing keys, HTTP. A key is 256 random bits, so its SHA-256 tells nothing about it.

use interlock_model::{AgentId, Digest, OwnerId, UnixMillis, digest};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A registered agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// The accountable human.
    pub owner: OwnerId,
    /// Digest of its bearer key.
    pub key: Digest,
    /// Whether it may act.
    pub state: AgentState,
    /// What it is for, in the owner's words.
    #[serde(default)]
    pub purpose: String,
    /// Roles that policy reads (`Interlock::Role`).
    #[serde(default)]
    pub roles: Vec<String>,
    /// When it was registered.
    pub added: UnixMillis,
}

/// Whether an agent may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// It may.
    Active,
    /// Not for now.
    Suspended,
    /// Never again.
    Retired,
}

/// A bearer key, in the clear only where it was just made or just presented.
pub struct BearerKey(Zeroizing<String>);

impl BearerKey {
    /// `ilk_` and 64 hexadecimal digits.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Zeroizing::new(format!("ilk_{}", digest::hex(secret))))
    }

    /// What an agent presented.
    #[must_use]
    pub fn presented(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// The key itself, to hand to its agent once.
    #[must_use]
    pub fn danger_reveal(&self) -> &str {
        &self.0
    }

    /// What is stored and looked up instead of the key. Looking up a digest takes no longer for a
    /// key that is nearly right, so the lookup tells nothing.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_parts("interlock/bearer-key", &[self.0.as_bytes()])
    }
}

/// Who is calling, once that is settled.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The agent.
    pub agent: Arc<Agent>,
    /// Whether it proved so; an unbound caller is whoever could reach the port.
    pub bound: bool,
}

impl Principal {
    /// How entries name the credential: `key:` and 16 hexadecimal digits of its digest, or `unbound`.
    #[must_use]
    pub fn credential(&self) -> String {
        if self.bound { format!("key:{}", key_id(&self.agent.key)) } else { "unbound".to_owned() }
    }
}

/// The first 16 hexadecimal digits of a key's digest: enough to tell keys apart, useless to present.
#[must_use]
pub fn key_id(key: &Digest) -> String {
    digest::hex(&key.0[..8])
}

/// All agents, as one immutable snapshot.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    by_key: HashMap<Digest, Arc<Agent>>,
    by_id: HashMap<AgentId, Arc<Agent>>,
}

/// Why nobody can be named, or why they may not act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifyError {
    /// The key is nobody's.
    #[error("the presented key is not that of a registered agent")]
    UnknownKey,
    /// The agent may not act.
    #[error("the agent is suspended or retired")]
    NotActive,
}

impl Registry {
    /// A snapshot of `agents`.
    #[must_use]
    pub fn new(agents: impl IntoIterator<Item = Agent>) -> Self {
        let mut registry = Self::default();
        for agent in agents.into_iter().map(Arc::new) {
            registry.by_key.insert(agent.key, agent.clone());
            registry.by_id.insert(agent.id.clone(), agent);
        }
        registry
    }

    /// Who presents `key`.
    ///
    /// # Errors
    ///
    /// [`IdentifyError`].
    pub fn identify(&self, key: &BearerKey) -> Result<Principal, IdentifyError> {
        let agent = self.by_key.get(&key.digest()).ok_or(IdentifyError::UnknownKey)?;
        match agent.state {
            AgentState::Active => Ok(Principal { agent: agent.clone(), bound: true }),
            AgentState::Suspended | AgentState::Retired => Err(IdentifyError::NotActive),
        }
    }

    /// The agent called `id`.
    #[must_use]
    pub fn get(&self, id: &AgentId) -> Option<&Arc<Agent>> {
        self.by_id.get(id)
    }

    /// All agents, by id.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Agent>> {
        let mut all: Vec<_> = self.by_id.values().cloned().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(secret: u8, state: AgentState) -> Agent {
        Agent {
            id: "builder".parse().unwrap(),
            owner: "ada@example.org".parse().unwrap(),
            key: BearerKey::new(&[secret; 32]).digest(),
            state,
            purpose: String::new(),
            roles: vec![],
            added: UnixMillis(0),
        }
    }

    #[test]
    fn only_the_key_of_an_active_agent_identifies() {
        let key = BearerKey::new(&[1; 32]);
        for (state, expected) in [
            (AgentState::Active, Ok(())),
            (AgentState::Suspended, Err(IdentifyError::NotActive)),
            (AgentState::Retired, Err(IdentifyError::NotActive)),
        ] {
            let registry = Registry::new([agent(1, state)]);
            assert_eq!(registry.identify(&key).map(drop), expected);
            assert_eq!(registry.identify(&BearerKey::new(&[2; 32])).map(drop), Err(IdentifyError::UnknownKey));
        }
    }
}
