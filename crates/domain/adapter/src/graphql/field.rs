//! One field of the query or the mutation type as one tool.
//!
//! Source: GraphQL October 2021, section 2.3 (Operations), 2.10 (Variables), 5.8.5 (All Variable Usages Are Allowed).

use super::input::{Input, write_required};
use super::response;
use super::schema::{self, Schema, TypeRef};
use super::selection;
use crate::call::CallError;
use crate::http::{HttpRequest, HttpResponse, Method};
use crate::import::{NoteKind, Reason};
use crate::limits::Limits;
use crate::name;
use crate::openapi::{Given, ValueFault};
use crate::quote::{key, quote, shortened};
use crate::result::ResultLimits;
use bytes::Bytes;
use interlock_model::json::{Json, Kind, View};
use std::collections::HashSet;
use std::sync::Arc;

/// Most bytes of a tool's description.
const DESCRIPTION: usize = 4 * 1024;

/// What kind of operation a field belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationType {
    /// Without side effects (section 6.2.1).
    Query,
    /// May change anything (section 6.2.2).
    Mutation,
}

impl OperationType {
    /// The keyword.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
        }
    }
}

/// One field, as a tool.
#[derive(Clone, Debug)]
pub struct Field {
    name: String,
    operation: OperationType,
    field: String,
    arguments: Vec<String>,
    required: Vec<String>,
    /// The name of the argument that selects, and the type selected from; none for a field without fields.
    select: Option<(String, String)>,
    levels: usize,
    schema: Arc<Schema>,
    /// The document up to the selection, and the selection if the call has none.
    head: String,
    selection: String,
    definition: Bytes,
}

impl Field {
    /// The tool's name: `query_` or `mutation_` and the field's, 1 to 64 of `A-Z a-z 0-9 _ -`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind of operation it is.
    #[must_use]
    pub const fn operation(&self) -> OperationType {
        self.operation
    }

    /// The field's name in the schema.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The tool object (MCP server/tools, "Tool"), as JSON. `_meta` has `interlock/graphql` with `operation`, `field` and
    /// `document`, which is sent where a call selects nothing itself.
    #[must_use]
    pub const fn definition(&self) -> &Bytes {
        &self.definition
    }

    #[expect(clippy::too_many_arguments, reason = "one constructor, called in one place")]
    pub(super) fn read(
        schema: &Arc<Schema>,
        operation: OperationType,
        field: &schema::Field,
        name: &str,
        levels: usize,
        limits: &Limits,
        work: &mut u64,
        notes: &mut Vec<NoteKind>,
    ) -> Result<Self, Reason> {
        let is_composite = schema.is_composite(&field.result.name);
        if !is_composite && !schema.is_leaf(&field.result.name) {
            return Err(Reason::Type);
        }
        let default = selection::by_default(schema, &field.result.name, levels, work);
        if default.is_cut {
            notes.push(NoteKind::Depth);
        }
        let arguments: Vec<String> = field.arguments.iter().map(|a| a.name.clone()).collect();
        let taken: HashSet<String> = arguments.iter().cloned().collect();
        let select = is_composite.then(|| (name::free("select".to_owned(), &taken), field.result.name.clone()));
        let mut tool = Self {
            name: name.to_owned(),
            operation,
            field: field.name.clone(),
            required: field.arguments.iter().filter(|a| a.is_required()).map(|a| a.name.clone()).collect(),
            arguments,
            select,
            levels,
            schema: schema.clone(),
            head: head(operation, field, name),
            selection: default.text,
            definition: Bytes::new(),
        };
        tool.definition = tool.write_definition(field, limits, notes)?;
        Ok(tool)
    }

    fn write_definition(
        &self,
        field: &schema::Field,
        limits: &Limits,
        notes: &mut Vec<NoteKind>,
    ) -> Result<Bytes, Reason> {
        let mut out = Vec::with_capacity(1024);
        out.push(b'{');
        key("name", &mut out);
        quote(&self.name, &mut out);
        key("description", &mut out);
        quote(&self.description(field), &mut out);
        key("inputSchema", &mut out);
        out.extend_from_slice(b"{\"type\":\"object\",\"properties\":{");
        let mut input = Input::new(&self.schema, limits);
        input.arguments(field, &mut out)?;
        if let Some((name, of)) = &self.select {
            key(name, &mut out);
            out.extend_from_slice(b"{\"type\":\"string\",\"maxLength\":8192,\"description\":");
            let text = format!(
                "Fields of {of} to return, as names with nested braces, such as `{{ id owner {{ id }} }}`. Without \
                 arguments, aliases or directives; at most {} levels of braces inside. By default: {}",
                self.levels,
                shortened(&self.selection, 1024)
            );
            quote(&text, &mut out);
            out.push(b'}');
        }
        out.push(b'}');
        write_required(&field.arguments, &mut out);
        out.extend_from_slice(b",\"additionalProperties\":false");
        input.write_defs(&mut out)?;
        notes.extend(input.widened.iter().copied().map(NoteKind::Widened));
        // Queries have no side effects; of a mutation nothing is known but that it may have any.
        let read_only = self.operation == OperationType::Query;
        let hints = format!(
            "}},\"annotations\":{{\"readOnlyHint\":{read_only},\"destructiveHint\":{},\"idempotentHint\":{read_only},\"openWorldHint\":true}}",
            !read_only
        );
        out.extend_from_slice(hints.as_bytes());
        out.extend_from_slice(b",\"_meta\":{\"interlock/graphql\":{\"operation\":\"");
        out.extend_from_slice(self.operation.as_str().as_bytes());
        out.push(b'"');
        key("field", &mut out);
        quote(&self.field, &mut out);
        key("document", &mut out);
        quote(&self.document(&self.selection), &mut out);
        out.extend_from_slice(b"}}}");
        if out.len() > limits.definition_bytes || Json::parse(&out, Limits::DEFINITION).is_err() {
            return Err(Reason::TooLarge);
        }
        Ok(out.into())
    }

    fn description(&self, field: &schema::Field) -> String {
        let own = field.description.as_deref().map(str::trim).filter(|d| !d.is_empty());
        let mut text =
            own.map_or_else(|| format!("GraphQL {} `{}`", self.operation.as_str(), self.field), str::to_owned);
        if field.is_deprecated {
            text.push_str("\n\nDeprecated.");
        }
        shortened(&text, DESCRIPTION)
    }

    fn document(&self, selection: &str) -> String {
        let space = if selection.is_empty() { "" } else { " " };
        format!("{}{space}{selection} }}", self.head)
    }

    /// The request for a call; absent arguments are `{}`. To be sent to the configured endpoint as it stands
    /// ([`HttpRequest::path_and_query`] is empty).
    ///
    /// # Errors
    ///
    /// [`CallError`]; nothing was sent then.
    pub fn request(&self, arguments: Option<View<'_>>) -> Result<HttpRequest, CallError> {
        let given = Given::read(arguments)?;
        let select = self.select.as_ref();
        let is_select = |name: &str| select.is_some_and(|(own, _)| own == name);
        given.refuse_unknown(|name| is_select(name) || self.arguments.iter().any(|a| a == name))?;
        if let Some(argument) = self.required.iter().find(|name| given.get(name).is_none()) {
            return Err(CallError::Missing { argument: argument.clone() });
        }
        let document = match select.and_then(|(name, of)| Some((name, of, given.get(name)?))) {
            Some((name, of, value)) if value.kind() != Kind::Null => {
                let fault = CallError::Value { argument: name.clone(), fault: ValueFault::Text };
                let text = value.as_str().ok_or(fault)?;
                let selection = selection::by_text(&self.schema, of, self.levels, &text);
                self.document(&selection.map_err(|(at, fault)| CallError::Selection { at, fault })?)
            }
            _ => self.document(&self.selection),
        };
        let mut body = b"{\"query\":".to_vec();
        quote(&document, &mut body);
        key("operationName", &mut body);
        quote(&self.name.replace('-', "_"), &mut body);
        key("variables", &mut body);
        body.push(b'{');
        // In the schema's order. A variable that is absent is an argument that is absent (section 6.4.1).
        for name in &self.arguments {
            if let Some(value) = given.get(name) {
                key(name, &mut body);
                body.extend_from_slice(value.raw());
            }
        }
        body.extend_from_slice(b"}}");
        Ok(HttpRequest {
            method: Method::Post,
            path_and_query: String::new(),
            headers: Vec::new(),
            body: Some(body.into()),
            content_type: Some("application/json".to_owned()),
        })
    }

    /// The tool result for a response (see [`crate::tool_result`]).
    ///
    /// An error, besides what is one of HTTP: no GraphQL response, or `errors` and nothing for this field in `data`
    /// (section 7.1).
    #[must_use]
    pub fn result(&self, response: &HttpResponse<'_>, limits: &ResultLimits) -> Bytes {
        response::tool_result(&self.field, response, limits)
    }
}

/// The document up to the selection: `query query_pet($id: ID!) { pet(id: $id)`.
fn head(operation: OperationType, field: &schema::Field, name: &str) -> String {
    // A fitted name has letters, digits and underscores, as the field's own has.
    let mut head = format!("{} {}", operation.as_str(), name.replace('-', "_"));
    let list = |text: &dyn Fn(&schema::InputValue) -> String| {
        let texts: Vec<String> = field.arguments.iter().map(text).collect();
        if texts.is_empty() { String::new() } else { format!("({})", texts.join(", ")) }
    };
    head.push_str(&list(&|argument| format!("${}: {}", argument.name, variable_type(argument))));
    head.push_str(&format!(" {{ {}", field.name));
    head.push_str(&list(&|argument| format!("{0}: ${0}", argument.name)));
    head
}

/// The argument's type, but nullable where there is a default, so that the variable may be absent (section 5.8.5).
fn variable_type(argument: &schema::InputValue) -> String {
    let type_ref = &argument.type_ref;
    match type_ref.around.split_first() {
        Some((schema::Around::NonNull, rest)) if argument.has_default => {
            TypeRef { name: type_ref.name.clone(), around: rest.to_vec() }.text()
        }
        _ => type_ref.text(),
    }
}
