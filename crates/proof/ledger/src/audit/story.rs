//! What may follow what in a log: calls that end once, approvals that are used once, nothing sent that
//! was refused.

use crate::entry::{ApprovalAction, ApprovalEvent, CallRecord, Entry, Event, OutcomeRecord};
use interlock_model::{ApprovalId, CallId, Commitment, Digest, Outcome, SessionId};
use std::collections::HashMap;

/// A well-formed entry that cannot stand where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoryFault {
    /// A log begins with the daemon's start.
    #[error("a log must begin with a start entry")]
    NotStarted,
    /// An intent for a call that is already under way.
    #[error("the call `{0}` has an intent already")]
    SecondIntent(CallId),
    /// An intent without a tool: nothing unknown to the catalog is ever forwarded.
    #[error("the call `{0}` was forwarded to no tool of the catalog")]
    NoTool(CallId),
    /// Policy did not allow it, the mode was `enforcing`, and there is an intent.
    #[error("the call `{call}` was forwarded in enforcing mode although the decision was {outcome}")]
    Forwarded {
        /// The call.
        call: CallId,
        /// What was decided.
        outcome: Outcome,
    },
    /// A refusal of a call that is already under way.
    #[error("the call `{0}` was refused after its intent")]
    LateDenial(CallId),
    /// An outcome whose call has no open intent: it was never announced, or it ended before.
    #[error("the call `{0}` has an outcome but no open intent: it was never announced, or ended before")]
    OutcomeWithoutIntent(CallId),
    /// An outcome in another session than its intent.
    #[error("the outcome of the call `{0}` is in another session than its intent")]
    OtherSession(CallId),
    /// An intent consumes an approval that is not approved: never asked for, not answered yet, or used before.
    #[error("the call `{call}` uses the approval `{approval}`, which is not approved or was used before")]
    NotApproved {
        /// The call.
        call: CallId,
        /// The approval.
        approval: ApprovalId,
    },
    /// An intent consumes an approval that was given for another call.
    #[error("the call `{call}` uses the approval `{approval}`, which is for another call")]
    OtherCall {
        /// The call.
        call: CallId,
        /// The approval.
        approval: ApprovalId,
    },
    /// A step that an approval in its state cannot take, or for another statement.
    #[error("the approval `{0}` cannot take this step")]
    ApprovalStep(ApprovalId),
    /// A human's answer without a signature.
    #[error("the approval `{0}` was answered without a signature")]
    Unsigned(ApprovalId),
}

impl StoryFault {
    /// A short name for programs.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::SecondIntent(_) => "second_intent",
            Self::NoTool(_) => "intent_without_tool",
            Self::Forwarded { .. } => "forwarded_though_denied",
            Self::LateDenial(_) => "denied_after_intent",
            Self::OutcomeWithoutIntent(_) => "outcome_without_intent",
            Self::OtherSession(_) => "outcome_in_other_session",
            Self::NotApproved { .. } => "not_approved",
            Self::OtherCall { .. } => "approval_of_other_call",
            Self::ApprovalStep(_) => "approval_step",
            Self::Unsigned(_) => "approval_unsigned",
        }
    }
}

/// An approval that can still lead to a call.
#[derive(Debug)]
struct Asked {
    approved: bool,
    call_digest: Commitment,
    statement: Digest,
}

/// What is open at one point of a log.
#[derive(Debug, Default)]
pub(super) struct Story {
    calls: HashMap<CallId, SessionId>,
    approvals: HashMap<ApprovalId, Asked>,
}

impl Story {
    pub(super) fn open_calls(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn open_approvals(&self) -> usize {
        self.approvals.len()
    }

    /// Goes on with `entry`.
    pub(super) fn tell(&mut self, index: u64, entry: &Entry) -> Result<(), StoryFault> {
        if index == 0 && !super::opens(&entry.event) {
            return Err(StoryFault::NotStarted);
        }
        match &entry.event {
            Event::Intent(record) => self.intent(record),
            Event::Denial(record) if self.calls.contains_key(&record.call) => Err(StoryFault::LateDenial(record.call)),
            Event::Outcome(record) => self.outcome(record),
            Event::Approval(event) => self.approval(event),
            Event::Agent(_)
            | Event::Catalog(_)
            | Event::Denial(_)
            | Event::Policy(_)
            | Event::Session(_)
            | Event::Start(_)
            | Event::Stop(_) => Ok(()),
        }
    }

    fn intent(&mut self, record: &CallRecord) -> Result<(), StoryFault> {
        let call = record.call;
        if self.calls.insert(call, record.session).is_some() {
            return Err(StoryFault::SecondIntent(call));
        }
        if record.tool.is_none() && record.subject.is_none() {
            return Err(StoryFault::NoTool(call));
        }
        let outcome = record.decision.outcome;
        let lifted = outcome == Outcome::StepUp && record.approval.is_some();
        if record.mode.stops() && !matches!(outcome, Outcome::Allow | Outcome::Modify) && !lifted {
            return Err(StoryFault::Forwarded { call, outcome });
        }
        let Some(approval) = record.approval else { return Ok(()) };
        match self.approvals.remove(&approval) {
            Some(Asked { approved: true, call_digest, .. }) if call_digest.matches(&record.call_digest) => Ok(()),
            Some(Asked { approved: true, .. }) => Err(StoryFault::OtherCall { call, approval }),
            _ => Err(StoryFault::NotApproved { call, approval }),
        }
    }

    fn outcome(&mut self, record: &OutcomeRecord) -> Result<(), StoryFault> {
        match self.calls.remove(&record.call) {
            Some(session) if session == record.session => Ok(()),
            Some(_) => Err(StoryFault::OtherSession(record.call)),
            None => Err(StoryFault::OutcomeWithoutIntent(record.call)),
        }
    }

    fn approval(&mut self, event: &ApprovalEvent) -> Result<(), StoryFault> {
        let id = event.approval;
        let wrong = StoryFault::ApprovalStep(id);
        let (call_digest, statement) = (event.call_digest, event.statement);
        if event.action == ApprovalAction::Requested {
            let fresh = self.approvals.insert(id, Asked { approved: false, call_digest, statement }).is_none();
            return if fresh { Ok(()) } else { Err(wrong) };
        }
        let asked = self.approvals.get_mut(&id).ok_or(wrong)?;
        if asked.statement != statement || !asked.call_digest.matches(&call_digest) {
            return Err(wrong);
        }
        match event.action {
            ApprovalAction::Approved | ApprovalAction::Denied if asked.approved => return Err(wrong),
            ApprovalAction::Approved | ApprovalAction::Denied if event.signature.is_none() => {
                return Err(StoryFault::Unsigned(id));
            }
            ApprovalAction::Approved => asked.approved = true,
            ApprovalAction::Requested
            | ApprovalAction::Denied
            | ApprovalAction::Expired
            | ApprovalAction::Superseded => drop(self.approvals.remove(&id)),
        }
        Ok(())
    }
}
