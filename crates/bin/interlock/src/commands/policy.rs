//! `interlock policy`: checking, testing, signing the bundle, and saying why a call was decided as it was.

use super::{Context, Done, Failed};
use crate::cli::{ExplainArgs, PolicyCommand};
use crate::daemon::{bundle_files, floors, load_catalog, now, socket_path};
use interlock_bin::config::Config;
use interlock_bin::term::{Tone, clean};
use interlock_bin::{operator, private_file};
use interlock_catalog::{ApprovedTool, Catalog};
use interlock_gateway::AdminClient;
use interlock_identity::{Agent, AgentState, Principal};
use interlock_ledger::entry::{CallRecord, Event, EventKind, SubjectRecord};
use interlock_model::json::{Json, Limits};
use interlock_model::{AgentId, Digest, OwnerId, ServerName, Tier, UnixMillis};
use interlock_policy::{
    ActionKind, Bundle, DecisionRequest, Diagnostic, Explanation, MANIFEST, PolicySnapshot, SCHEMA, Subject,
    write_manifest,
};
use interlock_store::{Filter, Reader, Revealed};
use serde_json::{Value, json};
use std::io::Read;
use std::sync::Arc;

pub(super) async fn run(context: &Context, command: PolicyCommand) -> Result<Done, Failed> {
    let config = context.config()?;
    match command {
        PolicyCommand::Check => check(context, &config),
        PolicyCommand::Test => test(context, &config),
        PolicyCommand::Sign => sign(context, &config).await,
        PolicyCommand::Explain(args) => explain(context, &config, &args),
    }
}

/// The approved tools; none where there is no valid catalog, which `doctor` says.
fn catalog(config: &Config) -> Arc<Catalog> {
    let Ok(operator) = operator::public_key(&config.data_dir) else { return Arc::new(Catalog::empty()) };
    let floors = floors(&config.data_dir).unwrap_or_default();
    load_catalog(config, &operator, &floors).unwrap_or_else(|_| Arc::new(Catalog::empty()))
}

/// The bundle as it stands on disk, under a manifest that fits it: what `sign` would sign.
fn edited(config: &Config) -> Result<(interlock_policy::BundleFiles, u64), Failed> {
    let mut files = bundle_files(&config.policy_dir).map_err(Failed::usage)?;
    let version = files
        .get(MANIFEST)
        .and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok())
        .and_then(|manifest| manifest.get("version").and_then(Value::as_u64))
        .unwrap_or(0);
    files.insert(MANIFEST.to_owned(), write_manifest(&files, version.max(1), None));
    Ok((files, version))
}

fn check(context: &Context, config: &Config) -> Result<Done, Failed> {
    let (files, version) = edited(config)?;
    let catalog = catalog(config);
    let checked = Bundle::parse(&files).and_then(|bundle| PolicySnapshot::new(&bundle, catalog.tools()));
    match checked {
        Ok((snapshot, warnings)) => {
            // For editors; it follows from the catalog, so writing it changes nothing.
            let schema = config.policy_dir.join(SCHEMA);
            private_file::replace_public(&schema, snapshot.schema().as_bytes()).map_err(Failed::unanswered)?;
            let shown = json!({ "valid": true, "version": version, "warnings": warnings.iter().map(diagnostic).collect::<Vec<_>>() });
            context.print(&shown, || {
                let ok = context.out.paint(Tone::Good, "valid");
                let mut out = format!("{ok}  for {} approved tools\n", catalog.tools().len());
                for warning in &warnings {
                    out.push_str(&format!("{}  {}\n", context.out.paint(Tone::Warn, "warning"), line(warning)));
                }
                out
            });
            Ok(Done::Yes)
        }
        Err(invalid) => {
            let shown = json!({ "valid": false, "errors": invalid.0.iter().map(diagnostic).collect::<Vec<_>>() });
            context.print(&shown, || {
                invalid.0.iter().map(|e| format!("{}  {}\n", context.out.paint(Tone::Bad, "error"), line(e))).collect()
            });
            Ok(Done::No)
        }
    }
}

fn line(diagnostic: &Diagnostic) -> String {
    let help = if diagnostic.help.is_empty() { String::new() } else { format!("\n       {}", diagnostic.help) };
    clean(&format!("{}: {}{help}", diagnostic.place, diagnostic.message)).into_owned()
}

fn diagnostic(diagnostic: &Diagnostic) -> Value {
    json!({ "place": diagnostic.place.to_string(), "message": diagnostic.message, "help": diagnostic.help })
}

fn test(context: &Context, config: &Config) -> Result<Done, Failed> {
    let (files, _) = edited(config)?;
    let catalog = catalog(config);
    let results = Bundle::parse(&files).and_then(|bundle| bundle.run_cases(catalog.tools())).map_err(Failed::usage)?;
    let failed = results.iter().filter(|r| !r.passed()).count();
    let shown: Vec<Value> = results
        .iter()
        .map(|r| json!({ "file": r.file, "name": r.name, "passed": r.passed(), "differences": r.differences }))
        .collect();
    context.print(&shown, || {
        let mut out = String::new();
        for result in &results {
            let (tone, word) = if result.passed() { (Tone::Good, "passed") } else { (Tone::Bad, "FAILED") };
            out.push_str(&format!(
                "{}  {}: {}\n",
                context.out.paint(tone, word),
                clean(&result.file),
                clean(&result.name)
            ));
            for difference in &result.differences {
                out.push_str(&format!("        {}\n", clean(difference)));
            }
        }
        out.push_str(&format!("{} passed, {failed} failed", results.len() - failed));
        out
    });
    Ok(if failed == 0 { Done::Yes } else { Done::No })
}

async fn sign(context: &Context, config: &Config) -> Result<Done, Failed> {
    let (files, version) = edited(config)?;
    let catalog = catalog(config);
    // What would be refused at load is not signed.
    let bundle = Bundle::parse(&files).map_err(Failed::usage)?;
    let (snapshot, _) = PolicySnapshot::new(&bundle, catalog.tools()).map_err(Failed::usage)?;
    let results = bundle.run_cases(catalog.tools()).map_err(Failed::usage)?;
    if let Some(failed) = results.iter().find(|r| !r.passed()) {
        return Err(Failed::usage(format!(
            "the bundle's own test `{}` fails: {}; nothing was signed",
            failed.name,
            failed.differences.join("; ")
        )));
    }
    let operator = context.operator(config)?;
    let floor = floors(&config.data_dir).unwrap_or_default().policy_version;
    let next = version.max(floor) + 1;
    let manifest = write_manifest(&files, next, Some(&operator));
    private_file::replace_public(&config.policy_dir.join(SCHEMA), snapshot.schema().as_bytes())
        .map_err(Failed::unanswered)?;
    private_file::replace_public(&config.policy_dir.join(MANIFEST), &manifest).map_err(Failed::unanswered)?;
    let mut refused = Value::Null;
    if let Ok(mut client) = AdminClient::connect(&socket_path(&config.data_dir)).await {
        refused = client.call("reload", json!({}), None).await?.get("refused").cloned().unwrap_or(Value::Null);
    }
    context.print(&json!({ "version": next, "refused": refused }), || {
        let mut out = format!("{}  version {next}\n", context.out.paint(Tone::Good, "signed"));
        for why in refused.as_array().into_iter().flatten() {
            out.push_str(&format!(
                "{}  {}\n",
                context.out.paint(Tone::Warn, "not in force"),
                clean(why.as_str().unwrap_or_default())
            ));
        }
        out
    });
    Ok(Done::Yes)
}

/// What to explain, put together from a recorded call or from the command line.
struct Question {
    principal: Principal,
    about: About,
    arguments: Option<Json<Vec<u8>>>,
    labels: Vec<String>,
    approval: Option<Tier>,
    now: UnixMillis,
    recorded: Option<Box<CallRecord>>,
}

/// What is asked for.
enum About {
    Tool(Arc<ApprovedTool>),
    Other { action: ActionKind, server: ServerName, resource: bool, name: String },
}

impl About {
    fn subject(&self) -> (ActionKind, Subject<'_>) {
        match self {
            Self::Tool(tool) => (ActionKind::Call, Subject::Tool(tool)),
            Self::Other { action, server, resource, name } => {
                let subject = match action {
                    ActionKind::Read => Subject::Resource { server, uri: name },
                    ActionKind::Complete if *resource => Subject::Resource { server, uri: name },
                    ActionKind::Prompt | ActionKind::Complete => Subject::Prompt { server, name },
                    _ => Subject::Server(server),
                };
                (*action, subject)
            }
        }
    }

    /// What a recorded request other than a call was about.
    fn of_record(record: &SubjectRecord, arguments: Option<&Json<Vec<u8>>>) -> Result<Self, Failed> {
        let action = match record.method.as_str() {
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => ActionKind::Read,
            "prompts/get" => ActionKind::Prompt,
            "completion/complete" => ActionKind::Complete,
            "sampling/createMessage" => ActionKind::Sample,
            "elicitation/create" => ActionKind::Elicit,
            "roots/list" => ActionKind::Roots,
            "logging/setLevel" => ActionKind::Log,
            // Lists, which are not decided as a whole.
            other => {
                return Err(Failed::usage(format!("`{other}` is not decided by policy; what it lists is filtered")));
            }
        };
        let params = arguments.map(Json::root);
        let uri = params.and_then(|p| p.get("uri").or_else(|| p.get("ref")?.get("uri"))?.as_str());
        let resource = uri.is_some();
        let name = match uri {
            // As the agent wrote it: on the endpoint of all servers it begins with the server.
            Some(uri) => uri.strip_prefix(&format!("{}+", record.server)).unwrap_or(&uri).to_owned(),
            None => record.name.clone().unwrap_or_default(),
        };
        Ok(Self::Other { action, server: record.server.clone(), resource, name })
    }
}

fn explain(context: &Context, config: &Config, args: &ExplainArgs) -> Result<Done, Failed> {
    let catalog = catalog(config);
    let question = match args.what.split_once('/') {
        Some((server, tool)) => hypothetical(config, &catalog, server, tool, args)?,
        None => recorded(config, &catalog, &args.what)?,
    };
    let (files, _) = edited(config)?;
    let bundle = Bundle::parse(&files).map_err(Failed::usage)?;
    let (snapshot, _) = PolicySnapshot::new(&bundle, catalog.tools()).map_err(Failed::usage)?;
    let (action, subject) = question.about.subject();
    let explanation = snapshot.explain(&DecisionRequest {
        principal: &question.principal,
        action,
        subject,
        arguments: question.arguments.as_ref().map(Json::root),
        session_labels: &question.labels,
        session_calls: 0,
        mode: config.mode,
        findings: None,
        approval: question.approval,
        now: question.now,
        environment: &config.environment,
    });
    let then = question.recorded.as_ref().filter(|r| r.policy.digest != bundle.digest()).map(|r| r.policy.version);
    let shown = json!({
        "outcome": explanation.decision.outcome,
        "code": explanation.decision.code,
        "reason": explanation.decision.reason,
        "policies": explanation.deciding.iter().map(|p| json!({ "id": p.id, "place": p.place, "text": p.text, "values": p.values })).collect::<Vec<_>>(),
        "would_allow": explanation.remedies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "recorded": question.recorded.as_ref().map(|r| json!(r.decision)),
    });
    context.print(&shown, || render(&explanation, question.recorded.as_deref(), then));
    Ok(Done::Yes)
}

fn render(explanation: &Explanation, recorded: Option<&CallRecord>, other_version: Option<u64>) -> String {
    let mut out = String::new();
    if let Some(record) = recorded {
        out.push_str(&format!("recorded: {} by policy version {}\n", record.decision.outcome, record.policy.version));
    }
    if let Some(version) = other_version {
        out.push_str(&format!(
            "the bundle has changed since version {version}; this is what the one on disk says now:\n"
        ));
    }
    out.push_str(&clean(&explanation.to_string()));
    out
}

fn hypothetical(
    config: &Config,
    catalog: &Catalog,
    server: &str,
    tool: &str,
    args: &ExplainArgs,
) -> Result<Question, Failed> {
    let server = ServerName::new(server).map_err(Failed::usage)?;
    let tool = catalog.by_name(&server, tool).cloned();
    let tool = tool.ok_or_else(|| Failed::usage(format!("no tool `{}` is approved", args.what)))?;
    let mut text = args.arguments.clone().into_bytes();
    if args.arguments == "-" {
        text.clear();
        std::io::stdin().take(4 << 20).read_to_end(&mut text).map_err(Failed::unanswered)?;
    }
    let arguments = Json::parse(text, Limits::REQUEST).map_err(|e| Failed::usage(format!("--arguments: {e}")))?;
    let agents = Reader::open(&config.data_dir).ok().and_then(|reader| reader.agents().ok()).unwrap_or_default();
    let principal = match &args.agent {
        None => Principal { agent: Arc::new(nobody()?), bound: false },
        Some(id) => {
            let id: AgentId = id.parse().map_err(Failed::usage)?;
            let found = agents.into_iter().find(|a| a.id == id);
            let agent = found.ok_or_else(|| Failed::usage(format!("there is no agent `{id}`")))?;
            Principal { agent: Arc::new(agent), bound: true }
        }
    };
    Ok(Question {
        principal,
        about: About::Tool(tool),
        arguments: Some(arguments),
        labels: Vec::new(),
        approval: None,
        now: now(),
        recorded: None,
    })
}

fn recorded(config: &Config, catalog: &Catalog, what: &str) -> Result<Question, Failed> {
    let reader = Reader::open(&config.data_dir).map_err(Failed::unanswered)?;
    let shown = reader.show(what)?;
    let record = shown.entries.iter().find_map(|stored| match &stored.entry.event {
        Event::Intent(record) | Event::Denial(record) => Some((stored.index, stored.entry.at, record.clone())),
        _ => None,
    });
    let (index, at, record) = record.ok_or_else(|| Failed::usage(format!("`{what}` is no call")))?;
    let arguments = match shown.received {
        Revealed::Payload(bytes) => Some(Json::parse(bytes, Limits::REQUEST).map_err(Failed::unanswered)?),
        Revealed::None => None,
        Revealed::Missing | Revealed::Damaged => {
            return Err(Failed::unanswered("the call's arguments are not in the vault as they were recorded"));
        }
    };
    let roles = reader.agents()?.into_iter().find(|a| a.id == record.agent.id).map(|a| a.roles).unwrap_or_default();
    let about = match (&record.tool, &record.subject) {
        (Some(pinned), _) => {
            let tool = catalog.by_name(&pinned.server, pinned.name.as_str()).cloned();
            About::Tool(tool.ok_or_else(|| {
                Failed::usage(format!("the tool `{}/{}` is not approved any more", pinned.server, pinned.name))
            })?)
        }
        (None, Some(subject)) => About::of_record(subject, arguments.as_ref())?,
        (None, None) => {
            return Err(Failed::usage("the call asked for what nobody approved, so no policy was asked"));
        }
    };
    let agent = Agent { id: record.agent.id.clone(), owner: record.agent.owner.clone(), roles, ..nobody()? };
    let principal = Principal { agent: Arc::new(agent), bound: record.agent.credential != "unbound" };
    let labels = labels_before(&reader, &record, index)?;
    Ok(Question { principal, about, arguments, labels, approval: None, now: at, recorded: Some(record) })
}

/// The session's labels when the entry at `index` was written: those of the newest outcome before it that raised them.
fn labels_before(reader: &Reader, record: &CallRecord, index: u64) -> Result<Vec<String>, Failed> {
    let session = record.session.to_string();
    let filter = Filter { kind: Some(EventKind::Outcome), text: Some(session), ..Filter::default() };
    let raised =
        reader.search(&filter, usize::MAX)?.into_iter().filter(|stored| stored.index < index).find_map(|stored| {
            match stored.entry.event {
                Event::Outcome(outcome) if !outcome.labels.is_empty() => Some(outcome.labels),
                _ => None,
            }
        });
    Ok(raised.unwrap_or_default())
}

fn nobody() -> Result<Agent, Failed> {
    Ok(Agent {
        id: AgentId::new("unbound").map_err(Failed::unanswered)?,
        owner: OwnerId::new("nobody").map_err(Failed::unanswered)?,
        key: Digest([0; 32]),
        state: AgentState::Active,
        purpose: String::new(),
        roles: Vec::new(),
        added: UnixMillis(0),
    })
}
