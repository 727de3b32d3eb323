//! Parameters that no agent sets, whatever the description says: those that authenticate, frame or route a request.

use crate::openapi::parameter::Location;
use std::collections::HashSet;

/// Header fields (lower case). Compared without regard to case, and with `_` as `-`, since some servers read them alike.
const HEADERS: [&str; 50] = [
    // OpenAPI 3.1.1, "Parameter Object": these three are ignored as parameters.
    "accept",
    "content-type",
    "authorization",
    // Framing and connection (RFC 9110 sections 7.6 and 10.1, RFC 9112).
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "date",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    // Where the request seems to come from or go to.
    "forwarded",
    "client-ip",
    "origin",
    "referer",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-host",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    // Another method than the one that was judged.
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    // Credentials.
    "api-key",
    "apikey",
    "cookie",
    "cookie2",
    "private-token",
    "proxy-authorization",
    "set-cookie",
    "token",
    "x-access-token",
    "x-amz-security-token",
    "x-api-key",
    "x-api-token",
    "x-auth-key",
    "x-auth-token",
    "x-goog-api-key",
    "x-token",
];

const HEADER_PREFIXES: [&str; 4] = ["proxy-", "sec-", "x-forwarded-", "x-envoy-"];

/// Query parameters and cookies, compared in the same way: credentials (RFC 6750, section 2.3, and the customary ones), and other
/// methods than the one that was judged.
const OTHERS: [&str; 12] = [
    "-method",
    "access-token",
    "api-key",
    "apikey",
    "auth-token",
    "authorization",
    "client-secret",
    "id-token",
    "private-token",
    "refresh-token",
    "x-api-key",
    "x-http-method-override",
];

/// The parameters that this description's security schemes use.
#[derive(Debug, Default)]
pub(super) struct Reserved {
    schemes: HashSet<(Location, String)>,
}

impl Reserved {
    /// Adds the parameter of an `apiKey` scheme.
    pub(super) fn insert(&mut self, location: Location, name: &str) {
        self.schemes.insert((location, plain(name)));
    }

    /// The names of this description's own that are the gateway's in the query, in order.
    pub(super) fn in_query(&self) -> Vec<&str> {
        let own = self.schemes.iter().filter(|(location, _)| *location == Location::Query);
        let mut names: Vec<&str> = own.map(|(_, name)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// Whether the parameter is the gateway's.
    pub(super) fn has(&self, location: Location, name: &str) -> bool {
        let name = plain(name);
        let known = match location {
            // A part of the template is not a credential, whatever it is called.
            Location::Path => return false,
            Location::Header => {
                HEADERS.contains(&name.as_str()) || HEADER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            }
            Location::Query | Location::Cookie => OTHERS.contains(&name.as_str()),
        };
        known || self.schemes.contains(&(location, name))
    }
}

fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let mut reserved = Reserved::default();
        reserved.insert(Location::Cookie, "SID");
        for (location, name, expected) in [
            (Location::Header, "Authorization", true),
            (Location::Header, "HOST", true),
            (Location::Header, "X_Forwarded_For", true),
            (Location::Header, "X-HTTP-Method-Override", true),
            (Location::Header, "X-Request-ID", false),
            (Location::Header, "If-Match", false),
            (Location::Header, "sid", false),
            (Location::Query, "api_key", true),
            (Location::Query, "host", false),
            (Location::Query, "page", false),
            (Location::Cookie, "sid", true),
            (Location::Path, "key", false),
        ] {
            assert_eq!(reserved.has(location, name), expected, "{location:?} {name}");
        }
    }
}
