//! What each step of the path produces. Every type here has one constructor, which consumes the step
//! before: forwarding an undecided call, or recording another one than was decided, does not compile.

use crate::front::{Caller, Endpoint};
use crate::ports::Session;
use crate::refusal::{Denial, Refusal, Refused};
use crate::world::World;
use bytes::Bytes;
use interlock_approval::{Approval, Seen};
use interlock_catalog::ApprovedTool;
use interlock_ledger::entry::{AgentRecord, ArgumentsRecord, CallRecord, CallTiming, DecisionRecord, ToolRecord};
use interlock_mcp::Request;
use interlock_model::json::View;
use interlock_model::{CallId, Code, Commitment, Mode, Outcome, Sensitivity, UnixMillis};
use interlock_policy::{ActionKind, Decision, DecisionRequest};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Label of commitments to argument bytes.
pub(crate) const ARGUMENTS: &str = "arguments";
/// Label of commitments to `result` and `error` members.
pub(crate) const RESULT: &str = "result";
/// Label of call digests.
const CALL: &str = "call";
/// Most bytes of an unknown tool's name that an entry keeps.
const MAX_REQUESTED: usize = 128;

/// A call whose agent, owner and governance session are known.
pub(crate) struct Identified {
    pub(crate) caller: Caller,
    pub(crate) request: Request,
    pub(crate) call: CallId,
    pub(crate) at: UnixMillis,
    pub(crate) session: Arc<Session>,
    calls_before: u64,
}

impl Identified {
    pub(crate) fn new(caller: Caller, request: Request, call: CallId, at: UnixMillis, session: Arc<Session>) -> Self {
        let calls_before = session.calls.fetch_add(1, Ordering::Relaxed);
        Self { caller, request, call, at, session, calls_before }
    }

    pub(crate) fn tool_name(&self) -> Option<std::borrow::Cow<'_, str>> {
        self.request.param("name")?.as_str()
    }

    pub(crate) fn arguments(&self) -> Option<View<'_>> {
        self.request.param("arguments")
    }

    fn argument_bytes(&self) -> &[u8] {
        self.arguments().map_or(&[], |a| a.raw())
    }

    /// The argument bytes, as a slice of the request's own.
    pub(crate) fn argument_slice(&self) -> Bytes {
        self.arguments().map_or_else(Bytes::new, |a| self.request.bytes().slice(a.span()))
    }

    /// The pinned definition behind the name the agent used, in this one snapshot of the world.
    pub(crate) fn resolve(self, world: Arc<World>, now_us: u64) -> Result<Resolved, Refused> {
        let found = self.tool_name().and_then(|name| match &self.caller.endpoint {
            Endpoint::All => world.catalog.by_exposed(&name).cloned(),
            Endpoint::Server(server) => world.catalog.by_name(server, &name).cloned(),
        });
        let visible = found.filter(|tool| {
            // What the agent may not list does not exist for it.
            world.policy.as_ref().is_none_or(|policy| policy.may_list(&self.caller.principal, tool))
        });
        let Some(tool) = visible else {
            let refusal = Refusal::deny(Code::UnknownTool, "unknown tool");
            return Err(self.refuse_unresolved(&world, refusal, now_us));
        };
        if let Some(quarantine) = world.quarantine(&tool) {
            let reason = format!("{}; the operator can review it with `interlock catalog diff`", quarantine.reason);
            let resolved = Resolved { prior: self, world, tool };
            return Err(resolved.state_unchecked().refuse(Refusal::deny(Code::ToolQuarantined, reason), now_us));
        }
        Ok(Resolved { prior: self, world, tool })
    }

    fn refuse_unresolved(&self, world: &World, refusal: Refusal, now_us: u64) -> Refused {
        let name = self.tool_name().unwrap_or_default();
        let agent = &self.caller.principal.agent;
        let digest = self.session.key.commit(
            CALL,
            &[
                agent.id.as_str().as_bytes(),
                agent.owner.as_str().as_bytes(),
                b"",
                b"",
                name.as_bytes(),
                self.argument_bytes(),
            ],
        );
        let record = CallRecord {
            tool: None,
            requested: Some(name.chars().take(MAX_REQUESTED).collect()),
            ..self.record(world, digest, None, None, decision_record(&refusal, Vec::new()), now_us)
        };
        self.refused(refusal, record)
    }

    fn refused(&self, refusal: Refusal, record: CallRecord) -> Refused {
        let denial = Denial { record, session: self.session.clone(), arguments: self.argument_slice() };
        Refused { refusal, denial: Some(Box::new(denial)) }
    }

    /// The parts of a record that are known from the start; the tool and the findings are filled in by later stages.
    fn record(
        &self,
        world: &World,
        call_digest: Commitment,
        sent: Option<(Commitment, u64)>,
        findings: Option<Vec<String>>,
        decision: DecisionRecord,
        now_us: u64,
    ) -> CallRecord {
        let agent = &self.caller.principal.agent;
        CallRecord {
            agent: AgentRecord {
                credential: self.caller.principal.credential(),
                id: agent.id.clone(),
                owner: agent.owner.clone(),
            },
            approval: None,
            arguments: ArgumentsRecord {
                received: self.session.key.commit(ARGUMENTS, &[self.argument_bytes()]),
                received_bytes: self.argument_bytes().len() as u64,
                sent: sent.map(|(commitment, _)| commitment),
                sent_bytes: sent.map(|(_, bytes)| bytes),
            },
            call: self.call,
            call_digest,
            decision,
            findings,
            mode: world.settings.mode,
            obligations: Vec::new(),
            policy: world.policy_record.clone(),
            requested: None,
            session: self.session.id,
            timing: CallTiming { decided_us: now_us.saturating_sub(self.caller.received_us) },
            tool: None,
        }
    }
}

/// A call whose tool is an approved, undrifted one.
pub(crate) struct Resolved {
    pub(crate) prior: Identified,
    pub(crate) world: Arc<World>,
    pub(crate) tool: Arc<ApprovedTool>,
}

impl Resolved {
    /// Checks the arguments against the approved schema and names what is asked by its digest.
    pub(crate) fn state(self, now_us: u64) -> Result<Stated, Refused> {
        let checked = self.tool.input.check(self.prior.arguments());
        let stated = self.state_unchecked();
        match checked {
            Ok(()) => Ok(stated),
            Err(violation) => Err(stated.refuse(Refusal::deny(Code::InvalidArguments, violation.to_string()), now_us)),
        }
    }

    fn state_unchecked(self) -> Stated {
        let agent = &self.prior.caller.principal.agent;
        let call_digest = self.prior.session.key.commit(
            CALL,
            &[
                agent.id.as_str().as_bytes(),
                agent.owner.as_str().as_bytes(),
                b"", // the mandate, once there are any
                self.tool.server.as_str().as_bytes(),
                &self.tool.definition.digest().0,
                self.prior.argument_bytes(),
            ],
        );
        Stated { prior: self, call_digest }
    }
}

/// A call that says exactly what is asked.
pub(crate) struct Stated {
    pub(crate) prior: Resolved,
    pub(crate) call_digest: Commitment,
}

impl Stated {
    /// Adds what is known about the call beside its words. Nothing inspects arguments in this build, and
    /// the record says so: `findings` is absent, not empty.
    pub(crate) fn weigh(self) -> Weighed {
        let labels = self.prior.prior.session.labels.load_full();
        Weighed { prior: self, labels, findings: None }
    }

    fn refuse(self, refusal: Refusal, now_us: u64) -> Refused {
        let record = self.record(None, None, decision_record(&refusal, Vec::new()), now_us);
        self.prior.prior.refused(refusal, record)
    }

    fn record(
        &self,
        sent: Option<(Commitment, u64)>,
        findings: Option<Vec<String>>,
        decision: DecisionRecord,
        now_us: u64,
    ) -> CallRecord {
        let Resolved { prior, world, tool } = &self.prior;
        CallRecord {
            tool: Some(ToolRecord {
                definition: tool.definition.digest(),
                effects: tool.facts.effective_effects(),
                identity: tool.identity,
                name: tool.definition.name().clone(),
                server: tool.server.clone(),
            }),
            ..prior.record(world, self.call_digest, sent, findings, decision, now_us)
        }
    }
}

/// A call with all that the decision reads.
pub(crate) struct Weighed {
    pub(crate) prior: Stated,
    pub(crate) labels: Arc<Vec<String>>,
    pub(crate) findings: Option<Vec<String>>,
}

impl Weighed {
    pub(crate) fn decide(self, now: UnixMillis) -> Decided {
        let decision = self.judge(now, None);
        Decided { prior: self, decision }
    }

    fn judge(&self, now: UnixMillis, approval: Option<interlock_model::Tier>) -> Decision {
        let resolved = &self.prior.prior;
        let Some(policy) = &resolved.world.policy else {
            return Decision::unanswerable(
                "no policy bundle is in force, so everything is denied; `interlock policy check` says why",
            );
        };
        policy.decide(&DecisionRequest {
            principal: &resolved.prior.caller.principal,
            action: ActionKind::Call,
            tool: &resolved.tool,
            arguments: resolved.prior.arguments(),
            session_labels: &self.labels,
            session_calls: resolved.prior.calls_before,
            findings: self.findings.as_deref(),
            mode: resolved.world.settings.mode,
            environment: &resolved.world.settings.environment,
            approval,
            now,
        })
    }
}

/// A call that policy has judged, whatever it said.
pub(crate) struct Decided {
    pub(crate) prior: Weighed,
    pub(crate) decision: Decision,
}

impl Decided {
    pub(crate) fn world(&self) -> &World {
        &self.prior.prior.prior.world
    }

    pub(crate) fn identified(&self) -> &Identified {
        &self.prior.prior.prior.prior
    }

    pub(crate) const fn call_digest(&self) -> Commitment {
        self.prior.prior.call_digest
    }

    /// What an approver of this call is shown and signs.
    pub(crate) fn seen(&self) -> Seen {
        let Resolved { prior, world, tool } = &self.prior.prior.prior;
        let agent = &prior.caller.principal.agent;
        Seen {
            agent: agent.id.clone(),
            call_digest: self.call_digest(),
            definition: tool.definition.digest(),
            effects: tool.facts.effective_effects(),
            findings: self.prior.findings.clone(),
            identity: tool.identity,
            labels: self.prior.labels.to_vec(),
            mode: world.settings.mode,
            owner: agent.owner.clone(),
            policies: self.decision.policies.iter().map(ToString::to_string).collect(),
            policy: world.policy_record.clone(),
            server: tool.server.clone(),
            session: prior.session.id,
            tier: self.decision.tier.unwrap_or(interlock_model::Tier::MAX),
            tool: tool.definition.name().clone(),
        }
    }

    /// Judges again, with everything read anew, now that a human has approved at `tier`.
    pub(crate) fn redecide(self, tier: interlock_model::Tier, now: UnixMillis) -> Self {
        let weighed = self.prior.prior.weigh();
        let decision = weighed.judge(now, Some(tier));
        Self { prior: weighed, decision }
    }

    pub(crate) fn refuse(self, refusal: Refusal, now_us: u64) -> Refused {
        let policies = self.decision.policies.iter().map(ToString::to_string).collect();
        let mut record =
            self.prior.prior.record(None, self.prior.findings.clone(), decision_record(&refusal, policies), now_us);
        record.approval = refusal.approval;
        self.identified().refused(refusal, record)
    }

    /// Refuses for the reason that policy gave.
    pub(crate) fn refuse_as_decided(self, now_us: u64) -> Refused {
        let decision = &self.decision;
        let refusal = Refusal {
            code: decision.code.unwrap_or(Code::PolicyDenied),
            outcome: decision.outcome,
            reason: decision.reason.clone(),
            approval: None,
            tier: decision.tier,
        };
        self.refuse(refusal, now_us)
    }

    /// Lets the call go on, or gives it back where policy did not say so and the mode stops what it did not: the
    /// only other way in is an approval that was just consumed in memory, and the store checks it again.
    pub(crate) fn permit(self, approval: Option<Approval>) -> Result<Permitted, Box<Self>> {
        let allowed = matches!(self.decision.outcome, Outcome::Allow | Outcome::Modify);
        if allowed || !self.world().settings.mode.stops() {
            Ok(Permitted { prior: self, approval })
        } else {
            Err(Box::new(self))
        }
    }
}

/// A call that goes ahead once it is recorded.
pub(crate) struct Permitted {
    pub(crate) prior: Decided,
    /// Already in its consumed state; the store makes it so, or refuses the intent.
    pub(crate) approval: Option<Approval>,
}

impl Permitted {
    pub(crate) fn tool(&self) -> &Arc<ApprovedTool> {
        &self.prior.prior.prior.prior.tool
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.prior.identified().session
    }

    pub(crate) fn mode(&self) -> Mode {
        self.prior.world().settings.mode
    }

    /// What the intent entry says.
    pub(crate) fn record(&self, now_us: u64) -> CallRecord {
        let Decided { prior: weighed, decision } = &self.prior;
        let bytes = self.prior.identified().argument_bytes();
        let decided = DecisionRecord {
            code: decision.code,
            outcome: decision.outcome,
            policies: decision.policies.iter().map(ToString::to_string).collect(),
            reason: if decision.code.is_some() { decision.reason.clone() } else { String::new() },
            tier: decision.tier,
        };
        let mut record = weighed.prior.record(None, weighed.findings.clone(), decided, now_us);
        // No obligation of this build changes arguments: what is sent is what was received.
        record.arguments.sent = Some(record.arguments.received);
        record.arguments.sent_bytes = Some(bytes.len() as u64);
        record.approval = self.approval.as_ref().map(|a| a.statement.id);
        record.obligations = decision.obligations.labels.iter().map(|label| format!("label:{label}")).collect();
        record
    }

    /// The session's labels once this call's result is released, if they rise: what the policies that
    /// permitted it say, and how sensitive the catalog says the tool's data is.
    pub(crate) fn raised_labels(&self) -> Option<Vec<String>> {
        let now = self.session().labels.load();
        let sensitivity = self.tool().facts.effective_sensitivity();
        let of_tool = (sensitivity > Sensitivity::Internal).then(|| sensitivity.as_str());
        let of_policy = self.prior.decision.obligations.labels.iter().map(AsRef::as_ref);
        let new: Vec<&str> = of_policy.chain(of_tool).filter(|label| !now.iter().any(|have| have == label)).collect();
        if new.is_empty() {
            return None;
        }
        let mut labels: Vec<String> = now.iter().cloned().chain(new.into_iter().map(str::to_owned)).collect();
        labels.sort_unstable();
        labels.dedup();
        Some(labels)
    }
}

fn decision_record(refusal: &Refusal, policies: Vec<String>) -> DecisionRecord {
    DecisionRecord {
        code: Some(refusal.code),
        outcome: refusal.outcome,
        policies,
        reason: refusal.reason.clone(),
        tier: refusal.tier,
    }
}
