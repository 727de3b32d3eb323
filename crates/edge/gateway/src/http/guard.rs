//! Whose pages may reach us: the Host and Origin checks against DNS rebinding.
//!
//! A browser can be made to send requests here by any page it shows; what it cannot be made to do is lie
//! in these two headers. Source: MCP 2025-11-25, basic/transports, "Security Warning".

use http::{HeaderMap, Uri, header};
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
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), RpcError> {
        let refuse = |header: &str, setting: &str| {
            Err(RpcError::new(
                RpcError::INVALID_REQUEST,
                Code::ForeignOrigin,
                format!(
                    "the {header} header is not one this gateway answers to; if it is yours, add it to `{setting}`"
                ),
            ))
        };
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().unwrap_or_default(),
            _ => "",
        };
        // An absolute-form target counts before the header (RFC 9112, 3.2.2); both have to be ours.
        if !self.allows_host(host) || uri.authority().is_some_and(|a| !self.allows_host(a.as_str())) {
            return refuse("Host", "listen.allowed_hosts");
        }
        for origin in headers.get_all(header::ORIGIN) {
            if !origin.to_str().is_ok_and(|o| self.allows_origin(o)) {
                return refuse("Origin", "listen.allowed_origins");
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
            assert_eq!(guard.check(&Uri::from_static("/mcp"), &headers).is_ok(), allowed, "{host} {origin:?}");
        }
    }

    #[test]
    fn no_host_two_hosts_and_a_foreign_target_are_refused() {
        let guard = Guard::default();
        let mut headers = HeaderMap::new();
        let error = guard.check(&Uri::from_static("/mcp"), &headers).unwrap_err();
        assert!(error.message.contains("`listen.allowed_hosts`"));
        headers.append(header::HOST, "localhost".parse().unwrap());
        assert!(guard.check(&Uri::from_static("http://evil.example.com/mcp"), &headers).is_err());
        headers.append(header::HOST, "localhost".parse().unwrap());
        assert!(guard.check(&Uri::from_static("/mcp"), &headers).is_err());
    }
}
