//! Where an endpoint is.

use http::{HeaderValue, Uri, uri::PathAndQuery};

/// An endpoint's address, taken apart once.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) tls: bool,
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// For the `Host` header.
    pub(crate) authority: HeaderValue,
    /// What requests ask for.
    pub(crate) target: Uri,
}

/// Why a URL is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidOrigin {
    /// Neither `http` nor `https`, or no host.
    #[error("not an `http` or `https` URL with a host")]
    Url,
    /// A user or password in it.
    #[error("a user or password in the URL; put credentials into `headers`")]
    UserInfo,
    /// Secrets in the clear over a network.
    #[error("secret headers would leave this machine unencrypted; use `https`")]
    Plaintext,
}

impl Origin {
    /// Reads `url`; `secrets` says whether requests to it carry any.
    pub(crate) fn new(url: &Uri, secrets: bool) -> Result<Self, InvalidOrigin> {
        let tls = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(InvalidOrigin::Url),
        };
        let authority = url.authority().ok_or(InvalidOrigin::Url)?;
        if authority.as_str().contains('@') {
            return Err(InvalidOrigin::UserInfo);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(InvalidOrigin::Url);
        }
        if !tls && secrets && !is_this_machine(&host) {
            return Err(InvalidOrigin::Plaintext);
        }
        let target = url.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self {
            tls,
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| InvalidOrigin::Url)?,
            target: Uri::from(target),
            host,
        })
    }
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, secrets, expected) in [
            ("http://127.0.0.1:3000/mcp?x=1", true, Ok(("127.0.0.1", 3000))),
            ("http://[::1]/mcp", true, Ok(("::1", 80))),
            ("http://localhost", true, Ok(("localhost", 80))),
            ("https://example.com/mcp", true, Ok(("example.com", 443))),
            ("http://example.com/mcp", false, Ok(("example.com", 80))),
            ("http://example.com/mcp", true, Err(InvalidOrigin::Plaintext)),
            ("http://127.0.0.1.example.com/mcp", true, Err(InvalidOrigin::Plaintext)),
            ("https://user:pass@example.com/", false, Err(InvalidOrigin::UserInfo)),
            ("ftp://example.com/", false, Err(InvalidOrigin::Url)),
            ("/mcp", false, Err(InvalidOrigin::Url)),
        ] {
            let origin = Origin::new(&url.parse().unwrap(), secrets);
            assert_eq!(origin.as_ref().map(|o| (o.host.as_str(), o.port)).map_err(|e| *e), expected, "{url}");
        }
    }
}
