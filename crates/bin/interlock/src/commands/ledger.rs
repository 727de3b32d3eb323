//! `interlock ledger`: reading what happened, and checking that it is what happened.

use super::{Context, Done, Failed, put};
use crate::cli::{LedgerCommand, SearchArgs};
use interlock_bin::config::Config;
use interlock_bin::term::{Tone, clean};
use interlock_ledger::entry::{CallRecord, Event, EventKind};
use interlock_model::Outcome;
use interlock_model::json::{Json, Kind, Limits, View};
use interlock_store::{Filter, Reader, Revealed, Shown, Stored};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

pub(super) async fn run(context: &Context, command: LedgerCommand) -> Result<Done, Failed> {
    let config = context.config()?;
    let reader = Reader::open(&config.data_dir).map_err(Failed::unanswered)?;
    match command {
        LedgerCommand::Verify => verify(context, &reader),
        LedgerCommand::Tail { lines, follow } => tail(context, &config, &reader, lines, follow).await,
        LedgerCommand::Search(args) => search(context, &reader, &args),
        LedgerCommand::Show { what } => show(context, &reader, &what),
        LedgerCommand::Prove { what, out } => prove(context, &reader, &what, &out),
    }
}

fn verify(context: &Context, reader: &Reader) -> Result<Done, Failed> {
    let progress = context.err.progress("reading the ledger");
    let report = reader.verify(|read, size| progress.say(&format!("verified {read} of {size} entries")))?;
    drop(progress);
    match report.summary.filter(|_| report.faults.is_empty()) {
        Some(found) => {
            let shown = json!({
                "verified": true, "entries": found.entries, "root": found.root.to_string(), "signed": found.signed,
                "published": found.published, "open_calls": found.open_calls, "open_approvals": found.open_approvals,
            });
            context.print(&shown, || {
                let ok = context.out.paint(Tone::Good, "verified");
                format!(
                    "{ok}  {} entries, each canonical and in its place\n          signed for up to {}, published up to {}\n          {} calls without an outcome, {} approvals open\n          root {}",
                    found.entries, found.signed, found.published, found.open_calls, found.open_approvals, found.root
                )
            });
            Ok(Done::Yes)
        }
        None => {
            let fault = |f: &interlock_store::Fault| json!({ "index": f.entry, "reason": f.what });
            let shown = json!({
                "verified": false,
                "first_bad": report.faults.first().map(fault),
                "faults": report.faults.iter().map(fault).collect::<Vec<_>>(),
            });
            context.print(&shown, || {
                let mut out = format!("{}\n", context.out.paint(Tone::Bad, "not verified"));
                for (i, fault) in report.faults.iter().enumerate() {
                    let place = fault.entry.map_or_else(|| "files".to_owned(), |index| format!("entry {index}"));
                    let first = if i == 0 { "first bad: " } else { "           " };
                    out.push_str(&format!(
                        "{first}{}: {}\n",
                        context.out.paint(Tone::Strong, &place),
                        clean(&fault.what)
                    ));
                }
                out
            });
            Ok(Done::No)
        }
    }
}

async fn tail(context: &Context, config: &Config, reader: &Reader, lines: u64, follow: bool) -> Result<Done, Failed> {
    let size = reader.size()?;
    let mut next = size.saturating_sub(lines);
    loop {
        let found = reader.entries(next..u64::MAX, 1000)?;
        for stored in &found {
            next = stored.index + 1;
            let line = if context.json { stored_json(stored).to_string() } else { one_line(context, stored) };
            if let Err(e) = put(&line) {
                return if e.kind() == std::io::ErrorKind::BrokenPipe {
                    Ok(Done::Yes)
                } else {
                    Err(Failed::unanswered(e))
                };
            }
        }
        if found.is_empty() {
            if !follow {
                return Ok(Done::Yes);
            }
            if !config.data_dir.exists() {
                return Err(Failed::unanswered("the data directory is gone"));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn search(context: &Context, reader: &Reader, args: &SearchArgs) -> Result<Done, Failed> {
    let filter = Filter {
        kind: args.kind.as_deref().map(kind).transpose()?,
        agent: args.agent.as_deref().map(|a| a.parse().map_err(Failed::usage)).transpose()?,
        tool: args.tool.as_ref().map(|t| t.replacen('/', "__", 1)),
        decision: args.decision.as_deref().map(decision).transpose()?,
        text: args.text.clone(),
        ..Filter::default()
    };
    let found = reader.search(&filter, args.limit)?;
    let mut shown = Vec::with_capacity(found.len());
    for stored in &found {
        let mut value = stored_json(stored);
        if let (true, Some(call), Some(members)) = (args.arguments, stored.entry.call(), value.as_object_mut())
            && let Revealed::Payload(bytes) = reader.show(&call.to_string())?.received
        {
            members.insert("arguments".to_owned(), serde_json::from_slice(&bytes).unwrap_or(Value::Null));
        }
        shown.push(value);
    }
    context.print(&shown, || {
        if found.is_empty() {
            return "nothing fits".to_owned();
        }
        found.iter().map(|stored| format!("{}\n", one_line(context, stored))).collect()
    });
    Ok(Done::Yes)
}

fn kind(text: &str) -> Result<EventKind, Failed> {
    Ok(match text {
        "agent" => EventKind::Agent,
        "approval" => EventKind::Approval,
        "catalog" => EventKind::Catalog,
        "denial" => EventKind::Denial,
        "intent" => EventKind::Intent,
        "outcome" => EventKind::Outcome,
        "policy" => EventKind::Policy,
        "session" => EventKind::Session,
        "start" => EventKind::Start,
        "stop" => EventKind::Stop,
        other => {
            return Err(Failed::usage(format!(
                "`{other}` is no kind of entry; `interlock ledger search --help` lists them"
            )));
        }
    })
}

fn decision(text: &str) -> Result<Outcome, Failed> {
    serde_json::from_value(json!(text))
        .map_err(|_| Failed::usage(format!("`{text}` is no decision: use allow, deny, modify, step_up or defer")))
}

fn stored_json(stored: &Stored) -> Value {
    json!({ "index": stored.index, "entry": stored.entry })
}

/// An entry as one line: when, what, whose, and the word that matters.
fn one_line(context: &Context, stored: &Stored) -> String {
    let term = &context.out;
    let tool = |record: &CallRecord| match (&record.tool, &record.subject, &record.requested) {
        (Some(tool), ..) => format!("{}/{}", tool.server, tool.name),
        (None, Some(subject), _) => clean(&subject.what()).into_owned(),
        (None, None, Some(requested)) => clean(requested).into_owned(),
        (None, None, None) => String::new(),
    };
    let (tone, word, what) = match &stored.entry.event {
        Event::Intent(r) => (
            Tone::Good,
            r.decision.outcome.to_string(),
            format!("{}  by {} of {}  {}", tool(r), r.agent.id, r.agent.owner, r.call),
        ),
        Event::Denial(r) => (
            if r.decision.outcome == Outcome::StepUp { Tone::Warn } else { Tone::Bad },
            r.decision.outcome.to_string(),
            format!("{}  by {} of {}: {}  {}", tool(r), r.agent.id, r.agent.owner, clean(&r.decision.reason), r.call),
        ),
        Event::Outcome(o) => (
            Tone::Faint,
            "outcome".to_owned(),
            format!("{}  {} bytes  {}", word(&o.status), o.result_bytes.unwrap_or(0), o.call),
        ),
        Event::Approval(a) => {
            (Tone::Name, "approval".to_owned(), format!("{} by {}  {}", word(&a.action), a.by, a.approval))
        }
        Event::Catalog(c) => (
            Tone::Name,
            "catalog".to_owned(),
            format!(
                "{} serial {} {}{} {}",
                word(&c.action),
                c.serial,
                c.server.as_ref().map(ToString::to_string).unwrap_or_default(),
                c.tool.as_ref().map(|t| format!("/{t}")).unwrap_or_default(),
                clean(&c.reason)
            ),
        ),
        Event::Policy(p) => (
            Tone::Name,
            "policy".to_owned(),
            format!(
                "version {} {} {}",
                p.policy.version,
                if p.activated { "in force" } else { "refused" },
                clean(&p.reason)
            ),
        ),
        Event::Session(s) => (
            Tone::Name,
            "session".to_owned(),
            format!("{} for {} of {}  {}", word(&s.action), s.agent, s.owner, s.session),
        ),
        Event::Agent(a) => {
            (Tone::Name, "agent".to_owned(), format!("{} {} of {} by {}", a.agent, word(&a.action), a.owner, a.by))
        }
        Event::Start(s) => (
            Tone::Strong,
            "start".to_owned(),
            format!("build {}, {} mode, {} calls closed as unknown", s.build, s.mode, s.recovered),
        ),
        Event::Stop(s) => (Tone::Strong, "stop".to_owned(), clean(&s.reason).into_owned()),
    };
    format!(
        "{:>7}  {}  {}  {what}",
        stored.index,
        term.paint(Tone::Faint, &stored.entry.at.to_rfc3339()),
        term.paint(tone, &format!("{word:<8}"))
    )
}

/// The spelling that an entry has for one of its words.
fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn show(context: &Context, reader: &Reader, what: &str) -> Result<Done, Failed> {
    // An entry that is about no call is shown by its index alone.
    if let Ok(index) = what.parse::<u64>() {
        let stored = reader.entry(index)?;
        if stored.entry.call().is_none() {
            context.print(&stored_json(&stored), || indented_bytes(&stored.bytes));
            return Ok(Done::Yes);
        }
    }
    let shown = reader.show(what)?;
    let payload = |revealed: &Revealed| match revealed {
        Revealed::Payload(bytes) => raw(bytes),
        Revealed::None => Value::Null,
        Revealed::Missing => json!({ "missing": "the vault does not have what the entry commits to" }),
        Revealed::Damaged => json!({ "damaged": "the vault has something else than the entry commits to" }),
    };
    let value = json!({
        "entries": shown.entries.iter().map(stored_json).collect::<Vec<_>>(),
        "arguments": payload(&shown.received),
        "sent": payload(&shown.sent),
        "result": payload(&shown.result),
    });
    context.print(&value, || render_call(context, &shown));
    Ok(Done::Yes)
}

/// A payload inside of our JSON: itself if it is JSON, else as text.
fn raw(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(bytes)))
}

fn render_call(context: &Context, shown: &Shown) -> String {
    let term = &context.out;
    let mut out = String::new();
    for stored in &shown.entries {
        out.push_str(&format!("{}\n", one_line(context, stored)));
        if let Event::Intent(r) | Event::Denial(r) = &stored.entry.event {
            let mut line = |name: &str, value: &str| out.push_str(&format!("           {name:<12}{}\n", clean(value)));
            line("agent", &format!("{} ({}) for {}", r.agent.id, r.agent.credential, r.agent.owner));
            line("session", &r.session.to_string());
            if let Some(tool) = &r.tool {
                line("tool", &format!("{}/{}, definition {}", tool.server, tool.name, tool.definition));
                line("effects", &tool.effects.to_string());
            }
            line("policy", &format!("version {}, {}", r.policy.version, r.policy.digest));
            line("decided by", &r.decision.policies.join(", "));
            line("mode", r.mode.as_str());
            line("inspected", if r.findings.is_some() { "yes" } else { "no" });
            if let Some(approval) = r.approval {
                line("approval", &approval.to_string());
            }
            if !r.obligations.is_empty() {
                line("obligations", &r.obligations.join(", "));
            }
            line("decided in", &format!("{} us", r.timing.decided_us));
        }
        if let Event::Outcome(o) = &stored.entry.event
            && let Some(timing) = &o.timing
        {
            out.push_str(&format!(
                "           took        {} us, of which the server {} us\n",
                timing.total_us, timing.upstream_us
            ));
        }
    }
    for (name, revealed) in [("arguments", &shown.received), ("sent", &shown.sent), ("result", &shown.result)] {
        let text = match revealed {
            Revealed::None => continue,
            Revealed::Payload(bytes) => indented_bytes(bytes),
            Revealed::Missing => "the vault does not have what the entry commits to".to_owned(),
            Revealed::Damaged => "the vault has something else than the entry commits to".to_owned(),
        };
        out.push_str(&format!("{}\n", term.paint(Tone::Strong, name)));
        for line in text.lines() {
            out.push_str(&format!("    {}\n", clean(line)));
        }
    }
    out
}

fn prove(context: &Context, reader: &Reader, what: &str, out: &Path) -> Result<Done, Failed> {
    let index = match what.parse::<u64>() {
        Ok(index) => index,
        Err(_) => reader
            .of_call(what)?
            .first()
            .map(|s| s.index)
            .ok_or_else(|| Failed::usage(format!("`{what}` is no call")))?,
    };
    let bytes = reader.receipt(index)?.to_bytes();
    if out == Path::new("-") {
        std::io::stdout().write_all(&bytes).map_err(Failed::unanswered)?;
        put("").map_err(Failed::unanswered)?;
        return Ok(Done::Yes);
    }
    std::fs::write(out, &bytes).map_err(|e| Failed::unanswered(format!("`{}`: {e}", out.display())))?;
    let key = reader.verifier_key().to_string();
    context.print(&json!({ "receipt": out, "index": index, "key": key }), || {
        let file = out.display();
        format!("receipt for entry {index} in {file}; anyone who trusts this log's key checks it offline:\n  interlock-verify {file} --key '{key}'")
    });
    Ok(Done::Yes)
}

fn indented_bytes(bytes: &[u8]) -> String {
    Json::parse(bytes, Limits::RESULT)
        .map_or_else(|_| String::from_utf8_lossy(bytes).into_owned(), |json| indented(json.root()))
}

/// JSON on several lines, every number and string as it was sent.
pub(super) fn indented(value: View<'_>) -> String {
    fn write(value: View<'_>, depth: usize, out: &mut String) {
        let raw = |v: View<'_>| String::from_utf8_lossy(v.raw()).into_owned();
        let pad = |depth: usize| format!("\n{}", "  ".repeat(depth));
        match value.kind() {
            Kind::Object if value.members().next().is_some() => {
                out.push('{');
                for (i, (key, member)) in value.members().enumerate() {
                    out.push_str(if i == 0 { "" } else { "," });
                    out.push_str(&format!("{}{}: ", pad(depth + 1), raw(key)));
                    write(member, depth + 1, out);
                }
                out.push_str(&format!("{}}}", pad(depth)));
            }
            Kind::Array if value.elements().next().is_some() => {
                out.push('[');
                for (i, element) in value.elements().enumerate() {
                    out.push_str(if i == 0 { "" } else { "," });
                    out.push_str(&pad(depth + 1));
                    write(element, depth + 1, out);
                }
                out.push_str(&format!("{}]", pad(depth)));
            }
            _ => out.push_str(&raw(value)),
        }
    }
    let mut out = String::new();
    write(value, 0, &mut out);
    out
}
