//! Decisions for callers that act themselves: an agent framework that calls its tools without the gateway asks whether
//! it may, and is told what a call through the gateway would have been told.
//!
//! In scope: the question, the verdict, and what the ledger says of it. Out of scope: how it is asked (the gateway's
//! HTTP API), and what the caller does then, which nobody here can know.
//!
//! It is the path of a call, with nothing at its end. That decides three things:
//!
//! - **It is recorded like a call.** A refusal is a denial. A permission is an intent, durable before the caller hears of
//!   it, and an outcome `answered`. The intent has no `sent`: it announces nothing of ours. No other outcome is honest:
//!   `ok` would claim a result, `unknown` a crash, and an intent left open would be closed as one. An entry of a kind of
//!   its own would be skipped by all that reads intents: approvals used, labels, sessions, claims.
//! - **It counts like a call.** The approval of a step-up is consumed by the question that is answered with yes, since
//!   that is the last time that the gateway is asked; labels rise as they would with the result, which is the caller's
//!   now. The same action asked for here and made through the gateway has one call digest, and so one approval.
//! - **The mode does not change it.** `advisory` and `silent` say what the gateway lets through. Nothing of this goes
//!   through it, so the caller is told the decision, with the mode beside it.

use crate::asked::{Asked, Offer};
use crate::engine::{Engine, InFlight, Ports, Released, Toward};
use crate::front::{Caller, Endpoint, Governed};
use crate::ports::Clock;
use crate::refusal::Refusal;
use crate::stages::Aim;
use interlock_mcp::{Ask, Request};
use interlock_model::{ApprovalId, CallId, Code, Mode, Outcome, Tier};

/// What is decided about one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the caller may do it, now and once.
    pub permitted: bool,
    /// The call that the ledger has it under; `None` for what makes no entry.
    pub call: Option<CallId>,
    /// What was decided.
    pub outcome: Outcome,
    /// Why not; `None` where it is permitted.
    pub code: Option<Code>,
    /// For the caller: what happened and what to do.
    pub reason: String,
    /// The policies that determined it.
    pub policies: Vec<String>,
    /// What the approver's tier is or was, where there is one.
    pub tier: Option<Tier>,
    /// The approval that is waited for, or that was consumed.
    pub approval: Option<ApprovalId>,
    /// What policy wants done with the result, as `label:internal`.
    pub obligations: Vec<String>,
    /// The mode that the gateway is in; it does not change the verdict.
    pub mode: Mode,
}

impl Verdict {
    /// Whether this says that there is no decision, rather than what it is.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(self.code, Some(Code::NotRecorded | Code::Overloaded))
    }
}

/// The engine, as it is seen by who only asks.
pub trait Authorizes: Governed {
    /// Decides what `request` asks for, and records that; forwards nothing.
    fn authorize(&self, caller: Caller, ask: Ask, request: Request) -> impl Future<Output = Verdict> + Send;

    /// Whether the caller may know of what `request` names: whether a list would show it to them. Like `tools/list`, it
    /// does nothing and makes no entry.
    fn may_list(&self, caller: &Caller, ask: Ask, request: &Request) -> Verdict;

    /// Whether calls can be decided.
    ///
    /// # Errors
    ///
    /// Why not, in words that tell a stranger nothing.
    fn ready(&self) -> Result<(), &'static str>;
}

impl<P: Ports> Authorizes for Engine<P> {
    async fn authorize(&self, caller: Caller, ask: Ask, request: Request) -> Verdict {
        let call = CallId::new(self.clock.now(), self.clock.entropy());
        let world = self.world();
        let Some(_in_flight) = InFlight::enter(&self.in_flight, world.settings.max_in_flight) else {
            return refused(Refusal::deny(Code::Overloaded, "too many calls at once"), world.settings.mode);
        };
        match Box::pin(self.path(caller, (request, Aim::Named(ask)), call, Toward::Caller)).await {
            Ok(released) => permitted(&released),
            Err(why) => {
                let told = why.denial.as_ref().map(|denial| (denial.record.mode, denial.record.decision.clone()));
                let refusal = self.refuse(why).await;
                // What the ledger does not have has no number that anyone could look up.
                let recorded = told.filter(|_| !matches!(refusal.code, Code::NotRecorded | Code::Overloaded));
                let Some((mode, decision)) = recorded else { return refused(refusal, world.settings.mode) };
                Verdict { call: Some(call), policies: decision.policies, ..refused(refusal, mode) }
            }
        }
    }

    fn may_list(&self, caller: &Caller, ask: Ask, request: &Request) -> Verdict {
        let world = self.world();
        let mode = world.settings.mode;
        let named = ask.name(request).and_then(|(at, name)| Some((at, name.as_str()?)));
        let asked = match (&caller.endpoint, named) {
            (Endpoint::Server(server), Some((_, name))) if ask == Ask::Call => {
                let tool = world.catalog.by_name(server, &name);
                tool.filter(|tool| world.quarantine(tool).is_none()).cloned().map(Asked::Tool)
            }
            (Endpoint::Server(server), Some((at, name))) => {
                Offer::of_ask(&world.catalog, server, ask, Some((at, &name))).map(Asked::Offer)
            }
            (_, None) | (Endpoint::All, _) => None,
        };
        let seen = asked.is_some_and(|asked| {
            world.policy.as_ref().is_some_and(|policy| policy.may_list(&caller.principal, asked.subject()))
        });
        if seen {
            return Verdict {
                permitted: true,
                call: None,
                outcome: Outcome::Allow,
                code: None,
                reason: "this agent may know of it".to_owned(),
                policies: Vec::new(),
                tier: None,
                approval: None,
                obligations: Vec::new(),
                mode,
            };
        }
        refused(
            match ask {
                Ask::Call => Refusal::deny(Code::UnknownTool, "unknown tool"),
                Ask::Prompt | Ask::Complete => Refusal::deny(Code::UnknownPrompt, "unknown prompt"),
                Ask::Task(_) => Refusal::deny(Code::UnknownTask, "unknown task"),
                Ask::Read | Ask::Subscribe | Ask::Unsubscribe | Ask::List(_) => {
                    Refusal::deny(Code::UnknownResource, "resource not found")
                }
            },
            mode,
        )
    }

    fn ready(&self) -> Result<(), &'static str> {
        if self.world().policy.is_some() { Ok(()) } else { Err("no policy is in force") }
    }
}

fn permitted(released: &Released) -> Verdict {
    let permitted = &released.permitted;
    let decision = &permitted.prior.decision;
    Verdict {
        permitted: true,
        call: Some(permitted.prior.identified().call),
        outcome: decision.outcome,
        code: None,
        reason: decision.reason.clone(),
        policies: decision.policies.iter().map(ToString::to_string).collect(),
        tier: decision.tier,
        approval: permitted.approval.as_ref().map(|approval| approval.statement.id),
        obligations: permitted.obligations(),
        mode: permitted.mode(),
    }
}

fn refused(refusal: Refusal, mode: Mode) -> Verdict {
    Verdict {
        permitted: false,
        call: None,
        outcome: refusal.outcome,
        code: Some(refusal.code),
        reason: refusal.reason,
        policies: Vec::new(),
        tier: refusal.tier,
        approval: refusal.approval,
        obligations: Vec::new(),
        mode,
    }
}
