//! OpenAPI 3.0 and 3.1 descriptions as tools.
//!
//! What the description says about destinations and credentials is not used: requests go to the configured base
//! address whatever `servers` says, and parameters that authenticate are not arguments. `callbacks`, `webhooks`, `links`
//! and the schemas of responses are not read.
//!
//! Source: OpenAPI 3.1.1 and 3.0.4.

mod body;
mod operation;
mod parameter;
mod request;
mod reserved;
mod schema;
mod template;
mod value;

#[cfg(test)]
mod tests;

pub use operation::Operation;
pub use parameter::ParameterFault;
pub(crate) use request::Given;
pub use schema::Widened;
pub use template::TemplateFault;
pub use value::ValueFault;

use crate::http::Method;
use crate::import::{About, DescriptionError, Import, LeftOut, Note, Reason};
use crate::limits::Limits;
use crate::name::{self, Candidate};
use crate::quote::visible;
use crate::refs::Refs;
use crate::yaml;
use interlock_model::json::{Json, Kind};
use operation::{Common, Site};
use parameter::Location;
use reserved::Reserved;
use std::borrow::Cow;
use std::sync::Arc;

/// The versions whose rules differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V30,
    V31,
}

/// Reads a description and makes a tool of each operation. What begins with a brace is read as JSON, all else as YAML,
/// whose numbers may lose digits that a double does not hold.
///
/// # Errors
///
/// [`DescriptionError`] if the document as a whole cannot be read; what is wrong with single operations is in
/// [`Import::left_out`].
pub fn import(text: &[u8], limits: &Limits) -> Result<Import<Operation>, DescriptionError> {
    import_beside(text, &Beside::default(), limits)
}

/// What the gateway sends with every request, by name: no arguments, whatever the description says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Header fields.
    pub headers: Vec<String>,
    /// Cookies.
    pub cookies: Vec<String>,
}

/// The same as [`import`] where the gateway sends something with every request.
///
/// # Errors
///
/// As [`import`].
pub fn import_beside(text: &[u8], beside: &Beside, limits: &Limits) -> Result<Import<Operation>, DescriptionError> {
    if text.len() > limits.bytes {
        return Err(DescriptionError::TooLarge { len: text.len(), max: limits.bytes });
    }
    let is_json = text.trim_ascii_start().starts_with(b"{");
    let text = if is_json { Cow::Borrowed(text) } else { Cow::Owned(yaml::to_json(text, limits)?) };
    let json = Json::parse(&*text, limits.json())?;
    let mut refs = Refs::new(json.root(), limits.work);
    let version = version(&mut refs)?;
    let about = about(&mut refs);
    let mut reserved = reserved(&mut refs);
    beside.headers.iter().for_each(|name| reserved.insert(Location::Header, name));
    beside.cookies.iter().for_each(|name| reserved.insert(Location::Cookie, name));
    let reserved = Arc::new(reserved);
    let common = Common { version, reserved, limits };
    let mut left_out = Vec::new();
    let sites = sites(&mut refs, limits, &mut left_out)?;
    if refs.is_exhausted() {
        return Err(DescriptionError::Exhausted);
    }
    let candidates: Vec<Candidate> = sites.iter().map(|site| candidate(&mut refs, site)).collect();
    let mut import = Import { tools: Vec::new(), left_out, notes: Vec::new(), about };
    let mut total = 0_usize;
    for (site, name) in sites.iter().zip(name::assign(&candidates)) {
        let mut kinds = Vec::new();
        let read = match name {
            None => Err(Reason::Name),
            Some(_) if refs.is_exhausted() || total > limits.total_bytes => Err(Reason::Exhausted),
            Some(name) => Operation::read(&mut refs, &common, site, &name, &mut kinds),
        };
        // What was read after the work was used up is not what the description says.
        let read = if refs.is_exhausted() { Err(Reason::Exhausted) } else { read };
        match read {
            Ok(operation) => {
                total = total.saturating_add(operation.definition().len());
                import.notes.extend(kinds.into_iter().map(|kind| Note { tool: operation.name().to_owned(), kind }));
                import.tools.push(operation);
            }
            Err(reason) => import.left_out.push(LeftOut { what: visible_site(site), reason }),
        }
    }
    Ok(import)
}

fn version(refs: &mut Refs<'_>) -> Result<Version, DescriptionError> {
    let root = refs.root();
    let must = |expected| DescriptionError::Member { member: "(the description)", expected };
    if root.kind() != Kind::Object {
        return Err(must("an object"));
    }
    let found = refs.text(root, "openapi");
    match found.as_deref() {
        Some(v) if v == "3.0" || v.starts_with("3.0.") => Ok(Version::V30),
        Some(v) if v == "3.1" || v.starts_with("3.1.") => Ok(Version::V31),
        other => {
            let found = other.map(visible).or_else(|| refs.text(root, "swagger").map(|v| visible(&v)));
            Err(DescriptionError::Version { found: found.unwrap_or_default() })
        }
    }
}

/// "Info Object".
fn about(refs: &mut Refs<'_>) -> About {
    let Some(info) = refs.get(refs.root(), "info") else { return About::default() };
    let mut text = |name| refs.text(info, name).map(|t| t.trim().to_owned()).unwrap_or_default();
    About { title: text("title"), version: text("version") }
}

/// The parameters of the security schemes: a key in a header, query or cookie ("Security Scheme Object").
fn reserved(refs: &mut Refs<'_>) -> Reserved {
    let mut reserved = Reserved::default();
    let components = refs.get(refs.root(), "components");
    let Some(schemes) = components.and_then(|c| refs.get(c, "securitySchemes")) else { return reserved };
    for (_, scheme) in schemes.members() {
        let Ok(scheme) = refs.follow(scheme) else { continue };
        if refs.text(scheme, "type").as_deref() != Some("apiKey") {
            continue;
        }
        let place = refs.text(scheme, "in").and_then(|place| Location::of_scheme(&place));
        if let (Some(place), Some(name)) = (place, refs.text(scheme, "name")) {
            reserved.insert(place, &name);
        }
    }
    reserved
}

/// The operations in the order of the document.
fn sites<'a>(
    refs: &mut Refs<'a>,
    limits: &Limits,
    left_out: &mut Vec<LeftOut>,
) -> Result<Vec<Site<'a>>, DescriptionError> {
    let must = DescriptionError::Member { member: "paths", expected: "an object" };
    let paths = refs.get(refs.root(), "paths").filter(|p| p.kind() == Kind::Object).ok_or(must)?;
    let mut sites = Vec::new();
    for (path, item) in paths.members() {
        let Some(path) = path.as_str().filter(|path| !path.starts_with("x-")) else { continue };
        let mut leave_out = |method: &str, reason| {
            left_out.push(LeftOut { what: format!("{method} {}", visible(&path)).trim().to_owned(), reason });
        };
        let item = match refs.follow(item) {
            Ok(item) => item,
            Err(fault) => {
                leave_out("", fault.into());
                continue;
            }
        };
        for (member, operation) in item.members() {
            if !refs.spend() {
                return Err(DescriptionError::Exhausted);
            }
            let Some(member) = member.as_str() else { continue };
            match Method::of_member(&member) {
                Some(method) if sites.len() < limits.tools => {
                    sites.push(Site { method, path: path.clone().into_owned(), item, operation });
                }
                Some(method) => leave_out(method.as_str(), Reason::TooMany),
                None if member == "trace" => leave_out("TRACE", Reason::Method),
                None => {}
            }
        }
    }
    Ok(sites)
}

fn candidate<'a>(refs: &mut Refs<'a>, site: &Site<'a>) -> Candidate {
    let id = refs.text(site.operation, "operationId");
    let has_letter = |id: &str| id.bytes().any(|b| b.is_ascii_alphanumeric());
    let wanted = match id {
        Some(id) if has_letter(&id) => id.into_owned(),
        _ => format!("{}{}", site.method.as_str().to_ascii_lowercase(), site.path),
    };
    Candidate { wanted, identity: site.identity() }
}

fn visible_site(site: &Site<'_>) -> String {
    format!("{} {}", site.method, visible(&site.path))
}
