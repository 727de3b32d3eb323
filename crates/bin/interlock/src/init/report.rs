//! What `init` says it did: for people, and as JSON.

use super::{
    hosts::{Entry, Host, Registering, servers_path},
    plan::{Plan, Planned},
    write::Written,
};
use crate::term::{Term, Tone, clean};
use interlock_policy::Preset;
use interlock_signature::PublicKey;
use std::{collections::BTreeSet, fmt::Write as _, path::Path};

/// What was found, moved and written. Holds secrets' names, never shows their values.
pub struct Report {
    /// What was found and what it became.
    pub plan: Plan,
    /// What was written.
    pub written: Written,
    /// The operator's public key.
    pub operator: PublicKey,
    /// Whether it was made just now.
    pub operator_made: bool,
    /// The bundle that was written.
    pub policy: Preset,
}

impl Report {
    /// The hosts to change: those in whose files servers were found, each with its first such file.
    #[must_use]
    pub fn hosts(&self) -> Vec<(Host, &Path)> {
        let mut seen = BTreeSet::new();
        let with_servers = self.plan.sources.iter().filter(|s| matches!(s.found, Ok(n) if n > 0));
        with_servers.filter(|s| seen.insert((s.host, &s.file))).map(|s| (s.host, s.file.as_path())).collect()
    }

    /// For people.
    #[must_use]
    pub fn render(&self, term: &Term) -> String {
        let mut out = String::new();
        let head = |text: &str| term.paint(Tone::Strong, text);
        let _ = writeln!(out, "{}", head("Looked at"));
        for source in &self.plan.sources {
            let (tone, what) = match &source.found {
                Ok(0) => (Tone::Faint, "no servers".to_owned()),
                Ok(n) => (Tone::Good, format!("{n} {}", if *n == 1 { "server" } else { "servers" })),
                Err(reason) => (Tone::Bad, reason.clone()),
            };
            let _ =
                writeln!(out, "  {:<15} {}  {}", source.host.as_str(), source.file.display(), term.paint(tone, &what));
        }
        if self.plan.sources.is_empty() {
            let _ = writeln!(
                out,
                "  no client's configuration was found; name one with --from FILE, or add servers to interlock.toml"
            );
        }
        if !self.plan.servers.is_empty() {
            let mut table = term.table(&["server", "runs", "from"]);
            for planned in &self.plan.servers {
                table.add_row([
                    term.paint(Tone::Name, planned.server.name.as_str()),
                    clean(&planned.server.launch.describe()).into_owned(),
                    self.origins(planned).join(", "),
                ]);
            }
            let _ = writeln!(out, "\n{}\n{table}", head("Servers"));
            self.render_notes(term, &mut out);
        }
        for skipped in &self.plan.skipped {
            let _ = writeln!(out, "  {} left out: {}", clean(&skipped.name), skipped.why);
        }
        self.render_secrets(term, &mut out);
        let _ = writeln!(out, "\n{}", head("Written"));
        for file in &self.written.files {
            let _ = writeln!(out, "  {}", file.display());
        }
        for (path, backup) in &self.written.backups {
            let _ = writeln!(out, "  {} was there before; it is {} now", path.display(), backup.display());
        }
        let _ = writeln!(
            out,
            "  the operator's key, {}: {}",
            if self.operator_made { "new" } else { "as before" },
            self.operator.id()
        );
        let _ = writeln!(out, "  policy: {}", self.policy.as_str());
        out
    }

    fn render_notes(&self, term: &Term, out: &mut String) {
        for planned in self.plan.servers.iter().filter(|p| !p.notes.is_empty()) {
            let _ = writeln!(out, "  {}", term.paint(Tone::Name, planned.server.name.as_str()));
            for note in &planned.notes {
                let _ = writeln!(out, "{}", term.wrap(4, &clean(note)));
            }
        }
    }

    fn render_secrets(&self, term: &Term, out: &mut String) {
        let secrets = self.plan.secrets();
        if secrets.is_empty() {
            return;
        }
        let _ = writeln!(out, "\n{}", term.paint(Tone::Strong, "Secrets, now in .interlock/secrets.toml (mode 0600)"));
        let mut table = term.table(&["name", "was at", "why"]);
        for planned in &self.plan.servers {
            for moved in &planned.moved {
                let place = format!("{}.{}", planned.server.name, moved.place);
                let why = if moved.value.is_some() { moved.why.clone() } else { format!("to fill in: {}", moved.why) };
                table.add_row([
                    term.paint(Tone::Name, moved.name.as_str()),
                    clean(&place).into_owned(),
                    clean(&why).into_owned(),
                ]);
            }
        }
        let _ = writeln!(out, "{table}");
        if secrets.values().any(|m| m.value.is_some()) {
            let text = "They still stand in the clients' files, and agents may have read them there: once the hosts use Interlock, replace them at their issuers.";
            let _ = writeln!(out, "{}", term.paint(Tone::Warn, &term.wrap(2, text)));
        }
    }

    /// The one change for each of `hosts` (or for one that was not found), for people to make.
    #[must_use]
    pub fn render_change(
        &self,
        term: &Term,
        hosts: &[(Host, &Path)],
        entry: &Entry<'_>,
        registering: &Registering<'_>,
    ) -> String {
        let mut out = format!("\n{}\n", term.paint(Tone::Strong, "The one change that makes a host use Interlock"));
        let other = [(Host::File, Path::new("the host's MCP configuration"))];
        let hosts = if hosts.is_empty() { &other } else { hosts };
        for &(host, file) in hosts {
            let member = servers_path(host, file).join(".");
            let command = term.paint(Tone::Name, &registering.line(host));
            let _ = writeln!(out, "  register an agent for it, which prints its key:\n    {command}");
            let _ = writeln!(
                out,
                "  then put this, with that key, instead of what `{member}` holds in {}:",
                file.display()
            );
            for line in entry.snippet(host, file).lines() {
                let _ = writeln!(out, "    {line}");
            }
            if self.plan.sources.iter().any(|s| s.file == file && s.lists > 1) {
                let _ = writeln!(out, "  and nothing in its lists for single projects, which go past Interlock");
            }
        }
        out
    }

    fn origins(&self, planned: &Planned) -> Vec<String> {
        let name = |source: usize| self.plan.sources.get(source).map_or("file", |s| s.host.as_str());
        planned.origins.iter().map(|(source, called)| format!("{} ({})", name(*source), clean(called))).collect()
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self, entry: &Entry<'_>, registering: &Registering<'_>) -> serde_json::Value {
        let servers: Vec<_> = self
            .plan
            .servers
            .iter()
            .map(|p| {
                let secrets: Vec<_> = p
                    .moved
                    .iter()
                    .map(|m| serde_json::json!({ "name": m.name.as_str(), "place": m.place, "why": m.why, "to_fill_in": m.value.is_none() }))
                    .collect();
                serde_json::json!({
                    "name": p.server.name.as_str(),
                    "runs": p.server.launch.describe(),
                    "from": p.origins.iter().map(|(s, called)| serde_json::json!({ "source": s, "name": called })).collect::<Vec<_>>(),
                    "secrets": secrets,
                    "notes": p.notes,
                })
            })
            .collect();
        let sources: Vec<_> = self
            .plan
            .sources
            .iter()
            .map(|s| {
                serde_json::json!({
                    "host": s.host.as_str(),
                    "file": s.file,
                    "servers": s.found.as_ref().ok(),
                    "error": s.found.as_ref().err(),
                })
            })
            .collect();
        let skipped: Vec<_> = self
            .plan
            .skipped
            .iter()
            .map(|s| serde_json::json!({ "name": s.name, "source": s.source, "why": s.why }))
            .collect();
        let changes: Vec<_> = self
            .hosts()
            .into_iter()
            .map(|(host, file)| {
                serde_json::json!({
                    "host": host.as_str(),
                    "file": file,
                    "register": registering.line(host),
                    "member": servers_path(host, file),
                    "value": { "interlock": entry.to_json(host) },
                })
            })
            .collect();
        serde_json::json!({
            "sources": sources,
            "servers": servers,
            "skipped": skipped,
            "written": self.written.files,
            "backups": self.written.backups.iter().map(|(p, b)| serde_json::json!({ "path": p, "backup": b })).collect::<Vec<_>>(),
            "operator": { "public_key": self.operator, "id": self.operator.id(), "made": self.operator_made },
            "policy": self.policy.as_str(),
            "changes": changes,
        })
    }
}
