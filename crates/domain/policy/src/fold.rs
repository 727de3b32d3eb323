//! A condition with everything settled that does not depend on the call.
//!
//! Within a slice, agent, action, tool and environment are known, so
//! `context.session.labels.contains("pii") && resource.outside` is `false` for every tool that stays inside. What is left is what Cedar is asked per
//! call. `a && false` becomes `false` only where `a` cannot fail: a policy that fails denies, and folding
//! must not hide that.

use crate::reads::Reads;
use cedar_policy::pst::{BinaryOp, Expr, Literal, UnaryOp};
use std::sync::Arc;

/// Folds a condition. `known` says whether what is read of the context is the same for all calls; `truth`
/// evaluates an expression that reads no more; `None` if it fails.
///
/// `expr` must stand where a boolean must, and have passed strict validation.
// Recursion is bounded: deep conditions are not folded (`Policy::foldable`).
pub(crate) fn fold(
    expr: &Arc<Expr>,
    known: &impl Fn(&Reads) -> bool,
    truth: &impl Fn(&Expr) -> Option<bool>,
) -> Arc<Expr> {
    match &**expr {
        Expr::BinaryOp { op: op @ (BinaryOp::And | BinaryOp::Or), left, right } => {
            // The value that settles the operation: `false && x`, `true || x`.
            let settling = *op == BinaryOp::Or;
            let left = fold(left, known, truth);
            match constant(&left) {
                Some(value) if value == settling => left,
                Some(_) => fold(right, known, truth),
                None => {
                    let right = fold(right, known, truth);
                    if constant(&right) == Some(settling) && cannot_fail(&left) {
                        return right;
                    }
                    Arc::new(Expr::BinaryOp { op: *op, left, right })
                }
            }
        }
        Expr::UnaryOp { op: UnaryOp::Not, expr } => {
            let inner = fold(expr, known, truth);
            match constant(&inner) {
                Some(value) => boolean(!value),
                None => Arc::new(Expr::UnaryOp { op: UnaryOp::Not, expr: inner }),
            }
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            let cond = fold(cond, known, truth);
            match constant(&cond) {
                Some(true) => fold(then_expr, known, truth),
                Some(false) => fold(else_expr, known, truth),
                None => {
                    let (then_expr, else_expr) = (fold(then_expr, known, truth), fold(else_expr, known, truth));
                    Arc::new(Expr::IfThenElse { cond, then_expr, else_expr })
                }
            }
        }
        _ if known(&Reads::of_expr(expr)) => truth(expr).map_or_else(|| expr.clone(), boolean),
        _ => expr.clone(),
    }
}

/// The value of a boolean literal.
pub(crate) fn constant(expr: &Expr) -> Option<bool> {
    match expr {
        Expr::Literal(Literal::Bool(value)) => Some(*value),
        _ => None,
    }
}

fn boolean(value: bool) -> Arc<Expr> {
    Arc::new(Expr::Literal(Literal::Bool(value)))
}

/// Whether a strictly validated expression has a value whatever the call is. Arithmetic can overflow and
/// extension functions can refuse, so those are not on the list.
fn cannot_fail(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(_) | Expr::Var(_) => true,
        Expr::UnaryOp { op: UnaryOp::Not | UnaryOp::IsEmpty, expr }
        | Expr::GetAttr { expr, .. }
        | Expr::HasAttr { expr, .. }
        | Expr::Like { expr, .. } => cannot_fail(expr),
        Expr::BinaryOp { op, left, right } => {
            use BinaryOp::{
                And, Contains, ContainsAll, ContainsAny, Eq, Greater, GreaterEq, In, Less, LessEq, NotEq, Or,
            };
            matches!(
                op,
                And | Or | Eq | NotEq | Less | LessEq | Greater | GreaterEq | In | Contains | ContainsAll | ContainsAny
            ) && cannot_fail(left)
                && cannot_fail(right)
        }
        Expr::Is { expr, in_expr, .. } => cannot_fail(expr) && in_expr.as_ref().is_none_or(|e| cannot_fail(e)),
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            cannot_fail(cond) && cannot_fail(then_expr) && cannot_fail(else_expr)
        }
        Expr::Set(elements) => elements.iter().all(|e| cannot_fail(e)),
        _ => false,
    }
}
