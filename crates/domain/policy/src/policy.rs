//! One policy of a bundle, with what its annotations ask for.

use crate::diagnostic::{Diagnostic, Place};
use crate::entity::{self, Placed};
use crate::evaluator::Condition;
use crate::reads::{self, Reads};
use cedar_policy::{ActionConstraint, Effect, PolicyId, PrincipalConstraint, ResourceConstraint, pst};
use interlock_model::Tier;
use std::sync::Arc;

/// Classes that `@redact` may name: those that something can find. Nothing inspects results yet.
const DETECTABLE: [&str; 0] = [];

const KNOWN: [&str; 6] = ["id", "reason", "advice", "step_up", "redact", "label"];

/// A policy, ready to be evaluated.
#[derive(Debug)]
pub(crate) struct Policy {
    /// From `@id`; unique in the bundle.
    pub(crate) id: Arc<str>,
    pub(crate) effect: Effect,
    pub(crate) notes: Notes,
    /// As written.
    pub(crate) text: Arc<str>,
    pub(crate) place: Place,
    /// As written, under its own id.
    pub(crate) whole: cedar_policy::Policy,
    /// Its clauses as one condition: for slices, whose policies all match the scope.
    pub(crate) condition: Condition,
    /// The same as syntax, unless it nests so deep that it is better left alone.
    pub(crate) foldable: Option<Arc<pst::Expr>>,
    pub(crate) scope: Scope,
    pub(crate) reads: Reads,
}

/// What the annotations say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    pub(crate) reason: Option<Arc<str>>,
    pub(crate) advice: Option<Arc<str>>,
    /// On a forbid that an approval of this tier lifts.
    pub(crate) step_up: Option<Tier>,
    pub(crate) redact: Vec<Arc<str>>,
    pub(crate) labels: Vec<Arc<str>>,
}

/// Who, what and on what a policy is for.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) principal: PrincipalConstraint,
    pub(crate) action: ActionConstraint,
    pub(crate) resource: ResourceConstraint,
}

impl Scope {
    pub(crate) fn matches(&self, principal: &Placed, action: &Placed, resource: &Placed) -> bool {
        entity::principal_matches(&self.principal, principal)
            && entity::action_matches(&self.action, action)
            && entity::resource_matches(&self.resource, resource)
    }
}

impl Policy {
    /// Reads one policy's text.
    pub(crate) fn parse(text: &str, place: &Place, source: &str, at: usize) -> Result<Self, Vec<Diagnostic>> {
        let parsed = cedar_policy::Policy::parse(Some(PolicyId::new("policy")), text).map_err(|errors| {
            errors.iter().map(|e| Diagnostic::from_cedar(e, &place.file, source, at)).collect::<Vec<_>>()
        })?;
        let fault = |message: String, help: &str| vec![Diagnostic::at(place, message, help)];

        let id = match parsed.annotation("id") {
            Some(id) if is_id(id) => id,
            Some(id) => {
                return Err(fault(
                    format!("`{}` is not an id", id.escape_debug()),
                    "use 1 to 128 letters, digits and `._-`",
                ));
            }
            None => return Err(fault("a policy without an id".to_owned(), "write `@id(\"some-name\")` before it")),
        };
        let notes = Notes::read(&parsed, place)?;
        let syntax = parsed.to_pst().map_err(|e| fault(e.to_string(), ""))?;
        let clauses = syntax.body().clauses();
        let condition = all_of(clauses);
        Ok(Self {
            id: id.into(),
            effect: parsed.effect(),
            notes,
            text: text.into(),
            place: place.clone(),
            condition: Condition::from(&*condition),
            foldable: reads::is_shallow(&condition, SHALLOW).then_some(condition),
            scope: Scope {
                principal: parsed.principal_constraint(),
                action: parsed.action_constraint(),
                resource: parsed.resource_constraint(),
            },
            reads: Reads::of(clauses),
            whole: parsed.new_id(PolicyId::new(id)),
        })
    }
}

/// Most levels of an expression that is folded.
const SHALLOW: usize = 24;

/// The clauses as one expression.
fn all_of(clauses: &[pst::Clause]) -> Arc<pst::Expr> {
    let one = |clause: &pst::Clause| match clause {
        pst::Clause::When(expr) => expr.clone(),
        pst::Clause::Unless(expr) => Arc::new(pst::Expr::UnaryOp { op: pst::UnaryOp::Not, expr: expr.clone() }),
    };
    let and = |left, right| Arc::new(pst::Expr::BinaryOp { op: pst::BinaryOp::And, left, right });
    let always = || Arc::new(pst::Expr::Literal(pst::Literal::Bool(true)));
    clauses.iter().map(one).reduce(and).unwrap_or_else(always)
}

impl Notes {
    fn read(policy: &cedar_policy::Policy, place: &Place) -> Result<Self, Vec<Diagnostic>> {
        let forbid = policy.effect() == Effect::Forbid;
        let mut notes = Self::default();
        let mut faults = Vec::new();
        let mut fault = |message: String, help: &str| faults.push(Diagnostic::at(place, message, help));
        for (name, value) in policy.annotations() {
            match name {
                "id" => {}
                "reason" | "advice" if value.is_empty() || value.len() > 500 => {
                    fault(format!("`@{name}` must have 1 to 500 bytes of text"), "");
                }
                "reason" => notes.reason = Some(value.into()),
                "advice" => notes.advice = Some(value.into()),
                "step_up" if !forbid => fault(
                    "`@step_up` stands on a permit".to_owned(),
                    "put it on the forbid that an approval is to lift",
                ),
                "step_up" => match value.parse::<Tier>() {
                    Ok(tier) if tier.get() > 0 => notes.step_up = Some(tier),
                    _ => fault(
                        format!("`{}` is not a tier that can be asked for", value.escape_debug()),
                        "use 1, 2, 3 or 4; tier 0 is no approval at all",
                    ),
                },
                "redact" | "label" if forbid => {
                    fault(
                        format!("`@{name}` stands on a forbid"),
                        "obligations belong to the permit that allows the call",
                    );
                }
                "label" => match list(value) {
                    Some(labels) => notes.labels = labels,
                    None => fault(
                        format!("`{}` is not a list of labels", value.escape_debug()),
                        "use lower-case letters, digits and `._:-`, separated by commas",
                    ),
                },
                "redact" => match list(value) {
                    Some(classes) => {
                        if let Some(class) = classes.iter().find(|c| !DETECTABLE.contains(&&***c)) {
                            fault(
                                format!("no detector finds `{class}`, so nothing could redact it"),
                                "remove `@redact`, or forbid the call: a promise that is not kept is worse than none",
                            );
                        }
                        notes.redact = classes;
                    }
                    None => {
                        fault(format!("`{}` is not a list of classes", value.escape_debug()), "separate them by commas")
                    }
                },
                other => fault(
                    format!("`@{other}` is not an annotation that anything reads"),
                    &format!("known are {}", KNOWN.map(|n| format!("`@{n}`")).join(", ")),
                ),
            }
        }
        if faults.is_empty() { Ok(notes) } else { Err(faults) }
    }
}

fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Names separated by commas, at least one.
fn list(value: &str) -> Option<Vec<Arc<str>>> {
    let name = |s: &str| {
        (1..=64).contains(&s.len())
            && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._:-".contains(&b))
    };
    value.split(',').map(str::trim).map(|s| name(s).then(|| Arc::from(s))).collect()
}
