//! Small tools, agents and bundles for the tests.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod generated;

use interlock_catalog::{ApprovedTool, Definition, Destination, InputSchema, ToolFacts};
use interlock_identity::{Agent, AgentState, BearerKey, Principal};
use interlock_mcp::ExposedName;
use interlock_model::json::{Json, Limits};
use interlock_model::{Code, Digest, Effect, Mode, Outcome, Sensitivity, Tier, UnixMillis};
use interlock_policy::{
    ActionKind, Bundle, BundleFiles, Decision, DecisionRequest, Diagnostic, InvalidBundle, MANIFEST, PolicySnapshot,
    Subject, write_manifest,
};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) fn facts(effects: &[Effect], destination: Destination, confirmed: bool) -> ToolFacts {
    let effects = effects.iter().copied().collect();
    ToolFacts { effects, destination, sensitivity: Sensitivity::Internal, confirmed }
}

/// An approved tool `server/name` whose input schema has these properties.
pub(crate) fn tool(id: &str, properties: &str, required: &str, facts: ToolFacts) -> Arc<ApprovedTool> {
    let (server, name) = id.split_once('/').unwrap();
    let server = server.parse().unwrap();
    let definition = format!(
        r#"{{"name":"{name}","inputSchema":{{"type":"object","properties":{properties},"required":{required}}}}}"#
    );
    let definition = Definition::parse(definition.as_bytes()).unwrap();
    let exposed = ExposedName::new(&server, definition.name());
    Arc::new(ApprovedTool {
        input: InputSchema::compile(definition.input_schema()).unwrap(),
        listed: definition.renamed(exposed.as_str()).into(),
        listed_plain: definition.canonical().to_vec().into(),
        server,
        facts: facts.effective(),
        exposed,
        mirrored: [].into(),
        identity: Digest::of(b"test"),
        approved_by: "ada".parse().unwrap(),
        approved_at: UnixMillis(0),
        definition,
    })
}

/// `files/read` and `files/write` (path, optional limit, ratio, tags), `mail/send` (to).
pub(crate) fn tools() -> Vec<Arc<ApprovedTool>> {
    let file = r#"{"path":{"type":"string"},"limit":{"type":"integer"},"ratio":{"type":"number"},"tags":{"type":"array","items":{"type":"string"}}}"#;
    vec![
        tool("files/read", file, r#"["path"]"#, facts(&[Effect::Read], Destination::Local, true)),
        tool("files/write", file, r#"["path"]"#, facts(&[Effect::Write], Destination::Local, true)),
        tool(
            "mail/send",
            r#"{"to":{"type":"string"}}"#,
            r#"["to"]"#,
            facts(&[Effect::External], Destination::Internet, true),
        ),
    ]
}

pub(crate) fn principal(id: &str, roles: &[&str], bound: bool) -> Principal {
    let agent = Agent {
        id: id.parse().unwrap(),
        owner: "ada@example.org".parse().unwrap(),
        key: BearerKey::new(&[1; 32]).digest(),
        state: AgentState::Active,
        purpose: String::new(),
        roles: roles.iter().map(|r| (*r).to_owned()).collect(),
        added: UnixMillis(0),
    };
    Principal { agent: Arc::new(agent), bound }
}

/// The files, with a manifest.
pub(crate) fn files(files: &[(&str, &str)]) -> BundleFiles {
    let mut files: BundleFiles = files.iter().map(|(n, t)| ((*n).to_owned(), t.as_bytes().to_vec())).collect();
    let manifest = write_manifest(&files, 1, None);
    files.insert(MANIFEST.to_owned(), manifest);
    files
}

pub(crate) fn bundle(policies: &str) -> Result<Bundle, InvalidBundle> {
    Bundle::parse(&files(&[("main.cedar", policies)]))
}

pub(crate) fn snapshot(policies: &str) -> Result<(PolicySnapshot, Vec<Diagnostic>), InvalidBundle> {
    PolicySnapshot::new(&bundle(policies)?, &tools())
}

/// One call with everything else at rest.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) principal: Principal,
    pub(crate) tool: Arc<ApprovedTool>,
    pub(crate) arguments: Json<Vec<u8>>,
    pub(crate) labels: Vec<String>,
    pub(crate) calls: u64,
    pub(crate) findings: Option<Vec<String>>,
    pub(crate) approval: Option<Tier>,
    pub(crate) now: UnixMillis,
    pub(crate) mode: Mode,
    pub(crate) environment: &'static str,
}

impl Call {
    pub(crate) fn new(tool: &Arc<ApprovedTool>, arguments: &str) -> Self {
        Self {
            principal: principal("builder", &["dev"], true),
            tool: tool.clone(),
            arguments: Json::parse(arguments.as_bytes().to_vec(), Limits::REQUEST).unwrap(),
            labels: vec![],
            calls: 0,
            findings: None,
            approval: None,
            now: UnixMillis(1_767_614_400_000),
            mode: Mode::Enforcing,
            environment: "test",
        }
    }

    pub(crate) fn request(&self) -> DecisionRequest<'_> {
        DecisionRequest {
            principal: &self.principal,
            action: ActionKind::Call,
            subject: Subject::Tool(&self.tool),
            arguments: Some(self.arguments.root()),
            session_labels: &self.labels,
            session_calls: self.calls,
            mode: self.mode,
            findings: self.findings.as_deref(),
            approval: self.approval,
            now: self.now,
            environment: self.environment,
        }
    }

    pub(crate) fn decide(&self, snapshot: &PolicySnapshot) -> Decision {
        snapshot.decide(&self.request())
    }
}

/// How policies came out, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Came {
    pub(crate) permits: BTreeSet<usize>,
    pub(crate) forbids: BTreeSet<usize>,
    pub(crate) errors: BTreeSet<usize>,
}

impl Came {
    /// The outcome, its code and the policies that decided, by the rules of design section 6. `tier` is what a forbid
    /// asks for, 0 for nothing; number `i` is the policy `p{i}`.
    pub(crate) fn expected(
        &self,
        tier: impl Fn(usize) -> u8,
        approval: u8,
    ) -> (Outcome, Option<Code>, BTreeSet<String>) {
        let names = |set: &mut dyn Iterator<Item = &usize>| set.map(|i| format!("p{i}")).collect::<BTreeSet<_>>();
        let denying = names(&mut self.forbids.iter().filter(|i| tier(**i) == 0));
        let asking = names(&mut self.forbids.iter().filter(|i| tier(**i) > approval));
        if !self.errors.is_empty() {
            (Outcome::Deny, Some(Code::PolicyError), names(&mut self.errors.iter()))
        } else if !denying.is_empty() {
            (Outcome::Deny, Some(Code::PolicyDenied), denying)
        } else if self.permits.is_empty() {
            (Outcome::Deny, Some(Code::PolicyDenied), BTreeSet::new())
        } else if !asking.is_empty() {
            (Outcome::StepUp, Some(Code::ApprovalRequired), asking)
        } else {
            (Outcome::Allow, None, names(&mut self.permits.iter()))
        }
    }
}

/// The same three of a decision.
pub(crate) fn decided(decision: &Decision) -> (Outcome, Option<Code>, BTreeSet<String>) {
    (decision.outcome, decision.code, decision.policies.iter().map(|p| p.to_string()).collect())
}
