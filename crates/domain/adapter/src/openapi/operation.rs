//! One operation as one tool.
//!
//! Source: OpenAPI 3.1.1, "Path Item Object", "Operation Object", "Request Body Object"; MCP 2026-07-28, server/tools.

use super::parameter::{Location, Parameter};
use super::reserved::Reserved;
use super::schema::Schemas;
use super::template::{Template, TemplateFault};
use super::{Version, body::Body};
use crate::http::{HttpResponse, Method};
use crate::import::{NoteKind, Reason};
use crate::limits::Limits;
use crate::name;
use crate::quote::{key, quote, shortened, visible};
use crate::refs::Refs;
use crate::result::{ResultLimits, tool_result};
use bytes::Bytes;
use interlock_model::json::{Json, Kind, View};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Most bytes of a tool's description.
const DESCRIPTION: usize = 4 * 1024;
/// Most bytes of an argument's description.
const ARGUMENT_DESCRIPTION: usize = 1024;
/// The argument that is the request body.
const BODY: &str = "body";

/// One operation of a description, as a tool.
#[derive(Clone, Debug)]
pub struct Operation {
    pub(super) name: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) template: Template,
    pub(super) arguments: Vec<Argument>,
    pub(super) body: Option<Body>,
    /// Names in the query (lower case) that are not for the members of an exploded object to take.
    pub(super) query_names: HashSet<String>,
    /// What the gateway sets.
    pub(super) reserved: Arc<Reserved>,
    definition: Bytes,
}

/// A parameter and the argument that fills it.
#[derive(Clone, Debug)]
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) parameter: Parameter,
}

/// Where an operation stands in its description.
#[derive(Clone, Debug)]
pub(super) struct Site<'a> {
    pub(super) method: Method,
    pub(super) path: String,
    /// The path item, references followed.
    pub(super) item: View<'a>,
    pub(super) operation: View<'a>,
}

impl Site<'_> {
    /// Unique in the description.
    pub(super) fn identity(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What holds for all operations of a description.
pub(super) struct Common<'l> {
    pub(super) version: Version,
    pub(super) reserved: Arc<Reserved>,
    pub(super) limits: &'l Limits,
}

impl Operation {
    /// The tool's name: 1 to 64 of `A-Z a-z 0-9 _ -`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The request's method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The path template, as the description has it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tool object (MCP server/tools, "Tool"), as JSON. The input schema is JSON Schema 2020-12; `_meta` has
    /// `interlock/http` with `method`, `path` and, for each argument, where it goes in the request and how: what is sent
    /// for a call follows from the definition, so that who approved the one has approved the other.
    #[must_use]
    pub const fn definition(&self) -> &Bytes {
        &self.definition
    }

    /// The tool result for a response: [`crate::tool_result`], which knows no differences between operations.
    #[must_use]
    pub fn result(&self, response: &HttpResponse<'_>, limits: &ResultLimits) -> Bytes {
        tool_result(response, limits)
    }

    pub(super) fn read<'a>(
        refs: &mut Refs<'a>,
        common: &Common<'_>,
        site: &Site<'a>,
        name: &str,
        notes: &mut Vec<NoteKind>,
    ) -> Result<Self, Reason> {
        if site.operation.kind() != Kind::Object {
            return Err(Reason::Form);
        }
        let template = Template::parse(&site.path)?;
        let described = parameters(refs, common, site, &template, notes)?;
        let body = Body::read(refs, common.version, site, notes)?;
        if refs.get(site.operation, "servers").or_else(|| refs.get(site.item, "servers")).is_some() {
            notes.push(NoteKind::Servers);
        }
        let names = argument_names(&described, body.is_some());
        let definition = definition(refs, common, site, name, &names, &described, body.as_ref(), notes)?;
        let arguments = names.into_iter().zip(described);
        let arguments = arguments.map(|(name, described)| Argument { name, parameter: described.parameter });
        let arguments: Vec<Argument> = arguments.collect();
        let query = arguments.iter().map(|a| &a.parameter).filter(|p| p.location == Location::Query);
        let query_names = query.map(|p| p.name.to_ascii_lowercase()).collect();
        Ok(Self {
            name: name.to_owned(),
            method: site.method,
            path: site.path.clone(),
            template,
            arguments,
            body: body.map(|(body, _)| body),
            query_names,
            reserved: common.reserved.clone(),
            definition,
        })
    }
}

/// A parameter with what only the definition needs.
struct Described<'a> {
    parameter: Parameter,
    schema: Option<View<'a>>,
    description: Option<String>,
}

/// The operation's parameters, those of the path item first; one of the same name and place replaces it.
fn parameters<'a>(
    refs: &mut Refs<'a>,
    common: &Common<'_>,
    site: &Site<'a>,
    template: &Template,
    notes: &mut Vec<NoteKind>,
) -> Result<Vec<Described<'a>>, Reason> {
    let mut found: Vec<Described<'a>> = Vec::new();
    let mut places: HashMap<(Location, String), usize> = HashMap::new();
    let in_template: HashSet<&str> = template.names().collect();
    for holder in [site.item, site.operation] {
        let Some(list) = refs.get(holder, "parameters") else { continue };
        for view in list.elements() {
            if !refs.spend() {
                return Err(Reason::Exhausted);
            }
            let view = refs.follow(view)?;
            let name = refs.text(view, "name").map(|n| visible(&n)).unwrap_or_default();
            let (parameter, schema) = match Parameter::read(refs, view) {
                Ok(read) => read,
                Err(fault)
                    if refs.flag(view, "required") == Some(true)
                        || refs.text(view, "in").is_none_or(|p| p == "path") =>
                {
                    return Err(Reason::Parameter { name, fault });
                }
                Err(fault) => {
                    notes.push(NoteKind::Parameter { name, fault });
                    continue;
                }
            };
            if common.reserved.has(parameter.location, &parameter.name) {
                notes.push(NoteKind::Reserved(name));
                continue;
            }
            // "Parameter Object", `name`: a path parameter corresponds to a template expression.
            if parameter.location == Location::Path && !in_template.contains(parameter.name.as_str()) {
                continue;
            }
            let description = refs.text(view, "description").map(|d| shortened(&d, ARGUMENT_DESCRIPTION));
            let described = Described { parameter, schema, description };
            let place = (described.parameter.location, described.parameter.name.clone());
            match places.get(&place).and_then(|at| found.get_mut(*at)) {
                Some(slot) => *slot = described,
                None => {
                    places.insert(place, found.len());
                    found.push(described);
                }
            }
        }
    }
    let described = |name: &&str| places.contains_key(&(Location::Path, (*name).to_owned()));
    if !in_template.iter().all(described) {
        return Err(TemplateFault::Undescribed.into());
    }
    Ok(found)
}

/// The arguments' names: the parameter's, with its place before it where another argument would have the same.
fn argument_names(described: &[Described<'_>], has_body: bool) -> Vec<String> {
    let fitted: Vec<String> = described.iter().map(|d| name::argument(&d.parameter.name)).collect();
    let mut count: HashMap<&str, usize> = HashMap::new();
    for name in &fitted {
        *count.entry(name).or_default() += 1;
    }
    let is_alone = |name: &str| count.get(name) == Some(&1) && !(has_body && name == BODY);
    // Those that keep their names come first, so that no other can take one away.
    let mut taken: HashSet<String> = fitted.iter().filter(|n| is_alone(n)).cloned().collect();
    if has_body {
        taken.insert(BODY.to_owned());
    }
    let names = fitted.iter().zip(described).map(|(name, described)| {
        if is_alone(name) {
            return name.clone();
        }
        // Within the bytes that an argument's name may have, whatever is put around it.
        let name = name.get(..48).unwrap_or(name);
        let name = name::free(format!("{}_{name}", described.parameter.location.as_str()), &taken);
        taken.insert(name.clone());
        name
    });
    names.collect()
}

#[expect(clippy::too_many_arguments, reason = "one definition is written from all that is known of it, in one place")]
fn definition<'a>(
    refs: &mut Refs<'a>,
    common: &Common<'_>,
    site: &Site<'a>,
    name: &str,
    names: &[String],
    described: &[Described<'a>],
    body: Option<&(Body, Option<View<'a>>)>,
    notes: &mut Vec<NoteKind>,
) -> Result<Bytes, Reason> {
    let description = description(refs, site);
    let mut out = Vec::with_capacity(1024);
    out.push(b'{');
    key("name", &mut out);
    quote(name, &mut out);
    key("description", &mut out);
    quote(&description, &mut out);
    key("inputSchema", &mut out);
    out.extend_from_slice(b"{\"type\":\"object\",\"properties\":{");
    let mut schemas = Schemas::new(refs, common.version, common.limits);
    for (name, described) in names.iter().zip(described) {
        key(name, &mut out);
        write_schema(&mut schemas, described.schema, described.description.as_deref(), &mut out);
    }
    if let Some((body, schema)) = body {
        key(BODY, &mut out);
        let text = body.description.as_deref().or(Some("The request body."));
        write_schema(&mut schemas, *schema, text, &mut out);
    }
    out.push(b'}');
    let required = names.iter().zip(described).filter(|(_, d)| d.parameter.required).map(|(name, _)| name.as_str());
    let body_required = body.is_some_and(|(body, _)| body.required).then_some(BODY);
    let required: Vec<&str> = required.chain(body_required).collect();
    if !required.is_empty() {
        key("required", &mut out);
        for (i, name) in required.iter().enumerate() {
            out.push(if i == 0 { b'[' } else { b',' });
            quote(name, &mut out);
        }
        out.push(b']');
    }
    out.extend_from_slice(b",\"additionalProperties\":false");
    schemas.write_defs(&mut out);
    notes.extend(schemas.widened().into_iter().map(NoteKind::Widened));
    out.push(b'}');
    write_annotations(site.method, &mut out);
    out.extend_from_slice(b",\"_meta\":{\"interlock/http\":{\"method\":\"");
    out.extend_from_slice(site.method.as_str().as_bytes());
    out.extend_from_slice(b"\",\"path\":");
    quote(&site.path, &mut out);
    write_ways(names, described, body.map(|(body, _)| body), &common.reserved, &mut out);
    out.extend_from_slice(b"}}}");
    if out.len() > common.limits.definition_bytes || Json::parse(&out, Limits::DEFINITION).is_err() {
        return Err(Reason::TooLarge);
    }
    Ok(out.into())
}

/// Appends `,"arguments":{...}`: where each goes, unless there are none.
fn write_ways(
    names: &[String],
    described: &[Described<'_>],
    body: Option<&Body>,
    reserved: &Reserved,
    out: &mut Vec<u8>,
) {
    if names.is_empty() && body.is_none() {
        return;
    }
    let set_apart = reserved.in_query();
    key("arguments", out);
    out.push(b'{');
    for (name, described) in names.iter().zip(described) {
        key(name, out);
        quote(&described.parameter.way(&set_apart), out);
    }
    if let Some(body) = body {
        key(BODY, out);
        quote(&format!("body, {}", body.media_type), out);
    }
    out.push(b'}');
}

fn write_schema<'a>(
    schemas: &mut Schemas<'_, 'a>,
    schema: Option<View<'a>>,
    description: Option<&str>,
    out: &mut Vec<u8>,
) {
    match (schema, description) {
        (Some(schema), _) => schemas.write(schema, description, 3, out),
        (None, Some(description)) => {
            out.push(b'{');
            key("description", out);
            quote(description, out);
            out.push(b'}');
        }
        (None, None) => out.extend_from_slice(b"{}"),
    }
}

fn description<'a>(refs: &mut Refs<'a>, site: &Site<'a>) -> String {
    let mut text = |name| refs.text(site.operation, name).map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
    let mut parts = Vec::new();
    let (summary, long) = (text("summary"), text("description"));
    if summary != long {
        parts.extend(summary);
    }
    parts.extend(long);
    if parts.is_empty() {
        parts.push(site.identity());
    }
    if refs.flag(site.operation, "deprecated") == Some(true) {
        parts.push("Deprecated.".to_owned());
    }
    shortened(&parts.join("\n\n"), DESCRIPTION)
}

/// What the method says (RFC 9110, section 9.2), and where it says nothing, the worst: POST and PATCH may destroy.
fn write_annotations(method: Method, out: &mut Vec<u8>) {
    let (safe, idempotent) = (method.is_safe(), method.is_idempotent());
    let text = format!(
        ",\"annotations\":{{\"readOnlyHint\":{safe},\"destructiveHint\":{},\"idempotentHint\":{idempotent},\"openWorldHint\":true}}",
        !safe
    );
    out.extend_from_slice(text.as_bytes());
}
