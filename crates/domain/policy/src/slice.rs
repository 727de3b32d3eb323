//! The policies that can match one agent, one action and one tool.
//!
//! Cedar tries every policy of a set, about a microsecond each, whatever the scopes say. A slice holds
//! only those whose scope matches; of these, the ones that do not read the context are evaluated once,
//! when the slice is made, the others are folded (see `fold`), and per call Cedar sees what is left.
//! The forbids among these are first asked as one (`a || b || ...`): where that is false, each of them
//! is and none failed. Only otherwise are they asked one by one.
//! A test shows that the answer is that of the whole set (`tests/equivalence.rs`).

use crate::context::{self, Built, Needs};
use crate::decide::{DecisionRequest, Verdicts};
use crate::entity::{self, Placed};
use crate::fold::{constant, fold};
use crate::policy::{self, Policy};
use crate::reads::Reads;
use cedar_policy::pst::Expr;
use cedar_policy::{Authorizer, Context, Effect, Entities, PolicySet, Request};
use interlock_catalog::{ApprovedTool, Shape};
use interlock_identity::Agent;
use std::sync::{Arc, OnceLock};

/// The policies for one agent, tool and action, and all that does not change from call to call.
#[derive(Debug)]
pub(crate) struct Slice {
    /// How the policies came out that no call can change.
    fixed: Verdicts,
    /// Those that name arguments: index, and what each reads.
    named: Vec<(usize, Reads)>,
    permits: PolicySet,
    forbids: PolicySet,
    /// One forbid for all of `forbids`, if they could be put together.
    any_forbid: Option<PolicySet>,
    needs: Needs,
    entities: Entities,
    principal: Placed,
    action: Placed,
    resource: Placed,
    /// Whether the agent may know of the tool; filled when first asked.
    pub(crate) listed: OnceLock<bool>,
}

/// Why a request could not be judged; it denies. What Cedar said may quote arguments, so it is not in
/// the message, which agents see.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SliceError {
    #[error("the policies in force were not validated for this tool")]
    UnknownTool,
    #[error("the policies in force were validated for another version of this tool")]
    OtherVersion,
    #[error("the request could not be put to policy")]
    Cedar(Box<str>),
    #[error("a policy of the slice has no index")]
    Index,
}

/// Anything that Cedar says.
fn unmade(error: impl std::fmt::Display) -> SliceError {
    SliceError::Cedar(error.to_string().into())
}

impl Slice {
    pub(crate) fn new(
        policies: &[Arc<Policy>],
        agent: &Agent,
        bound: bool,
        tool: &ApprovedTool,
        action: Placed,
    ) -> Result<Self, SliceError> {
        let (principal, resource) = (entity::agent(agent), entity::tool(tool));
        let mut all = vec![
            entity::agent_entity(agent, bound, &principal).map_err(unmade)?,
            entity::tool_entity(tool, &resource).map_err(unmade)?,
            entity::action_entity(&action),
        ];
        all.extend(entity::parent_entities([&principal, &resource, &action]));
        let mut slice = Self {
            fixed: Verdicts::default(),
            named: Vec::new(),
            permits: PolicySet::new(),
            forbids: PolicySet::new(),
            any_forbid: None,
            needs: Needs::new(&Reads::default(), &Reads::default()),
            entities: Entities::from_entities(all, None).map_err(unmade)?,
            principal,
            action,
            resource,
            listed: OnceLock::new(),
        };
        slice.fill(policies)?;
        Ok(slice)
    }

    /// Settles what can be settled now and keeps the rest.
    fn fill(&mut self, policies: &[Arc<Policy>]) -> Result<(), SliceError> {
        let empty = self.request(Context::empty())?;
        let (mut read, mut named) = (Reads::default(), Reads::default());
        // The conditions of the live forbids, or nothing once one of them is too deep.
        let mut conditions = Some(Vec::new());
        for (index, policy) in policies.iter().enumerate() {
            if !policy.scope.matches(&self.principal, &self.action, &self.resource) {
                continue;
            }
            let verdicts = match policy.effect {
                Effect::Permit => &mut self.fixed.permits,
                Effect::Forbid => &mut self.fixed.forbids,
            };
            if policy.reads.is_empty() {
                match holds(&empty, policy.bare.clone(), &self.entities)? {
                    Some(true) => verdicts.push(index),
                    Some(false) => {}
                    None => self.fixed.errors.push(index),
                }
                continue;
            }
            if policy.reads.touches(&["args"]) {
                named.union(&policy.reads);
                self.named.push((index, policy.reads.clone()));
            }
            let truth = |expr: &Arc<Expr>| {
                let asked = policy::when(index, Effect::Permit, expr.clone()).ok()?;
                holds(&empty, asked, &self.entities).ok().flatten()
            };
            let condition = policy.condition.as_ref().map(|condition| fold(condition, &truth));
            match condition.as_deref().and_then(constant) {
                Some(true) => verdicts.push(index),
                Some(false) => {}
                None => {
                    read.union(&condition.as_ref().map_or_else(|| policy.reads.clone(), |c| Reads::of_expr(c)));
                    let kept = match &condition {
                        Some(condition) => policy::when(index, policy.effect, condition.clone()).map_err(unmade)?,
                        None => policy.bare.clone(),
                    };
                    if policy.effect == Effect::Permit {
                        self.permits.add(kept).map_err(unmade)?;
                    } else {
                        self.forbids.add(kept).map_err(unmade)?;
                        conditions = conditions.zip(condition).map(|(mut all, one)| {
                            all.push(one);
                            all
                        });
                    }
                }
            }
        }
        let any_forbid = policy::any_of(&conditions.unwrap_or_default()).map_err(unmade)?;
        self.any_forbid = match any_forbid {
            Some(one) => Some(PolicySet::from_policies([one]).map_err(unmade)?),
            None => None,
        };
        self.needs = Needs::new(&read, &named);
        Ok(())
    }

    /// How all policies of the slice come out for one call.
    pub(crate) fn evaluate(&self, request: &DecisionRequest<'_>, shape: &Shape) -> Result<Verdicts, SliceError> {
        let mut verdicts = self.fixed.clone();
        if self.permits.is_empty() && self.forbids.is_empty() && self.named.is_empty() {
            return Ok(verdicts);
        }
        let Built { context, opaque } = context::build(request, shape, &self.needs).map_err(unmade)?;
        let asked = self.request(context)?;
        self.ask(&asked, &self.permits, &mut verdicts.permits, &mut verdicts.errors)?;
        if self.some_forbid(&asked) {
            self.ask(&asked, &self.forbids, &mut verdicts.forbids, &mut verdicts.errors)?;
        }
        // Cedar cannot tell an argument that it could not hold from one that was not sent, and
        // `has` would answer false. Whatever names such an argument has no answer.
        if !opaque.is_empty() {
            let touched = |reads: &Reads| opaque.iter().any(|path| reads.touches_argument(path));
            verdicts.errors.extend(self.named.iter().filter(|(_, reads)| touched(reads)).map(|(index, _)| *index));
        }
        Ok(verdicts)
    }

    /// Whether some arguments could let the agent call the tool.
    pub(crate) fn is_reachable(&self, policies: &[Arc<Policy>]) -> bool {
        let asks = |index: &usize| policies.get(*index).is_some_and(|p| p.notes.step_up.is_some());
        let permitted = !self.fixed.permits.is_empty() || !self.permits.is_empty();
        permitted && self.fixed.errors.is_empty() && self.fixed.forbids.iter().all(asks)
    }

    /// The verdicts that no call changes.
    pub(crate) const fn fixed(&self) -> &Verdicts {
        &self.fixed
    }

    fn request(&self, context: Context) -> Result<Request, SliceError> {
        let (principal, action, resource) = (&self.principal.uid, &self.action.uid, &self.resource.uid);
        // Without a schema: the context is built from the same shapes that the schema is, and checking
        // each request again costs as much as half of the policies.
        Request::new(principal.clone(), action.clone(), resource.clone(), context, None).map_err(unmade)
    }

    /// Whether a live forbid holds or fails, or may do so.
    fn some_forbid(&self, request: &Request) -> bool {
        self.any_forbid.as_ref().is_none_or(|one| {
            let response = Authorizer::new().is_authorized(request, one, &self.entities);
            let diagnostics = response.diagnostics();
            diagnostics.reason().next().is_some() || diagnostics.errors().next().is_some()
        })
    }

    /// Permits and forbids are asked apart, since an answer with satisfied forbids does not name the
    /// satisfied permits.
    fn ask(
        &self,
        request: &Request,
        set: &PolicySet,
        satisfied: &mut Vec<usize>,
        failed: &mut Vec<usize>,
    ) -> Result<(), SliceError> {
        if set.is_empty() {
            return Ok(());
        }
        let response = Authorizer::new().is_authorized(request, set, &self.entities);
        for id in response.diagnostics().reason() {
            satisfied.push(index(id)?);
        }
        for error in response.diagnostics().errors() {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            failed.push(index(error.policy_id())?);
        }
        Ok(())
    }
}

/// Whether one policy holds; `None` if it fails.
fn holds(request: &Request, policy: cedar_policy::Policy, entities: &Entities) -> Result<Option<bool>, SliceError> {
    let set = PolicySet::from_policies([policy]).map_err(unmade)?;
    let response = Authorizer::new().is_authorized(request, &set, entities);
    let diagnostics = response.diagnostics();
    let failed = diagnostics.errors().next().is_some();
    Ok((!failed).then(|| diagnostics.reason().next().is_some()))
}

/// Policies in slices are named by their index.
fn index(id: &cedar_policy::PolicyId) -> Result<usize, SliceError> {
    let text: &str = id.as_ref();
    text.parse().map_err(|_| SliceError::Index)
}
