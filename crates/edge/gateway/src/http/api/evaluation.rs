//! Evaluations on the wire: a question as a request that the engine judges, a verdict as a decision.
//!
//! In scope: which members say what. Out of scope: deciding. Members that are not named here are passed over, as the
//! specification has it, with one exception: arguments where nobody would look for them. A call judged without the
//! arguments that its caller believed to have sent is a wrong decision.
//!
//! Arguments stand in `resource.properties.arguments`. In `context` they would be a default for a whole batch: an
//! evaluation that says nothing of arguments would be judged with those of another.
//! Source: OpenID AuthZEN, Authorization API 1.0, "Information Model", "Access Evaluation", "Access Evaluations".

use bytes::Bytes;
use http::StatusCode;
use interlock_engine::authorize::Verdict;
use interlock_identity::Principal;
use interlock_mcp::{Ask, Frame, Request, answer};
use interlock_model::json::{Kind, Limits, View};
use interlock_model::{Code, ServerName};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// Most evaluations in one request.
const MOST: usize = 50;

/// What the engine is asked.
pub(super) struct Question {
    pub(super) ask: Ask,
    /// Only whether the caller may know of it.
    pub(super) only_lists: bool,
    pub(super) server: ServerName,
    pub(super) request: Request,
}

/// Why there is no decision.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    message: Cow<'static, str>,
    code: Option<Code>,
}

impl Fault {
    pub(super) fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), code: None }
    }

    pub(super) fn with_code(self, code: Option<Code>) -> Self {
        Self { code, ..self }
    }

    pub(super) fn overloaded() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too many questions at once").with_code(Some(Code::Overloaded))
    }

    pub(super) fn text(&self) -> String {
        match self.code {
            Some(code) => format!("{} ({code})", self.message),
            None => self.message.to_string(),
        }
    }

    /// The same within a batch: what cannot be decided is denied.
    pub(super) fn as_decision(&self) -> Value {
        json!({
            "decision": false,
            "context": { "error": { "status": self.status.as_u16(), "message": self.text() } },
        })
    }
}

fn bad(message: impl Into<Cow<'static, str>>) -> Fault {
    Fault::new(StatusCode::BAD_REQUEST, message)
}

/// Several evaluations, in order.
pub(super) struct Batch<'a> {
    pub(super) asked: Vec<Asked<'a>>,
    pub(super) semantic: Semantic,
}

/// When a batch is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Semantic {
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

impl Semantic {
    /// Whether a decision is the last one that is made.
    pub(super) const fn ends_with(self, permitted: bool) -> bool {
        match self {
            Self::ExecuteAll => false,
            Self::DenyOnFirstDeny => !permitted,
            Self::PermitOnFirstPermit => permitted,
        }
    }
}

/// The members of one evaluation.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The evaluation itself is an object.
    is_object: bool,
    subject: Option<View<'a>>,
    action: Option<View<'a>>,
    resource: Option<View<'a>>,
    context: Option<View<'a>>,
}

impl<'a> Asked<'a> {
    fn of(value: View<'a>) -> Self {
        Self {
            is_object: value.kind() == Kind::Object,
            subject: value.get("subject"),
            action: value.get("action"),
            resource: value.get("resource"),
            context: value.get("context"),
        }
    }

    /// The same, with `defaults` where it says nothing: whole members, never parts of one.
    fn or(self, defaults: Self) -> Self {
        Self {
            is_object: self.is_object,
            subject: self.subject.or(defaults.subject),
            action: self.action.or(defaults.action),
            resource: self.resource.or(defaults.resource),
            context: self.context.or(defaults.context),
        }
    }

    /// What is asked, by `principal`.
    pub(super) fn question(&self, principal: &Principal) -> Result<Question, Fault> {
        if !self.is_object {
            return Err(bad("an evaluation is an object"));
        }
        check_subject(object(self.subject, "subject")?, principal)?;
        let action = object(self.action, "action")?;
        let resource = object(self.resource, "resource")?;
        if self.context.is_some_and(|context| context.kind() != Kind::Object) {
            return Err(bad("`context` is not an object"));
        }
        for (place, at) in
            [("context", self.context), ("action.properties", action.get("properties")), ("resource", Some(resource))]
        {
            if at.is_some_and(|at| at.get("arguments").is_some()) {
                return Err(bad(format!("arguments go into `resource.properties.arguments`, not into `{place}`")));
            }
        }
        let (name, kind) = (text(action, "action", "name")?, text(resource, "resource", "type")?);
        let (ask, only_lists) = match (&*name, &*kind) {
            ("call", "tool") => (Ask::Call, false),
            ("read", "resource") => (Ask::Read, false),
            ("prompt", "prompt") => (Ask::Prompt, false),
            ("list", "tool") => (Ask::Call, true),
            ("list", "resource") => (Ask::Read, true),
            ("list", "prompt") => (Ask::Prompt, true),
            _ => {
                return Err(bad(
                    "`action.name` and `resource.type` are `call` and `tool`, `read` and `resource`, `prompt` and \
                     `prompt`, or `list` and any of these types",
                ));
            }
        };
        let id = text(resource, "resource", "id")?;
        let (server, own) = id
            .split_once('/')
            .and_then(|(server, own)| Some((server.parse::<ServerName>().ok()?, own)))
            .filter(|(_, own)| !own.is_empty())
            .ok_or_else(|| bad("`resource.id` is the server's name, `/`, and the server's own name for it"))?;
        let arguments = arguments(resource, ask)?;
        let request = request(ask, own, arguments)?;
        Ok(Question { ask, only_lists, server, request })
    }
}

/// The one question of a request.
pub(super) fn question(root: View<'_>, principal: &Principal) -> Result<Question, Fault> {
    Asked::of(root).question(principal)
}

/// The questions of a request; `None` where it is one by itself.
pub(super) fn batch(root: View<'_>) -> Result<Option<Batch<'_>>, Fault> {
    let Some(evaluations) = root.get("evaluations") else { return Ok(None) };
    if evaluations.kind() != Kind::Array {
        return Err(bad("`evaluations` is not an array"));
    }
    let semantic = match root.get("options").and_then(|options| options.get("evaluations_semantic")) {
        None => Semantic::ExecuteAll,
        Some(named) if named.is_str("execute_all") => Semantic::ExecuteAll,
        Some(named) if named.is_str("deny_on_first_deny") => Semantic::DenyOnFirstDeny,
        Some(named) if named.is_str("permit_on_first_permit") => Semantic::PermitOnFirstPermit,
        Some(_) => {
            return Err(bad(
                "`options.evaluations_semantic` is `execute_all`, `deny_on_first_deny` or `permit_on_first_permit`",
            ));
        }
    };
    let defaults = Asked::of(root);
    let asked: Vec<Asked<'_>> = evaluations.elements().take(MOST + 1).map(|one| Asked::of(one).or(defaults)).collect();
    match asked.len() {
        0 => Ok(None),
        n if n > MOST => Err(bad(format!("more than {MOST} evaluations"))),
        _ => Ok(Some(Batch { asked, semantic })),
    }
}

/// The key says who asks; that the body says so, too, keeps a caller with several keys from asking with the wrong one.
fn check_subject(subject: View<'_>, principal: &Principal) -> Result<(), Fault> {
    let (kind, id) = (text(subject, "subject", "type")?, text(subject, "subject", "id")?);
    if kind == "agent" && id == principal.agent.id.as_str() {
        return Ok(());
    }
    Err(Fault::new(
        StatusCode::FORBIDDEN,
        "`subject` is the agent whose key was presented: `type` is `agent`, `id` is its id; nobody asks for another",
    ))
}

/// What is passed to it, if anything is: an object.
fn arguments(resource: View<'_>, ask: Ask) -> Result<Option<View<'_>>, Fault> {
    let properties = resource.get("properties");
    if properties.is_some_and(|properties| properties.kind() != Kind::Object) {
        return Err(bad("`resource.properties` is not an object"));
    }
    let arguments = properties.and_then(|properties| properties.get("arguments"));
    match arguments {
        Some(_) if ask == Ask::Read => Err(bad("a resource is read without arguments")),
        Some(arguments) if arguments.kind() != Kind::Object => Err(bad("`arguments` is not an object")),
        arguments => Ok(arguments),
    }
}

/// The request that a client would make for it. The bytes of the arguments are the caller's own.
fn request(ask: Ask, own: &str, arguments: Option<View<'_>>) -> Result<Request, Fault> {
    let member = if ask == Ask::Read { "uri" } else { "name" };
    let mut text = format!(
        r#"{{"jsonrpc":"2.0","id":"authorize","method":"{}","params":{{"{member}":{}"#,
        ask.method(),
        answer::quote(own)
    )
    .into_bytes();
    if let Some(arguments) = arguments {
        text.extend_from_slice(b",\"arguments\":");
        text.extend_from_slice(arguments.raw());
    }
    text.extend_from_slice(b"}}");
    match Frame::parse(Bytes::from(text), Limits::REQUEST) {
        Ok(Frame::Request(request)) => Ok(request),
        Ok(Frame::Notification(_) | Frame::Response(_)) => Err(bad("this is no request")),
        Err(error) => Err(bad(error.to_string())),
    }
}

fn object<'a>(value: Option<View<'a>>, name: &str) -> Result<View<'a>, Fault> {
    match value {
        Some(value) if value.kind() == Kind::Object => Ok(value),
        Some(_) => Err(bad(format!("`{name}` is not an object"))),
        None => Err(bad(format!("`{name}` is missing"))),
    }
}

fn text<'a>(object: View<'a>, of: &str, name: &str) -> Result<Cow<'a, str>, Fault> {
    object.get(name).and_then(|value| value.as_str()).ok_or_else(|| bad(format!("`{of}.{name}` is not a string")))
}

/// A decision, with what an agent is told of a call.
pub(super) fn decision(verdict: &Verdict) -> Value {
    let mut context = Map::new();
    let mut put = |name: &str, value: Value| drop(context.insert(name.to_owned(), value));
    put("outcome", verdict.outcome.as_str().into());
    put("reason", verdict.reason.clone().into());
    put("policies", verdict.policies.clone().into());
    put("mode", verdict.mode.as_str().into());
    if let Some(code) = verdict.code {
        put("code", code.as_str().into());
        put("retry", code.retry().as_str().into());
    }
    if let Some(call) = verdict.call {
        put("call_id", call.to_string().into());
    }
    if let Some(tier) = verdict.tier {
        put("tier", tier.get().into());
    }
    if let Some(approval) = verdict.approval {
        put("approval", json!({ "id": approval.to_string() }));
    }
    if !verdict.obligations.is_empty() {
        put("obligations", verdict.obligations.clone().into());
    }
    json!({ "decision": verdict.permitted, "context": context })
}
