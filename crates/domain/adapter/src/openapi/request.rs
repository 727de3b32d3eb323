//! From a call's arguments to a request.

use super::operation::Operation;
use super::parameter::{Location, Parameter};
use super::value::ValueFault;
use crate::call::CallError;
use crate::http::HttpRequest;
use crate::quote::visible;
use interlock_model::json::{Kind, View};
use std::borrow::Cow;
use std::collections::HashMap;

/// Most bytes of path and query. RFC 9110, section 4.1, asks for 8000; few servers take more than 16 KiB.
const TARGET_MAX: usize = 16 * 1024;
/// Most bytes of all header and cookie parameters.
const HEADERS_MAX: usize = 8 * 1024;

impl Operation {
    /// The request for a call; absent arguments are `{}`.
    ///
    /// Expects arguments that fit the input schema, but relies on it for nothing: whatever they hold, the request has the
    /// described method, the path's segments, the described parameters and no others.
    ///
    /// Null for an optional parameter is the same as leaving it out (RFC 6570, section 2.3); as a JSON body it is `null`.
    ///
    /// # Errors
    ///
    /// [`CallError`]; nothing was sent then.
    pub fn request(&self, arguments: Option<View<'_>>) -> Result<HttpRequest, CallError> {
        let arguments = Given::read(arguments)?;
        let known = |name: &str| self.body.is_some() && name == "body" || self.arguments.iter().any(|a| a.name == name);
        arguments.refuse_unknown(known)?;

        let path = self.template.fill(
            |name| self.in_path(name, &arguments),
            |name, fault| CallError::Value { argument: self.argument_of(name).to_owned(), fault },
        )?;
        let mut query = Vec::new();
        let mut headers = Vec::new();
        let mut cookies = Vec::new();
        for argument in &self.arguments {
            let parameter = &argument.parameter;
            if parameter.location == Location::Path {
                continue;
            }
            let Some(value) = arguments.value(&argument.name, parameter.required)? else { continue };
            let fault = |fault| CallError::Value { argument: argument.name.clone(), fault };
            match parameter.location {
                Location::Path => {}
                Location::Query => {
                    query.extend(parameter.in_query(value, |name| self.is_taken(parameter, name)).map_err(fault)?);
                }
                Location::Header => {
                    let text = parameter.in_header(value).map_err(fault)?;
                    headers.extend(text.map(|text| (parameter.name.clone(), text)));
                }
                Location::Cookie => cookies.extend(parameter.in_cookie(value).map_err(fault)?),
            }
        }
        if !cookies.is_empty() {
            headers.push(("Cookie".to_owned(), cookies.join("; ")));
        }
        let mut path_and_query = path;
        if !query.is_empty() {
            path_and_query.push('?');
            path_and_query.push_str(&query.join("&"));
        }
        within("path and query", path_and_query.len(), TARGET_MAX)?;
        within("headers", headers.iter().map(|(name, text)| name.len() + text.len() + 4).sum(), HEADERS_MAX)?;

        let content = match &self.body {
            None => None,
            Some(body) => match arguments.get("body") {
                None if body.required => return Err(CallError::Missing { argument: "body".to_owned() }),
                None => None,
                Some(argument) => {
                    let content = body.content(argument);
                    let content = content.map_err(|fault| CallError::Value { argument: "body".to_owned(), fault })?;
                    Some((content, body.media_type.clone()))
                }
            },
        };
        let (body, content_type) = content.unzip();
        Ok(HttpRequest { method: self.method, path_and_query, headers, body, content_type })
    }

    fn in_path(&self, name: &str, arguments: &Given<'_>) -> Result<String, CallError> {
        let found = self.arguments.iter().find(|a| is_path(&a.parameter, name));
        // Every expression has a parameter, or there would be no tool.
        let missing = || CallError::Missing { argument: visible(name) };
        let argument = found.ok_or_else(missing)?;
        let value = arguments.value(&argument.name, true)?.ok_or_else(missing)?;
        let fault = |fault| CallError::Value { argument: argument.name.clone(), fault };
        argument.parameter.in_path(value).map_err(fault)
    }

    fn argument_of(&self, name: &str) -> &str {
        self.arguments.iter().find(|a| is_path(&a.parameter, name)).map_or("", |a| &a.name)
    }

    /// Whether a name in the query is for others to set: another parameter's, or a credential's.
    fn is_taken(&self, own: &Parameter, name: &str) -> bool {
        // Without regard to case, as some servers read them.
        let name = name.to_ascii_lowercase();
        name != own.name.to_ascii_lowercase() && self.query_names.contains(&name)
            || self.reserved.has(Location::Query, &name)
    }
}

fn is_path(parameter: &Parameter, name: &str) -> bool {
    parameter.location == Location::Path && parameter.name == name
}

fn within(what: &'static str, len: usize, max: usize) -> Result<(), CallError> {
    if len > max { Err(CallError::TooLong { what, len, max }) } else { Ok(()) }
}

/// A call's arguments by name.
pub(crate) struct Given<'a>(HashMap<Cow<'a, str>, View<'a>>);

impl<'a> Given<'a> {
    pub(crate) fn read(arguments: Option<View<'a>>) -> Result<Self, CallError> {
        let Some(arguments) = arguments else { return Ok(Self(HashMap::new())) };
        if arguments.kind() != Kind::Object {
            return Err(CallError::NotAnObject);
        }
        let mut members = HashMap::new();
        for (key, value) in arguments.members() {
            // A name that is not text is no argument's.
            let Some(name) = key.as_str() else {
                return Err(CallError::Unknown { argument: visible(&String::from_utf8_lossy(key.raw())) });
            };
            members.insert(name, value);
        }
        Ok(Self(members))
    }

    pub(crate) fn refuse_unknown(&self, known: impl Fn(&str) -> bool) -> Result<(), CallError> {
        // The first in alphabetical order: the same answer to the same call.
        match self.0.keys().filter(|name| !known(name)).min() {
            Some(name) => Err(CallError::Unknown { argument: visible(name) }),
            None => Ok(()),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<View<'a>> {
        self.0.get(name).copied()
    }

    /// The value; `None` if it is absent or null.
    fn value(&self, name: &str, required: bool) -> Result<Option<View<'a>>, CallError> {
        match self.get(name) {
            None if required => Err(CallError::Missing { argument: name.to_owned() }),
            Some(value) if value.kind() == Kind::Null && required => {
                Err(CallError::Value { argument: name.to_owned(), fault: ValueFault::Null })
            }
            found => Ok(found.filter(|value| value.kind() != Kind::Null)),
        }
    }
}
