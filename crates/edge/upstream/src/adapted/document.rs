//! The document of an adapted server: read with a bound, imported, and told apart from what it was before.

use crate::spec::Limits;
use bytes::Bytes;
use interlock_adapter::openapi::Beside;
use interlock_adapter::{DescriptionError, Import, Tool, graphql, openapi};
use interlock_model::Digest;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// What kind of document describes an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentKind {
    /// An OpenAPI 3.0 or 3.1 description, JSON or YAML.
    OpenApi,
    /// A GraphQL schema: the result of an introspection query, or schema definition language.
    GraphQl,
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenApi => "OpenAPI description",
            Self::GraphQl => "GraphQL schema",
        })
    }
}

/// Why there are no tools. Messages name the file without its directories: agents see them too, where calls are refused.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The file cannot be read.
    #[error("cannot read the {kind} `{}`: {source}", name(file))]
    Read {
        /// What it should hold.
        kind: DocumentKind,
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no document of its kind.
    #[error("`{}`{} cannot be used as {kind}: {source}", name(file), place.map(|(line, column)| format!(", line {line}, column {column},")).unwrap_or_default())]
    Description {
        /// What it should hold.
        kind: DocumentKind,
        /// The file.
        file: PathBuf,
        /// Line and column from 1, where they are known.
        place: Option<(usize, usize)>,
        /// Why.
        source: DescriptionError,
    },
    /// It has nothing that could be a tool.
    #[error("the {kind} `{}` has no operation that can be a tool{}", name(file), first(left_out))]
    Nothing {
        /// What it is.
        kind: DocumentKind,
        /// The file.
        file: PathBuf,
        /// What it has instead, each with the reason.
        left_out: Vec<String>,
    },
}

fn name(file: &Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn first(left_out: &[String]) -> String {
    match left_out {
        [] => String::new(),
        [one] => format!(" ({one})"),
        [one, rest @ ..] => format!(" ({one}; and {} more)", rest.len()),
    }
}

/// What came of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// What it calls the API; empty if it does not.
    pub title: String,
    /// How many tools.
    pub tools: usize,
    /// What it has and no tool was made of, each with the reason; foreign text.
    pub left_out: Vec<String>,
    /// Where tools differ from it; foreign text.
    pub notes: Vec<String>,
}

/// Reads a document as a server that it describes would.
///
/// # Errors
///
/// [`DocumentError`].
pub fn examine(kind: DocumentKind, file: &Path) -> Result<Described, DocumentError> {
    let source = Source { kind, file: file.to_owned(), beside: Beside::default() };
    let Imported { about, tools, left_out, notes, .. } = source.import(&source.read()?, Limits::DEFAULT)?;
    Ok(Described { title: about.title, tools: tools.len(), left_out, notes })
}

/// Where a document is, and what the gateway sends beside what it describes.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) kind: DocumentKind,
    pub(super) file: PathBuf,
    pub(super) beside: Beside,
}

/// A document, read.
#[derive(Debug)]
pub(super) struct Imported {
    /// Of the document.
    pub(super) digest: Digest,
    /// Of the listing; tells listings apart.
    pub(super) listing: Digest,
    pub(super) about: interlock_adapter::About,
    /// In the document's order.
    pub(super) definitions: Vec<Bytes>,
    pub(super) tools: HashMap<Box<str>, Tool>,
    pub(super) left_out: Vec<String>,
    pub(super) notes: Vec<String>,
}

impl Source {
    /// The file's bytes; one byte more than is read of a description, so that the importer sees that it is too large.
    pub(super) fn read(&self) -> Result<Vec<u8>, DocumentError> {
        let read = || {
            // Looked at before it is opened: a pipe without a writer would keep us waiting.
            if !std::fs::metadata(&self.file)?.is_file() {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
            }
            let mut text = Vec::new();
            File::open(&self.file)?.take(interlock_adapter::Limits::DEFAULT.bytes as u64 + 1).read_to_end(&mut text)?;
            // Editors leave byte order marks; no reader of JSON or YAML wants one.
            if text.starts_with(b"\xef\xbb\xbf") {
                text.drain(..3);
            }
            Ok(text)
        };
        read().map_err(|source| DocumentError::Read { kind: self.kind, file: self.file.clone(), source })
    }

    /// Makes tools of the text. Takes as long as [`interlock_adapter::Limits::work`] allows: call it where blocking is
    /// fine.
    pub(super) fn import(&self, text: &[u8], limits: Limits) -> Result<Imported, DocumentError> {
        let default = interlock_adapter::Limits::DEFAULT;
        let limits = interlock_adapter::Limits {
            tools: default.tools.min(limits.tools),
            total_bytes: default.total_bytes.min(limits.listing_bytes),
            ..default
        };
        let import: Result<Import<Tool>, DescriptionError> = match self.kind {
            DocumentKind::OpenApi => openapi::import_beside(text, &self.beside, &limits).map(Import::into_tools),
            DocumentKind::GraphQl => graphql::import(text, graphql::DEFAULT_LEVELS, &limits).map(Import::into_tools),
        };
        let (kind, file) = (self.kind, || self.file.clone());
        let import = import.map_err(|source| {
            let place = offset(&source, text).map(|at| place(text, at));
            DocumentError::Description { kind, file: file(), place, source }
        })?;
        let left_out: Vec<String> = import.left_out.iter().map(|l| format!("{}: {}", l.what, l.reason)).collect();
        if import.tools.is_empty() {
            return Err(DocumentError::Nothing { kind, file: file(), left_out });
        }
        let definitions: Vec<Bytes> = import.tools.iter().map(|tool| tool.definition().clone()).collect();
        let parts: Vec<&[u8]> = definitions.iter().map(AsRef::as_ref).collect();
        Ok(Imported {
            digest: Digest::of(text),
            listing: Digest::of_parts("interlock/listing", &parts),
            about: import.about,
            definitions,
            tools: import.tools.into_iter().map(|tool| (tool.name().into(), tool)).collect(),
            left_out,
            notes: import.notes.iter().map(|n| format!("{}: {}", n.tool, n.kind)).collect(),
        })
    }
}

/// Where in the file the fault is, if the error says: YAML is read as JSON that was made of it, whose offsets are others,
/// and its own errors name lines themselves.
fn offset(error: &DescriptionError, text: &[u8]) -> Option<usize> {
    match error {
        DescriptionError::Json(e) if text.trim_ascii_start().starts_with(b"{") => Some(e.at),
        DescriptionError::Sdl { at } => Some(*at),
        _ => None,
    }
}

fn place(text: &[u8], at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    (line, String::from_utf8_lossy(before.get(line_start..).unwrap_or_default()).chars().count() + 1)
}
