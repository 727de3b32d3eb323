//! The fields of a GraphQL API's queries and mutations as tools.
//!
//! A tool is one field of the query or the mutation type. The document that is sent is written from the schema when it
//! is read, and holds no text of an agent: arguments go as variables, in the agent's own bytes, and a selection is read
//! and written anew (`selection`). Subscriptions are streams and are left out.
//!
//! The schema is the JSON result of an introspection query, with or without `data` around it, or a type system document
//! in the schema definition language.
//!
//! Source: GraphQL October 2021; GraphQL over HTTP (request and response members).

mod field;
mod input;
mod response;
mod schema;
mod sdl;
mod selection;

#[cfg(test)]
mod tests;

pub use field::{Field, OperationType};
pub use selection::SelectionFault;

use crate::import::{About, DescriptionError, Import, LeftOut, Note, NoteKind, Reason};
use crate::limits::Limits;
use crate::name::{self, Candidate};
use crate::refs::Refs;
use interlock_model::json::Json;
use schema::Schema;
use std::sync::Arc;

/// How many levels of objects inside a result are read: a page of edges of nodes has two.
pub const DEFAULT_LEVELS: usize = 2;
/// Most levels that may be asked for.
pub const MAX_LEVELS: usize = 6;

/// Reads a schema and makes a tool of each field of the query and the mutation type. What begins with a brace is read as
/// the result of an introspection query, all else as schema definition language.
///
/// `levels` is how many levels of objects inside a result a call can read, by default and by its `select` argument;
/// what is over [`MAX_LEVELS`] counts as that. It is how far into the graph the approval of one tool reaches.
///
/// # Errors
///
/// [`DescriptionError`] if the schema as a whole cannot be read; what is wrong with single fields is in
/// [`Import::left_out`].
pub fn import(text: &[u8], levels: usize, limits: &Limits) -> Result<Import<Field>, DescriptionError> {
    if text.len() > limits.bytes {
        return Err(DescriptionError::TooLarge { len: text.len(), max: limits.bytes });
    }
    let mut import = Import { tools: Vec::new(), left_out: Vec::new(), notes: Vec::new(), about: About::default() };
    let schema = Arc::new(read(text, limits, &mut import.left_out)?);
    let mut sites = Vec::new();
    for (kind, name) in [(OperationType::Query, &schema.query), (OperationType::Mutation, &schema.mutation)] {
        let Some(name) = name else { continue };
        sites.extend(schema.fields(name).iter().map(|field| (kind, field)));
    }
    let identity = |(kind, field): &(OperationType, &schema::Field)| format!("{}_{}", kind.as_str(), field.name);
    let candidates: Vec<Candidate> =
        sites.iter().map(|site| Candidate { wanted: identity(site), identity: identity(site) }).collect();
    let mut work = limits.work;
    let mut total = 0_usize;
    for (at, ((kind, field), name)) in sites.iter().zip(name::assign(&candidates)).enumerate() {
        let mut notes = Vec::new();
        let read = match name {
            None => Err(Reason::Name),
            Some(_) if at >= limits.tools => Err(Reason::TooMany),
            Some(_) if total > limits.total_bytes => Err(Reason::Exhausted),
            Some(name) => {
                Field::read(&schema, *kind, field, &name, levels.min(MAX_LEVELS), limits, &mut work, &mut notes)
            }
        };
        let read = if work == 0 { Err(Reason::Exhausted) } else { read };
        match read {
            Ok(tool) => {
                total = total.saturating_add(tool.definition().len());
                let note = |kind: NoteKind| Note { tool: tool.name().to_owned(), kind };
                import.notes.extend(notes.into_iter().map(note));
                import.tools.push(tool);
            }
            Err(reason) => import.left_out.push(LeftOut { what: format!("{}.{}", kind.as_str(), field.name), reason }),
        }
    }
    for field in schema.subscription.iter().flat_map(|name| schema.fields(name)) {
        let what = format!("subscription.{}", field.name);
        import.left_out.push(LeftOut { what, reason: Reason::Subscription });
    }
    Ok(import)
}

fn read(text: &[u8], limits: &Limits, left_out: &mut Vec<LeftOut>) -> Result<Schema, DescriptionError> {
    if text.trim_ascii_start().starts_with(b"{") {
        let json = Json::parse(text, limits.json())?;
        return Schema::read(&mut Refs::new(json.root(), limits.work), left_out);
    }
    match std::str::from_utf8(text) {
        Ok(text) => sdl::read(text, limits, left_out),
        Err(e) => Err(DescriptionError::Sdl { at: e.valid_up_to() }),
    }
}
