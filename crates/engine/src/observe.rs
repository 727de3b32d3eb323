//! What came of each request of an agent, for those who watch the gateway: telemetry.
//!
//! In scope: what is told, and that it is told exactly once, also of a call whose client went away. Out of scope: where it
//! goes. It is not the ledger: what is told here may be lost, and nothing waits for it. Names and outcomes only; no
//! argument, address, result or credential.

use crate::engine::{Engine, Ports, Released};
use crate::front::Caller;
use crate::ports::Clock;
use crate::refusal::Refused;
use crate::trace::Trace;
use interlock_ledger::entry::{CallRecord, SubjectRecord, ToolRecord};
use interlock_mcp::{Ask, Request, Revision};
use interlock_model::{AgentId, CallId, Code, Outcome, ServerName, UnixMillis};

/// One request that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The call.
    pub call: CallId,
    /// Whose.
    pub agent: AgentId,
    /// What was asked for.
    pub ask: Ask,
    /// The approved server, once it was known.
    pub server: Option<ServerName>,
    /// The tool's or prompt's own name, once it was known to be one.
    pub name: Option<String>,
    /// The revision that the client speaks.
    pub revision: Revision,
    /// Where the request stood in a trace: as its message says, else as its headers do.
    pub trace: Option<Trace>,
    /// When it had arrived.
    pub at: UnixMillis,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// What was decided; `None` where it did not come to that.
    pub decision: Option<Outcome>,
    /// Why there is no result; `None` where there is one, also one that says that the tool failed.
    pub code: Option<Code>,
    /// A result that says that the tool failed, or a JSON-RPC error of the server.
    pub failed: bool,
}

/// Someone who watches. Called on the path of a call: it may not wait.
pub trait Observer: Send + Sync + 'static {
    /// A request is over.
    fn observed(&self, what: Observed);
}

impl<P: Ports> Engine<P> {
    /// Tells `observer` from now on. The first one stays.
    pub fn observe(&self, observer: Box<dyn Observer>) {
        drop(self.observer.set(observer));
    }

    /// Begins to watch a request, if anyone does.
    pub(crate) fn watch(&self, caller: &Caller, ask: Ask, request: &Request, call: CallId) -> Watch<'_, P> {
        let observed = self.observer.get().map(|_| Observed {
            call,
            agent: caller.principal.agent.id.clone(),
            ask,
            server: None,
            name: None,
            revision: caller.revision,
            trace: in_message(request).or_else(|| caller.trace.clone()),
            at: self.clock.now(),
            took_us: caller.received_us,
            decision: None,
            // Until something else is known: the client went away, and this was dropped.
            code: Some(Code::Cancelled),
            failed: false,
        });
        Watch { engine: self, observed: observed.map(Box::new) }
    }
}

/// A request that is watched; told of when this is dropped. Until then `took_us` is when it had arrived.
pub(crate) struct Watch<'a, P: Ports> {
    engine: &'a Engine<P>,
    observed: Option<Box<Observed>>,
}

impl<P: Ports> Watch<'_, P> {
    pub(crate) fn released(&mut self, released: &Released) {
        let Some(observed) = &mut self.observed else { return };
        let (tool, subject) = released.permitted.asked().records();
        observed.about(tool.as_ref(), subject.as_ref());
        observed.decision = Some(released.permitted.prior.decision.outcome);
        observed.code = released.answer.as_ref().err().map(|fault| fault.code);
        observed.failed = released.answer.as_ref().is_ok_and(|response| match response.result() {
            Some(result) => result.get("isError").and_then(|is| is.as_bool()) == Some(true),
            None => true,
        });
    }

    pub(crate) fn refused(&mut self, refused: &Refused) {
        let Some(observed) = &mut self.observed else { return };
        observed.code = Some(refused.refusal.code);
        observed.decision = Some(refused.refusal.outcome);
        if let Some(CallRecord { tool, subject, .. }) = refused.denial.as_ref().map(|denial| &denial.record) {
            observed.about(tool.as_ref(), subject.as_ref());
        }
    }

    /// It is answered, and there is nothing more to say of it.
    pub(crate) fn answered(&mut self, error: Option<Code>) {
        if let Some(observed) = &mut self.observed {
            observed.code = error;
        }
    }
}

impl Observed {
    fn about(&mut self, tool: Option<&ToolRecord>, subject: Option<&SubjectRecord>) {
        let of_tool = tool.map(|tool| (&tool.server, Some(tool.name.to_string())));
        let about = of_tool.or_else(|| subject.map(|subject| (&subject.server, subject.name.clone())));
        if let Some((server, name)) = about {
            (self.server, self.name) = (Some(server.clone()), name);
        }
    }
}

impl<P: Ports> Drop for Watch<'_, P> {
    fn drop(&mut self) {
        if let (Some(mut observed), Some(observer)) = (self.observed.take(), self.engine.observer.get()) {
            observed.took_us = self.engine.clock.monotonic_us().saturating_sub(observed.took_us);
            observer.observed(*observed);
        }
    }
}

/// The trace context of the message itself (MCP 2026-07-28, basic, `_meta`).
fn in_message(request: &Request) -> Option<Trace> {
    let meta = request.param("_meta")?;
    let parent = meta.get("traceparent")?.as_str()?;
    let state = meta.get("tracestate").and_then(|state| state.as_str());
    Trace::read(&parent, state.as_deref())
}
