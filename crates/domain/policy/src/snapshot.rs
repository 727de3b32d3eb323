//! One bundle over one catalog, validated and immutable: what a call is decided with.
//!
//! A call takes one snapshot and keeps it; a reload makes another and swaps it in (design section 8).

use crate::bundle::{Bundle, on_large_stack};
use crate::context::Environment;
use crate::decide::{ActionKind, Decision, DecisionRequest, Verdicts};
use crate::diagnostic::{Diagnostic, InvalidBundle, Place};
use crate::entity;
use crate::policy::Policy;
use crate::schema;
use crate::slice::{Slice, SliceError};
use crate::subject::Subject;
use cedar_policy::{Effect, PolicySet, Schema, ValidationMode, Validator};
use interlock_catalog::ApprovedTool;
use interlock_identity::{Agent, Principal};
use interlock_model::{Code, Digest, Mode, Outcome, ServerName, ToolName};
use papaya::Equivalent;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Most slices kept; at that many all are dropped and made again as they are needed.
const MOST_SLICES: usize = 2048;

/// A validated bundle over approved tools.
#[derive(Debug)]
pub struct PolicySnapshot {
    version: u64,
    digest: Digest,
    schema: String,
    policies: Vec<Arc<Policy>>,
    tools: HashMap<ServerName, HashMap<ToolName, (u32, Arc<ApprovedTool>)>>,
    slices: papaya::HashMap<SliceKey, Arc<Slice>>,
}

/// Whose calls to what a slice is for, and in which environment; `None` for listing, which is the same in all.
#[derive(Clone, Debug)]
struct SliceKey {
    agent: Arc<Agent>,
    bound: bool,
    tool: u32,
    environment: Option<(Box<str>, Mode)>,
}

/// A [`SliceKey`] not yet owned.
struct SliceRef<'a> {
    principal: &'a Principal,
    tool: u32,
    environment: Option<Environment<'a>>,
}

impl SliceKey {
    fn environment(&self) -> Option<Environment<'_>> {
        self.environment.as_ref().map(|(name, mode)| Environment { name, mode: *mode })
    }
}

// A process has one environment and one or two modes: they are compared, not hashed.
impl Hash for SliceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.agent.id.as_str(), self.bound, self.tool).hash(state);
    }
}

impl Hash for SliceRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.principal.agent.id.as_str(), self.principal.bound, self.tool).hash(state);
    }
}

impl PartialEq for SliceKey {
    fn eq(&self, other: &Self) -> bool {
        self.bound == other.bound
            && self.tool == other.tool
            && same_agent(&self.agent, &other.agent)
            && self.environment == other.environment
    }
}

impl Eq for SliceKey {}

impl Equivalent<SliceKey> for SliceRef<'_> {
    fn equivalent(&self, key: &SliceKey) -> bool {
        self.principal.bound == key.bound
            && self.tool == key.tool
            && same_agent(&self.principal.agent, &key.agent)
            && self.environment == key.environment()
    }
}

/// Whether policy sees the same agent: one whose roles changed has other slices.
fn same_agent(a: &Arc<Agent>, b: &Arc<Agent>) -> bool {
    Arc::ptr_eq(a, b) || (a.id == b.id && a.owner == b.owner && a.roles == b.roles)
}

impl PolicySnapshot {
    /// Validates `bundle` strictly against the schema that `tools` yield.
    ///
    /// The second value is what a person should look at although the bundle can be used: policies that
    /// can never match, and a `schema.cedarschema` that is out of date.
    ///
    /// # Errors
    ///
    /// [`InvalidBundle`] with every fault found.
    pub fn new(bundle: &Bundle, tools: &[Arc<ApprovedTool>]) -> Result<(Self, Vec<Diagnostic>), InvalidBundle> {
        let text = schema::generate(tools);
        let policies = bundle.policies();
        let mut warnings = on_large_stack(|| validate(policies, &text))?;
        warnings.extend(never_asked(policies, tools));
        if bundle.schema().is_some_and(|found| found != text) {
            let place = Place::file(crate::bundle::SCHEMA);
            warnings.push(Diagnostic::at(
                &place,
                "not what the approved tools yield",
                "write it again with `interlock policy check`; editors read it, decisions do not",
            ));
        }
        warnings.sort();
        let mut by_server: HashMap<ServerName, HashMap<ToolName, (u32, Arc<ApprovedTool>)>> = HashMap::new();
        for (index, tool) in (0_u32..).zip(tools) {
            by_server.entry(tool.server.clone()).or_default().insert(tool.name().clone(), (index, tool.clone()));
        }
        let snapshot = Self {
            version: bundle.version(),
            digest: bundle.digest(),
            schema: text,
            policies: policies.to_vec(),
            tools: by_server,
            slices: papaya::HashMap::new(),
        };
        Ok((snapshot, warnings))
    }

    /// The bundle's version.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The bundle's digest.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// How many policies it has.
    #[must_use]
    pub fn policy_count(&self) -> usize {
        self.policies.len()
    }

    /// The generated schema, for `schema.cedarschema`.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Decides one request. Pure: the same snapshot and the same request, the same answer.
    ///
    /// What cannot be judged is denied with [`Code::PolicyError`] (design 4.3). Cedar on its own skips a
    /// policy that fails to evaluate, and a skipped `forbid` opens what it was written to close.
    #[must_use]
    pub fn decide(&self, request: &DecisionRequest<'_>) -> Decision {
        if request.action == ActionKind::List {
            return self.decide_list(request);
        }
        match self.evaluate(request) {
            Ok(verdicts) => verdicts.combine(&self.policies, request.approval),
            Err(e) => Decision::unanswerable(&e.to_string()),
        }
    }

    /// Whether the agent may know of the subject: some arguments could let it be used, with an approval
    /// or without, and no policy forbids to list it.
    #[must_use]
    pub fn may_list(&self, principal: &Principal, subject: Subject<'_>) -> bool {
        self.slice(principal, subject, subject.use_of(), None).is_ok_and(|slice| {
            *slice.listed.get_or_init(|| {
                slice.is_reachable(&self.policies)
                    && !self.list_is_forbidden(&principal.agent, principal.bound, subject)
            })
        })
    }

    fn list_is_forbidden(&self, agent: &Agent, bound: bool, subject: Subject<'_>) -> bool {
        Slice::new(&self.policies, agent, bound, subject, ActionKind::List, None).map_or(true, |slice| {
            let asks = |i: &usize| self.policies.get(*i).is_some_and(|p| p.notes.step_up.is_some());
            !slice.fixed().errors.is_empty() || !slice.fixed().forbids.iter().all(asks)
        })
    }

    fn decide_list(&self, request: &DecisionRequest<'_>) -> Decision {
        if !self.may_list(request.principal, request.subject) {
            let mut denied = Decision::unanswerable("the agent may not use this, so it may not know of it");
            denied.code = Some(Code::PolicyDenied);
            return denied;
        }
        let mut allowed = Decision::unanswerable("some uses of this may be allowed");
        (allowed.outcome, allowed.code) = (Outcome::Allow, None);
        allowed
    }

    pub(crate) fn evaluate(&self, request: &DecisionRequest<'_>) -> Result<Verdicts, SliceError> {
        let environment = Environment { name: request.environment, mode: request.mode };
        let slice = self.slice(request.principal, request.subject, request.action, Some(environment))?;
        slice.evaluate(request, request.subject.shape())
    }

    pub(crate) fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    fn slice(
        &self,
        principal: &Principal,
        subject: Subject<'_>,
        action: ActionKind,
        environment: Option<Environment<'_>>,
    ) -> Result<Arc<Slice>, SliceError> {
        let (Subject::Tool(tool), ActionKind::Call) = (subject, action) else {
            // Servers name these at will, so that what is made for one of them is not kept.
            let (agent, bound) = (&principal.agent, principal.bound);
            return Slice::new(&self.policies, agent, bound, subject, action, environment).map(Arc::new);
        };
        let (index, known) =
            self.tools.get(&tool.server).and_then(|tools| tools.get(tool.name())).ok_or(SliceError::UnknownTool)?;
        // A definition or facts approved since then have another schema and other attributes.
        if !std::ptr::eq(&raw const **known, tool)
            && (known.definition.digest() != tool.definition.digest() || known.facts != tool.facts)
        {
            return Err(SliceError::OtherVersion);
        }
        let slices = self.slices.pin();
        if let Some(slice) = slices.get(&SliceRef { principal, tool: *index, environment }) {
            return Ok(slice.clone());
        }
        let (agent, bound) = (&principal.agent, principal.bound);
        let slice = Slice::new(&self.policies, agent, bound, Subject::Tool(known), action, environment)?;
        let slice = Arc::new(slice);
        if slices.len() >= MOST_SLICES {
            slices.clear();
        }
        let environment = environment.map(|Environment { name, mode }| (name.into(), mode));
        let key = SliceKey { agent: agent.clone(), bound, tool: *index, environment };
        slices.insert(key, slice.clone());
        Ok(slice)
    }
}

/// Cedar's strict validation. Returns its warnings.
fn validate(policies: &[Arc<Policy>], schema: &str) -> Result<Vec<Diagnostic>, InvalidBundle> {
    let broken =
        |message: String| InvalidBundle(vec![Diagnostic::at(&Place::file(crate::bundle::SCHEMA), message, "")]);
    let (schema, _) = Schema::from_cedarschema_str(schema).map_err(|e| broken(e.to_string()))?;
    let validator = Validator::new(schema);
    let set = PolicySet::from_policies(policies.iter().map(|p| p.whole.clone())).map_err(|e| broken(e.to_string()))?;
    let result = validator.validate(&set, ValidationMode::Strict);
    let by_id: HashMap<&str, &Policy> = policies.iter().map(|p| (&*p.id, &**p)).collect();
    let locate = |id: &cedar_policy::PolicyId, e: &dyn miette::Diagnostic| match by_id.get(AsRef::<str>::as_ref(id)) {
        Some(policy) => {
            let mut found = Diagnostic::from_cedar(e, &policy.place.file, &policy.text, 0);
            // The policy's text starts in the middle of its file.
            if found.place.line == 1 {
                found.place.column += policy.place.column - 1;
            }
            found.place.line += policy.place.line - 1;
            found
        }
        None => Diagnostic::from_cedar(e, crate::bundle::SCHEMA, "", 0),
    };
    let mut faults: Vec<Diagnostic> = result.validation_errors().map(|e| locate(e.policy_id(), e)).collect();
    if faults.is_empty() {
        return Ok(result.validation_warnings().map(|w| locate(w.policy_id(), w)).collect());
    }
    faults.sort();
    faults.dedup();
    Err(InvalidBundle(faults))
}

/// Policies whose scope nothing that this build asks can match.
fn never_asked(policies: &[Arc<Policy>], tools: &[Arc<ApprovedTool>]) -> Vec<Diagnostic> {
    let plain = ActionKind::PLAIN.map(|kind| entity::plain_action(kind.as_str()));
    let list = entity::plain_action(ActionKind::List.as_str());
    let placed: Vec<_> = tools.iter().map(|tool| (entity::typed_action(tool), entity::tool(tool))).collect();
    let any_tool = |policy: &Policy| {
        placed.iter().any(|(action, tool)| {
            [action, &list].into_iter().any(|action| entity::action_matches(&policy.scope.action, action))
                && entity::resource_matches(&policy.scope.resource, tool)
        })
    };
    // Which resources and prompts there are only servers know.
    let any_other = |policy: &Policy| {
        plain.iter().any(|action| entity::action_matches(&policy.scope.action, action))
            && !entity::is_for_tools(&policy.scope.resource)
    };
    let mut found = Vec::new();
    for policy in policies {
        if entity::action_matches(&policy.scope.action, &list)
            && policy.effect == Effect::Permit
            && matches!(policy.scope.action, cedar_policy::ActionConstraint::Eq(_))
        {
            found.push(Diagnostic::at(
                &policy.place,
                format!("the permit `{}` is for `list`, which needs none", policy.id),
                "a tool is listed where some call of it may be allowed; only forbids change that",
            ));
        } else if !tools.is_empty() && !any_tool(policy) && !any_other(policy) {
            found.push(Diagnostic::at(
                &policy.place,
                format!("the policy `{}` can never match: no approved tool and no action asked of policy is in its scope", policy.id),
                "calls have the tool's own action, which is in the group: write `action in Interlock::Action::\"call\"`",
            ));
        } else if names_team(&policy.scope.principal) {
            found.push(Diagnostic::at(
                &policy.place,
                format!("the policy `{}` can never match: agents are in no team yet", policy.id),
                "use a role: `principal in Interlock::Role::\"name\"`",
            ));
        }
    }
    found
}

fn names_team(scope: &cedar_policy::PrincipalConstraint) -> bool {
    use cedar_policy::PrincipalConstraint::{Any, Eq, In, Is, IsIn};
    match scope {
        Any | Is(_) => false,
        Eq(uid) | In(uid) | IsIn(_, uid) => uid.type_name().basename() == "Team",
    }
}
