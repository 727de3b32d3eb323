//! What is wrong with a bundle, and where.

use crate::text;
use std::fmt;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, relative to the bundle.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Place {
    pub(crate) fn new(file: &str, source: &str, at: usize) -> Self {
        let (line, column) = text::line_and_column(source, at);
        Self { file: file.to_owned(), line, column }
    }

    /// The start of a file.
    pub(crate) fn file(file: &str) -> Self {
        Self { file: file.to_owned(), line: 1, column: 1 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One fault or warning. Displays as `file:line:column: message; help`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
    /// What to do; empty if there is nothing to add.
    pub help: String,
}

impl Diagnostic {
    pub(crate) fn at(place: &Place, message: impl Into<String>, help: &str) -> Self {
        Self { place: place.clone(), message: message.into(), help: help.to_owned() }
    }

    /// A message of Cedar's about a policy that starts at byte `at` of `source`.
    pub(crate) fn from_cedar(error: &dyn miette::Diagnostic, file: &str, source: &str, at: usize) -> Self {
        let label = error.labels().and_then(|mut labels| labels.next());
        let offset = label.as_ref().map_or(0, miette::LabeledSpan::offset);
        let mut message = error.to_string();
        if let Some(text) = label.as_ref().and_then(|l| l.label()) {
            message = format!("{message} ({text})");
        }
        let help = error.help().map(|h| h.to_string()).unwrap_or_default();
        Self { place: Place::new(file, source, at + offset), message, help }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        if self.help.is_empty() { Ok(()) } else { write!(f, "; {}", self.help) }
    }
}

/// A bundle that may not be used, and every reason found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidBundle(pub Vec<Diagnostic>);

impl fmt::Display for InvalidBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the policy bundle is not valid")?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for InvalidBundle {}
