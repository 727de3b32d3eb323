//! Cedar's evaluator and values, without the conversions around them.
//!
//! In scope: everything that this crate takes from `cedar-policy-core`. Out of scope: parsing and validating, which stay
//! with `cedar-policy`.
//!
//! `cedar-policy` is the interface that is promised to stay, and what each call needs of it is slow: a context is made
//! of expressions that are evaluated anew, and every question copies request and context, puts together the condition
//! of each policy and files the answers in seven lists. That was half of what a decision cost. Here the same evaluator
//! is asked for conditions that were made ready with the slice, over values that need no evaluating. The answers are
//! those of `cedar-policy`: two properties compare them (`tests/equivalence.rs`, `tests/nested.rs`).
//! The price is a crate that promises nothing. It is pinned to the exact version that `cedar-policy` uses, so that their
//! types are the same, and whatever may break with the next one stands in this file.

use cedar_policy::pst::{self, SmolStr};
use cedar_policy::{Entities, EntityUid};
pub(crate) use cedar_policy_core::ast::{Context, Value};
use cedar_policy_core::ast::{EntityUIDEntry, Expr, ExprKind, Literal, Name, Request, SlotEnv, UnaryOp, ValueKind};
use cedar_policy_core::evaluator;
use cedar_policy_core::extensions::Extensions;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// What must hold for a policy to be satisfied, apart from its scope.
///
/// `&&`, `||` and `!` are followed here: they are a fifth of what conditions consist of, their meaning is settled, and
/// Cedar hands a value of a hundred bytes up through each.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    /// All hold, asked from left to right until one does not.
    All(Vec<Condition>),
    /// One holds, asked from left to right until one does.
    Any(Vec<Condition>),
    Not(Box<Condition>),
    /// What only Cedar answers.
    Asked(Expr),
}

impl From<&pst::Expr> for Condition {
    /// By way of the syntax tree, which has no places in the text: the evaluator would copy them to every value.
    fn from(expr: &pst::Expr) -> Self {
        Self::of(&expr.clone().into())
    }
}

impl Condition {
    // Recursion is bounded by the limits on policy text.
    fn of(expr: &Expr) -> Self {
        match expr.expr_kind() {
            ExprKind::And { left, right } => {
                let mut all = Vec::new();
                for side in [left, right] {
                    match Self::of(side) {
                        Self::All(inner) => all.extend(inner),
                        one => all.push(one),
                    }
                }
                Self::All(all)
            }
            ExprKind::Or { left, right } => {
                let mut any = Vec::new();
                for side in [left, right] {
                    match Self::of(side) {
                        Self::Any(inner) => any.extend(inner),
                        one => any.push(one),
                    }
                }
                Self::Any(any)
            }
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => Self::Not(Box::new(Self::of(arg))),
            _ => Self::Asked(expr.clone()),
        }
    }
}

/// Who asks to do what on which resource, and all entities that policies may look at.
#[derive(Debug)]
pub(crate) struct Parties {
    principal: EntityUIDEntry,
    action: EntityUIDEntry,
    resource: EntityUIDEntry,
    entities: Entities,
}

impl Parties {
    pub(crate) fn new(principal: &EntityUid, action: &EntityUid, resource: &EntityUid, entities: Entities) -> Self {
        let entry = |uid: &EntityUid| EntityUIDEntry::known(uid.clone().into(), None);
        Self { principal: entry(principal), action: entry(action), resource: entry(resource), entities }
    }

    /// One request of theirs.
    ///
    /// It is not checked against the schema: the context is built from the same shapes that the schema is, and
    /// checking each request again costs as much as half of the policies.
    pub(crate) fn ask(&self, context: Context) -> Evaluator<'_> {
        let (principal, action, resource) = (&self.principal, &self.action, &self.resource);
        let request = Request::new_unchecked(principal.clone(), action.clone(), resource.clone(), Some(context));
        Evaluator(evaluator::Evaluator::new(request, self.entities.as_ref(), Extensions::all_available()))
    }
}

/// One request, about which any number of conditions may be asked.
pub(crate) struct Evaluator<'e>(evaluator::Evaluator<'e>);

impl Evaluator<'_> {
    /// Whether `condition` holds; `None` if it has no answer.
    pub(crate) fn holds(&self, condition: &Condition) -> Option<bool> {
        match condition {
            Condition::All(all) => {
                for one in all {
                    if !self.holds(one)? {
                        return Some(false);
                    }
                }
                Some(true)
            }
            Condition::Any(any) => {
                for one in any {
                    if self.holds(one)? {
                        return Some(true);
                    }
                }
                Some(false)
            }
            Condition::Not(inner) => Some(!self.holds(inner)?),
            Condition::Asked(expr) => self.answer(expr),
        }
    }

    fn answer(&self, expr: &Expr) -> Option<bool> {
        // Slots belong to templates, which bundles do not have.
        static NO_SLOTS: LazyLock<SlotEnv> = LazyLock::new(SlotEnv::new);
        match self.0.interpret(expr, &NO_SLOTS).ok()?.value_kind() {
            ValueKind::Lit(Literal::Bool(holds)) => Some(*holds),
            ValueKind::Lit(_) | ValueKind::Set(_) | ValueKind::Record(_) | ValueKind::ExtensionValue(_) => None,
        }
    }
}

/// A record in the making.
#[derive(Default)]
pub(crate) struct Record(BTreeMap<SmolStr, Value>);

impl Record {
    /// The record of these members.
    pub(crate) fn of<const N: usize>(members: [(&str, Value); N]) -> Self {
        Self(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// Adds a member; one of that name that is there already is replaced.
    pub(crate) fn insert(&mut self, name: &str, value: Value) {
        self.0.insert(name.into(), value);
    }
}

impl From<Record> for Value {
    fn from(record: Record) -> Self {
        Self::record_arc(Arc::new(record.0), None)
    }
}

impl From<Record> for Context {
    fn from(record: Record) -> Self {
        Self::Value(Arc::new(record.0))
    }
}

/// The set of these values.
pub(crate) fn set(values: impl IntoIterator<Item = Value>) -> Value {
    // Making even an empty one takes two allocations and a hasher, and most sets of a call are empty.
    static EMPTY: LazyLock<Value> = LazyLock::new(|| Value::empty_set(None));
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() { EMPTY.clone() } else { Value::set(values, None) }
}

/// A value of a type that only a function makes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Constructor {
    Decimal,
    Datetime,
}

impl Constructor {
    /// The value that `text` spells, if it does.
    pub(crate) fn read(self, text: &str) -> Option<Value> {
        static NAMES: LazyLock<Option<[Name; 2]>> = LazyLock::new(|| {
            let name = |text| Name::parse_unqualified_name(text).ok();
            Some([name("decimal")?, name("datetime")?])
        });
        let [decimal, datetime] = NAMES.as_ref()?;
        let name = match self {
            Self::Decimal => decimal,
            Self::Datetime => datetime,
        };
        let value = Extensions::all_available().func(name).ok()?.call(&[Value::from(text)]).ok()?;
        value.try_into().ok()
    }
}
