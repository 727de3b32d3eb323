//! Whose pages may reach us: the Host and Origin checks against DNS rebinding.
//!
//! A browser can be made to send requests here by any page it shows; what it cannot be made to do is lie
//! in these two headers. `Forwarded` and `X-Forwarded-*` are never read: anyone can write them.
//! Source: MCP 2025-11-25, basic/transports, "Security Warning".

use http::{HeaderMap, Uri, Version, header};
use interlock_mcp::RpcError;
use interlock_model::Code;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The names that this gateway answers to, beside the loopback ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    hosts: Box<[Box<str>]>,
    origins: Box<[Box<str>]>,
}

impl Guard {
    /// `hosts` are names with or without a port (without: any port); `origins` are compared as a whole.
    pub(super) fn new(hosts: &[String], origins: &[String]) -> Self {
        let lower = |all: &[String]| all.iter().map(|one| one.to_ascii_lowercase().into()).collect();
        Self { hosts: lower(hosts), origins: lower(origins) }
    }

    /// # Errors
    ///
    /// What to answer, with status 403.
    pub(super) fn check(&self, version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), RpcError> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (None, _) => None,
            (Some(host), None) => Some(host.to_str().unwrap_or_default()),
            (Some(_), Some(_)) => return Err(refuse(NO_HOST.to_owned())),
        };
        let authority = uri.authority().map(http::uri::Authority::as_str);
        match (host, authority) {
            // HTTP/2 names the host in `:authority`; a Host header beside it says the same (RFC 9113, 8.3.1).
            (Some(host), Some(authority)) if version == Version::HTTP_2 && !host.eq_ignore_ascii_case(authority) => {
                return Err(refuse(NO_HOST.to_owned()));
            }
            (None, Some(_)) if version == Version::HTTP_2 => {}
            (None, _) => return Err(refuse(NO_HOST.to_owned())),
            (Some(_), _) => {}
        }
        // An absolute-form target counts before the header (RFC 9112, 3.2.2); both have to be ours.
        if let Some(foreign) = [authority, host].into_iter().flatten().find(|named| !self.allows_host(named)) {
            return Err(refuse(format!(
                "the host `{}` is not one that this gateway answers to; if it is a name of this gateway (behind a \
                 reverse proxy, in a Tailscale network, in a container), add it to `listen.allowed_hosts`",
                shown(foreign)
            )));
        }
        for origin in headers.get_all(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or_default();
            if !self.allows_origin(origin) {
                return Err(refuse(format!(
                    "pages of the origin `{}` may not call this gateway; if they should, add it to \
                     `listen.allowed_origins`",
                    shown(origin)
                )));
            }
        }
        Ok(())
    }

    fn allows_host(&self, host: &str) -> bool {
        let Some((name, _)) = split(host) else { return false };
        is_loopback(name)
            || self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(name) || ours.eq_ignore_ascii_case(host))
    }

    fn allows_origin(&self, origin: &str) -> bool {
        let loopback = ["http://", "https://"]
            .iter()
            .filter_map(|scheme| origin.strip_prefix(scheme))
            .any(|host| split(host).is_some_and(|(name, _)| is_loopback(name)));
        loopback || self.origins.iter().any(|ours| ours.eq_ignore_ascii_case(origin))
    }
}

const NO_HOST: &str = "the request names no host, or two; it has to name one: a loopback name, or one of \
                       `listen.allowed_hosts`";

fn refuse(message: String) -> RpcError {
    RpcError::new(RpcError::INVALID_REQUEST, Code::ForeignOrigin, message)
}

/// As much of it as a name may be long (RFC 1035, 2.3.4).
fn shown(named: &str) -> &str {
    named.get(..255).unwrap_or(named)
}

/// A host's name (an IPv6 address keeps its brackets) and its port, if there is one.
fn split(host: &str) -> Option<(&str, Option<&str>)> {
    let (name, port) = if host.starts_with('[') {
        let (name, rest) = host.split_at(host.find(']')? + 1);
        (name, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
    } else {
        match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        }
    };
    let valid =
        !name.is_empty() && port.is_none_or(|p| !p.is_empty() && p.len() <= 5 && p.bytes().all(|b| b.is_ascii_digit()));
    valid.then_some((name, port))
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || name
            .strip_prefix('[')
            .and_then(|n| n.strip_suffix(']'))
            .is_some_and(|n| n.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_answered() {
        let guard = Guard::new(
            &["Gateway.example.org".into(), "10.0.0.7:7420".into()],
            &["https://console.example.org".into()],
        );
        for (host, origin, allowed) in [
            ("localhost", None, true),
            ("LOCALHOST:7420", None, true),
            ("127.0.0.1:1", None, true),
            ("127.8.8.8", None, true),
            ("[::1]:7420", None, true),
            ("[::1]", None, true),
            ("gateway.example.org", None, true),
            ("gateway.example.org:99", None, true),
            ("10.0.0.7:7420", None, true),
            ("10.0.0.7:7421", None, false),
            ("10.0.0.7", None, false),
            ("evil.example.com", None, false),
            ("localhost.evil.example.com", None, false),
            ("127.0.0.1.evil.example.com", None, false),
            ("localhost:7420@evil.example.com", None, false),
            ("[::1].evil", None, false),
            ("[::2]", None, false),
            ("2130706433", None, false),
            ("", None, false),
            ("localhost", Some("http://localhost:3000"), true),
            ("localhost", Some("http://[::1]"), true),
            ("localhost", Some("https://console.example.org"), true),
            ("localhost", Some("https://console.example.org:444"), false),
            ("localhost", Some("http://evil.example.com"), false),
            ("localhost", Some("null"), false),
            ("localhost", Some(""), false),
            ("localhost", Some("file://localhost"), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(
                guard.check(Version::HTTP_11, &Uri::from_static("/mcp"), &headers).is_ok(),
                allowed,
                "{host} {origin:?}"
            );
        }
    }

    #[test]
    fn the_host_is_named_once_and_in_the_way_of_the_version() {
        let guard = Guard::new(&["gw.example.org".into()], &[]);
        let (one, two) = (Version::HTTP_11, Version::HTTP_2);
        for (version, target, hosts, allowed) in [
            (one, "/mcp", &["localhost"][..], true),
            (one, "/mcp", &[], false),
            (one, "/mcp", &["localhost", "localhost"], false),
            (one, "http://localhost/mcp", &[], false),
            (one, "http://localhost/mcp", &["gw.example.org"], true),
            (one, "http://evil.example.com/mcp", &["localhost"], false),
            (one, "http://localhost/mcp", &["evil.example.com"], false),
            (two, "http://localhost/mcp", &[], true),
            (two, "https://gw.example.org/mcp", &[], true),
            (two, "https://gw.example.org/mcp", &["GW.example.org"], true),
            (two, "https://gw.example.org/mcp", &["localhost"], false),
            (two, "https://evil.example.com/mcp", &[], false),
            (two, "https://evil.example.com/mcp", &["localhost"], false),
            (two, "https://localhost@evil.example.com/mcp", &[], false),
            (two, "/mcp", &["localhost"], true),
            (two, "/mcp", &[], false),
        ] {
            let mut all = HeaderMap::new();
            for host in hosts {
                all.append(header::HOST, host.parse().unwrap());
            }
            let checked = guard.check(version, &target.parse().unwrap(), &all);
            assert_eq!(checked.is_ok(), allowed, "{version:?} {target} {hosts:?}");
            if let Err(error) = checked {
                assert!(error.message.contains("`listen.allowed_hosts`"), "{}", error.message);
            }
        }
    }

    #[test]
    fn a_refusal_names_what_was_sent_and_what_to_change_and_no_proxy_is_believed() {
        let guard = Guard::default();
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "box.tail1234.ts.net".parse().unwrap());
        headers.insert(header::FORWARDED, "host=localhost".parse().unwrap());
        headers.insert("x-forwarded-host", "localhost".parse().unwrap());
        let check = |headers: &HeaderMap| guard.check(Version::HTTP_11, &Uri::from_static("/mcp"), headers);
        let message = check(&headers).unwrap_err().message;
        assert!(message.contains("`box.tail1234.ts.net`") && message.contains("`listen.allowed_hosts`"), "{message}");
        headers.insert(header::HOST, "localhost".parse().unwrap());
        headers.insert("x-forwarded-host", "evil.example.com".parse().unwrap());
        assert!(check(&headers).is_ok(), "they do not count against a request either");
        headers.insert(header::ORIGIN, "https://app.example.org".parse().unwrap());
        let message = check(&headers).unwrap_err().message;
        assert!(message.contains("`https://app.example.org`") && message.contains("`listen.allowed_origins`"));
        headers.insert(header::HOST, "x".repeat(4000).parse().unwrap());
        assert!(check(&headers).unwrap_err().message.len() < 600);
    }
}
