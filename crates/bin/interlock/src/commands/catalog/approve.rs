//! `interlock catalog approve`: a human confirms what tools do, and signs for it.

use super::{CANDIDATES, MAX_BYTES, candidates_file, lock};
use crate::cli::ApproveArgs;
use crate::commands::{Context, Done, Failed};
use crate::daemon::{now, socket_path};
use interlock_bin::config::{Config, read_text};
use interlock_bin::private_file;
use interlock_bin::term::{Tone, clean};
use interlock_catalog::{
    Candidate, Candidates, Destination, Lock, ToolFacts, approve, candidates::adopt, lookalike::concerns,
};
use interlock_gateway::AdminClient;
use interlock_model::{Effect, OwnerId};
use interlock_signature::Signer;
use serde_json::json;
use std::io::{BufRead, IsTerminal, Write};

pub(super) async fn run(context: &Context, config: &Config, args: &ApproveArgs) -> Result<Done, Failed> {
    let file = candidates_file(config);
    let text = read_text(&file, MAX_BYTES).map_err(|e| {
        Failed::usage(format!("there are no candidates ({CANDIDATES}: {e}); run `interlock catalog scan` first"))
    })?;
    let found = Candidates::parse(text.as_bytes()).map_err(|e| Failed::usage(format!("`{}`: {e}", file.display())))?;
    let wanted: Vec<Candidate> = found.iter().filter(|c| args.all || args.names.iter().any(|n| names(n, c))).collect();
    for name in &args.names {
        if !wanted.iter().any(|c| names(name, c)) {
            return Err(Failed::usage(format!(
                "the last scan found no `{name}`; `interlock catalog scan` looks again"
            )));
        }
    }
    let overrides = Overrides::parse(args)?;
    let before = lock(config)?;
    let mut lock = before.clone();
    let mut used: Vec<&String> = Vec::new();
    // Asked for before anything is typed: a wrong passphrase should not cost a review.
    let operator = context.operator(config)?;
    let by: OwnerId = operator.public_key().id().parse().map_err(Failed::unanswered)?;
    let (mut approved, mut refused) = (Vec::new(), Vec::new());
    let mut concerned = 0;
    for candidate in &wanted {
        let name = format!("{}/{}", candidate.server, candidate.definition.name());
        let facts = overrides.facts(&name, candidate);
        if lock.servers.get(&candidate.server).is_some_and(|s| s.identity != candidate.identity) {
            lock = adopt(&lock, &candidate.server, &candidate.identity);
        }
        let unchanged = lock
            .tool(&candidate.server, candidate.definition.name())
            .is_some_and(|locked| locked.digest == candidate.definition.digest() && locked.facts == facts);
        if unchanged {
            continue;
        }
        let open = concerns(&candidate.server, &candidate.identity, &candidate.definition, &lock);
        concerned += open.len();
        let accepted: Vec<String> =
            open.iter().map(interlock_catalog::Concern::id).filter(|id| args.accept.contains(id)).collect();
        used.extend(args.accept.iter().filter(|id| accepted.contains(id)));
        if !args.yes && !ask(context, &name, candidate, &facts)? {
            refused.push((name, "not confirmed".to_owned()));
            continue;
        }
        match approve(&lock, candidate, facts, &by, now(), &accepted) {
            Ok(next) => {
                lock = next;
                approved.push(name);
            }
            Err(why) => refused.push((name, why.to_string())),
        }
    }
    if let Some(stray) = args.accept.iter().find(|id| !used.contains(id)) {
        return Err(Failed::usage(format!("no tool here has a concern `{stray}`; nothing was approved")));
    }
    if lock != before {
        write(config, lock, &operator).await?;
    }
    let shown = json!({
        "approved": approved,
        "refused": refused.iter().map(|(tool, why)| json!({ "tool": tool, "reason": why })).collect::<Vec<_>>(),
    });
    context.print(&shown, || {
        let mut out = String::new();
        for name in &approved {
            out.push_str(&format!("{}  {name}\n", context.out.paint(Tone::Good, "approved")));
        }
        for (name, why) in &refused {
            out.push_str(&format!("{}  {name}: {}\n", context.out.paint(Tone::Bad, "not approved"), clean(why)));
        }
        if used.len() < concerned {
            out.push_str("A concern that you have looked into you accept with --accept and its id.\n");
        }
        if approved.is_empty() && refused.is_empty() {
            out.push_str("nothing to approve: all of it is approved as it is");
        }
        out
    });
    Ok(if refused.is_empty() { Done::Yes } else { Done::No })
}

/// Signs the lock, puts it in place at once, and has a running daemon take it up.
async fn write(config: &Config, lock: Lock, operator: &dyn Signer) -> Result<(), Failed> {
    let signed = lock.sign(operator);
    private_file::replace_public(&config.catalog.file, signed.to_text().as_bytes())
        .map_err(|e| Failed::unanswered(format!("`{}`: {e}", config.catalog.file.display())))?;
    if let Ok(mut client) = AdminClient::connect(&socket_path(&config.data_dir)).await {
        // The daemon looks at the file by itself, too; what it refuses, `status` shows.
        let _ = client.call("reload", json!({}), None).await;
    }
    Ok(())
}

fn names(name: &str, candidate: &Candidate) -> bool {
    match name.split_once('/') {
        None => name == candidate.server.as_str(),
        Some((server, tool)) => server == candidate.server.as_str() && tool == candidate.definition.name().as_str(),
    }
}

fn ask(context: &Context, name: &str, candidate: &Candidate, facts: &ToolFacts) -> Result<bool, Failed> {
    if !std::io::stdin().is_terminal() {
        return Err(Failed::usage("there is nobody to ask; review the scan and add --yes"));
    }
    let term = &context.err;
    eprintln!("\n{}", term.paint(Tone::Strong, name));
    eprintln!("{}", term.wrap(2, &clean(&candidate.definition.description().unwrap_or_default())));
    eprintln!(
        "  effects {}; destination {}; sensitivity {}",
        facts.effects,
        clean(facts.destination.as_str()),
        facts.sensitivity.as_str()
    );
    for reason in &candidate.proposal.reasons {
        eprintln!("  because {}", clean(reason));
    }
    for concern in &candidate.concerns {
        eprintln!("  {}", term.paint(Tone::Bad, &format!("{} [{}]", clean(&concern.to_string()), concern.id())));
    }
    eprint!("Approve this tool with these facts? [y/N] ");
    std::io::stderr().flush().map_err(Failed::unanswered)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(Failed::unanswered)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What the human says instead of the proposal.
struct Overrides<'a>(&'a ApproveArgs);

impl<'a> Overrides<'a> {
    fn parse(args: &'a ApproveArgs) -> Result<Self, Failed> {
        for item in &args.effects {
            for effect in value_of(item)?.split(',') {
                effect.parse::<Effect>().map_err(|e| Failed::usage(format!("--effects {item}: `{effect}` is {e}")))?;
            }
        }
        for item in &args.sensitivities {
            value_of(item)?
                .parse::<interlock_model::Sensitivity>()
                .map_err(|e| Failed::usage(format!("--sensitivity {item}: {e}")))?;
        }
        for item in &args.destinations {
            destination(value_of(item)?)?;
        }
        Ok(Self(args))
    }

    fn facts(&self, name: &str, candidate: &Candidate) -> ToolFacts {
        // What is said of a tool counts before what is said of its server.
        let said = |items: &'a [String], of: &str| {
            items.iter().rev().find_map(|i| i.split_once('=').filter(|(n, _)| *n == of).map(|(_, v)| v))
        };
        let of = |items: &'a [String]| said(items, name).or_else(|| said(items, candidate.server.as_str()));
        let mut facts = ToolFacts { confirmed: true, ..candidate.proposal.facts.clone() };
        if let Some(effects) = of(&self.0.effects) {
            facts.effects = effects.split(',').filter_map(|e| e.parse().ok()).collect();
        }
        if let Some(Ok(destination)) = of(&self.0.destinations).map(destination) {
            facts.destination = destination;
        }
        if let Some(sensitivity) = of(&self.0.sensitivities).and_then(|s| s.parse().ok()) {
            facts.sensitivity = sensitivity;
        }
        facts
    }
}

fn value_of(item: &str) -> Result<&str, Failed> {
    item.split_once('=')
        .map(|(_, v)| v)
        .ok_or_else(|| Failed::usage(format!("`{item}` is not of the form server/tool=value")))
}

fn destination(text: &str) -> Result<Destination, Failed> {
    serde_json::from_value(json!(text)).or_else(|_| serde_json::from_value(json!({ "host": text }))).map_err(|_| {
        Failed::usage(format!("`{text}` is not a destination: use local, internal, internet or a host name"))
    })
}
