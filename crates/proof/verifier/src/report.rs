//! What came out, as values, as lines for people and as JSON for programs.

use crate::{Check, CheckResult, Kind};
use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::fmt;

/// What was found out about one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it is; `None` if that could not be told.
    pub kind: Option<Kind>,
    /// Whose or what, for people; the file's own words.
    pub about: String,
    /// Every check, made or not.
    pub checks: Vec<Check>,
    /// Whether every check that was made holds, the signature's among them.
    pub verified: bool,
}

impl Report {
    /// A report in which one failed check means that the file is not verified.
    #[must_use]
    pub fn new(kind: Option<Kind>, about: &str, checks: Vec<Check>) -> Self {
        let any = |result| checks.iter().any(|c| c.result == result);
        let verified = any(CheckResult::Verified) && !any(CheckResult::Failed);
        Self { kind, about: about.to_owned(), checks, verified }
    }

    /// How many checks were not made.
    #[must_use]
    pub fn not_made(&self) -> usize {
        self.checks.iter().filter(|c| c.result == CheckResult::NotEvaluated).count()
    }
}

/// One line for each check, then the verdict. Text from the file is shown without what could move a
/// terminal's cursor or turn its reading direction.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.map_or("unknown kind of file", Kind::as_str);
        writeln!(f, "{}", printable(&format!("{kind} {}", self.about)).trim_end())?;
        for Check { name, result, detail } in &self.checks {
            writeln!(f, "  {:<11}  {name:<19}  {}", word(*result), printable(detail))?;
        }
        let verdict = if self.verified { "verified" } else { "NOT VERIFIED" };
        match self.not_made() {
            0 => writeln!(f, "  => {verdict}"),
            1 => writeln!(f, "  => {verdict}; one check was not made"),
            n => writeln!(f, "  => {verdict}; {n} checks were not made"),
        }
    }
}

const fn word(result: CheckResult) -> &'static str {
    match result {
        CheckResult::Verified => "ok",
        CheckResult::Failed => "FAILED",
        CheckResult::NotEvaluated => "not checked",
    }
}

/// `text` with control characters and marks of reading direction written out.
#[must_use]
pub fn printable(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().flat_map(|c| if hidden(c) { c.escape_unicode().collect::<Vec<_>>() } else { vec![c] }).collect()
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Line<'a>(&'a Check);
        impl Serialize for Line<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let result = match self.0.result {
                    CheckResult::Verified => "verified",
                    CheckResult::Failed => "failed",
                    CheckResult::NotEvaluated => "not_evaluated",
                };
                let mut line = serializer.serialize_struct("Check", 3)?;
                line.serialize_field("name", self.0.name)?;
                line.serialize_field("result", result)?;
                line.serialize_field("detail", &self.0.detail)?;
                line.end()
            }
        }
        let mut report = serializer.serialize_struct("Report", 4)?;
        report.serialize_field("kind", &self.kind.map(Kind::as_str))?;
        report.serialize_field("about", &self.about)?;
        report.serialize_field("verified", &self.verified)?;
        report.serialize_field("checks", &self.checks.iter().map(Line).collect::<Vec<_>>())?;
        report.end()
    }
}
