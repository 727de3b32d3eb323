//! A bundle's own tests: `tests/*.json`, each a list of calls and what must come of them.
//!
//! A case names an approved tool (`"server/tool"`) or brings one of its own (server, definition, facts),
//! so that a bundle can be tested without anyone's catalog; or it names a `resource`, a `prompt` or, for what servers
//! ask, a `server`. Time stands still at
//! 2026-01-05T12:00:00Z, a Monday, unless the case says otherwise.

use crate::bundle::Bundle;
use crate::decide::{ActionKind, Decision, DecisionRequest};
use crate::diagnostic::{Diagnostic, InvalidBundle, Place};
use crate::snapshot::PolicySnapshot;
use crate::subject::Subject;
use interlock_catalog::{ApprovedTool, Definition, InputSchema, ToolFacts};
use interlock_identity::{Agent, AgentState, BearerKey, Principal};
use interlock_mcp::ExposedName;
use interlock_model::json::{Json, Limits};
use interlock_model::{AgentId, Code, Digest, Mode, Outcome, OwnerId, ServerName, Tier, UnixMillis};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

const NOW: UnixMillis = UnixMillis(1_767_614_400_000);

/// Most cases in one file.
const MOST: usize = 2000;

/// One call and what must come of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file it stands in.
    pub file: String,
    /// What it shows.
    pub name: String,
    principal: Principal,
    action: ActionKind,
    subject: CaseSubject,
    arguments: Option<Json<Vec<u8>>>,
    labels: Vec<String>,
    calls: u64,
    findings: Option<Vec<String>>,
    approval: Option<Tier>,
    mode: Mode,
    now: UnixMillis,
    environment: String,
    expect: Expect,
}

#[derive(Clone, Debug)]
enum CaseSubject {
    Approved(String),
    Inline(Arc<ApprovedTool>),
    Resource(CaseResource),
    Prompt(CasePrompt),
    Server(ServerName),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseResource {
    server: ServerName,
    uri: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CasePrompt {
    server: ServerName,
    name: String,
}

/// How a case came out.
#[derive(Clone, Debug)]
pub struct CaseResult {
    /// The file it stands in.
    pub file: String,
    /// What it shows.
    pub name: String,
    /// What differs from the expectation, one sentence each; empty if it passed.
    pub differences: Vec<String>,
    /// What was decided; `None` if the tool is not there.
    pub decision: Option<Decision>,
}

impl CaseResult {
    /// Whether it came out as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    name: String,
    agent: CaseAgent,
    #[serde(default)]
    action: Option<ActionKind>,
    #[serde(default)]
    tool: Option<Box<RawValue>>,
    #[serde(default)]
    resource: Option<CaseResource>,
    #[serde(default)]
    prompt: Option<CasePrompt>,
    #[serde(default)]
    server: Option<ServerName>,
    #[serde(default)]
    arguments: Option<Box<RawValue>>,
    #[serde(default)]
    session: CaseSession,
    #[serde(default)]
    findings: Option<Vec<String>>,
    #[serde(default)]
    approval: Option<Tier>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    now_ms: Option<UnixMillis>,
    #[serde(default)]
    environment: Option<String>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseAgent {
    id: AgentId,
    owner: OwnerId,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default = "yes")]
    bound: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseSession {
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    calls: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InlineTool {
    server: ServerName,
    definition: Box<RawValue>,
    facts: ToolFacts,
}

/// What must come of a call; what is not named may be anything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    outcome: Outcome,
    #[serde(default)]
    policies: Option<Vec<String>>,
    #[serde(default)]
    code: Option<Code>,
    #[serde(default)]
    tier: Option<Tier>,
    #[serde(default)]
    labels: Option<Vec<String>>,
}

/// Reads one file of cases.
pub(crate) fn parse(file: &str, source: &str) -> Result<Vec<Case>, Diagnostic> {
    let cases: Vec<CaseFile> = serde_json::from_str(source).map_err(|e| {
        let place = Place { file: file.to_owned(), line: e.line().max(1), column: e.column().max(1) };
        Diagnostic::at(&place, e.to_string(), "")
    })?;
    if cases.len() > MOST {
        return Err(Diagnostic::at(&Place::file(file), format!("more than {MOST} cases"), "split the file"));
    }
    cases
        .into_iter()
        .map(|case| {
            let name = case.name.clone();
            let fault = |e| Diagnostic::at(&Place::file(file), format!("case `{}`: {e}", name.escape_debug()), "");
            Case::new(file, case).map_err(fault)
        })
        .collect()
}

impl Case {
    fn new(file: &str, case: CaseFile) -> Result<Self, String> {
        let subject = match (case.tool, case.resource, case.prompt, case.server) {
            (Some(tool), None, None, None) if tool.get().starts_with('"') => {
                CaseSubject::Approved(serde_json::from_str(tool.get()).map_err(|e| e.to_string())?)
            }
            (Some(tool), None, None, None) => {
                let inline: InlineTool = serde_json::from_str(tool.get()).map_err(|e| format!("tool: {e}"))?;
                CaseSubject::Inline(Arc::new(approved(inline)?))
            }
            (None, Some(resource), None, None) => CaseSubject::Resource(resource),
            (None, None, Some(prompt), None) => CaseSubject::Prompt(prompt),
            (None, None, None, Some(server)) => CaseSubject::Server(server),
            _ => return Err("it must have one of `tool`, `resource`, `prompt` and `server`".to_owned()),
        };
        let arguments = case
            .arguments
            .map(|raw| Json::parse(raw.get().as_bytes().to_vec(), Limits::REQUEST))
            .transpose()
            .map_err(|e| format!("arguments: {e}"))?;
        let agent = Agent {
            id: case.agent.id,
            owner: case.agent.owner,
            key: BearerKey::new(&[0; 32]).digest(),
            state: AgentState::Active,
            purpose: String::new(),
            roles: case.agent.roles,
            added: UnixMillis(0),
        };
        Ok(Self {
            file: file.to_owned(),
            name: case.name,
            principal: Principal { agent: Arc::new(agent), bound: case.agent.bound },
            action: case.action.unwrap_or(match &subject {
                CaseSubject::Approved(_) | CaseSubject::Inline(_) => ActionKind::Call,
                CaseSubject::Resource(_) => ActionKind::Read,
                CaseSubject::Prompt(_) => ActionKind::Prompt,
                CaseSubject::Server(_) => ActionKind::Elicit,
            }),
            subject,
            arguments,
            labels: case.session.labels,
            calls: case.session.calls,
            findings: case.findings,
            approval: case.approval,
            mode: case.mode,
            now: case.now_ms.unwrap_or(NOW),
            environment: case.environment.unwrap_or_else(|| "test".to_owned()),
            expect: case.expect,
        })
    }

    fn run(&self, snapshot: &PolicySnapshot, tools: &[Arc<ApprovedTool>]) -> CaseResult {
        let subject = match &self.subject {
            CaseSubject::Inline(tool) => Ok(Subject::Tool(tool)),
            CaseSubject::Approved(id) => tools
                .iter()
                .find(|tool| crate::entity::tool_id(tool) == *id)
                .map(|tool| Subject::Tool(tool))
                .ok_or_else(|| format!("no approved tool is called `{}`", id.escape_debug())),
            CaseSubject::Resource(CaseResource { server, uri }) => Ok(Subject::Resource { server, uri }),
            CaseSubject::Prompt(CasePrompt { server, name }) => Ok(Subject::Prompt { server, name }),
            CaseSubject::Server(server) => Ok(Subject::Server(server)),
        };
        let (decision, differences) = match subject {
            Ok(subject) => {
                let decision = snapshot.decide(&self.request(subject));
                let differences = self.expect.differences(&decision);
                (Some(decision), differences)
            }
            Err(missing) => (None, vec![missing]),
        };
        CaseResult { file: self.file.clone(), name: self.name.clone(), differences, decision }
    }

    fn request<'a>(&'a self, subject: Subject<'a>) -> DecisionRequest<'a> {
        DecisionRequest {
            principal: &self.principal,
            action: self.action,
            subject,
            arguments: self.arguments.as_ref().map(Json::root),
            session_labels: &self.labels,
            session_calls: self.calls,
            mode: self.mode,
            findings: self.findings.as_deref(),
            approval: self.approval,
            now: self.now,
            environment: &self.environment,
        }
    }
}

impl Expect {
    fn differences(&self, decision: &Decision) -> Vec<String> {
        let mut found = Vec::new();
        if decision.outcome != self.outcome {
            found.push(format!("expected {}, decided {} ({})", self.outcome, decision.outcome, decision.reason));
        }
        if self.code.is_some_and(|code| decision.code != Some(code)) {
            let (expected, decided) = (spell(self.code), spell(decision.code));
            found.push(format!("expected code {expected}, got {decided}"));
        }
        if self.tier.is_some_and(|tier| decision.tier != Some(tier)) {
            let tier = |t: Option<Tier>| t.map_or_else(|| "none".to_owned(), |t| t.get().to_string());
            found.push(format!("expected tier {}, got {}", tier(self.tier), tier(decision.tier)));
        }
        for (what, expected, got) in
            [("policies", &self.policies, &decision.policies), ("labels", &self.labels, &decision.obligations.labels)]
        {
            if let Some(expected) = expected {
                let mut expected: Vec<&str> = expected.iter().map(String::as_str).collect();
                expected.sort_unstable();
                if !expected.iter().copied().eq(got.iter().map(|s| &**s)) {
                    found.push(format!("expected {what} [{}], got [{}]", expected.join(", "), got.join(", ")));
                }
            }
        }
        found
    }
}

fn spell(code: Option<Code>) -> &'static str {
    code.map_or("none", Code::as_str)
}

/// A tool as if a human had approved it with these facts.
fn approved(inline: InlineTool) -> Result<ApprovedTool, String> {
    let definition = Definition::parse(inline.definition.get().as_bytes()).map_err(|e| format!("definition: {e}"))?;
    let exposed = ExposedName::new(&inline.server, definition.name());
    Ok(ApprovedTool {
        input: InputSchema::compile(definition.input_schema()).map_err(|e| format!("definition: {e}"))?,
        listed: definition.renamed(exposed.as_str()).into(),
        listed_plain: definition.canonical().to_vec().into(),
        server: inline.server,
        facts: inline.facts.effective(),
        exposed,
        mirrored: [].into(),
        identity: Digest::of(b"a tool of a policy test"),
        approved_by: "policy-test".parse().map_err(|_| "no approver".to_owned())?,
        approved_at: UnixMillis(0),
        definition,
    })
}

impl Bundle {
    /// Runs the bundle's own tests over `tools` and the tools that the tests bring.
    ///
    /// # Errors
    ///
    /// [`InvalidBundle`] if the bundle does not validate over these tools, or if two cases bring
    /// different tools of one name.
    pub fn run_cases(&self, tools: &[Arc<ApprovedTool>]) -> Result<Vec<CaseResult>, InvalidBundle> {
        let mut all: Vec<Arc<ApprovedTool>> = tools.to_vec();
        let mut brought: Vec<Arc<ApprovedTool>> = Vec::new();
        for case in self.cases() {
            let CaseSubject::Inline(tool) = &case.subject else { continue };
            let same_name = |other: &&Arc<ApprovedTool>| other.server == tool.server && other.name() == tool.name();
            match brought.iter().find(same_name) {
                Some(other) if other.definition.digest() == tool.definition.digest() && other.facts == tool.facts => {}
                Some(_) => {
                    let message = format!("case `{}` brings another tool of a name that is taken", case.name);
                    return Err(InvalidBundle(vec![Diagnostic::at(&Place::file(&case.file), message, "rename one")]));
                }
                None => {
                    all.retain(|other| !same_name(&other));
                    brought.push(tool.clone());
                }
            }
        }
        all.extend(brought);
        let (snapshot, _) = PolicySnapshot::new(self, &all)?;
        Ok(self.cases().iter().map(|case| case.run(&snapshot, &all)).collect())
    }
}

impl PolicySnapshot {
    /// What may replace `current`: a bundle of a higher version (or the same bundle again, over other
    /// tools) that validates and whose own tests pass.
    ///
    /// # Errors
    ///
    /// [`InvalidBundle`] with every fault found; `current` stays in force.
    pub fn activate(
        bundle: &Bundle,
        tools: &[Arc<ApprovedTool>],
        current: Option<&Self>,
    ) -> Result<(Self, Vec<Diagnostic>), InvalidBundle> {
        let manifest = Place::file(crate::bundle::MANIFEST);
        let rises = current.is_none_or(|c| bundle.version() > c.version() || bundle.digest() == c.digest());
        if let Some(current) = current.filter(|_| !rises) {
            let message =
                format!("version {} does not follow {}, which is in force", bundle.version(), current.version());
            return Err(InvalidBundle(vec![Diagnostic::at(&manifest, message, "raise the version and sign again")]));
        }
        let made = Self::new(bundle, tools)?;
        let failed: Vec<Diagnostic> = bundle
            .run_cases(tools)?
            .into_iter()
            .filter(|result| !result.passed())
            .map(|result| {
                let message = format!("test `{}` failed: {}", result.name, result.differences.join("; "));
                Diagnostic::at(&Place::file(&result.file), message, "")
            })
            .collect();
        if failed.is_empty() { Ok(made) } else { Err(InvalidBundle(failed)) }
    }
}
