//! Why a call was decided as it was, and what would have allowed it.

use crate::context::{self, Needs};
use crate::decide::{Decision, DecisionRequest};
use crate::entity;
use crate::policy::Policy;
use crate::reads::Reads;
use crate::snapshot::PolicySnapshot;
use cedar_policy::{Context, Effect, EvalResult};
use interlock_model::Tier;
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// Most permits named as near.
const NEAREST: usize = 5;

/// A decision with its grounds. Displays as plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What was decided.
    pub decision: Decision,
    /// The policies that decided.
    pub deciding: Vec<PolicyText>,
    /// What would have allowed the call; empty if it was allowed.
    pub remedies: Vec<Remedy>,
}

/// A policy as a person wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyText {
    /// Its id.
    pub id: Arc<str>,
    /// `file:line:column`.
    pub place: String,
    /// `@reason`.
    pub reason: Option<Arc<str>>,
    /// `@advice`.
    pub advice: Option<Arc<str>>,
    /// Its text.
    pub text: Arc<str>,
    /// Whether it could not be evaluated.
    pub failed: bool,
    /// What it read and found, as `context.args.path = "/etc"`.
    pub values: Vec<String>,
}

/// What would have allowed the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// An approval of this tier.
    Approval(Tier),
    /// That this forbid does not hold.
    WithoutForbid(Arc<str>),
    /// That this policy can be evaluated.
    WithoutError(Arc<str>),
    /// That this permit holds.
    Permit(NearPermit),
    /// A permit: there is none that comes near.
    NoPermit,
}

/// A permit that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearPermit {
    /// The permit and what it read.
    pub policy: PolicyText,
    /// The parts of its scope that are for others: `principal`, `action`, `resource`. If empty, its
    /// conditions did not hold.
    pub differs: Vec<&'static str>,
}

impl PolicySnapshot {
    /// Decides as [`PolicySnapshot::decide`] and says why. For people: slow, and it quotes arguments.
    #[must_use]
    pub fn explain(&self, request: &DecisionRequest<'_>) -> Explanation {
        let decision = self.decide(request);
        let all = Reads::everything();
        let shape = request.subject.shape();
        let context = context::build(request, shape, &Needs::new(&all, &all, shape));
        let context = context.map(|built| Context::from(built.context)).ok();
        let failed = self.evaluate(request).map(|v| v.errors).unwrap_or_default();
        let text = |policy: &Policy, failed: bool| PolicyText {
            id: policy.id.clone(),
            place: policy.place.to_string(),
            reason: policy.notes.reason.clone(),
            advice: policy.notes.advice.clone(),
            text: policy.text.clone(),
            failed,
            values: values(policy, context.as_ref()),
        };
        let mut deciding = Vec::new();
        let mut remedies = Vec::new();
        for (index, policy) in self.policies().iter().enumerate() {
            if !decision.policies.contains(&policy.id) {
                continue;
            }
            let failed = failed.contains(&index);
            deciding.push(text(policy, failed));
            match (failed, policy.effect, policy.notes.step_up) {
                (true, ..) => remedies.push(Remedy::WithoutError(policy.id.clone())),
                (false, Effect::Forbid, None) => remedies.push(Remedy::WithoutForbid(policy.id.clone())),
                (false, Effect::Forbid, Some(_)) | (false, Effect::Permit, _) => {}
            }
        }
        if let Some(tier) = decision.tier.filter(|_| decision.code.is_some()) {
            remedies.push(Remedy::Approval(tier));
        }
        if decision.code.is_some() && decision.policies.is_empty() {
            let near = self.near_permits(request);
            remedies.extend(
                near.into_iter()
                    .map(|(policy, differs)| Remedy::Permit(NearPermit { policy: text(policy, false), differs })),
            );
            if remedies.is_empty() {
                remedies.push(Remedy::NoPermit);
            }
        }
        Explanation { decision, deciding, remedies }
    }

    /// Permits that miss by their conditions, then by one part of their scope, then by more.
    fn near_permits(&self, request: &DecisionRequest<'_>) -> Vec<(&Policy, Vec<&'static str>)> {
        let (principal, resource) = (entity::agent(&request.principal.agent), request.subject.placed());
        let action = request.subject.action(request.action);
        let mut near: Vec<(&Policy, Vec<&'static str>)> = self
            .policies()
            .iter()
            .filter(|p| p.effect == Effect::Permit)
            .map(|policy| {
                let scope = &policy.scope;
                let parts = [
                    ("principal", entity::principal_matches(&scope.principal, &principal)),
                    ("action", action.as_ref().is_some_and(|action| entity::action_matches(&scope.action, action))),
                    ("resource", entity::resource_matches(&scope.resource, &resource)),
                ];
                (&**policy, parts.into_iter().filter(|(_, fits)| !fits).map(|(part, _)| part).collect())
            })
            .filter(|(_, differs): &(_, Vec<_>)| differs.len() < 3)
            .collect();
        near.sort_by_key(|(_, differs)| differs.len());
        near.truncate(NEAREST);
        near
    }
}

/// What the policy reads of the context, and what stands there.
fn values(policy: &Policy, context: Option<&Context>) -> Vec<String> {
    let Some(context) = context else { return Vec::new() };
    policy
        .reads
        .paths()
        .map(|path| {
            let mut names = path.iter();
            let mut value = names.next().and_then(|name| context.get(name));
            for name in names {
                value = match value {
                    Some(EvalResult::Record(record)) => record.get(name).cloned(),
                    other => other,
                };
            }
            let value = value.map_or_else(|| "absent".to_owned(), |v| shorten(&v.to_string()));
            let names: Vec<&str> = std::iter::once("context").chain(path.iter().map(String::as_str)).collect();
            format!("{} = {value}", names.join("."))
        })
        .collect()
}

fn shorten(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.decision.outcome)?;
        if let Some(code) = self.decision.code {
            write!(f, " ({code})")?;
        }
        writeln!(f, ": {}", self.decision.reason)?;
        for policy in &self.deciding {
            let what = if policy.failed { "could not be evaluated" } else { "decided" };
            writeln!(f, "\n`{}` {what} ({})", policy.id, policy.place)?;
            f.write_str(&policy.body())?;
        }
        if !self.remedies.is_empty() {
            writeln!(f, "\nWhat would have allowed it:")?;
        }
        self.remedies.iter().try_for_each(|remedy| write!(f, "{remedy}"))
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval(tier) => writeln!(f, "- an approval of tier {}", tier.get()),
            Self::WithoutForbid(id) => writeln!(f, "- a call that `{id}` does not forbid"),
            Self::WithoutError(id) => writeln!(f, "- a call that `{id}` can be evaluated for"),
            Self::NoPermit => writeln!(f, "- a permit for this call: no policy comes near"),
            Self::Permit(near) if near.differs.is_empty() => {
                writeln!(f, "- the conditions of `{}` ({})", near.policy.id, near.policy.place)?;
                f.write_str(&near.policy.body())
            }
            Self::Permit(near) => {
                let parts = near.differs.join(" and ");
                writeln!(f, "- `{}` ({}), which is for another {parts}", near.policy.id, near.policy.place)?;
                f.write_str(&near.policy.body())
            }
        }
    }
}

impl PolicyText {
    /// Text, values and advice, indented.
    fn body(&self) -> String {
        let mut out = String::new();
        let mut line = |text: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(out, "    {text}");
        };
        self.text.lines().for_each(&mut line);
        self.values.iter().for_each(|value| line(&format!("with {value}")));
        if let Some(advice) = &self.advice {
            line(&format!("advice: {advice}"));
        }
        out
    }
}
