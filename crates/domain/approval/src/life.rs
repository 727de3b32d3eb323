//! The life of an approval: pending, then approved or denied or expired or superseded; approved, then consumed once.

use crate::statement::{Seen, Statement};
use interlock_model::{ApprovalId, CallId, Digest, UnixMillis, json::canonical};
use interlock_signature::{BadSignature, PublicKey, Purpose, Signature};
use serde::{Deserialize, Serialize};

/// One approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// What was asked.
    pub statement: Statement,
    /// Where it stands.
    pub state: State,
}

/// Where an approval stands. Denied, expired and superseded are three different answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum State {
    /// Nobody answered yet.
    Pending,
    /// A human said yes; not used yet.
    Approved(Settled),
    /// A human said no.
    Denied(Settled),
    /// Nobody answered, or nobody used it, in time.
    Expired,
    /// Something the approver saw has changed.
    Superseded,
    /// Used, by this call.
    Consumed {
        /// The call.
        call: CallId,
        /// Who had said yes.
        by: Settled,
    },
}

/// A human's answer, as they signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// Who: the operator's key id.
    pub by: String,
    /// What they signed.
    pub settlement: Settlement,
    /// Their signature over it.
    pub signature: Signature,
}

/// What a human signs: this statement, yes or no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// The approval.
    pub approval: ApprovalId,
    /// When, by the human's clock.
    pub at: UnixMillis,
    /// Why, in the human's words.
    #[serde(default)]
    pub reason: String,
    /// Digest of the statement they were shown.
    pub statement: Digest,
    /// Yes or no.
    pub verdict: Verdict,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No.
    Deny,
}

/// Why an answer was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// It was answered, expired or superseded before.
    #[error("the approval is not pending any more")]
    NotPending,
    /// It expired.
    #[error("the approval has expired")]
    Expired,
    /// It is for another approval or another statement.
    #[error("the answer is for another statement than the one asked")]
    OtherStatement,
    /// The signature is not the operator's.
    #[error(transparent)]
    Signature(#[from] BadSignature),
}

/// Why an approval does not lift anything now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumeError {
    /// Nobody answered yet.
    #[error("nobody has answered yet")]
    Pending,
    /// A human said no.
    #[error("a human said no")]
    Denied,
    /// Too late.
    #[error("the approval has expired")]
    Expired,
    /// Something the approver saw has changed.
    #[error("something the approver saw has changed")]
    Superseded,
    /// It was used before.
    #[error("the approval was used before")]
    Consumed,
}

impl Settlement {
    /// The bytes that are signed, for [`Purpose::ApprovalSettlement`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::ordered(self).unwrap_or_default()
    }
}

impl Approval {
    /// A fresh request.
    #[must_use]
    pub const fn request(statement: Statement) -> Self {
        Self { statement, state: State::Pending }
    }

    /// Takes a human's signed answer.
    ///
    /// # Errors
    ///
    /// [`SettleError`]; the approval stays as it was.
    pub fn settle(
        self,
        settlement: Settlement,
        signature: Signature,
        operator: &PublicKey,
        now: UnixMillis,
    ) -> Result<Self, SettleError> {
        if self.state != State::Pending {
            return Err(SettleError::NotPending);
        }
        if now >= self.statement.expires_at {
            return Err(SettleError::Expired);
        }
        if settlement.approval != self.statement.id || settlement.statement != self.statement.digest() {
            return Err(SettleError::OtherStatement);
        }
        operator.verify(Purpose::ApprovalSettlement, &settlement.to_bytes(), &signature)?;
        let verdict = settlement.verdict;
        let settled = Settled { by: operator.id(), settlement, signature };
        let state = match verdict {
            Verdict::Approve => State::Approved(settled),
            Verdict::Deny => State::Denied(settled),
        };
        Ok(Self { state, ..self })
    }

    /// Uses the approval for `call`, if what the decision sees now is what the approver saw.
    /// Taking `self` rules out a second use here; across processes, the store's conditional update does.
    ///
    /// # Errors
    ///
    /// [`ConsumeError`].
    pub fn consume(self, call: CallId, seen: &Seen, now: UnixMillis) -> Result<Self, ConsumeError> {
        match self.state {
            State::Pending if now >= self.statement.expires_at => Err(ConsumeError::Expired),
            State::Pending => Err(ConsumeError::Pending),
            State::Denied(_) => Err(ConsumeError::Denied),
            State::Expired => Err(ConsumeError::Expired),
            State::Superseded => Err(ConsumeError::Superseded),
            State::Consumed { .. } => Err(ConsumeError::Consumed),
            State::Approved(_) if now >= self.statement.expires_at => Err(ConsumeError::Expired),
            State::Approved(_) if self.statement.seen != *seen => Err(ConsumeError::Superseded),
            State::Approved(by) => Ok(Self { statement: self.statement, state: State::Consumed { call, by } }),
        }
    }

    /// Whether it can still lead to a call.
    #[must_use]
    pub fn is_open(&self, now: UnixMillis) -> bool {
        matches!(self.state, State::Pending | State::Approved(_)) && now < self.statement.expires_at
    }
}

impl State {
    /// The name for people and for the store's column.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved(_) => "approved",
            Self::Denied(_) => "denied",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::Consumed { .. } => "consumed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer as _, SigningKey};
    use interlock_ledger::entry::PolicyRecord;
    use interlock_model::{
        Commitment, Effect, Mode, SessionId, Tier,
        json::{Json, Limits},
    };

    fn statement() -> Statement {
        Statement {
            expires_at: UnixMillis(100),
            id: ApprovalId::new(UnixMillis(1), [1; 10]),
            reason: "it deletes".into(),
            requested_at: UnixMillis(1),
            requester: "ada@example.org".parse().unwrap(),
            seen: Seen {
                agent: "builder".parse().unwrap(),
                call_digest: Commitment([1; 32]),
                definition: Some(Digest([2; 32])),
                effects: [Effect::Destructive].into_iter().collect(),
                findings: None,
                identity: Digest([3; 32]),
                labels: vec![],
                mode: Mode::Enforcing,
                owner: "ada@example.org".parse().unwrap(),
                policies: vec!["destructive".into()],
                policy: PolicyRecord { digest: Digest([4; 32]), version: 1 },
                server: "db".parse().unwrap(),
                session: SessionId::new(UnixMillis(1), [2; 10]),
                tier: Tier::try_from(2).unwrap(),
                subject: None,
                tool: Some("drop".parse().unwrap()),
            },
            v: 1,
        }
    }

    fn key() -> (SigningKey, PublicKey) {
        let key = SigningKey::from_bytes(&[5; 32]);
        let public = PublicKey::from_bytes(key.verifying_key().to_bytes());
        (key, public)
    }

    fn answer(verdict: Verdict) -> (Settlement, Signature) {
        let s = statement();
        let settlement =
            Settlement { approval: s.id, at: UnixMillis(2), reason: "ok".into(), statement: s.digest(), verdict };
        let signature =
            Signature(key().0.sign(&Purpose::ApprovalSettlement.preimage(&settlement.to_bytes())).to_bytes());
        (settlement, signature)
    }

    #[test]
    fn records_are_canonical() {
        for bytes in [statement().to_bytes(), answer(Verdict::Approve).0.to_bytes()] {
            let json = Json::parse(&bytes[..], Limits::REQUEST).unwrap();
            assert_eq!(canonical::respell(json.root()), bytes);
        }
    }

    /// Design invariant 4.5: an approval names one statement and is consumed once.
    #[test]
    fn invariant_5_an_approval_is_used_once_for_what_was_seen() {
        let (_, operator) = key();
        let (settlement, signature) = answer(Verdict::Approve);
        let approved = Approval::request(statement()).settle(settlement, signature, &operator, UnixMillis(3)).unwrap();
        let call = CallId::new(UnixMillis(4), [4; 10]);
        let seen = statement().seen;
        let used = approved.clone().consume(call, &seen, UnixMillis(4)).unwrap();
        assert_eq!(used.consume(call, &seen, UnixMillis(5)), Err(ConsumeError::Consumed));
        assert_eq!(approved.clone().consume(call, &seen, UnixMillis(100)), Err(ConsumeError::Expired));
        for change in [
            |s: &mut Seen| s.call_digest = Commitment([9; 32]),
            |s: &mut Seen| s.definition = Some(Digest([9; 32])),
            |s: &mut Seen| s.policy.version = 2,
            |s: &mut Seen| s.labels = vec!["secret".into()],
            |s: &mut Seen| s.tier = Tier::MAX,
            |s: &mut Seen| s.findings = Some(vec![]),
        ] {
            let mut other = seen.clone();
            change(&mut other);
            assert_eq!(approved.clone().consume(call, &other, UnixMillis(4)), Err(ConsumeError::Superseded));
        }
    }

    #[test]
    fn only_the_operators_answer_to_this_statement_settles() {
        let (_, operator) = key();
        let pending = Approval::request(statement());
        let (settlement, signature) = answer(Verdict::Deny);
        let settle = |s: Settlement, sig, at| {
            pending.clone().settle(s, sig, &operator, UnixMillis(at)).map(|a| a.state.as_str())
        };
        assert_eq!(settle(settlement.clone(), signature, 3), Ok("denied"));
        assert_eq!(settle(settlement.clone(), signature, 100), Err(SettleError::Expired));
        let flipped = Settlement { verdict: Verdict::Approve, ..settlement.clone() };
        assert!(matches!(settle(flipped, signature, 3), Err(SettleError::Signature(_))));
        let other = Settlement { statement: Digest([0; 32]), ..settlement.clone() };
        assert_eq!(settle(other, signature, 3), Err(SettleError::OtherStatement));
        let stranger = PublicKey::from_bytes(SigningKey::from_bytes(&[6; 32]).verifying_key().to_bytes());
        assert!(pending.clone().settle(settlement, signature, &stranger, UnixMillis(3)).is_err());
    }
}
