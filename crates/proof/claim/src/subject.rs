//! Agents as SPIFFE IDs: `spiffe://<trust domain>/agent/<agent id>`.
//!
//! A SPIFFE path segment holds letters, digits, `.`, `-` and `_`. Agent ids also hold `/` and `:`. Those
//! two and `_` itself are written as `_` and two hexadecimal digits, so that no two agents share a subject.
//! Source: SPIFFE ID, sections 2.1 and 2.2.

use interlock_model::AgentId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A SPIFFE trust domain: 1 to 255 lower-case letters, digits, `.`, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(Box<str>);

/// Not a trust domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a trust domain: 1 to 255 of `a-z 0-9 . - _`")]
pub struct InvalidTrustDomain;

impl TrustDomain {
    /// The subject of `agent`'s records.
    #[must_use]
    pub fn subject_of(&self, agent: &AgentId) -> String {
        let mut subject = format!("spiffe://{self}/agent/");
        for c in agent.as_str().chars() {
            match c {
                '/' => subject.push_str("_2f"),
                ':' => subject.push_str("_3a"),
                '_' => subject.push_str("_5f"),
                same => subject.push(same),
            }
        }
        subject
    }

    /// The gateway itself, which signs.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("spiffe://{self}/interlock")
    }

    /// The trust domain and the agent behind a subject that [`Self::subject_of`] wrote.
    #[must_use]
    pub fn read_subject(subject: &str) -> Option<(Self, AgentId)> {
        let (domain, escaped) = subject.strip_prefix("spiffe://")?.split_once("/agent/")?;
        let mut parts = escaped.split('_');
        let mut agent = parts.next()?.to_owned();
        for part in parts {
            let (code, rest) = part.split_at_checked(2)?;
            agent.push(match code {
                "2f" => '/',
                "3a" => ':',
                "5f" => '_',
                _ => return None,
            });
            agent.push_str(rest);
        }
        let (domain, agent): (Self, AgentId) = (domain.parse().ok()?, agent.parse().ok()?);
        // A character that should have been escaped and was not.
        (domain.subject_of(&agent) == subject).then_some((domain, agent))
    }
}

impl std::str::FromStr for TrustDomain {
    type Err = InvalidTrustDomain;
    fn from_str(s: &str) -> Result<Self, InvalidTrustDomain> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        if (1..=255).contains(&s.len()) && s.bytes().all(allowed) {
            Ok(Self(s.into()))
        } else {
            Err(InvalidTrustDomain)
        }
    }
}
impl TryFrom<String> for TrustDomain {
    type Error = InvalidTrustDomain;
    fn try_from(s: String) -> Result<Self, InvalidTrustDomain> {
        s.parse()
    }
}
impl From<TrustDomain> for String {
    fn from(d: TrustDomain) -> Self {
        d.0.into()
    }
}
impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_keep_apart() {
        let domain: TrustDomain = "example.org".parse().unwrap();
        for (agent, path) in [
            ("builder", "builder"),
            ("ci/build:7", "ci_2fbuild_3a7"),
            ("ci_2fbuild", "ci_5f2fbuild"),
            ("a_5f2f", "a_5f5f2f"),
            ("a..b", "a..b"),
            ("a//..", "a_2f_2f.."),
        ] {
            let agent: AgentId = agent.parse().unwrap();
            let subject = domain.subject_of(&agent);
            assert_eq!(subject, format!("spiffe://example.org/agent/{path}"));
            assert_eq!(TrustDomain::read_subject(&subject), Some((domain.clone(), agent)));
        }
        for bad in
            ["spiffe://example.org/agent/", "spiffe://example.org/agent/a/b", "spiffe://x/agent/_2f", "did:a:b", ""]
        {
            assert_eq!(TrustDomain::read_subject(bad), None, "{bad}");
        }
        for bad in ["", "Example.org", "a/b", "a b", "example.org:443"] {
            assert_eq!(bad.parse::<TrustDomain>(), Err(InvalidTrustDomain));
        }
    }
}
