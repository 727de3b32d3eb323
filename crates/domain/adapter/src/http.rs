//! HTTP as the tools need it: a request to be sent to a configured base address, and what came back.
//!
//! Out of scope: connections, redirects (never followed: they name another destination), credentials.
//! Source: RFC 9110 (semantics), RFC 3986 (addresses).

use bytes::Bytes;
use std::fmt;

/// The methods that a tool may have. TRACE is none of them: its answer repeats the request's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// OPTIONS
    Options,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// POST
    Post,
    /// PATCH
    Patch,
}

impl Method {
    /// The method of a Path Item Object's member (lower case).
    pub(crate) fn of_member(name: &str) -> Option<Self> {
        Some(match name {
            "get" => Self::Get,
            "head" => Self::Head,
            "options" => Self::Options,
            "put" => Self::Put,
            "delete" => Self::Delete,
            "post" => Self::Post,
            "patch" => Self::Patch,
            _ => return None,
        })
    }

    /// As it stands in a request.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Post => "POST",
            Self::Patch => "PATCH",
        }
    }

    /// Whether it asks for no change (RFC 9110, section 9.2.1).
    #[must_use]
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options)
    }

    /// Whether doing it twice is doing it once (RFC 9110, section 9.2.2).
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        !matches!(self, Self::Post | Self::Patch)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a call asks of the API. Holds no host and no credential: those are the gateway's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// ASCII, percent-encoded, to be put after the configured base address's path (without a `/` at its end). Empty
    /// or beginning with `/` or `?`; no fragment. No argument changes the number or the meaning of its segments.
    pub path_and_query: String,
    /// Names (as the description spells them) and values (visible ASCII and inner spaces) of header and cookie
    /// parameters; at most one is called `Cookie`. Never a header that frames, routes or authenticates the request.
    pub headers: Vec<(String, String)>,
    /// The body, where there is one. JSON bodies are the agent's bytes, not respelled.
    pub body: Option<Bytes>,
    /// The body's media type.
    pub content_type: Option<String>,
}

/// What came back.
#[derive(Clone, Copy, Debug)]
pub struct HttpResponse<'a> {
    /// The status code.
    pub status: u16,
    /// The `Content-Type` field's value, if there is one. The content must not be encoded any more.
    pub content_type: Option<&'a str>,
    /// The content.
    pub body: &'a [u8],
}
