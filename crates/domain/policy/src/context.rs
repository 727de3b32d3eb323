//! The context of a call, built of Cedar's values and only as far as the policies at hand read it.

use crate::arguments::{self, Path, Wanted};
use crate::asks_secret;
use crate::decide::DecisionRequest;
use crate::evaluator::{self, Constructor, Context, Record, Value};
use crate::reads::Reads;
use crate::secret_path;
use interlock_catalog::Shape;
use interlock_model::Mode;

/// What of the context is to be built; made once per slice from what its policies read.
#[derive(Debug)]
pub(crate) struct Needs {
    members: Vec<(&'static str, Member)>,
    args: bool,
    args_opaque: bool,
    arguments: Wanted,
}

/// A member of the context.
#[derive(Debug)]
enum Member {
    Value(Field),
    Record(Vec<(&'static str, Field)>),
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
    AsksSecret,
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
const FIELDS: [(Field, &[&str]); 15] = [
    (Field::ArgsOpaque, &["args_opaque"]),
    (Field::SessionLabels, &["session", "labels"]),
    (Field::SessionCalls, &["session", "calls"]),
    (Field::Inspected, &["inspected"]),
    (Field::Findings, &["findings"]),
    (Field::SecretPath, &["facts", "secret_path"]),
    (Field::AsksSecret, &["facts", "asks_secret"]),
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
    /// their value no longer does. `shape` is that of the arguments.
    pub(crate) fn new(reads: &Reads, named: &Reads, shape: &Shape) -> Self {
        let needed: Vec<_> = FIELDS.into_iter().filter(|(_, path)| reads.touches(path)).collect();
        // Fields of one record stand next to each other in the table.
        let members = needed.chunk_by(|(_, a), (_, b)| a.first() == b.first()).filter_map(|run| match run {
            [(field, [name])] => Some((*name, Member::Value(*field))),
            [(_, [name, ..]), ..] => {
                let inner = run.iter().filter_map(|(field, path)| Some((*path.last()?, *field)));
                Some((*name, Member::Record(inner.collect())))
            }
            _ => None,
        });
        Self {
            members: members.collect(),
            args: named.touches(&["args"]),
            args_opaque: reads.touches(&["args_opaque"]),
            arguments: Wanted::new(named.arguments().as_ref(), shape),
        }
    }
}

/// Where decisions are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Environment<'a> {
    /// From the configuration.
    pub(crate) name: &'a str,
    pub(crate) mode: Mode,
}

/// What of the context is the same for all calls of one agent in one environment.
pub(crate) fn known(bound: bool, environment: Environment<'_>) -> Context {
    let Environment { name, mode } = environment;
    let credential = Record::of([("kind", credential_kind(bound))]);
    let environment = Record::of([("name", name.into()), ("mode", mode.as_str().into())]);
    Record::of([("credential", credential.into()), ("environment", environment.into())]).into()
}

/// Whether [`known`] has all that is read.
pub(crate) fn is_known(reads: &Reads) -> bool {
    reads.paths().all(|path| matches!(path.first().map(String::as_str), Some("credential" | "environment")))
}

fn credential_kind(bound: bool) -> Value {
    if bound { "key" } else { "none" }.into()
}

/// A context, and which arguments could not be put into it.
pub(crate) struct Built {
    pub(crate) context: Context,
    pub(crate) opaque: Vec<Path>,
}

/// Why there is no context. It means that the call cannot be judged, and that denies.
#[derive(Debug, thiserror::Error)]
#[error("Cedar has no value for the time of the call")]
pub(crate) struct ContextError;

/// Builds what `needs` names.
pub(crate) fn build(request: &DecisionRequest<'_>, shape: &Shape, needs: &Needs) -> Result<Built, ContextError> {
    let mut context = Record::default();
    let mut opaque = Vec::new();
    if needs.args || needs.args_opaque {
        let args = arguments::record(request.arguments, shape, &needs.arguments, needs.args_opaque, &mut opaque);
        if needs.args {
            context.insert("args", args);
        }
    }
    for (name, member) in &needs.members {
        let value = match member {
            Member::Value(field) => value(*field, request, &opaque)?,
            Member::Record(fields) => {
                let mut record = Record::default();
                for (name, field) in fields {
                    record.insert(name, value(*field, request, &opaque)?);
                }
                record.into()
            }
        };
        context.insert(name, value);
    }
    Ok(Built { context: context.into(), opaque })
}

/// Time is in UTC; `weekday` is 1 for Monday to 7 for Sunday (ISO 8601); 1970-01-01 was a Thursday.
fn value(field: Field, request: &DecisionRequest<'_>, opaque: &[Path]) -> Result<Value, ContextError> {
    let whole = |n: u64| Value::from(i64::try_from(n).unwrap_or(i64::MAX));
    let texts = |items: &[String]| evaluator::set(items.iter().map(|s| s.as_str().into()));
    let ms = request.now.0;
    Ok(match field {
        Field::ArgsOpaque => evaluator::set(opaque.iter().map(|path| arguments::pointer(path).into())),
        Field::SessionLabels => texts(request.session_labels),
        Field::SessionCalls => whole(request.session_calls),
        Field::Inspected => request.findings.is_some().into(),
        Field::Findings => texts(request.findings.unwrap_or_default()),
        Field::SecretPath => secret_path::in_arguments(request.arguments).into(),
        Field::AsksSecret => asks_secret::in_question(request.arguments).into(),
        Field::ApprovalGiven => request.approval.is_some().into(),
        Field::ApprovalTier => whole(request.approval.map_or(0, |tier| tier.get().into())),
        Field::CredentialKind => credential_kind(request.principal.bound),
        Field::TimeNow => Constructor::Datetime.read(&request.now.to_rfc3339()).ok_or(ContextError)?,
        Field::TimeHour => whole(ms / 3_600_000 % 24),
        Field::TimeWeekday => whole((ms / 86_400_000 + 3) % 7 + 1),
        Field::EnvironmentName => request.environment.into(),
        Field::EnvironmentMode => request.mode.as_str().into(),
    })
}
