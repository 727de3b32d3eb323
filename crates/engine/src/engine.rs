//! The engine: the world, the ports, and the one function that every call goes through.

use crate::front::{Aside, CallResponse, Caller, Endpoint, Governed, NoReply, NotIdentified};
use crate::observe::{Observer, Watch};
use crate::ports::{
    Append, AppendError, Appended, Clock, Effect, Ledger, Outgoing, Payload, Session, Slot, Upstream, UpstreamFault,
};
use crate::question::Between;
use crate::refusal::{Denial, Refusal, Refused};
use crate::relay::Relay;
use crate::stages::{Aim, Identified, Permitted, RESULT};
use crate::world::World;
use arc_swap::ArcSwap;
use bytes::Bytes;
use interlock_identity::{Agent, AgentState, BearerKey, IdentifyError, Principal};
use interlock_ledger::entry::{CallStatus, Entry, Event, OutcomeRecord, OutcomeTiming};
use interlock_mcp::{Ask, Mirrored, Offers, Request, Response, RpcError};
use interlock_model::{CallId, Code, Digest, Mode, Outcome, SessionId, UnixMillis};
use interlock_policy::Subject;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The edges an engine is put together from.
pub trait Ports: Send + Sync + 'static {
    /// Time and randomness.
    type Clock: Clock;
    /// The ledger, the sessions, the approvals.
    type Ledger: Ledger;
    /// The servers.
    type Upstream: Upstream;
}

/// Most tries to raise a session's labels against other calls of it that raise them, too.
const MAX_RAISES: usize = 32;

/// The path of a call and what it needs.
pub struct Engine<P: Ports> {
    pub(crate) clock: P::Clock,
    pub(crate) ledger: P::Ledger,
    pub(crate) upstream: P::Upstream,
    world: ArcSwap<World>,
    unbound: Arc<Agent>,
    pub(crate) in_flight: AtomicUsize,
    pub(crate) observer: OnceLock<Box<dyn Observer>>,
}

/// A call whose intent the ledger has, or is just taking. Only [`Engine::record`] makes one, and only
/// one of these can be forwarded.
struct Recorded<'a, P: Ports, F> {
    permitted: Permitted,
    /// The intent's future, where the tool only reads and may run while the entry is being written.
    durable: Option<F>,
    open: OpenCall<'a, P>,
}

/// A recorded call and what came of it.
struct Executed<'a, P: Ports> {
    permitted: Permitted,
    answer: Result<Response, UpstreamFault>,
    /// How it ended, where it ends without an answer that comes here.
    ended: Option<CallStatus>,
    upstream_us: u64,
    open: OpenCall<'a, P>,
}

impl<P: Ports> Engine<P> {
    /// An engine over these ports, in this world.
    pub fn new(
        clock: P::Clock,
        ledger: P::Ledger,
        upstream: P::Upstream,
        world: World,
    ) -> Result<Self, interlock_model::id::InvalidName> {
        let unbound = Agent {
            id: "unbound".parse()?,
            owner: "nobody".parse()?,
            key: Digest([0; 32]),
            state: AgentState::Active,
            purpose: String::new(),
            roles: Vec::new(),
            added: UnixMillis(0),
        };
        Ok(Self {
            clock,
            ledger,
            upstream,
            world: ArcSwap::from_pointee(world),
            unbound: Arc::new(unbound),
            in_flight: AtomicUsize::new(0),
            observer: OnceLock::new(),
        })
    }

    /// The clock.
    pub const fn clock(&self) -> &P::Clock {
        &self.clock
    }

    /// The ledger.
    pub const fn ledger(&self) -> &P::Ledger {
        &self.ledger
    }

    /// The servers.
    pub const fn upstream(&self) -> &P::Upstream {
        &self.upstream
    }

    /// The world that the next call will see.
    pub fn world(&self) -> Arc<World> {
        self.world.load_full()
    }

    /// Replaces the world. Calls under way keep the one they have.
    pub fn change_world(&self, change: impl Fn(&World) -> World) -> Arc<World> {
        self.world.rcu(|world| change(world));
        self.world.load_full()
    }

    /// The path of a call (design section 3). Everything that may refuse stands here, in order.
    pub(crate) async fn path(
        &self,
        caller: Caller,
        asked: (Request, Aim),
        call: CallId,
        toward: Toward<'_>,
    ) -> Result<Released, Refused> {
        let identified = self.identified(caller, asked, call).await?.acting_itself(matches!(toward, Toward::Caller));
        let world = self.settled_world(&identified).await;
        let resolved = identified.resolve(world, self.clock.monotonic_us())?;
        let stated = resolved.state(self.clock.monotonic_us())?;
        let weighed = stated.weigh();
        let decided = weighed.decide(self.clock.now());
        let permitted = self.permit(decided).await?;
        // The intent is durable before anything with an effect leaves. If we stop below this line,
        // recovery closes the open intent as unknown: the ledger may show a call that never ran, never
        // the reverse.
        let recorded = self.record(permitted).await?;
        let executed = self.execute(recorded, toward).await?;
        self.release(executed).await
    }

    /// Who calls, and the governance session that goes with them. The agent's state is read from the
    /// world of this moment, not from when its connection was made.
    async fn identified(&self, caller: Caller, asked: (Request, Aim), call: CallId) -> Result<Identified, Refused> {
        let now = self.clock.now();
        let agent = &caller.principal.agent;
        if caller.principal.bound {
            let current = self.world.load();
            let active =
                current.registry.get(&agent.id).is_some_and(|a| a.state == AgentState::Active && a.key == agent.key);
            if !active {
                return Err(Refused {
                    refusal: Refusal::deny(Code::AgentNotActive, Code::AgentNotActive.meaning()),
                    denial: None,
                });
            }
        }
        let session = self.ledger.session(&agent.id, &agent.owner, now).await.map_err(|e| Refusal::not_recorded(&e))?;
        Ok(Identified::new(caller, asked, call, now, session))
    }

    /// The world to judge in. Where the tool's server has said that its tools may have changed, that of
    /// after the comparison with the catalog; where that does not come, the tools count as drifted.
    async fn settled_world(&self, identified: &Identified) -> Arc<World> {
        let server = identified.server(&self.world.load().catalog);
        if let Some(server) = server
            && let Err(fault) = self.upstream.settled(&server).await
        {
            let world = self.world.load_full();
            return Arc::new(crate::drift::unsettled(&world, &server, &fault));
        }
        self.world.load_full()
    }

    /// Hands the intent to the ledger. For a tool that may have an effect, waits until it is durable.
    async fn record(
        &self,
        permitted: Permitted,
    ) -> Result<Recorded<'_, P, impl Future<Output = Result<Appended, AppendError>> + use<P>>, Refused> {
        let record = permitted.record(self.clock.monotonic_us());
        let entry = Entry::new(permitted.prior.identified().at, Event::Intent(Box::new(record)));
        let append = Append {
            session: Some(permitted.session().clone()),
            payloads: received(permitted.prior.identified().argument_slice()),
            effect: permitted.approval.clone().map_or(Effect::None, |a| Effect::Consume(Box::new(a))),
            ..Append::entry(&entry).map_err(|e| Refusal::not_recorded(&e))?
        };
        let durable = self.ledger.append(append);
        let mut open = OpenCall::new(self, &permitted);
        // Only what a human confirmed as read-only may overtake its entry.
        if permitted.asked().is_read_only() && permitted.approval.is_none() {
            return Ok(Recorded { permitted, durable: Some(durable), open });
        }
        match durable.await {
            Ok(_) => Ok(Recorded { permitted, durable: None, open }),
            Err(e) => {
                open.forget();
                Err(match e {
                    AppendError::Conflict => {
                        let refusal =
                            Refusal::deny(Code::ApprovalSuperseded, "the approval was used or changed a moment ago");
                        permitted.prior.refuse(refusal, self.clock.monotonic_us())
                    }
                    e => Refusal::not_recorded(&e),
                })
            }
        }
    }

    /// Sends a recorded call. The intent of a read that went ahead of its entry is awaited before anyone
    /// sees the answer.
    async fn execute<'a>(
        &'a self,
        recorded: Recorded<'a, P, impl Future<Output = Result<Appended, AppendError>>>,
        toward: Toward<'_>,
    ) -> Result<Executed<'a, P>, Refused> {
        let Recorded { permitted, durable, mut open } = recorded;
        let begun = self.clock.monotonic_us();
        let identified = permitted.prior.identified();
        let settings = &permitted.prior.world().settings;
        open.sent = !matches!(toward, Toward::Caller);
        let answer = match toward {
            Toward::Server(client) => {
                let outgoing = Outgoing {
                    call: identified.call,
                    agent: identified.caller.principal.agent.id.clone(),
                    server: permitted.asked().server().clone(),
                    name: permitted.asked().named().map(|(at, name)| (at, name.into())),
                    request: identified.request.clone(),
                    arguments: None,
                    state: permitted.state(),
                    revision: identified.caller.revision,
                    capabilities: identified.caller.capabilities.clone(),
                    log_level: identified.caller.log_level,
                    timeout: Duration::from_millis(settings.call_timeout_ms),
                    trace: identified.caller.trace.clone(),
                };
                self.upstream.forward(outgoing, &Between::new(self, &permitted, client)).await
            }
            Toward::Client(client) => client.ask(identified.request.clone()).await.map_err(unasked),
            Toward::Shown | Toward::Caller => {
                Err(UpstreamFault { code: Code::Cancelled, sent: true, detail: String::new() })
            }
        };
        let ended = match toward {
            Toward::Server(_) | Toward::Client(_) => None,
            Toward::Shown => Some(CallStatus::Shown),
            Toward::Caller => Some(CallStatus::Answered),
        };
        let upstream_us = self.clock.monotonic_us().saturating_sub(begun);
        if let Some(durable) = durable
            && let Err(e) = durable.await
        {
            open.forget();
            return Err(Refusal::not_recorded(&e));
        }
        Ok(Executed { permitted, answer, ended, upstream_us, open })
    }

    /// Records the outcome and lets the answer go. The outcome's entry is queued before the answer leaves
    /// and follows its intent; it is waited for only where it raises the session's labels, since the next
    /// call must not be judged without them. A crash in between leaves the call `unknown`, never unrecorded.
    async fn release(&self, executed: Executed<'_, P>) -> Result<Released, Refused> {
        let Executed { permitted, answer, ended, upstream_us, mut open } = executed;
        let session = permitted.session().clone();
        let payload = answer.as_ref().ok().and_then(|response| {
            let value = response.result().or_else(|| response.error())?;
            Some(response.bytes().slice(value.span()))
        });
        let status = ended.unwrap_or_else(|| status(&answer));
        let code = answer.as_ref().err().map(|fault| fault.code).filter(|_| ended.is_none());
        let commitment = payload.as_ref().map(|bytes| session.key.commit(RESULT, &[bytes]));
        // Another call of this session may raise labels at the same moment, and the store takes no set that
        // lacks what it has. Each further round means that the labels rose, and there are only so many.
        for _ in 0..MAX_RAISES {
            let labels = permitted.raised_labels();
            let rises = labels.is_some();
            let outcome = OutcomeRecord {
                call: open.call,
                code,
                labels: labels.clone().unwrap_or_default(),
                result: commitment,
                result_bytes: payload.as_ref().map(|bytes| bytes.len() as u64),
                session: session.id,
                status,
                timing: Some(OutcomeTiming {
                    total_us: self.clock.monotonic_us().saturating_sub(permitted.prior.identified().caller.received_us),
                    upstream_us,
                }),
            };
            let durable = open.close(outcome, session.clone(), payload.clone(), labels);
            if !rises {
                return Ok(Released { permitted, answer });
            }
            match durable.await {
                Ok(_) => return Ok(Released { permitted, answer }),
                Err(AppendError::Conflict) => {}
                Err(e) => return Err(Refusal::not_recorded(&e)),
            }
        }
        Err(Refusal::not_recorded(&AppendError::Conflict))
    }
}

/// The arguments for the vault; a call without any has no payload.
fn received(arguments: Bytes) -> Vec<Payload> {
    if arguments.is_empty() { Vec::new() } else { vec![Payload { slot: Slot::Received, bytes: arguments }] }
}

/// How a call ended, as its outcome entry says it.
fn status(answer: &Result<Response, UpstreamFault>) -> CallStatus {
    match answer {
        Ok(response) => match response.result() {
            None => CallStatus::RpcError,
            Some(result) if result.get("isError").and_then(|e| e.as_bool()) == Some(true) => CallStatus::ToolError,
            Some(_) => CallStatus::Ok,
        },
        Err(fault) if fault.sent => CallStatus::Failed,
        Err(_) => CallStatus::NotSent,
    }
}

/// Where a recorded call goes.
#[derive(Clone, Copy)]
pub(crate) enum Toward<'a> {
    /// To its server; what the server says before its answer goes to the client.
    Server(&'a dyn Aside),
    /// To the client: it is a question of a server.
    Client(&'a dyn Aside),
    /// To the client, with the answer to another call; the reply comes with that call's next leg.
    Shown,
    /// Nowhere: the decision is what was asked for, and the caller acts itself.
    Caller,
}

/// A call that is over and recorded, with what came of it.
pub(crate) struct Released {
    pub(crate) permitted: Permitted,
    pub(crate) answer: Result<Response, UpstreamFault>,
}

impl Released {
    /// The message for the client: the server's own bytes, with the client's id in place of ours and what
    /// the client's revision requires of a result.
    fn respond(&self, ask: Ask, now: UnixMillis) -> CallResponse {
        let permitted = &self.permitted;
        let identified = permitted.prior.identified();
        let (id, revision) = (identified.request.id(), identified.caller.revision);
        match &self.answer {
            Ok(response) => {
                let advice = advice(permitted);
                let relay = Relay {
                    id,
                    revision,
                    ask,
                    advice: advice.as_deref(),
                    server: match identified.caller.endpoint {
                        Endpoint::All => Some(permitted.asked().server()),
                        Endpoint::Server(_) => None,
                    },
                    state: response
                        .result()
                        .and_then(|result| result.get("requestState")?.as_str())
                        .map(|state| permitted.seal(now, &state)),
                    task: response
                        .result()
                        .and_then(|result| result.get("taskId")?.as_str())
                        .and_then(|task| permitted.seal_task(now, &task)),
                };
                CallResponse {
                    message: relay.message(response),
                    error: response.error().and_then(|error| error.get("code")).and_then(|code| code.as_i64()),
                }
            }
            Err(fault) => {
                let refusal = Refusal {
                    code: fault.code,
                    outcome: permitted.prior.decision.outcome,
                    reason: fault.detail.clone(),
                    approval: None,
                    tier: None,
                    uri: None,
                };
                refusal.answer(id, revision, ask, identified.call)
            }
        }
    }
}

/// A question without a reply, as the outcome entry says it.
fn unasked(why: NoReply) -> UpstreamFault {
    UpstreamFault { code: why.code, sent: true, detail: why.reason }
}

/// In `advisory` mode, what would have happened, for the result's `_meta`.
fn advice(permitted: &Permitted) -> Option<String> {
    let decision = &permitted.prior.decision;
    let denied = !matches!(decision.outcome, Outcome::Allow | Outcome::Modify);
    (denied && permitted.mode() == Mode::Advisory).then(|| {
        serde_json::json!({
            "decision": decision.outcome.as_str(),
            "code": decision.code.map(Code::as_str),
            "reason": decision.reason,
        })
        .to_string()
    })
}

/// A call that was announced and not yet closed. Dropped before [`OpenCall::close`] (the client went
/// away, the task was stopped), it queues the outcome that says so.
struct OpenCall<'a, P: Ports> {
    engine: &'a Engine<P>,
    call: CallId,
    session: SessionId,
    received_us: u64,
    begun_us: u64,
    sent: bool,
    closed: bool,
}

impl<'a, P: Ports> OpenCall<'a, P> {
    fn new(engine: &'a Engine<P>, permitted: &Permitted) -> Self {
        let identified = permitted.prior.identified();
        Self {
            engine,
            call: identified.call,
            session: identified.session.id,
            received_us: identified.caller.received_us,
            begun_us: engine.clock.monotonic_us(),
            sent: false,
            closed: false,
        }
    }

    /// The intent was not taken after all, so there is nothing to close.
    const fn forget(&mut self) {
        self.closed = true;
    }

    fn close(
        &mut self,
        outcome: OutcomeRecord,
        session: Arc<Session>,
        payload: Option<Bytes>,
        labels: Option<Vec<String>>,
    ) -> impl Future<Output = Result<Appended, AppendError>> + use<P> {
        self.closed = true;
        let entry = Entry::new(self.engine.clock.now(), Event::Outcome(Box::new(outcome)));
        let queued = Append::entry(&entry).map(|append| {
            self.engine.ledger.append(Append {
                session: Some(session),
                payloads: payload.into_iter().map(|bytes| Payload { slot: Slot::Result, bytes }).collect(),
                awaited: labels.is_some(),
                effect: labels.map_or(Effect::None, Effect::RaiseLabels),
                ..append
            })
        });
        async move { queued?.await }
    }
}

impl<P: Ports> Drop for OpenCall<'_, P> {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        let now = self.engine.clock.monotonic_us();
        let outcome = OutcomeRecord {
            call: self.call,
            code: Some(Code::Cancelled),
            labels: Vec::new(),
            result: None,
            result_bytes: None,
            session: self.session,
            status: if self.sent { CallStatus::Cancelled } else { CallStatus::NotSent },
            timing: Some(OutcomeTiming {
                total_us: now.saturating_sub(self.received_us),
                upstream_us: now.saturating_sub(self.begun_us),
            }),
        };
        let entry = Entry::new(self.engine.clock.now(), Event::Outcome(Box::new(outcome)));
        if let Ok(append) = Append::entry(&entry) {
            // Queued when this returns; nobody is left to wait for it. If the store does not take it,
            // recovery closes the call as unknown.
            drop(self.engine.ledger.append(Append { awaited: false, ..append }));
        }
    }
}

/// Counts a call for as long as it lives.
pub(crate) struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    pub(crate) fn enter(count: &'a AtomicUsize, most: usize) -> Option<Self> {
        let entered = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < most).then_some(entered)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<P: Ports> Governed for Engine<P> {
    fn identify(&self, presented: Option<&str>) -> Result<Principal, NotIdentified> {
        let world = self.world.load();
        match presented {
            Some(key) => world.registry.identify(&BearerKey::presented(key)).map_err(|e| NotIdentified {
                code: match e {
                    IdentifyError::UnknownKey => Code::Unauthenticated,
                    IdentifyError::NotActive => Code::AgentNotActive,
                },
            }),
            None if world.settings.allow_unbound => Ok(Principal { agent: self.unbound.clone(), bound: false }),
            None => Err(NotIdentified { code: Code::UnboundRefused }),
        }
    }

    fn has_endpoint(&self, endpoint: &Endpoint) -> bool {
        match endpoint {
            Endpoint::All => true,
            Endpoint::Server(server) => self.world.load().catalog.server(server).is_some(),
        }
    }

    async fn list_tools(&self, caller: &Caller, request: &Request) -> Result<Bytes, RpcError> {
        self.list(caller, request)
    }

    async fn ask(&self, caller: Caller, ask: Ask, request: Request, aside: &dyn Aside) -> CallResponse {
        let (id, revision) = (request.id().clone(), caller.revision);
        let call = CallId::new(self.clock.now(), self.clock.entropy());
        let mut watch = self.watch(&caller, ask, &request, call);
        let most = self.world.load().settings.max_in_flight;
        let Some(_in_flight) = InFlight::enter(&self.in_flight, most) else {
            watch.answered(Some(Code::Overloaded));
            return Refusal::deny(Code::Overloaded, "too many calls at once").answer(&id, revision, ask, call);
        };
        if let Ask::List(listed) = ask {
            let answer = self.list_offers(caller, listed, request, aside).await;
            watch.answered(None);
            return answer;
        }
        match self.asked(caller, ask, request, call, aside, &mut watch).await {
            Ok(answer) => answer,
            Err(refused) => {
                watch.refused(&refused);
                self.refuse(refused).await.answer(&id, revision, ask, call)
            }
        }
    }

    fn offers(&self, endpoint: &Endpoint) -> Offers {
        let world = self.world.load();
        let servers = world.catalog.servers().filter(|server| match endpoint {
            Endpoint::All => true,
            Endpoint::Server(name) => server.name == *name,
        });
        servers.map(|server| self.upstream.offers(&server.name)).fold(Offers::default(), Offers::or)
    }

    async fn set_level(&self, caller: Caller, request: Request) -> CallResponse {
        self.tell_level(caller, request).await
    }

    fn mirrored(&self, caller: &Caller, tool: &str) -> Option<Arc<[Mirrored]>> {
        let world = self.world.load();
        let found = match &caller.endpoint {
            Endpoint::All => world.catalog.by_exposed(tool),
            Endpoint::Server(server) => world.catalog.by_name(server, tool),
        };
        let found = found.filter(|tool| !tool.mirrored.is_empty())?;
        let seen = world.policy.as_ref().is_none_or(|policy| policy.may_list(&caller.principal, Subject::Tool(found)));
        seen.then(|| found.mirrored.clone())
    }

    fn monotonic_us(&self) -> u64 {
        self.clock.monotonic_us()
    }
}

impl<P: Ports> Engine<P> {
    /// One call of an agent, from the request to the message that answers it.
    async fn asked(
        &self,
        caller: Caller,
        ask: Ask,
        request: Request,
        call: CallId,
        aside: &dyn Aside,
        watch: &mut Watch<'_, P>,
    ) -> Result<CallResponse, Refused> {
        // Apart, so that what awaits this, up to the connection, is not as large as all the path's states and is not
        // copied with them.
        let path = Box::pin(self.path(caller, (request, Aim::Named(ask)), call, Toward::Server(aside)));
        let released = path.await?;
        watch.released(&released);
        self.show_questions(&released).await?;
        Ok(released.respond(ask, self.clock.now()))
    }

    /// Records a refusal, and says it. A refusal that cannot be recorded is one all the same.
    pub(crate) async fn refuse(&self, refused: Refused) -> Refusal {
        let Refused { refusal, denial } = refused;
        let Some(denial) = denial else { return refusal };
        let Denial { record, session, arguments } = *denial;
        let entry = Entry::new(self.clock.now(), Event::Denial(Box::new(record)));
        let recorded = match Append::entry(&entry) {
            Ok(append) => {
                let append = Append { session: Some(session), payloads: received(arguments), ..append };
                self.ledger.append(append).await.map(drop)
            }
            Err(e) => Err(e),
        };
        match recorded {
            Ok(()) => refusal,
            Err(e) => Refusal::not_recorded(&e).refusal,
        }
    }
}
