//! What the `jsonschema` crate decides: keywords on single values (patterns, formats, exact division,
//! uniqueness), one small validator each, and whole schemas with keywords that need its bookkeeping.

use interlock_model::json::View;
use jsonschema::{Draft, PatternOptions, Validator, error::ValidationErrorKind};
use serde_json::Value;

/// Steps a pattern with look-around may take on one string before the string is refused.
const BACKTRACK: usize = 20_000;
/// Most bytes of one compiled pattern.
const COMPILED: usize = 512 * 1024;

/// One keyword's check of a value that has no parts to be checked further.
#[derive(Debug)]
pub(super) struct Foreign {
    /// The keyword, for messages.
    pub(super) keyword: &'static str,
    /// What one use costs of the budget.
    pub(super) cost: u64,
    validator: Validator,
}

/// A whole schema.
#[derive(Debug)]
pub(super) struct Whole(Validator);

/// What a foreign check said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fits,
    Refused,
    /// Neither: it gave up, or cannot hold the value.
    Unknown,
}

impl Foreign {
    /// A check of `keyword` with `value`; `None` if the value is not one the keyword can have.
    pub(super) fn new(keyword: &'static str, value: Value, draft: Draft) -> Option<Self> {
        let backtracks = value.as_str().is_some_and(|p| keyword == "pattern" && backtracks(p));
        let schema = Value::Object([(keyword.to_owned(), value)].into_iter().collect());
        let validator = build(&schema, draft)?;
        Some(Self { keyword, cost: if backtracks { 400 } else { 16 }, validator })
    }

    pub(super) fn value(&self, value: View<'_>) -> Verdict {
        read(value).map_or(Verdict::Unknown, |value| judge(&self.validator, &value))
    }
}

impl Whole {
    pub(super) fn new(schema: View<'_>, draft: Draft) -> Option<Self> {
        build(&read(schema)?, draft).map(Self)
    }

    pub(super) fn value(&self, value: View<'_>) -> Verdict {
        read(value).map_or(Verdict::Unknown, |value| judge(&self.0, &value))
    }
}

/// Whether the crate knows the format; others assert nothing.
pub(super) fn knows_format(draft: Draft, name: &str) -> bool {
    jsonschema::options().is_known_format(draft, name)
}

/// A value as the foreign crate reads it; `None` for numbers that no double holds.
pub(super) fn read(value: View<'_>) -> Option<Value> {
    serde_json::from_slice(value.raw()).ok()
}

fn build(schema: &Value, draft: Draft) -> Option<Validator> {
    let patterns =
        PatternOptions::fancy_regex().backtrack_limit(BACKTRACK).size_limit(COMPILED).dfa_size_limit(COMPILED);
    jsonschema::options()
        .offline()
        .with_draft(draft)
        .with_pattern_options(patterns)
        .should_validate_formats(true)
        .build(schema)
        .ok()
}

fn judge(validator: &Validator, value: &Value) -> Verdict {
    match validator.validate(value) {
        Ok(()) => Verdict::Fits,
        // Inside `not`, a refusal that is really a surrender would let the value through.
        Err(error) if matches!(error.kind(), ValidationErrorKind::BacktrackLimitExceeded { .. }) => Verdict::Unknown,
        Err(_) => Verdict::Refused,
    }
}

/// Whether a pattern may need the backtracking engine: look-around, atomic groups, back-references. The group
/// prefixes of the linear engine count too; a pattern then costs more of the budget, no more.
fn backtracks(pattern: &str) -> bool {
    let refers = |w: &[u8]| matches!(w, [b'\\', b'1'..=b'9' | b'k']);
    pattern.contains("(?") || pattern.as_bytes().windows(2).any(refers)
}
