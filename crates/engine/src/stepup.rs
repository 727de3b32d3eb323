//! From a decision to a permitted call, where a human must say yes in between.

use crate::engine::{Engine, Ports};
use crate::ports::{Append, Clock, Effect, Ledger};
use crate::refusal::{Refusal, Refused};
use crate::stages::{Decided, Permitted};
use interlock_approval::{Approval, ConsumeError, Seen, State, Statement};
use interlock_ledger::entry::{ApprovalAction, ApprovalEvent, Entry, Event};
use interlock_model::{ApprovalId, Code, Outcome, UnixMillis};
use std::sync::Arc;

impl<P: Ports> Engine<P> {
    /// Lets the call go on, or says why not. In `advisory` and `silent` mode a denial lets it go on too.
    pub(crate) async fn permit(&self, decided: Decided) -> Result<Permitted, Refused> {
        if decided.decision.outcome == Outcome::StepUp && decided.stops() {
            return self.step_up(decided).await;
        }
        decided.permit(None).map_err(|decided| decided.refuse_as_decided(self.clock.monotonic_us()))
    }

    async fn step_up(&self, decided: Decided) -> Result<Permitted, Refused> {
        let now = self.clock.now();
        let seen = decided.seen();
        let Some(approval) = self.ledger.approval_for(&decided.call_digest()) else {
            return Err(self.ask(decided, seen, now, Code::ApprovalRequired, None).await);
        };
        let id = approval.statement.id;
        match Approval::clone(&approval).consume(decided.identified().call, &seen, now) {
            Ok(consumed) => {
                let tier = approval.statement.seen.tier;
                // The human's yes lifts the step-up and nothing else; something else may forbid it now.
                let judged_again = decided.redecide(tier, now).permit(Some(consumed));
                judged_again.map_err(|decided| decided.refuse_as_decided(self.clock.monotonic_us()))
            }
            Err(ConsumeError::Pending) if approval.statement.seen == seen => {
                let reason = decided.decision.reason.clone();
                Err(self.refuse_step_up(decided, Code::ApprovalRequired, Outcome::StepUp, reason, Some(id)))
            }
            Err(ConsumeError::Denied) if now < approval.statement.expires_at => {
                let reason = match &approval.state {
                    State::Denied(settled) if !settled.settlement.reason.is_empty() => {
                        format!("a human said no: {}", settled.settlement.reason)
                    }
                    _ => "a human said no".to_owned(),
                };
                Err(self.refuse_step_up(decided, Code::ApprovalDenied, Outcome::Deny, reason, Some(id)))
            }
            Err(ConsumeError::Pending | ConsumeError::Superseded) => {
                Err(self.ask(decided, seen, now, Code::ApprovalSuperseded, Some(&approval)).await)
            }
            Err(ConsumeError::Denied | ConsumeError::Expired | ConsumeError::Consumed) => {
                Err(self.ask(decided, seen, now, Code::ApprovalRequired, None).await)
            }
        }
    }

    /// Asks a human, with a durable request, and refuses the call for now. `stale` is an open approval
    /// of the same call whose approver saw something else.
    async fn ask(
        &self,
        decided: Decided,
        seen: Seen,
        now: UnixMillis,
        code: Code,
        stale: Option<&Arc<Approval>>,
    ) -> Refused {
        if let Some(old) = stale {
            let to = Approval { state: State::Superseded, ..Approval::clone(old) };
            let effect = Effect::Replace { from: old.state.as_str(), to: Box::new(to.clone()) };
            // A conflict means that it was settled or used a moment ago; the new request stands either way.
            match self.append_approval(&to, ApprovalAction::Superseded, now, effect).await {
                Ok(()) | Err(crate::ports::AppendError::Conflict) => {}
                Err(e) => return Refusal::not_recorded(&e),
            }
        }
        let statement = Statement {
            expires_at: now.plus_ms(decided.world().settings.approval_ttl_ms),
            id: ApprovalId::new(now, self.clock.entropy()),
            reason: decided.decision.reason.clone(),
            requested_at: now,
            requester: seen.owner.clone(),
            seen,
            v: 1,
        };
        let id = statement.id;
        let approval = Approval::request(statement);
        let effect = Effect::Request(Box::new(approval.clone()));
        match self.append_approval(&approval, ApprovalAction::Requested, now, effect).await {
            Ok(()) => {
                let reason = decided.decision.reason.clone();
                self.refuse_step_up(decided, code, Outcome::StepUp, reason, Some(id))
            }
            Err(e) => Refusal::not_recorded(&e),
        }
    }

    fn refuse_step_up(
        &self,
        decided: Decided,
        code: Code,
        outcome: Outcome,
        reason: String,
        approval: Option<ApprovalId>,
    ) -> Refused {
        let tier = decided.decision.tier;
        decided.refuse(Refusal { code, outcome, reason, approval, tier, uri: None }, self.clock.monotonic_us())
    }

    async fn append_approval(
        &self,
        approval: &Approval,
        action: ApprovalAction,
        now: UnixMillis,
        effect: Effect,
    ) -> Result<(), crate::ports::AppendError> {
        let event = ApprovalEvent {
            action,
            approval: approval.statement.id,
            by: "engine".to_owned(),
            call_digest: approval.statement.seen.call_digest,
            signature: None,
            statement: approval.statement.digest(),
            tier: approval.statement.seen.tier,
        };
        let entry = Entry::new(now, Event::Approval(event));
        self.ledger.append(Append { effect, ..Append::entry(&entry)? }).await.map(drop)
    }
}
