//! What is asked of policy, and what it answers.

use crate::policy::Policy;
use crate::subject::Subject;
use cedar_policy::Effect;
use interlock_identity::Principal;
use interlock_model::json::View;
use interlock_model::{Code, Mode, Outcome, Tier, UnixMillis};
use std::sync::Arc;

/// Which action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// `tools/call`: the tool's typed action.
    Call,
    /// Lists: whether the agent may know of the subject.
    List,
    /// `resources/read` and `resources/subscribe`.
    Read,
    /// `prompts/get`.
    Prompt,
    /// `completion/complete`, for a prompt or the template of a resource.
    Complete,
    /// `sampling/createMessage`, which a server asks.
    Sample,
    /// `elicitation/create`, which a server asks.
    Elicit,
    /// `roots/list`, which a server asks.
    Roots,
    /// `logging/setLevel`.
    Log,
}

impl ActionKind {
    /// The actions that are the same for all subjects, with the name each has in policy.
    pub(crate) const PLAIN: [Self; 8] =
        [Self::List, Self::Read, Self::Prompt, Self::Complete, Self::Sample, Self::Elicit, Self::Roots, Self::Log];

    /// Its name in policy; for calls that of the group.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::List => "list",
            Self::Read => "read",
            Self::Prompt => "prompt",
            Self::Complete => "complete",
            Self::Sample => "sample",
            Self::Elicit => "elicit",
            Self::Roots => "roots",
            Self::Log => "log",
        }
    }
}

/// Everything that one decision may depend on.
#[derive(Clone, Copy, Debug)]
pub struct DecisionRequest<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// What.
    pub action: ActionKind,
    /// On what.
    pub subject: Subject<'a>,
    /// A call's `arguments`, else the `params` of what is asked; `None` if there are none.
    pub arguments: Option<View<'a>>,
    /// The session's labels.
    pub session_labels: &'a [String],
    /// Calls of this session before this one, since the gateway started.
    pub session_calls: u64,
    /// The mode in force. It never changes the decision, unless a policy reads it.
    pub mode: Mode,
    /// What inspection saw; `None` means that nothing inspected the call.
    pub findings: Option<&'a [String]>,
    /// The tier of an approval that this very call has; it lifts step-up forbids up to that tier.
    pub approval: Option<Tier>,
    /// The time of the call.
    pub now: UnixMillis,
    /// The environment's name, from the configuration.
    pub environment: &'a str,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Allow, deny, modify or step up.
    pub outcome: Outcome,
    /// Why not; `None` if the call may go ahead.
    pub code: Option<Code>,
    /// The policies that decided, sorted: permits that allow, step-up forbids that ask, forbids that
    /// deny, policies that failed.
    pub policies: Vec<Arc<str>>,
    /// For the agent and for people: the `@reason` of those policies, else a general sentence.
    pub reason: String,
    /// For `step_up`, how much a human must do. For a call allowed by its approval, what was asked for.
    pub tier: Option<Tier>,
    /// The step-up forbids that the approval lifted, sorted.
    pub lifted: Vec<Arc<str>>,
    /// What must be done with an allowed call or its result.
    pub obligations: Obligations,
}

/// What the matching permits ask for, united and sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Obligations {
    /// Labels for the result, and so for the session.
    pub labels: Vec<Arc<str>>,
    /// Classes to redact. Always empty as long as no detector exists: such a bundle is refused.
    pub redact: Vec<Arc<str>>,
}

/// How the policies of a slice came out, as indices into the bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdicts {
    pub(crate) permits: Vec<usize>,
    pub(crate) forbids: Vec<usize>,
    pub(crate) errors: Vec<usize>,
}

impl Verdicts {
    /// Notes whether a policy holds; `None` if it failed.
    pub(crate) fn add(&mut self, index: usize, effect: Effect, holds: Option<bool>) {
        match (holds, effect) {
            (Some(true), Effect::Permit) => self.permits.push(index),
            (Some(true), Effect::Forbid) => self.forbids.push(index),
            (Some(false), _) => {}
            (None, _) => self.errors.push(index),
        }
    }

    /// The rules of design section 6: an error denies, then forbids, then step-up, then permits.
    pub(crate) fn combine(&self, policies: &[Arc<Policy>], approval: Option<Tier>) -> Decision {
        let of = |indices: &[usize]| -> Vec<&Policy> {
            indices.iter().filter_map(|i| policies.get(*i)).map(AsRef::as_ref).collect()
        };
        let (permits, forbids, errors) = (of(&self.permits), of(&self.forbids), of(&self.errors));
        if !errors.is_empty() {
            let reason = format!("a policy could not be evaluated: {}", names(&errors).join(", "));
            return Decision::refused(Outcome::Deny, Code::PolicyError, &errors, reason);
        }
        let (asking, denying): (Vec<&Policy>, Vec<&Policy>) =
            forbids.into_iter().partition(|p| p.notes.step_up.is_some());
        if !denying.is_empty() {
            let reason = reasons(&denying, "policy forbids this call");
            return Decision::refused(Outcome::Deny, Code::PolicyDenied, &denying, reason);
        }
        if permits.is_empty() {
            return Decision::refused(Outcome::Deny, Code::PolicyDenied, &[], "no policy permits this call".to_owned());
        }
        let highest = |policies: &[&Policy]| policies.iter().filter_map(|p| p.notes.step_up).max();
        let (lifted, asking): (Vec<&Policy>, Vec<&Policy>) =
            asking.into_iter().partition(|p| p.notes.step_up <= approval);
        if !asking.is_empty() {
            let reason = reasons(&asking, "a human must approve this call");
            let mut decision = Decision::refused(Outcome::StepUp, Code::ApprovalRequired, &asking, reason);
            decision.tier = highest(&asking);
            return decision;
        }
        let obligations = Obligations {
            labels: united(permits.iter().flat_map(|p| &p.notes.labels)),
            redact: united(permits.iter().flat_map(|p| &p.notes.redact)),
        };
        Decision {
            outcome: if obligations.redact.is_empty() { Outcome::Allow } else { Outcome::Modify },
            code: None,
            reason: reasons(&permits, "policy permits this call"),
            policies: names(&permits),
            tier: highest(&lifted),
            lifted: names(&lifted),
            obligations,
        }
    }
}

impl Decision {
    /// The answer to a list, which is not decided as a whole: what the caller may not know of is left out.
    #[must_use]
    pub fn filtered() -> Self {
        Self {
            outcome: Outcome::Allow,
            code: None,
            policies: Vec::new(),
            reason: String::new(),
            tier: None,
            lifted: Vec::new(),
            obligations: Obligations::default(),
        }
    }

    fn refused(outcome: Outcome, code: Code, policies: &[&Policy], reason: String) -> Self {
        Self {
            outcome,
            code: Some(code),
            policies: names(policies),
            reason,
            tier: None,
            lifted: Vec::new(),
            obligations: Obligations::default(),
        }
    }

    /// A denial that no policy decided: the request could not be judged.
    #[must_use]
    pub fn unanswerable(reason: &str) -> Self {
        Self::refused(Outcome::Deny, Code::PolicyError, &[], reason.to_owned())
    }
}

fn names(policies: &[&Policy]) -> Vec<Arc<str>> {
    united(policies.iter().map(|p| &p.id))
}

fn united<'a>(items: impl Iterator<Item = &'a Arc<str>>) -> Vec<Arc<str>> {
    let mut items: Vec<Arc<str>> = items.cloned().collect();
    items.sort();
    items.dedup();
    items
}

fn reasons(policies: &[&Policy], otherwise: &str) -> String {
    let mut reasons: Vec<&str> = policies.iter().filter_map(|p| p.notes.reason.as_deref()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    if reasons.is_empty() { otherwise.to_owned() } else { reasons.join("; ") }
}
