//! The policies that can match one agent, one action and one subject, in one environment.
//!
//! Cedar tries every policy of a set, about a microsecond each, whatever the scopes say. A slice holds
//! only those whose scope matches; of these, the ones that read nothing of the call itself are evaluated once,
//! when the slice is made, the others are folded (see `fold`), and per call Cedar sees what is left.
//! A test shows that the answer is that of the whole set (`tests/equivalence.rs`).

use crate::context::{self, Built, Environment, Needs};
use crate::decide::{ActionKind, DecisionRequest, Verdicts};
use crate::entity;
use crate::evaluator::{Condition, Context, Parties};
use crate::fold::{constant, fold};
use crate::policy::Policy;
use crate::reads::Reads;
use crate::subject::Subject;
use cedar_policy::{Effect, Entities};
use interlock_catalog::Shape;
use interlock_identity::Agent;
use std::sync::{Arc, OnceLock};

/// The policies for one agent, subject and action, and all that does not change from call to call.
#[derive(Debug)]
pub(crate) struct Slice {
    /// How the policies came out that no call can change.
    fixed: Verdicts,
    /// Those that name arguments: index, and what each reads.
    named: Vec<(usize, Reads)>,
    /// Those that each call must be asked about.
    live: Vec<Live>,
    needs: Needs,
    parties: Parties,
    /// Whether the agent may know of the subject; filled when first asked.
    pub(crate) listed: OnceLock<bool>,
}

/// A policy whose answer depends on the call.
#[derive(Debug)]
struct Live {
    index: usize,
    effect: Effect,
    condition: Condition,
}

/// Why a request could not be judged; it denies. What Cedar said may quote arguments, so it is not in
/// the message, which agents see.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SliceError {
    #[error("the policies in force were not validated for this tool")]
    UnknownTool,
    #[error("the policies in force were validated for another version of this tool")]
    OtherVersion,
    #[error("this cannot be asked of policy")]
    NotAsked,
    #[error("the request could not be put to policy")]
    Cedar(Box<str>),
}

/// Anything that Cedar says.
fn unmade(error: impl std::fmt::Display) -> SliceError {
    SliceError::Cedar(error.to_string().into())
}

impl Slice {
    /// Without an environment, for questions about all calls: then nothing that a call reads is known.
    pub(crate) fn new(
        policies: &[Arc<Policy>],
        agent: &Agent,
        bound: bool,
        subject: Subject<'_>,
        action: ActionKind,
        environment: Option<Environment<'_>>,
    ) -> Result<Self, SliceError> {
        let action = subject.action(action).ok_or(SliceError::NotAsked)?;
        let (principal, resource, shape) = (entity::agent(agent), subject.placed(), subject.shape());
        let mut all = vec![
            entity::agent_entity(agent, bound, &principal).map_err(unmade)?,
            subject.entity(&resource).map_err(unmade)?,
            entity::action_entity(&action),
        ];
        all.extend(entity::parent_entities([&principal, &resource, &action]));
        let entities = Entities::from_entities(all, None).map_err(unmade)?;
        let mut slice = Self {
            fixed: Verdicts::default(),
            named: Vec::new(),
            live: Vec::new(),
            needs: Needs::new(&Reads::default(), &Reads::default(), shape),
            parties: Parties::new(&principal.uid, &action.uid, &resource.uid, entities),
            listed: OnceLock::new(),
        };
        let in_scope = |policy: &Policy| policy.scope.matches(&principal, &action, &resource);
        let policies = policies.iter().enumerate().filter(|(_, policy)| in_scope(policy));
        slice.fill(policies, shape, bound, environment);
        Ok(slice)
    }

    /// Settles what can be settled now and keeps the rest.
    fn fill<'p>(
        &mut self,
        policies: impl Iterator<Item = (usize, &'p Arc<Policy>)>,
        shape: &Shape,
        bound: bool,
        environment: Option<Environment<'_>>,
    ) {
        let (mut read, mut named) = (Reads::default(), Reads::default());
        let known = environment.map_or_else(Context::empty, |environment| context::known(bound, environment));
        let before_calls = self.parties.ask(known);
        let known = |reads: &Reads| reads.is_empty() || (environment.is_some() && context::is_known(reads));
        for (index, policy) in policies {
            let effect = policy.effect;
            if known(&policy.reads) {
                self.fixed.add(index, effect, before_calls.holds(&policy.condition));
                continue;
            }
            if policy.reads.touches(&["args"]) {
                named.union(&policy.reads);
                self.named.push((index, policy.reads.clone()));
            }
            let Some(foldable) = &policy.foldable else {
                read.union(&policy.reads);
                self.live.push(Live { index, effect, condition: policy.condition.clone() });
                continue;
            };
            let folded = fold(foldable, &known, &|expr| before_calls.holds(&Condition::from(expr)));
            if let Some(holds) = constant(&folded) {
                self.fixed.add(index, effect, Some(holds));
            } else {
                read.union(&Reads::of_expr(&folded));
                self.live.push(Live { index, effect, condition: Condition::from(&*folded) });
            }
        }
        self.needs = Needs::new(&read, &named, shape);
    }

    /// How all policies of the slice come out for one call.
    pub(crate) fn evaluate(&self, request: &DecisionRequest<'_>, shape: &Shape) -> Result<Verdicts, SliceError> {
        let mut verdicts = self.fixed.clone();
        if self.live.is_empty() && self.named.is_empty() {
            return Ok(verdicts);
        }
        let Built { context, opaque } = context::build(request, shape, &self.needs).map_err(unmade)?;
        let asked = self.parties.ask(context);
        for Live { index, effect, condition } in &self.live {
            verdicts.add(*index, *effect, asked.holds(condition));
        }
        // Cedar cannot tell an argument that it could not hold from one that was not sent, and
        // `has` would answer false. Whatever names such an argument has no answer.
        if !opaque.is_empty() {
            let touched = |reads: &Reads| opaque.iter().any(|path| reads.touches_argument(path));
            verdicts.errors.extend(self.named.iter().filter(|(_, reads)| touched(reads)).map(|(index, _)| *index));
        }
        Ok(verdicts)
    }

    /// Whether some arguments could let the agent use the subject.
    pub(crate) fn is_reachable(&self, policies: &[Arc<Policy>]) -> bool {
        let asks = |index: &usize| policies.get(*index).is_some_and(|p| p.notes.step_up.is_some());
        let permitted = !self.fixed.permits.is_empty() || self.live.iter().any(|live| live.effect == Effect::Permit);
        permitted && self.fixed.errors.is_empty() && self.fixed.forbids.iter().all(asks)
    }

    /// The verdicts that no call changes.
    pub(crate) const fn fixed(&self) -> &Verdicts {
        &self.fixed
    }
}
