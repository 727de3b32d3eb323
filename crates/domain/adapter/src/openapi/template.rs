//! Path templates: literals and `{name}` in between.
//!
//! A call fills the expressions and nothing else: the number of segments, and every literal, are the description's.
//! Source: OpenAPI 3.1.1, "Path Templating"; RFC 3986, section 3.3.

use super::value::ValueFault;
use crate::percent;

/// A path template that begins with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    segments: Vec<Vec<Part>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Encoded.
    Literal(String),
    /// A parameter's name.
    Expression(String),
}

/// Why a path is not one that requests can be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    /// No slash at the start.
    #[error("the path does not begin with a slash")]
    Start,
    /// A query or fragment in it.
    #[error("the path has a query or a fragment")]
    Query,
    /// A brace without its other half, or an empty expression.
    #[error("the path has an unfinished or empty expression")]
    Expression,
    /// A segment that changes which resource is meant.
    #[error("the path has a dot segment or a control character")]
    Segment,
    /// No parameter is described for an expression.
    #[error("no parameter is described for a part of the path")]
    Undescribed,
}

impl Template {
    pub(super) fn parse(path: &str) -> Result<Self, TemplateFault> {
        let segments = path.strip_prefix('/').ok_or(TemplateFault::Start)?;
        let segments = split(segments)?.into_iter().map(segment).collect::<Result<_, _>>()?;
        Ok(Self { segments })
    }

    /// The names of the expressions, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().flatten().filter_map(|part| match part {
            Part::Expression(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// The path with `value(name)`, encoded, in place of each expression.
    ///
    /// # Errors
    ///
    /// What `value` says, or that a segment would be empty or a dot segment, with the name of its last expression.
    pub(super) fn fill<E>(
        &self,
        mut value: impl FnMut(&str) -> Result<String, E>,
        fault: impl Fn(&str, ValueFault) -> E,
    ) -> Result<String, E> {
        let mut out = String::new();
        for parts in &self.segments {
            out.push('/');
            let start = out.len();
            let mut filled = None;
            for part in parts {
                match part {
                    Part::Literal(text) => out.push_str(text),
                    Part::Expression(name) => {
                        out.push_str(&value(name)?);
                        filled = Some(name.as_str());
                    }
                }
            }
            let segment = out.get(start..).unwrap_or_default();
            if let Some(name) = filled {
                if segment.is_empty() {
                    return Err(fault(name, ValueFault::Empty));
                }
                check(&percent::decode(segment.as_bytes())).map_err(|found| fault(name, found))?;
            }
        }
        Ok(out)
    }
}

/// Refuses what no text in a path may be. Encoding keeps it in its segment for whoever reads addresses as RFC 3986 says;
/// servers that decode before they split, decode twice, or cut a segment at `;`, are why its parts are looked at here.
pub(super) fn check(text: &[u8]) -> Result<(), ValueFault> {
    /// How often some server may decode.
    const LAYERS: usize = 4;
    let mut bytes = text.to_vec();
    for _ in 0..LAYERS {
        if bytes.iter().any(u8::is_ascii_control) {
            return Err(ValueFault::Control);
        }
        let parts = bytes.split(|b| matches!(b, b'/' | b'\\'));
        let mut names = parts.map(|part| part.split(|b| *b == b';').next().unwrap_or_default());
        if names.any(|name| matches!(name, b"." | b"..")) {
            return Err(ValueFault::DotSegment);
        }
        let decoded = percent::decode(&bytes);
        if decoded == bytes {
            break;
        }
        bytes = decoded;
    }
    Ok(())
}

/// Splits at slashes, but not inside of braces.
fn split(path: &str) -> Result<Vec<&str>, TemplateFault> {
    let mut segments = Vec::new();
    let (mut start, mut inside) = (0, false);
    for (at, byte) in path.bytes().enumerate() {
        match (byte, inside) {
            (b'{', false) => inside = true,
            (b'}', true) => inside = false,
            (b'{', true) | (b'}', false) => return Err(TemplateFault::Expression),
            (b'?' | b'#', false) => return Err(TemplateFault::Query),
            (b'/', false) => {
                segments.push(path.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err(TemplateFault::Expression);
    }
    segments.push(path.get(start..).unwrap_or_default());
    Ok(segments)
}

fn segment(text: &str) -> Result<Vec<Part>, TemplateFault> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (literal, expression, after) = match rest.split_once('{') {
            Some((literal, tail)) => {
                let (name, after) = tail.split_once('}').ok_or(TemplateFault::Expression)?;
                if name.is_empty() {
                    return Err(TemplateFault::Expression);
                }
                (literal, Some(name), after)
            }
            None => (rest, None, ""),
        };
        if !literal.is_empty() {
            parts.push(Part::Literal(self::literal(literal)));
        }
        parts.extend(expression.map(|name| Part::Expression(name.to_owned())));
        rest = after;
    }
    let is_literal = parts.iter().all(|part| matches!(part, Part::Literal(_)));
    match check(text.as_bytes()) {
        Err(ValueFault::DotSegment) if !is_literal => {}
        Err(_) => return Err(TemplateFault::Segment),
        Ok(()) => {}
    }
    Ok(parts)
}

/// Encoded where it is not: authors write both. What may stand in a segment (RFC 3986, `pchar`) stays.
fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let encoded = *byte == b'%' && percent::triplet(bytes.get(at..).unwrap_or_default()).is_some();
        if encoded || percent::is_unreserved(*byte) || b"!$&'()*+,;=:@".contains(byte) {
            out.push(char::from(*byte));
        } else {
            percent::push_triplet(*byte, &mut out);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(path: &str, value: &str) -> Result<String, String> {
        let template = Template::parse(path).map_err(|e| e.to_string())?;
        template.fill(|_| Ok(percent::encoded(value)), |name, fault| format!("{name}: {fault}"))
    }

    #[test]
    fn table() {
        for (path, value, expected) in [
            ("/", "x", Ok("/")),
            ("/pets/{id}", "7", Ok("/pets/7")),
            ("/pets/{id}/", "a/b", Ok("/pets/a%2Fb/")),
            ("/a b/%41/{x}.{y}", "é", Ok("/a%20b/%41/%C3%A9.%C3%A9")),
            ("//{x}", "1", Ok("//1")),
            ("/{a/b}", "1", Ok("/1")),
            ("/v1/users:batch/{x}", "?#", Ok("/v1/users:batch/%3F%23")),
            ("/pets/{id}", "", Err("id: a part of the path must not be empty")),
            ("/pets/{id}", "..", Err("id: a part of the path must not be a dot segment")),
            ("/{a}{b}", ".", Err("b: a part of the path must not be a dot segment")),
            ("/.{a}", ".", Err("a: a part of the path must not be a dot segment")),
            ("/x%2F{a}{b}", "%2", Ok("/x%2F%252%252")),
            ("/x%2F.{a}", ".", Err("a: a part of the path must not be a dot segment")),
            ("/x%2F.{a}", "%2e", Err("a: a part of the path must not be a dot segment")),
            ("/..;{a}", "x", Err("a: a part of the path must not be a dot segment")),
            ("pets", "", Err("the path does not begin with a slash")),
            ("/pets?x={y}", "", Err("the path has a query or a fragment")),
            ("/pets/{id", "", Err("the path has an unfinished or empty expression")),
            ("/pets/{}", "", Err("the path has an unfinished or empty expression")),
            ("/pets/id}", "", Err("the path has an unfinished or empty expression")),
            ("/a/../b", "", Err("the path has a dot segment or a control character")),
            ("/a/%2e%2E/b", "", Err("the path has a dot segment or a control character")),
            ("/a/%0d%0a/b", "", Err("the path has a dot segment or a control character")),
        ] {
            assert_eq!(filled(path, value), expected.map(str::to_owned).map_err(str::to_owned), "{path} {value}");
        }
    }
}
