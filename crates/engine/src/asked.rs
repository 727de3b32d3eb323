//! What a call is about, once it is known: an approved tool, something else that an approved server has, or a
//! question of that server.

use interlock_catalog::{ApprovedTool, Catalog};
use interlock_ledger::entry::{SubjectRecord, ToolRecord};
use interlock_mcp::{Ask, NameAt, TaskVerb};
use interlock_model::{CallId, Digest, Effect, Effects, Sensitivity, ServerName};
use interlock_policy::{ActionKind, Subject};
use std::sync::Arc;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// An approved tool.
    Tool(Arc<ApprovedTool>),
    /// Something else.
    Offer(Offer),
}

/// Something of an approved server that is no tool.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) server: ServerName,
    /// Digest of the server's identity.
    identity: Digest,
    kind: Kind,
    /// The prompt's own name or the resource's own address; empty where there is neither.
    pub(crate) name: Box<str>,
    /// How sensitive what comes of it may be.
    sensitivity: Sensitivity,
}

#[derive(Clone, Debug)]
enum Kind {
    Agent(Ask, Option<NameAt>),
    /// Something about a task that a call of this tool began.
    Task(TaskVerb, Arc<ApprovedTool>),
    Question(Question, CallId),
    Log,
}

/// What a server asks of the client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// `sampling/createMessage`
    Sample,
    /// `elicitation/create`
    Elicit,
    /// `roots/list`
    Roots,
}

impl Question {
    /// The question that a method is; `None` for methods that no server may ask.
    #[must_use]
    pub fn of(method: &str) -> Option<Self> {
        [Self::Sample, Self::Elicit, Self::Roots].into_iter().find(|question| question.method() == method)
    }

    /// The method.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Sample => "sampling/createMessage",
            Self::Elicit => "elicitation/create",
            Self::Roots => "roots/list",
        }
    }

    /// The client capability that it needs.
    #[must_use]
    pub const fn capability(self) -> &'static str {
        match self {
            Self::Sample => "sampling",
            Self::Elicit => "elicitation",
            Self::Roots => "roots",
        }
    }
}

impl Offer {
    /// What an agent asks of a server, if the server is an approved one.
    pub(crate) fn of_ask(
        catalog: &Catalog,
        server: &ServerName,
        ask: Ask,
        named: Option<(NameAt, &str)>,
    ) -> Option<Self> {
        // As sensitive as the most sensitive thing that the server's tools reach: they reach the same data.
        let sensitivity = match ask {
            Ask::Read | Ask::Subscribe => sensitivity_of(catalog, server),
            Ask::Call | Ask::Unsubscribe | Ask::Prompt | Ask::Complete | Ask::Task(_) | Ask::List(_) => {
                Sensitivity::Internal
            }
        };
        let name = named.map_or("", |(_, name)| name);
        Self::new(catalog, server, Kind::Agent(ask, named.map(|(at, _)| at)), name, sensitivity)
    }

    /// What a server asks while it works on `within`.
    pub(crate) fn of_question(
        catalog: &Catalog,
        server: &ServerName,
        question: Question,
        within: CallId,
    ) -> Option<Self> {
        Self::new(catalog, server, Kind::Question(question, within), "", Sensitivity::Internal)
    }

    /// How much a server is to log.
    pub(crate) fn of_logging(catalog: &Catalog, server: &ServerName) -> Option<Self> {
        Self::new(catalog, server, Kind::Log, "", Sensitivity::Internal)
    }

    /// Something about the task `task`, the server's own id for it, that a call of `tool` began.
    pub(crate) fn of_task(tool: &Arc<ApprovedTool>, verb: TaskVerb, task: &str) -> Self {
        Self {
            server: tool.server.clone(),
            identity: tool.identity,
            kind: Kind::Task(verb, tool.clone()),
            name: task.into(),
            sensitivity: tool.facts.effective_sensitivity(),
        }
    }

    fn new(catalog: &Catalog, server: &ServerName, kind: Kind, name: &str, sensitivity: Sensitivity) -> Option<Self> {
        let identity = catalog.server(server)?.identity_digest;
        Some(Self { server: server.clone(), identity, kind, name: name.into(), sensitivity })
    }

    fn method(&self) -> &'static str {
        match &self.kind {
            Kind::Agent(ask, _) => ask.method(),
            Kind::Task(verb, _) => Ask::Task(*verb).method(),
            Kind::Question(question, _) => question.method(),
            Kind::Log => "logging/setLevel",
        }
    }

    fn action(&self) -> ActionKind {
        match &self.kind {
            Kind::Agent(Ask::Read | Ask::Subscribe | Ask::Unsubscribe, _) => ActionKind::Read,
            Kind::Agent(Ask::Complete, _) => ActionKind::Complete,
            Kind::Agent(Ask::Prompt, _) => ActionKind::Prompt,
            Kind::Agent(Ask::List(_), _) => ActionKind::List,
            Kind::Task(..) => ActionKind::Call,
            // Tools and their tasks are not such offers; policy answers no such request.
            Kind::Agent(Ask::Call | Ask::Task(_), _) => ActionKind::Call,
            Kind::Question(Question::Sample, _) => ActionKind::Sample,
            Kind::Question(Question::Elicit, _) => ActionKind::Elicit,
            Kind::Question(Question::Roots, _) => ActionKind::Roots,
            Kind::Log => ActionKind::Log,
        }
    }

    fn subject(&self) -> Subject<'_> {
        let (server, name) = (&self.server, &*self.name);
        match &self.kind {
            Kind::Agent(_, Some(at)) if at.is_address() => Subject::Resource { server, uri: name },
            Kind::Agent(_, Some(_)) => Subject::Prompt { server, name },
            Kind::Task(_, tool) => Subject::Tool(tool),
            Kind::Agent(_, None) | Kind::Question(..) | Kind::Log => Subject::Server(server),
        }
    }

    fn record(&self) -> SubjectRecord {
        let is_prompt = matches!(&self.kind, Kind::Agent(_, Some(at)) if !at.is_address());
        let tool = match &self.kind {
            Kind::Task(_, tool) => Some(tool.name().to_string()),
            Kind::Agent(..) | Kind::Question(..) | Kind::Log => None,
        };
        SubjectRecord {
            identity: self.identity,
            method: self.method().to_owned(),
            name: tool.or_else(|| is_prompt.then(|| self.name.chars().take(MAX_NAME).collect())),
            server: self.server.clone(),
            within: match &self.kind {
                Kind::Question(_, within) => Some(*within),
                Kind::Agent(..) | Kind::Task(..) | Kind::Log => None,
            },
        }
    }
}

/// Most characters of a prompt's name that an entry keeps.
const MAX_NAME: usize = 128;

fn sensitivity_of(catalog: &Catalog, server: &ServerName) -> Sensitivity {
    let tools = catalog.server(server).map_or(&[][..], |server| server.tools());
    tools.iter().map(|tool| tool.facts.effective_sensitivity()).max().unwrap_or(Sensitivity::Restricted)
}

impl Asked {
    pub(crate) fn server(&self) -> &ServerName {
        match self {
            Self::Tool(tool) => &tool.server,
            Self::Offer(offer) => &offer.server,
        }
    }

    pub(crate) fn identity(&self) -> Digest {
        match self {
            Self::Tool(tool) => tool.identity,
            Self::Offer(offer) => offer.identity,
        }
    }

    pub(crate) fn action(&self) -> ActionKind {
        match self {
            Self::Tool(_) => ActionKind::Call,
            Self::Offer(offer) => offer.action(),
        }
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        match self {
            Self::Tool(tool) => Subject::Tool(tool),
            Self::Offer(offer) => offer.subject(),
        }
    }

    /// Whether it is not decided as a whole: a list, which policy filters element by element, or a step of a task,
    /// which is part of the call that began it. That call was decided; whoever may call the tool no more has no such
    /// task any more.
    pub(crate) const fn is_decided_elsewhere(&self) -> bool {
        matches!(self, Self::Offer(Offer { kind: Kind::Agent(Ask::List(_), _) | Kind::Task(..), .. }))
    }

    /// The tool that a call, or the call that began a task, is of.
    pub(crate) fn tool(&self) -> Option<&Arc<ApprovedTool>> {
        match self {
            Self::Tool(tool) | Self::Offer(Offer { kind: Kind::Task(_, tool), .. }) => Some(tool),
            Self::Offer(_) => None,
        }
    }

    /// The method.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Self::Tool(_) => Ask::Call.method(),
            Self::Offer(offer) => offer.method(),
        }
    }

    /// The member of the request that names it, and the server's own name for it.
    pub(crate) fn named(&self) -> Option<(NameAt, &str)> {
        match self {
            Self::Tool(tool) => Some((NameAt::Name, tool.name().as_str())),
            Self::Offer(Offer { kind: Kind::Agent(_, Some(at)), name, .. }) => Some((*at, name)),
            Self::Offer(Offer { kind: Kind::Task(..), name, .. }) => Some((NameAt::TaskId, name)),
            Self::Offer(_) => None,
        }
    }

    pub(crate) fn definition(&self) -> Option<Digest> {
        match self {
            Self::Tool(tool) => Some(tool.definition.digest()),
            Self::Offer(_) => None,
        }
    }

    /// What it can do, as decisions and approvers read it. A question of a server reaches a person or a model.
    pub(crate) fn effects(&self) -> Effects {
        let one = |effect: Effect| std::iter::once(effect).collect();
        match self {
            Self::Tool(tool) => tool.facts.effective_effects(),
            Self::Offer(Offer { kind: Kind::Question(..), .. }) => one(Effect::External),
            Self::Offer(Offer { kind: Kind::Task(_, tool), .. }) => tool.facts.effective_effects(),
            Self::Offer(_) => one(Effect::Read),
        }
    }

    /// Whether it may be sent while its intent is being written.
    pub(crate) fn is_read_only(&self) -> bool {
        match self {
            Self::Tool(tool) => tool.facts.is_read_only(),
            // That these only read, the protocol says and nobody has confirmed.
            Self::Offer(_) => false,
        }
    }

    pub(crate) fn sensitivity(&self) -> Sensitivity {
        match self {
            Self::Tool(tool) => tool.facts.effective_sensitivity(),
            Self::Offer(offer) => offer.sensitivity,
        }
    }

    /// How entries name it: as a tool, or as something else.
    pub(crate) fn records(&self) -> (Option<ToolRecord>, Option<SubjectRecord>) {
        match self {
            Self::Tool(tool) => {
                let record = ToolRecord {
                    definition: tool.definition.digest(),
                    effects: tool.facts.effective_effects(),
                    identity: tool.identity,
                    name: tool.definition.name().clone(),
                    server: tool.server.clone(),
                };
                (Some(record), None)
            }
            Self::Offer(offer) => (None, Some(offer.record())),
        }
    }
}
