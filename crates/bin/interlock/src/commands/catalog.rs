//! `interlock catalog`: looking at what servers offer, pinning it, and seeing what changed since.

mod approve;

use super::{Context, Done, Failed};
use crate::cli::CatalogCommand;
use crate::daemon::{client_info, floors, identity_of, install, load_catalog, now, spec_of};
use interlock_bin::config::{Config, ResolvedServer, Secrets, read_text};
use interlock_bin::term::{Tone, clean};
use interlock_bin::{operator, private_file};
use interlock_catalog::{Candidates, Catalog, Definition, Drift, DriftKind, Live, Lock, ServerIdentity, drift};
use interlock_model::ServerName;
use interlock_upstream::install::Progress;
use interlock_upstream::{OneListing, list_once};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// Where a scan leaves what it found, in the data directory.
const CANDIDATES: &str = "candidates.json";
/// Most bytes of that file.
const MAX_BYTES: u64 = 64 << 20;

pub(super) async fn run(context: &Context, command: CatalogCommand) -> Result<Done, Failed> {
    let config = context.config()?;
    match command {
        CatalogCommand::Scan { servers } => scan(context, &config, &servers).await,
        CatalogCommand::Approve(args) => approve::run(context, &config, &args).await,
        CatalogCommand::Diff { name } => diff(context, &config, name.as_deref()).await,
        CatalogCommand::Show { name } => show(context, &config, name.as_deref()),
        CatalogCommand::Verify => verify(context, &config),
    }
}

fn candidates_file(config: &Config) -> PathBuf {
    config.data_dir.join(CANDIDATES)
}

/// The lock as it stands on disk, whoever signed it; an empty one where there is none.
fn lock(config: &Config) -> Result<Lock, Failed> {
    match read_text(&config.catalog.file, MAX_BYTES) {
        Ok(text) => {
            Lock::parse(text.as_bytes()).map_err(|e| Failed::usage(format!("`{}`: {e}", config.catalog.file.display())))
        }
        Err(interlock_bin::config::TextError::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => Ok(Lock::empty()),
        Err(e) => Err(Failed::usage(format!("`{}`: {e}", config.catalog.file.display()))),
    }
}

/// The configured servers with their secrets, in order of name.
fn resolved(config: &Config) -> Result<Vec<ResolvedServer>, Failed> {
    let secrets = Secrets::load(&config.secrets_file()).map_err(Failed::usage)?;
    config.resolve(&secrets, &|name| std::env::var(name).ok()).map_err(Failed::usage)
}

/// Connects to one server and lists its tools.
async fn look_at(config: &Config, server: &ResolvedServer) -> Result<(ServerIdentity, OneListing), String> {
    let spec = spec_of(config, server)?;
    let identity = identity_of(config, &server.name, &spec).await?;
    let listing = list_once(&spec, &client_info()).await.map_err(|e| e.detail)?;
    Ok((identity, listing))
}

async fn scan(context: &Context, config: &Config, only: &[String]) -> Result<Done, Failed> {
    let servers = resolved(config)?;
    for name in only {
        if !servers.iter().any(|s| s.name.as_str() == name) {
            return Err(Failed::usage(format!("no server `{name}` is configured in `{}`", config.file.display())));
        }
    }
    let approved = lock(config)?;
    private_file::create_dir(&config.data_dir).map_err(Failed::unanswered)?;
    let mut found = Candidates::new(now());
    if let Ok(text) = read_text(&candidates_file(config), MAX_BYTES)
        && let Ok(before) = Candidates::parse(text.as_bytes())
        && !only.is_empty()
    {
        found.servers = before.servers;
    }
    let mut failures: Vec<(ServerName, String)> = Vec::new();
    for server in servers.iter().filter(|s| only.is_empty() || only.iter().any(|n| n == s.name.as_str())) {
        let progress = context.err.progress(&format!("{}: installing", server.name));
        let installed =
            install(config, server, &|step| progress.say(&format!("{}: {}", server.name, step_text(step)))).await;
        progress.say(&format!("{}: connecting", server.name));
        let outcome = match installed {
            Ok(()) => look_at(config, server).await,
            Err(e) => Err(e),
        };
        drop(progress);
        match outcome {
            Ok((identity, listing)) => {
                let (mut definitions, mut malformed) = (Vec::new(), Vec::new());
                for raw in &listing.tools {
                    match Definition::parse(raw) {
                        Ok(definition) => definitions.push(definition),
                        Err(e) => malformed.push(e.to_string()),
                    }
                }
                found.add(&server.name, identity, definitions, malformed, &approved);
                if let Some(candidate) = found.servers.get_mut(&server.name) {
                    candidate.left_out = listing.left_out;
                    candidate.notes = listing.notes;
                }
            }
            Err(why) => failures.push((server.name.clone(), why)),
        }
    }
    private_file::replace(&candidates_file(config), found.to_text().as_bytes()).map_err(Failed::unanswered)?;
    let shown = json!({
        "candidates": candidates_file(config),
        "servers": found.servers,
        "failed": failures.iter().map(|(server, why)| json!({ "server": server, "reason": why })).collect::<Vec<_>>(),
    });
    context.print(&shown, || render_scan(context, &found, &approved, &failures));
    Ok(if failures.is_empty() { Done::Yes } else { Done::No })
}

const fn step_text(step: Progress) -> &'static str {
    match step {
        Progress::Resolving => "choosing versions",
        Progress::Installing => "installing from the lock",
        Progress::Checking => "looking at what came",
    }
}

fn render_scan(context: &Context, found: &Candidates, approved: &Lock, failures: &[(ServerName, String)]) -> String {
    let term = &context.out;
    let mut out = String::new();
    for (name, server) in &found.servers {
        out.push_str(&format!("{}  {}\n", term.paint(Tone::Strong, name.as_str()), clean(&server.identity.describe())));
        let mut table = term.table(&["tool", "proposed effects", "destination", "state", "concerns"]);
        for tool in &server.tools {
            let state = match approved.tool(name, tool.definition.name()) {
                None => term.paint(Tone::Warn, "new"),
                Some(locked) if locked.digest == tool.definition.digest() => term.paint(Tone::Good, "approved"),
                Some(_) => term.paint(Tone::Bad, "changed"),
            };
            let concerns: Vec<String> = tool.concerns.iter().map(|c| format!("{c} [{}]", c.id())).collect();
            table.add_row([
                tool.definition.name().to_string(),
                tool.proposal.facts.effects.to_string(),
                clean(tool.proposal.facts.destination.as_str()).into_owned(),
                state,
                clean(&concerns.join("; ")).into_owned(),
            ]);
        }
        out.push_str(&format!("{table}\n"));
        for malformed in &server.malformed {
            out.push_str(&term.paint(Tone::Bad, &format!("not a tool definition: {}\n", clean(malformed))));
        }
        for left_out in &server.left_out {
            out.push_str(&term.paint(Tone::Warn, &format!("left out: {}\n", clean(left_out))));
        }
        for note in &server.notes {
            out.push_str(&format!("note: {}\n", clean(note)));
        }
        out.push('\n');
    }
    for (server, why) in failures {
        out.push_str(&term.paint(Tone::Bad, &format!("{server}: {}\n", clean(why))));
    }
    out.push_str(&format!(
        "Nothing is approved yet by this. Review, then: {}\n\
         What a proposal gets wrong, you say there: --destination SERVER=local for a server that never leaves this machine,\n\
         --effects SERVER/TOOL=read and so on.\n",
        term.paint(Tone::Name, "interlock catalog approve SERVER...")
    ));
    out
}

async fn diff(context: &Context, config: &Config, name: Option<&str>) -> Result<Done, Failed> {
    let approved = approved(config)?;
    let servers = resolved(config)?;
    let (only_server, only_tool) = split(name);
    let mut shown = Vec::new();
    let mut text = String::new();
    let mut drifted = false;
    for server in servers.iter().filter(|s| only_server.is_none_or(|n| n == s.name.as_str())) {
        let Some(pinned) = approved.server(&server.name) else { continue };
        let (identity, listing) = match look_at(config, server).await {
            Ok(seen) => seen,
            Err(why) => {
                drifted = true;
                text.push_str(&context.out.paint(Tone::Bad, &format!("{}: {}\n", server.name, clean(&why))));
                shown.push(json!({ "server": server.name, "failed": why }));
                continue;
            }
        };
        if identity.digest() != pinned.identity_digest {
            drifted = true;
            let what =
                format!("{}: is {}, approved was {}", server.name, identity.describe(), pinned.identity.describe());
            text.push_str(&context.out.paint(Tone::Bad, &format!("{}\n", clean(&what))));
            shown.push(json!({ "server": server.name, "identity": identity, "approved": pinned.identity }));
        }
        let live: Vec<Live> = listing.tools.iter().map(|raw| Live::read(raw)).collect();
        for found in drift(&server.name, &approved, &live) {
            if only_tool.is_some_and(|t| found.tool.as_ref().is_none_or(|name| name.as_str() != t)) {
                continue;
            }
            drifted |= found.kind.quarantines();
            let (value, lines) = describe(context, &approved, &server.name, &found);
            shown.push(value);
            text.push_str(&lines);
        }
    }
    context.print(&shown, || {
        if text.is_empty() { context.out.paint(Tone::Good, "every live definition is the approved one") } else { text }
    });
    Ok(if drifted { Done::No } else { Done::Yes })
}

fn describe(context: &Context, approved: &Catalog, server: &ServerName, found: &Drift) -> (Value, String) {
    let tool = found.tool.as_ref().map_or_else(|| "(without a name)".to_owned(), ToString::to_string);
    let head = format!("{}  {}\n", context.out.paint(Tone::Strong, &format!("{server}/{tool}")), found.kind.as_str());
    let value =
        |changes: Value| json!({ "server": server, "tool": tool, "drift": found.kind.as_str(), "changes": changes });
    match &found.kind {
        DriftKind::Changed { found: now } => {
            let Some(old) = approved.by_name(server, &tool) else { return (value(Value::Null), head) };
            let changes = interlock_catalog::diff(&old.definition, now);
            let rendered = interlock_catalog::diff::render(&changes, context.out.has_colour());
            let paths: Vec<Value> = changes.iter().map(|c| json!(format!("{c:?}"))).collect();
            let advice = format!(
                "  if this is meant: interlock catalog scan {server} && interlock catalog approve {server}/{tool}\n"
            );
            (value(json!(paths)), format!("{head}{rendered}\n{advice}"))
        }
        DriftKind::Malformed { reason } => (value(json!(reason)), format!("{head}  {}\n", clean(reason))),
        DriftKind::Missing | DriftKind::New { .. } => (value(Value::Null), head),
    }
}

/// The catalog as it is in force, or would be at the next start.
fn approved(config: &Config) -> Result<Arc<Catalog>, Failed> {
    let operator = operator::public_key(&config.data_dir)?;
    let floors = floors(&config.data_dir).unwrap_or_default();
    load_catalog(config, &operator, &floors).map_err(Failed::usage)
}

fn show(context: &Context, config: &Config, name: Option<&str>) -> Result<Done, Failed> {
    let approved = approved(config)?;
    let (only_server, only_tool) = split(name);
    let tools: Vec<_> = approved
        .tools()
        .iter()
        .filter(|t| {
            only_server.is_none_or(|n| n == t.server.as_str()) && only_tool.is_none_or(|n| n == t.name().as_str())
        })
        .collect();
    let shown: Vec<Value> = tools
        .iter()
        .map(|t| {
            json!({
                "server": t.server, "tool": t.name(), "exposed": t.exposed.as_str(), "digest": t.definition.digest(),
                "facts": t.facts, "approved_by": t.approved_by, "approved_at": t.approved_at,
                "description": t.definition.description(),
            })
        })
        .collect();
    context.print(&shown, || {
        let mut table =
            context.out.table(&["tool", "exposed as", "effects", "destination", "sensitivity", "digest", "approved"]);
        for t in &tools {
            table.add_row([
                format!("{}/{}", t.server, t.name()),
                t.exposed.to_string(),
                t.facts.effects.to_string(),
                clean(t.facts.destination.as_str()).into_owned(),
                t.facts.sensitivity.as_str().to_owned(),
                t.definition.digest().short(),
                format!("{} by {}", t.approved_at.to_rfc3339(), t.approved_by),
            ]);
        }
        let mut out = format!("catalog serial {}, {}\n{table}\n", approved.serial(), approved.digest());
        if only_tool.is_some() {
            for t in &tools {
                out.push_str(&clean(&t.definition.description().unwrap_or_default()));
            }
        }
        out
    });
    Ok(Done::Yes)
}

fn verify(context: &Context, config: &Config) -> Result<Done, Failed> {
    let operator = operator::public_key(&config.data_dir)?;
    let floors = floors(&config.data_dir).unwrap_or_default();
    match load_catalog(config, &operator, &floors) {
        Ok(catalog) => {
            let shown = json!({ "verified": true, "serial": catalog.serial(), "digest": catalog.digest(), "tools": catalog.tools().len() });
            context.print(&shown, || {
                let ok = context.out.paint(Tone::Good, "ok");
                format!(
                    "{ok}  serial {}, {} tools, signed by operator {}",
                    catalog.serial(),
                    catalog.tools().len(),
                    operator.id()
                )
            });
            Ok(Done::Yes)
        }
        Err(why) => {
            context.print(&json!({ "verified": false, "reason": why.to_string() }), || {
                format!("{}  {}", context.out.paint(Tone::Bad, "not verified"), clean(&why.to_string()))
            });
            Ok(Done::No)
        }
    }
}

/// `server` or `server/tool`.
fn split(name: Option<&str>) -> (Option<&str>, Option<&str>) {
    match name.map(|n| n.split_once('/').unwrap_or((n, ""))) {
        None => (None, None),
        Some((server, "")) => (Some(server), None),
        Some((server, tool)) => (Some(server), Some(tool)),
    }
}
