//! What the demo shows. Wide enough to read, short enough to fit one screen a chapter.

use super::steps::Step;
use crate::commands::Failed;
use interlock_bin::term::{Term, Tone, clean};
use serde_json::Value;
use std::io::{BufRead, Write};
use std::path::Path;

pub(super) struct Screen {
    term: Term,
}

/// Everything that the last screen says.
pub(super) struct Ending<'a> {
    pub(super) steps: &'a [Step],
    pub(super) left: &'a str,
    pub(super) backup: u64,
    pub(super) verified: &'a Value,
    pub(super) claim: &'a Value,
    pub(super) record: &'a str,
    pub(super) tampered_row: &'a str,
    pub(super) refused: &'a Value,
    pub(super) claim_refused: bool,
    pub(super) dir: &'a Path,
    pub(super) held: bool,
}

impl Screen {
    pub(super) const fn new(term: Term) -> Self {
        Self { term }
    }

    pub(super) fn title(&self) {
        println!("{}", self.term.paint(Tone::Strong, "Interlock: an agent, three servers, and one thing between them"));
    }

    pub(super) fn chapter(&self, title: &str) {
        println!("\n{}", self.term.paint(Tone::Strong, &format!("── {title} ")));
    }

    pub(super) fn during<T>(&self, what: &str, work: impl FnOnce() -> T) -> T {
        let _progress = self.term.progress(what);
        work()
    }

    pub(super) fn servers(&self, scanned: &Value) {
        for (name, server) in scanned.get("servers").and_then(Value::as_object).into_iter().flatten() {
            let tools = server.get("tools").and_then(Value::as_array).map_or(0, Vec::len);
            let identity = server.get("identity");
            let of = |member: &str| identity.and_then(|i| i.get(member)).and_then(Value::as_str).unwrap_or_default();
            let what = [of("package"), of("path"), of("url")].into_iter().find(|t| !t.is_empty()).unwrap_or_default();
            println!(
                "  {}  {tools:>2} tools  {}",
                self.term.paint(Tone::Name, &format!("{name:<6}")),
                self.term.paint(Tone::Faint, &clean(what))
            );
        }
    }

    pub(super) fn ready(&self, approved: &Value, signed: &Value, added: &Value) {
        let tools = approved.get("approved").and_then(Value::as_array).map_or(0, Vec::len);
        let version = signed.get("version").and_then(Value::as_u64).unwrap_or(0);
        let agent = added.pointer("/agent/id").and_then(Value::as_str).unwrap_or_default();
        println!(
            "  {tools} definitions pinned and signed; policy version {version} signed, its own tests pass; agent `{agent}` of ada@example.org has a key"
        );
    }

    pub(super) fn connected(&self, what: &str, tools: u64) {
        println!("  the agent connects: {}, {tools} tools to choose from", clean(what));
    }

    pub(super) fn step(&self, step: &Step) {
        let (tone, word) = match step.decision.as_str() {
            "allow" if step.failed => (Tone::Warn, "FAILED "),
            "allow" => (Tone::Good, "ALLOWED"),
            "step_up" => (Tone::Warn, "STEP UP"),
            _ => (Tone::Bad, "DENIED "),
        };
        println!(
            "  {}  {:<34} {}",
            self.term.paint(tone, word),
            clean(&step.title),
            self.term.paint(Tone::Faint, &clean(&step.tool))
        );
        if !step.reason.is_empty() {
            println!(
                "           {} {}",
                clean(&step.reason),
                self.term.paint(Tone::Faint, &format!("({})", clean(&step.code)))
            );
        } else if step.failed {
            println!("           {}", clean(step.answer.lines().next().unwrap_or_default()));
        }
    }

    pub(super) fn asked(&self, shown: &Value) {
        let arguments = shown.get("arguments").and_then(Value::as_str).unwrap_or_default();
        println!(
            "           {} {}",
            self.term.paint(Tone::Name, "the operator is asked about exactly this:"),
            clean(arguments)
        );
    }

    pub(super) fn confirm(&self) -> Result<bool, Failed> {
        print!("           approve it? [Y/n] ");
        std::io::stdout().flush().map_err(Failed::unanswered)?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).map_err(Failed::unanswered)?;
        Ok(!matches!(answer.trim(), "n" | "N" | "no"))
    }

    pub(super) fn answered(&self, yes: bool, headless: bool) {
        let (tone, word) = if yes { (Tone::Good, "signed yes") } else { (Tone::Bad, "signed no") };
        let by = if headless { " (the demo plays the operator)" } else { "" };
        println!("           {}{by}", self.term.paint(tone, &format!("the operator {word}")));
    }

    pub(super) fn end(&self, ending: &Ending<'_>) {
        let good = |text: &str| self.term.paint(Tone::Good, text);
        let (customers, sessions) = ending.left.split_once(' ').unwrap_or((ending.left, "?"));
        let count = |decision: &str| ending.steps.iter().filter(|s| s.decision == decision).count();
        let allowed = ending.steps.iter().filter(|s| s.allowed()).count();
        let entries = ending.verified.get("entries").and_then(Value::as_u64).unwrap_or(0);
        let row = |name: &str, what: &str| println!("  {name:<13}{what}");
        row(
            "calls",
            &format!(
                "{} of the agent: {allowed} allowed, {} waited for a human, {} denied",
                ending.steps.len(),
                count("step_up"),
                count("deny")
            ),
        );
        row(
            "database",
            &format!(
                "{} customers of 5, {sessions} live sessions of 2; expired ones went with the operator's signature",
                good(customers)
            ),
        );
        row("backup", &format!("{} bytes, untouched", good(&ending.backup.to_string())));
        row("secret", &good("never read, never sent"));
        row("ledger", &format!("{} ({entries} entries, every one canonical, chained, signed for)", good("verified")));
        let status = ending.claim.get("verified").and_then(Value::as_bool) == Some(true);
        row(
            "claim",
            &format!(
                "{} ({})",
                if status { good("verified") } else { "not verified".to_owned() },
                "TRACE 0.2, software-only: no hardware vouches for it"
            ),
        );
        let named = ending.refused.pointer("/first_bad/index").map(ToString::to_string).unwrap_or_default();
        row(
            "tampered",
            &format!("a copy with entry {} changed: {}, at entry {named}", ending.tampered_row, good("refused")),
        );
        row(
            "forged",
            &format!(
                "a claim with another agent's name: {}",
                if ending.claim_refused { good("refused") } else { "NOT refused".to_owned() }
            ),
        );
        println!("\n  Everything stays in {}. Look around:", ending.dir.display());
        let config = ending.dir.join("interlock.toml");
        for command in ["ledger tail", "ledger search --decision deny", "policy explain CALL"] {
            println!(
                "    {}",
                self.term.paint(Tone::Name, &format!("interlock --config {} {command}", config.display()))
            );
        }
        let transcript = ending.record.replace(".json", ".transcript.ndjson");
        let key = ending.dir.join("claims/claim.key");
        let verify = format!("interlock-verify {} --transcript {transcript} --key {}", ending.record, key.display());
        println!("    {}", self.term.paint(Tone::Name, &verify));
        let (tone, word) = if ending.held {
            (Tone::Good, "The demo went as it must.")
        } else {
            (Tone::Bad, "The demo did NOT go as it must.")
        };
        println!("\n{}", self.term.paint(tone, word));
    }
}
