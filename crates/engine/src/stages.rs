//! What each step of the path produces. Every type here has one constructor, which consumes the step
//! before: forwarding an undecided call, or recording another one than was decided, does not compile.

use crate::asked::{Asked, Offer, Question};
use crate::front::{Caller, Endpoint};
use crate::ports::Session;
use crate::refusal::{Denial, Refusal, Refused};
use crate::seal;
use crate::world::World;
use bytes::Bytes;
use interlock_approval::{Approval, Seen};
use interlock_catalog::{ApprovedTool, Catalog};
use interlock_ledger::entry::{AgentRecord, ArgumentsRecord, CallRecord, CallTiming, DecisionRecord};
use interlock_mcp::{Ask, NameAt, Request, namespace};
use interlock_model::json::View;
use interlock_model::{CallId, Code, Commitment, Mode, Outcome, Sensitivity, ServerName, UnixMillis};
use interlock_policy::{Decision, DecisionRequest};
use std::borrow::Cow;
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

/// What a call aims at, before anyone looked whether it is there.
#[derive(Clone, Debug)]
pub(crate) enum Aim {
    /// What the request names.
    Named(Ask),
    /// A list of one server.
    List(Ask, ServerName),
    /// A server asks the client, for the sake of a call.
    Question(Question, ServerName, CallId),
    /// How much one server is to log.
    Log(ServerName),
}

/// A call whose agent, owner and governance session are known.
pub(crate) struct Identified {
    pub(crate) caller: Caller,
    pub(crate) request: Request,
    pub(crate) call: CallId,
    pub(crate) at: UnixMillis,
    pub(crate) session: Arc<Session>,
    /// The caller only asks, and acts itself: nothing is sent.
    pub(crate) acts_itself: bool,
    aim: Aim,
    calls_before: u64,
}

impl Identified {
    pub(crate) fn new(
        caller: Caller,
        (request, aim): (Request, Aim),
        call: CallId,
        at: UnixMillis,
        session: Arc<Session>,
    ) -> Self {
        let calls_before = session.calls.fetch_add(1, Ordering::Relaxed);
        Self { caller, request, call, at, session, acts_itself: false, aim, calls_before }
    }

    /// Says whether the caller only asks, and acts itself.
    pub(crate) fn acting_itself(self, acts_itself: bool) -> Self {
        Self { acts_itself, ..self }
    }

    /// What the request names: where, and as what.
    fn named(&self) -> Option<(NameAt, Cow<'_, str>)> {
        let Aim::Named(ask) = self.aim else { return None };
        let (at, name) = ask.name(&self.request)?;
        Some((at, name.as_str()?))
    }

    /// The server that it is about, as far as that shows before anything is looked up.
    pub(crate) fn server(&self, catalog: &Catalog) -> Option<ServerName> {
        match (&self.aim, &self.caller.endpoint) {
            (Aim::List(_, server) | Aim::Question(_, server, _) | Aim::Log(server), _) => Some(server.clone()),
            (Aim::Named(_), Endpoint::Server(server)) => Some(server.clone()),
            (Aim::Named(Ask::Call), Endpoint::All) => {
                self.named().and_then(|(_, name)| catalog.by_exposed(&name).map(|tool| tool.server.clone()))
            }
            (Aim::Named(Ask::Task(_)), Endpoint::All) => {
                let (_, name) = self.named()?;
                namespace::split_task(&name).map(|(server, ..)| server)
            }
            (Aim::Named(_), Endpoint::All) => {
                let (at, name) = self.named()?;
                split(catalog, at, &name).map(|(server, _)| server)
            }
        }
    }

    /// The arguments of a tool; of anything else, all that the request says.
    pub(crate) fn arguments(&self) -> Option<View<'_>> {
        match self.aim {
            Aim::Named(Ask::Call) => self.request.param("arguments"),
            Aim::Named(_) | Aim::List(..) | Aim::Question(..) | Aim::Log(_) => self.request.params(),
        }
    }

    /// What is recorded as what was passed: the arguments; with replies to what the server asked in an earlier leg
    /// (2026-07-28), all that the request says.
    fn passed(&self) -> Option<View<'_>> {
        let replies = || self.request.param("inputResponses").and_then(|_| self.request.params());
        replies().or_else(|| self.arguments())
    }

    fn argument_bytes(&self) -> &[u8] {
        self.passed().map_or(&[], |a| a.raw())
    }

    /// The argument bytes, as a slice of the request's own.
    pub(crate) fn argument_slice(&self) -> Bytes {
        self.passed().map_or_else(Bytes::new, |a| self.request.bytes().slice(a.span()))
    }

    /// The pinned definition, or the approved server's other offer, behind the name the agent used, in this one
    /// snapshot of the world.
    pub(crate) fn resolve(self, world: Arc<World>, now_us: u64) -> Result<Resolved, Refused> {
        let visible = self.find(&world.catalog).filter(|asked| {
            // What the agent may not list does not exist for it. What servers ask nobody lists.
            let listed = matches!(self.aim, Aim::Named(_));
            !listed
                || world.policy.as_ref().is_none_or(|policy| policy.may_list(&self.caller.principal, asked.subject()))
        });
        let Some(asked) = visible else {
            let refusal = self.unknown();
            return Err(self.refuse_unresolved(&world, refusal, now_us));
        };
        let quarantine = asked.tool().and_then(|tool| world.quarantine(tool));
        if let Some(quarantine) = quarantine {
            let reason = format!("{}; the operator can review it with `interlock catalog diff`", quarantine.reason);
            let resolved = Resolved { prior: self, world, asked };
            return Err(resolved.state_unchecked().refuse(Refusal::deny(Code::ToolQuarantined, reason), now_us));
        }
        Ok(Resolved { prior: self, world, asked })
    }

    fn find(&self, catalog: &Catalog) -> Option<Asked> {
        match &self.aim {
            Aim::Named(Ask::Call) => {
                let (_, name) = self.named()?;
                let tool = match &self.caller.endpoint {
                    Endpoint::All => catalog.by_exposed(&name),
                    Endpoint::Server(server) => catalog.by_name(server, &name),
                };
                tool.cloned().map(Asked::Tool)
            }
            Aim::Named(Ask::Task(verb)) => {
                let (_, name) = self.named()?;
                let (server, tool, sealed) = namespace::split_task(&name)?;
                if !matches!(&self.caller.endpoint, Endpoint::Server(here) if *here != server) {
                    let tool = catalog.by_name(&server, tool)?;
                    let about = task_is_about(tool);
                    let task = seal::open(&self.session.key, &about, self.at, sealed)?;
                    return Some(Asked::Offer(Offer::of_task(tool, *verb, task)));
                }
                None
            }
            Aim::Named(ask) => {
                let (at, name) = self.named()?;
                let (server, name) = match &self.caller.endpoint {
                    Endpoint::All => split(catalog, at, &name)?,
                    Endpoint::Server(server) => (server.clone(), &*name),
                };
                Offer::of_ask(catalog, &server, *ask, Some((at, name))).map(Asked::Offer)
            }
            Aim::List(ask, server) => Offer::of_ask(catalog, server, *ask, None).map(Asked::Offer),
            Aim::Question(question, server, within) => {
                Offer::of_question(catalog, server, *question, *within).map(Asked::Offer)
            }
            Aim::Log(server) => Offer::of_logging(catalog, server).map(Asked::Offer),
        }
    }

    /// What a client is told that asks for what is not there.
    fn unknown(&self) -> Refusal {
        let about = self.named();
        match &self.aim {
            Aim::Named(Ask::Call) => Refusal::deny(Code::UnknownTool, "unknown tool"),
            Aim::Named(Ask::Task(_)) => Refusal::deny(Code::UnknownTask, "unknown task"),
            Aim::Named(Ask::Prompt | Ask::Complete) if about.as_ref().is_none_or(|(at, _)| !at.is_address()) => {
                Refusal::deny(Code::UnknownPrompt, "unknown prompt")
            }
            Aim::Named(_) | Aim::List(..) | Aim::Question(..) | Aim::Log(_) => Refusal {
                uri: about.map(|(_, name)| name.into()),
                ..Refusal::deny(Code::UnknownResource, "resource not found")
            },
        }
    }

    fn refuse_unresolved(&self, world: &World, refusal: Refusal, now_us: u64) -> Refused {
        let name = self.named().map(|(_, name)| name).unwrap_or_default();
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
            // A resource's address is an argument: it stands in the vault.
            requested: match self.aim {
                Aim::Named(Ask::Call | Ask::Prompt) => Some(name.chars().take(MAX_REQUESTED).collect()),
                Aim::Named(ask) | Aim::List(ask, _) => Some(ask.method().to_owned()),
                Aim::Question(question, ..) => Some(question.method().to_owned()),
                Aim::Log(_) => Some("logging/setLevel".to_owned()),
            },
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
            subject: None,
            timing: CallTiming { decided_us: now_us.saturating_sub(self.caller.received_us) },
            tool: None,
        }
    }
}

/// What the id of a task is bound to beside the session.
fn task_is_about(tool: &ApprovedTool) -> [&[u8]; 3] {
    [b"task", tool.server.as_str().as_bytes(), tool.name().as_str().as_bytes()]
}

/// The server and its own name for a prompt or a resource, as the aggregate endpoint names them.
fn split<'a>(catalog: &Catalog, at: NameAt, exposed: &'a str) -> Option<(ServerName, &'a str)> {
    let parts = if at.is_address() { namespace::split_address(exposed) } else { namespace::split_prompt(exposed) };
    if let Some((server, name)) = parts.filter(|(server, _)| catalog.server(server).is_some()) {
        return Some((server, name));
    }
    // An address that came from a tool's own definition (`ui://`), which says nothing of the server. Where there is
    // only one it is clear which is meant.
    let mut servers = catalog.servers();
    match (servers.next(), servers.next()) {
        (Some(only), None) if at.is_address() => Some((only.name.clone(), exposed)),
        _ => None,
    }
}

/// A call for something that is approved: an undrifted tool, or something else of an approved server.
pub(crate) struct Resolved {
    pub(crate) prior: Identified,
    pub(crate) world: Arc<World>,
    pub(crate) asked: Asked,
}

impl Resolved {
    /// Checks the arguments against the approved schema and names what is asked by its digest.
    pub(crate) fn state(self, now_us: u64) -> Result<Stated, Refused> {
        let checked = match &self.asked {
            Asked::Tool(tool) => tool.input.check(self.prior.arguments()),
            Asked::Offer(_) => Ok(()),
        };
        let forged = self.state_of_server() == Some(None);
        let stated = self.state_unchecked();
        match checked {
            Ok(()) if forged => {
                Err(stated.refuse(Refusal::deny(Code::ForgedState, Code::ForgedState.meaning()), now_us))
            }
            Ok(()) => Ok(stated),
            Err(violation) => Err(stated.refuse(Refusal::deny(Code::InvalidArguments, violation.to_string()), now_us)),
        }
    }

    /// What a `requestState` is bound to beside the session: the server, the method, and what it is about. Not the
    /// arguments: those of each leg are judged anew.
    fn state_is_about(&self) -> [&[u8]; 3] {
        let name = self.asked.named().map_or("", |(_, name)| name);
        [self.asked.server().as_str().as_bytes(), self.asked.method().as_bytes(), name.as_bytes()]
    }

    /// The `requestState` that the agent brought back, as the server gave it: `Some(None)` if it is not one that
    /// was given to this agent for this.
    fn state_of_server(&self) -> Option<Option<String>> {
        // Questions come from servers, and their members are no business of ours.
        if !matches!(self.prior.aim, Aim::Named(_)) {
            return None;
        }
        let brought = self.prior.request.param("requestState")?;
        let sealed = brought.as_str().unwrap_or_default();
        let key = &self.prior.session.key;
        Some(seal::open(key, &self.state_is_about(), self.prior.at, &sealed).map(ToOwned::to_owned))
    }

    fn state_unchecked(self) -> Stated {
        let (definition, method) = (self.asked.definition(), self.asked.method());
        let agent = &self.prior.caller.principal.agent;
        let call_digest = self.prior.session.key.commit(
            CALL,
            &[
                agent.id.as_str().as_bytes(),
                agent.owner.as_str().as_bytes(),
                b"", // the mandate, once there are any
                self.asked.server().as_str().as_bytes(),
                // What is no tool has no definition: its method stands for it.
                definition.as_ref().map_or(method.as_bytes(), |digest| &digest.0),
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
        let Resolved { prior, world, asked } = &self.prior;
        let (tool, subject) = asked.records();
        CallRecord { tool, subject, ..prior.record(world, self.call_digest, sent, findings, decision, now_us) }
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
        if resolved.asked.is_decided_elsewhere() {
            return Decision::filtered();
        }
        let Some(policy) = &resolved.world.policy else {
            return Decision::unanswerable(
                "no policy bundle is in force, so everything is denied; `interlock policy check` says why",
            );
        };
        policy.decide(&DecisionRequest {
            principal: &resolved.prior.caller.principal,
            action: resolved.asked.action(),
            subject: resolved.asked.subject(),
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

    /// Whether what policy denies is stopped. Who only asks is told the decision in every mode: what the mode lets
    /// through, it lets through here, and nothing of this goes through here.
    pub(crate) fn stops(&self) -> bool {
        self.identified().acts_itself || self.world().settings.mode.stops()
    }

    pub(crate) const fn call_digest(&self) -> Commitment {
        self.prior.prior.call_digest
    }

    /// What an approver of this call is shown and signs.
    pub(crate) fn seen(&self) -> Seen {
        let Resolved { prior, world, asked } = &self.prior.prior.prior;
        let agent = &prior.caller.principal.agent;
        let (tool, subject) = asked.records();
        Seen {
            agent: agent.id.clone(),
            call_digest: self.call_digest(),
            definition: asked.definition(),
            effects: asked.effects(),
            findings: self.prior.findings.clone(),
            identity: asked.identity(),
            labels: self.prior.labels.to_vec(),
            mode: world.settings.mode,
            owner: agent.owner.clone(),
            policies: self.decision.policies.iter().map(ToString::to_string).collect(),
            policy: world.policy_record.clone(),
            server: asked.server().clone(),
            session: prior.session.id,
            subject,
            tier: self.decision.tier.unwrap_or(interlock_model::Tier::MAX),
            tool: tool.map(|tool| tool.name),
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
        if decision.outcome == Outcome::Modify {
            let reason = "policy permits this call only with changes, and whoever acts without the gateway cannot be \
                          held to them; make the call through it";
            return self.refuse(Refusal::deny(Code::PolicyDenied, reason), now_us);
        }
        let refusal = Refusal {
            code: decision.code.unwrap_or(Code::PolicyDenied),
            outcome: decision.outcome,
            reason: decision.reason.clone(),
            approval: None,
            tier: decision.tier,
            uri: None,
        };
        self.refuse(refusal, now_us)
    }

    /// Lets the call go on, or gives it back where policy did not say so and the mode stops what it did not: the
    /// only other way in is an approval that was just consumed in memory, and the store checks it again.
    pub(crate) fn permit(self, approval: Option<Approval>) -> Result<Permitted, Box<Self>> {
        let allowed = match self.decision.outcome {
            Outcome::Allow => true,
            // Nobody here would make the changes for a caller that acts itself.
            Outcome::Modify => !self.identified().acts_itself,
            Outcome::Deny | Outcome::StepUp | Outcome::Defer => false,
        };
        if allowed || !self.stops() { Ok(Permitted { prior: self, approval }) } else { Err(Box::new(self)) }
    }
}

/// A call that goes ahead once it is recorded.
pub(crate) struct Permitted {
    pub(crate) prior: Decided,
    /// Already in its consumed state; the store makes it so, or refuses the intent.
    pub(crate) approval: Option<Approval>,
}

impl Permitted {
    pub(crate) fn asked(&self) -> &Asked {
        &self.prior.prior.prior.prior.asked
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.prior.identified().session
    }

    /// The server's `requestState`, for the agent to bring back.
    pub(crate) fn seal(&self, now: UnixMillis, state: &str) -> String {
        let resolved = &self.prior.prior.prior.prior;
        seal::seal(&self.session().key, &resolved.state_is_about(), now.plus_ms(seal::LIFE_MS), state)
    }

    /// The id of a task, for the agent to ask about it; the one that it asked with, where that is of this task.
    pub(crate) fn seal_task(&self, now: UnixMillis, task: &str) -> Option<String> {
        let tool = self.asked().tool()?;
        if let (Asked::Offer(offer), Some((NameAt::TaskId, exposed))) = (self.asked(), self.prior.identified().named())
            && *offer.name == *task
        {
            return Some(exposed.into_owned());
        }
        let sealed = seal::seal(&self.session().key, &task_is_about(tool), now.plus_ms(seal::TASK_LIFE_MS), task);
        Some(namespace::task(&tool.server, tool.name(), &sealed))
    }

    /// What the agent brought back, as the server gave it.
    pub(crate) fn state(&self) -> Option<String> {
        self.prior.prior.prior.prior.state_of_server().flatten()
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
        // No obligation of this build changes arguments: what is sent is what was received. Where the caller acts
        // itself nothing is sent, and by that the entry is told from one that announces a call of ours.
        if !self.prior.identified().acts_itself {
            record.arguments.sent = Some(record.arguments.received);
            record.arguments.sent_bytes = Some(bytes.len() as u64);
        }
        record.approval = self.approval.as_ref().map(|a| a.statement.id);
        record.obligations = self.obligations();
        record
    }

    /// What policy wants done with the call or its result, as entries spell it.
    pub(crate) fn obligations(&self) -> Vec<String> {
        self.prior.decision.obligations.labels.iter().map(|label| format!("label:{label}")).collect()
    }

    /// The session's labels once this call's result is released, if they rise: what the policies that
    /// permitted it say, and how sensitive the catalog says the tool's data is.
    pub(crate) fn raised_labels(&self) -> Option<Vec<String>> {
        let now = self.session().labels.load();
        let sensitivity = self.asked().sensitivity();
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
