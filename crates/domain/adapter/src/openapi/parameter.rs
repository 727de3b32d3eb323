//! One parameter: where its value goes and how it is spelled there.
//!
//! In scope: the styles, and what no value may do: end its segment, its query pair, its header line or its cookie.
//! Out of scope: whether the value fits the schema (the catalog checks that before).
//! Source: OpenAPI 3.1.1, "Parameter Object", "Style Values", "Style Examples"; RFC 6570; RFC 3986.

use super::template;
use super::value::{Value, ValueFault};
use crate::percent;
use crate::refs::Refs;
use interlock_model::json::{Kind, View};

/// Where a parameter stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Location {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// A header field.
    Header,
    /// A cookie.
    Cookie,
}

impl Location {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "path" => Self::Path,
            "query" => Self::Query,
            "header" => Self::Header,
            "cookie" => Self::Cookie,
            _ => return None,
        })
    }

    /// The word for it in descriptions.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }

    /// Where an `apiKey` scheme says that its key goes ("Security Scheme Object").
    pub(super) fn of_scheme(text: &str) -> Option<Self> {
        Self::parse(text).filter(|location| *location != Self::Path)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Simple,
    Label,
    Matrix,
    Form,
    SpaceDelimited,
    PipeDelimited,
    DeepObject,
    /// The value's JSON text, as it came (a parameter with `content`).
    Json,
}

impl Style {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Label => "label",
            Self::Matrix => "matrix",
            Self::Form => "form",
            Self::SpaceDelimited => "spaceDelimited",
            Self::PipeDelimited => "pipeDelimited",
            Self::DeepObject => "deepObject",
            Self::Json => "json",
        }
    }
}

/// A parameter, without its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    /// As the API knows it.
    pub(super) name: String,
    pub(super) location: Location,
    pub(super) required: bool,
    style: Style,
    explode: bool,
    allow_reserved: bool,
}

/// Why an operation's parameter is none that we can fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterFault {
    /// No name, no schema, or another member is not what it must be.
    #[error("not a parameter")]
    Form,
    /// A place that is not known.
    #[error("a parameter in a place other than path, query, header or cookie")]
    Location,
    /// The style is unknown, or not one of its place.
    #[error("a style that is not defined for the parameter's place")]
    Style,
    /// A media type other than JSON.
    #[error("a parameter of a media type other than JSON")]
    Content,
    /// A header's or cookie's name that cannot stand in a request.
    #[error("a name that a header or cookie cannot have")]
    Name,
}

impl Parameter {
    /// Where its argument goes and how it is spelled there, in words: `query tag, form, exploded`. Members of an exploded
    /// object become names in the query, but none of `set_apart`.
    pub(super) fn way(&self, set_apart: &[&str]) -> String {
        let Self { name, location, required: _, style, explode, allow_reserved } = self;
        let mut way = format!("{} {name}, {}", location.as_str(), style.as_str());
        way.push_str(if *explode { ", exploded" } else { "" });
        way.push_str(if *allow_reserved { ", reserved characters allowed" } else { "" });
        if *explode && *location == Location::Query && !set_apart.is_empty() {
            way.push_str(&format!(", save {}", set_apart.join(" ")));
        }
        way
    }

    /// Reads a parameter object (references followed before), and gives its schema; `None` where any value will do.
    pub(super) fn read<'a>(refs: &mut Refs<'a>, view: View<'a>) -> Result<(Self, Option<View<'a>>), ParameterFault> {
        let name = refs.text(view, "name").ok_or(ParameterFault::Form)?.into_owned();
        let place = refs.text(view, "in").ok_or(ParameterFault::Form)?;
        let location = Location::parse(&place).ok_or(ParameterFault::Location)?;
        let word = matches!(location, Location::Header | Location::Cookie);
        if name.is_empty() || word && !name.bytes().all(crate::media::is_token) {
            return Err(ParameterFault::Name);
        }
        let (style, schema) = match refs.get(view, "content") {
            Some(content) => (Style::Json, Some(json_content(refs, content).ok_or(ParameterFault::Content)?)),
            None => (style(location, refs.text(view, "style").as_deref())?, refs.get(view, "schema")),
        };
        let schema = match style {
            Style::Json => schema.and_then(|media| refs.get(media, "schema")),
            _ => schema,
        };
        let parameter = Self {
            name,
            location,
            // "If the parameter location is `path`, this field is REQUIRED and its value MUST be true."
            required: location == Location::Path || refs.flag(view, "required") == Some(true),
            style,
            // "When `style` is `form`, the default value is true. For all other styles, the default value is false."
            explode: refs.flag(view, "explode").unwrap_or(style == Style::Form),
            allow_reserved: location == Location::Query && refs.flag(view, "allowReserved") == Some(true),
        };
        Ok((parameter, schema))
    }

    /// The text that stands in the path in place of `{name}`. Whether the segment it is part of may be so is for the
    /// template to say.
    ///
    /// # Errors
    ///
    /// [`ValueFault`]; a path value also has no control characters, and no part of it that a server which decodes it
    /// once more, or once too often, would take for `.` or `..`.
    pub(super) fn in_path(&self, value: View<'_>) -> Result<String, ValueFault> {
        if self.style == Style::Json {
            let text = std::str::from_utf8(value.raw()).map_err(|_| ValueFault::Text)?;
            template::check(text.as_bytes())?;
            return Ok(percent::encoded(text));
        }
        let value = Value::read(value)?;
        if value.is_empty() {
            return Err(ValueFault::Empty);
        }
        value.texts().try_for_each(|text| template::check(text.as_bytes()))?;
        let name = percent::encoded(&self.name);
        Ok(match (self.style, &value) {
            (Style::Label, Value::List(_) | Value::Members(_)) if self.explode => {
                // A full stop is never encoded, so that one inside an item would end it.
                value.refuse('.')?;
                format!(".{}", value.joined(".", Some("="), &[]))
            }
            (Style::Label, _) => format!(".{}", value.joined(",", None, &[])),
            (Style::Matrix, Value::One(text)) if text.is_empty() => format!(";{name}"),
            (Style::Matrix, Value::List(items)) if self.explode => {
                items.iter().map(|item| format!(";{name}={}", percent::encoded(item))).collect()
            }
            (Style::Matrix, Value::Members(_)) if self.explode => format!(";{}", value.joined(";", Some("="), &[])),
            (Style::Matrix, _) => format!(";{name}={}", value.joined(",", None, &[])),
            _ => value.joined(",", self.explode.then_some("="), &[]),
        })
    }

    /// The `name=value` pairs of the query, encoded; none for an empty list or object (RFC 6570, section 2.3).
    ///
    /// `taken` says whether a name is another parameter's: the members of an exploded object become parameters of their
    /// own, and an agent must not choose what it sets so.
    ///
    /// # Errors
    ///
    /// [`ValueFault`]
    pub(super) fn in_query(&self, value: View<'_>, taken: impl Fn(&str) -> bool) -> Result<Vec<String>, ValueFault> {
        let name = percent::encoded(&self.name);
        if self.style == Style::Json {
            let text = std::str::from_utf8(value.raw()).map_err(|_| ValueFault::Text)?;
            return Ok(vec![format!("{name}={}", percent::encoded(text))]);
        }
        let value = Value::read(value)?;
        if value.is_empty() {
            return Ok(Vec::new());
        }
        // "Parameter Object", `allowReserved`: without what ends a pair (`&`, `=`, `#`, `;`) or reads as a space (`+`),
        // and without what joins items.
        let kept: &[u8] = if self.allow_reserved { b":/?@!$'()*" } else { &[] };
        let (separator, character) = match self.style {
            Style::SpaceDelimited => ("%20", ' '),
            Style::PipeDelimited => ("%7C", '|'),
            _ => (",", ','),
        };
        match (&value, self.style) {
            (Value::Members(members), Style::DeepObject) => members
                .iter()
                .map(|(key, text)| {
                    if key.contains(['[', ']']) {
                        return Err(ValueFault::Delimiter);
                    }
                    Ok(format!("{name}%5B{}%5D={}", percent::encoded(key), encoded(text, kept)))
                })
                .collect(),
            (_, Style::DeepObject) => Err(ValueFault::Undefined),
            (Value::One(text), Style::Form) => Ok(vec![format!("{name}={}", encoded(text, kept))]),
            (Value::One(_), _) => Err(ValueFault::Undefined),
            (Value::List(items), _) if self.explode => {
                Ok(items.iter().map(|item| format!("{name}={}", encoded(item, kept))).collect())
            }
            (Value::Members(members), Style::Form) if self.explode => members
                .iter()
                .map(|(key, text)| {
                    if taken(key) {
                        return Err(ValueFault::Taken);
                    }
                    Ok(format!("{}={}", percent::encoded(key), encoded(text, kept)))
                })
                .collect(),
            (Value::Members(_), _) if self.explode => Err(ValueFault::Undefined),
            _ => {
                if character != ',' {
                    value.refuse(character)?;
                }
                Ok(vec![format!("{name}={}", value.joined(separator, None, kept))])
            }
        }
    }

    /// The field's value; `None` for an empty list or object.
    ///
    /// # Errors
    ///
    /// [`ValueFault`]; a header has visible ASCII and inner spaces only, since nothing is encoded there.
    pub(super) fn in_header(&self, value: View<'_>) -> Result<Option<String>, ValueFault> {
        let text = if self.style == Style::Json {
            std::str::from_utf8(value.raw()).map_err(|_| ValueFault::Text)?.to_owned()
        } else {
            let value = Value::read(value)?;
            if value.is_empty() {
                return Ok(None);
            }
            match &value {
                Value::One(text) => text.clone(),
                Value::List(items) => {
                    value.refuse(',')?;
                    items.join(",")
                }
                Value::Members(members) => {
                    value.refuse(',')?;
                    if self.explode {
                        value.refuse('=')?;
                    }
                    let between = if self.explode { '=' } else { ',' };
                    members.iter().map(|(k, v)| format!("{k}{between}{v}")).collect::<Vec<_>>().join(",")
                }
            }
        };
        let outer = text.starts_with(' ') || text.ends_with(' ');
        if outer || !text.bytes().all(|b| matches!(b, 0x20..=0x7e)) {
            return Err(ValueFault::Header);
        }
        Ok(Some(text))
    }

    /// The cookie, `name=value`; `None` for an empty list or object.
    ///
    /// # Errors
    ///
    /// [`ValueFault`]; lists and objects that would be several cookies are refused, for no syntax is defined for them.
    pub(super) fn in_cookie(&self, value: View<'_>) -> Result<Option<String>, ValueFault> {
        let text = if self.style == Style::Json {
            percent::encoded(std::str::from_utf8(value.raw()).map_err(|_| ValueFault::Text)?)
        } else {
            let value = Value::read(value)?;
            if value.is_empty() {
                return Ok(None);
            }
            match value {
                Value::List(_) | Value::Members(_) if self.explode => return Err(ValueFault::Undefined),
                _ => value.joined(",", None, &[]),
            }
        };
        Ok(Some(format!("{}={text}", self.name)))
    }
}

fn style(location: Location, named: Option<&str>) -> Result<Style, ParameterFault> {
    Ok(match (location, named) {
        (Location::Path | Location::Header, None | Some("simple")) => Style::Simple,
        (Location::Path, Some("label")) => Style::Label,
        (Location::Path, Some("matrix")) => Style::Matrix,
        (Location::Query | Location::Cookie, None | Some("form")) => Style::Form,
        (Location::Query, Some("spaceDelimited")) => Style::SpaceDelimited,
        (Location::Query, Some("pipeDelimited")) => Style::PipeDelimited,
        (Location::Query, Some("deepObject")) => Style::DeepObject,
        _ => return Err(ParameterFault::Style),
    })
}

/// The one media type of a parameter's `content`, if that is JSON.
fn json_content<'a>(refs: &mut Refs<'a>, content: View<'a>) -> Option<View<'a>> {
    let mut members = content.members();
    let (name, media) = members.next()?;
    let json = crate::media::is_json(&name.as_str()?) && members.next().is_none();
    (json && media.kind() == Kind::Object && refs.spend()).then_some(media)
}

fn encoded(text: &str, kept: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    percent::encode(text, kept, &mut out);
    out
}
