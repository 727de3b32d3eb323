//! What a policy reads of the context, proved from its syntax tree.
//!
//! A policy that never names `context` has one answer per slice. One that only reads plain members
//! (`context.session.labels`, `context.args has path`) gets exactly those. Anything else, such as
//! comparing the context as a whole, counts as reading everything.

use cedar_policy::pst::{Clause, Expr, Var};
use std::collections::BTreeSet;

/// What one or more policies read: names below `context`. A path stands for all below it; the empty
/// one is the whole context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads(BTreeSet<Vec<String>>);

impl Reads {
    pub(crate) fn of(clauses: &[Clause]) -> Self {
        let mut reads = Self::default();
        for clause in clauses {
            let (Clause::When(expr) | Clause::Unless(expr)) = clause;
            reads.walk(expr);
        }
        reads
    }

    pub(crate) fn of_expr(expr: &Expr) -> Self {
        let mut reads = Self::default();
        reads.walk(expr);
        reads
    }

    pub(crate) fn everything() -> Self {
        Self(BTreeSet::from([Vec::new()]))
    }

    pub(crate) fn union(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }

    /// Whether the context cannot matter.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether something that stands at, above or below `path` is read.
    pub(crate) fn touches<S: AsRef<str>>(&self, path: &[S]) -> bool {
        self.0.iter().any(|read| read.iter().zip(path).all(|(a, b)| a == b.as_ref()))
    }

    /// As [`Self::touches`], below `context.args`.
    pub(crate) fn touches_argument(&self, path: &[String]) -> bool {
        self.0.iter().any(|read| match read.split_first() {
            None => true,
            Some((first, rest)) => first == "args" && rest.iter().zip(path).all(|(a, b)| a == b),
        })
    }

    /// The top-level arguments that are read; `None` if all are.
    pub(crate) fn arguments(&self) -> Option<BTreeSet<String>> {
        let below = self.0.iter().filter(|read| read.first().is_none_or(|first| first == "args"));
        below.map(|read| read.get(1).cloned()).collect()
    }

    /// The paths, for people.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &[String]> {
        self.0.iter().map(Vec::as_slice)
    }

    // Recursion is bounded by the limits on policy text.
    fn walk(&mut self, expr: &Expr) {
        let mut path = Vec::new();
        if chain(expr, &mut path) {
            self.note(&path);
            return;
        }
        match expr {
            Expr::Literal(_) | Expr::Var(_) | Expr::Slot(_) => {}
            Expr::UnaryOp { expr, .. } | Expr::GetAttr { expr, .. } | Expr::Like { expr, .. } => self.walk(expr),
            Expr::HasAttr { expr, attrs } => {
                if chain(expr, &mut path) {
                    path.extend(attrs.iter().map(ToString::to_string));
                    self.note(&path);
                } else {
                    self.walk(expr);
                }
            }
            Expr::BinaryOp { left, right, .. } => {
                self.walk(left);
                self.walk(right);
            }
            Expr::Is { expr, in_expr, .. } => {
                self.walk(expr);
                if let Some(inner) = in_expr {
                    self.walk(inner);
                }
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                self.walk(cond);
                self.walk(then_expr);
                self.walk(else_expr);
            }
            Expr::Set(elements) => elements.iter().for_each(|e| self.walk(e)),
            Expr::Record(members) => members.values().for_each(|e| self.walk(e)),
            // A construct that a newer Cedar added: it may read anything.
            _ => self.note(&[]),
        }
    }

    fn note(&mut self, path: &[String]) {
        self.0.insert(path.to_vec());
    }
}

/// Whether `expr` is `context`, or members read from it one after the other; `path` gets their names.
fn chain(expr: &Expr, path: &mut Vec<String>) -> bool {
    match expr {
        Expr::Var(Var::Context) => true,
        Expr::GetAttr { expr, attr } => {
            let rooted = chain(expr, path);
            if rooted {
                path.push(attr.to_string());
            }
            rooted
        }
        _ => false,
    }
}

/// Whether `expr` has at most `levels` levels.
pub(crate) fn is_shallow(expr: &Expr, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else { return false };
    match expr {
        Expr::Literal(_) | Expr::Var(_) | Expr::Slot(_) => true,
        Expr::UnaryOp { expr, .. }
        | Expr::GetAttr { expr, .. }
        | Expr::HasAttr { expr, .. }
        | Expr::Like { expr, .. } => is_shallow(expr, below),
        Expr::BinaryOp { left, right, .. } => is_shallow(left, below) && is_shallow(right, below),
        Expr::Is { expr, in_expr, .. } => {
            is_shallow(expr, below) && in_expr.as_ref().is_none_or(|inner| is_shallow(inner, below))
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            [cond, then_expr, else_expr].into_iter().all(|e| is_shallow(e, below))
        }
        Expr::Set(elements) => elements.iter().all(|e| is_shallow(e, below)),
        Expr::Record(members) => members.values().all(|e| is_shallow(e, below)),
        _ => false,
    }
}
