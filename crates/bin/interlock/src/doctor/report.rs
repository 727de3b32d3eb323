//! What `doctor` shows: a table for people, JSON for programs.

use super::{Check, Status};
use crate::term::{Term, Tone, clean, display_width};
use std::fmt::Write as _;

/// All checks with their results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// In the order they were made.
    pub checks: Vec<Check>,
}

impl Status {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Skipped => Tone::Faint,
            Self::Warn => Tone::Warn,
            Self::Fail => Tone::Bad,
        }
    }
}

impl Report {
    /// How many checks ended so.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        self.checks.iter().filter(|c| c.status == status).count()
    }

    /// Whether nothing failed: exit code 0, else 1.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.count(Status::Fail) == 0
    }

    /// For people: one line per check, what to do under those that need it, the count last.
    #[must_use]
    pub fn render(&self, term: &Term) -> String {
        let width = self.checks.iter().map(|c| display_width(&c.id)).max().unwrap_or(0).min(36);
        let indent = width + 11;
        let mut out = String::new();
        for check in &self.checks {
            let status = format!("{:<7}", check.status.word());
            let lines: Vec<_> = check.what.lines().map(|l| clean(l).into_owned()).collect();
            let what = term.wrap(indent, &lines.join("\n"));
            let _ = writeln!(
                out,
                "{}  {:<width$}  {}",
                term.paint(check.status.tone(), &status),
                check.id,
                what.trim_start()
            );
            if let Some(mend) = &check.mend {
                let mend = term.wrap(indent + 3, &clean(mend));
                let _ = writeln!(out, "{}{} {}", " ".repeat(indent), term.paint(Tone::Name, "->"), mend.trim_start());
            }
        }
        let _ = writeln!(
            out,
            "\n{} ok, {} to look at, {} failed, {} not checked",
            self.count(Status::Ok),
            self.count(Status::Warn),
            self.count(Status::Fail),
            self.count(Status::Skipped)
        );
        out
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "sound": self.is_sound(), "checks": self.checks })
    }
}
