//! The context of a call, built natively and only as far as the policies at hand read it.

use crate::arguments::{self, Arguments, Path};
use crate::decide::DecisionRequest;
use crate::reads::Reads;
use crate::secret_path;
use cedar_policy::{Context, RestrictedExpression as Value};
use interlock_catalog::Shape;
use std::collections::BTreeSet;

/// What of the context is to be built; made once per slice from what its policies read.
#[derive(Clone, Debug)]
pub(crate) struct Needs {
    fields: u32,
    args: bool,
    /// The top-level arguments; `None` for all.
    arguments: Option<BTreeSet<String>>,
}

/// A part of the context beside the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    ArgsOpaque,
    SessionLabels,
    SessionCalls,
    Inspected,
    Findings,
    SecretPath,
    ApprovalGiven,
    ApprovalTier,
    CredentialKind,
    TimeNow,
    TimeHour,
    TimeWeekday,
    EnvironmentName,
    EnvironmentMode,
}

/// Where each field stands.
const FIELDS: [(Field, &[&str]); 14] = [
    (Field::ArgsOpaque, &["args_opaque"]),
    (Field::SessionLabels, &["session", "labels"]),
    (Field::SessionCalls, &["session", "calls"]),
    (Field::Inspected, &["inspected"]),
    (Field::Findings, &["findings"]),
    (Field::SecretPath, &["facts", "secret_path"]),
    (Field::ApprovalGiven, &["approval", "given"]),
    (Field::ApprovalTier, &["approval", "tier"]),
    (Field::CredentialKind, &["credential", "kind"]),
    (Field::TimeNow, &["time", "now"]),
    (Field::TimeHour, &["time", "hour"]),
    (Field::TimeWeekday, &["time", "weekday"]),
    (Field::EnvironmentName, &["environment", "name"]),
    (Field::EnvironmentMode, &["environment", "mode"]),
];

impl Needs {
    /// What `reads` names, and those arguments that `named` does: their being opaque matters even where
    /// their value no longer does.
    pub(crate) fn new(reads: &Reads, named: &Reads) -> Self {
        let fields =
            FIELDS.iter().filter(|(_, path)| reads.touches(path)).fold(0, |bits, (f, _)| bits | 1 << *f as u32);
        Self { fields, args: named.touches(&["args"]), arguments: named.arguments() }
    }

    const fn has(&self, field: Field) -> bool {
        self.fields & (1 << field as u32) != 0
    }

    fn has_argument(&self, name: &str) -> bool {
        self.args && self.arguments.as_ref().is_none_or(|names| names.contains(name))
    }
}

/// A context, and which arguments could not be put into it.
pub(crate) struct Built {
    pub(crate) context: Context,
    pub(crate) opaque: Vec<Path>,
}

/// Why there is no context. It means that the call cannot be judged, and that denies.
#[derive(Debug, thiserror::Error)]
#[error("the context of the call could not be built: {0}")]
pub(crate) struct ContextError(String);

/// Builds what `needs` names.
pub(crate) fn build(request: &DecisionRequest<'_>, shape: &Shape, needs: &Needs) -> Result<Built, ContextError> {
    let mut pairs: Vec<(String, Value)> = Vec::with_capacity(10);
    let mut opaque = Vec::new();
    if needs.args || needs.has(Field::ArgsOpaque) {
        let mut walk = Arguments::new(shape);
        let args = walk.record(request.arguments, |name| needs.has_argument(name), needs.has(Field::ArgsOpaque));
        opaque = walk.opaque();
        if needs.args {
            let args = Value::new_record(args).map_err(|e| ContextError(e.to_string()))?;
            pairs.push(("args".to_owned(), args));
        }
    }
    // Fields of one record stand next to each other in the table.
    for run in FIELDS.chunk_by(|(_, a), (_, b)| a.first() == b.first()) {
        let mut members = Vec::new();
        for (field, path) in run.iter().filter(|(field, _)| needs.has(*field)) {
            let value = value(*field, request, &opaque);
            match **path {
                [name] => pairs.push((name.to_owned(), value)),
                [.., name] => members.push((name.to_owned(), value)),
                [] => {}
            }
        }
        if let (false, Some((_, [name, _]))) = (members.is_empty(), run.first()) {
            let record = Value::new_record(members).map_err(|e| ContextError(e.to_string()))?;
            pairs.push(((*name).to_owned(), record));
        }
    }
    let context = Context::from_pairs(pairs).map_err(|e| ContextError(e.to_string()))?;
    Ok(Built { context, opaque })
}

/// Time is in UTC; `weekday` is 1 for Monday to 7 for Sunday (ISO 8601); 1970-01-01 was a Thursday.
fn value(field: Field, request: &DecisionRequest<'_>, opaque: &[Path]) -> Value {
    let text = |s: &str| Value::new_string(s.to_owned());
    let whole = |n: u64| Value::new_long(i64::try_from(n).unwrap_or(i64::MAX));
    let texts = |items: &[String]| Value::new_set(items.iter().map(|s| text(s)));
    let ms = request.now.0;
    match field {
        Field::ArgsOpaque => Value::new_set(opaque.iter().map(|path| Value::new_string(arguments::pointer(path)))),
        Field::SessionLabels => texts(request.session_labels),
        Field::SessionCalls => whole(request.session_calls),
        Field::Inspected => Value::new_bool(request.findings.is_some()),
        Field::Findings => texts(request.findings.unwrap_or_default()),
        Field::SecretPath => Value::new_bool(secret_path::in_arguments(request.arguments)),
        Field::ApprovalGiven => Value::new_bool(request.approval.is_some()),
        Field::ApprovalTier => whole(request.approval.map_or(0, |tier| tier.get().into())),
        Field::CredentialKind => text(if request.principal.bound { "key" } else { "none" }),
        Field::TimeNow => Value::new_datetime(request.now.to_rfc3339()),
        Field::TimeHour => whole(ms / 3_600_000 % 24),
        Field::TimeWeekday => whole((ms / 86_400_000 + 3) % 7 + 1),
        Field::EnvironmentName => text(request.environment),
        Field::EnvironmentMode => text(request.mode.as_str()),
    }
}
