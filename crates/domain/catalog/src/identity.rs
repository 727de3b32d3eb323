//! What a server is: the thing that was looked at when its tools were approved.

use interlock_model::Digest;
use interlock_model::json::{Json, Limits, canonical};
use serde::{Deserialize, Serialize};

/// A server's identity. Two servers with equal identities run the same code, or are the same endpoint.
///
/// Arguments are part of it, environment is not: arguments say what a server may touch and hold no
/// secrets; credentials come through the environment or the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ServerIdentity {
    /// A file on this machine.
    Executable {
        /// Arguments it is started with.
        args: Vec<String>,
        /// SHA-256 of the file.
        digest: Digest,
        /// Absolute path of the file.
        path: String,
    },
    /// A GraphQL endpoint whose schema the gateway presents as tools; see [`Self::OpenApi`].
    #[serde(rename = "graphql")]
    GraphQl {
        /// As for [`Self::Http`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        key_pins: Vec<String>,
        /// The endpoint's URL.
        url: String,
    },
    /// A remote endpoint.
    Http {
        /// SHA-256 of the public keys (SPKI) that its certificate may have, base64; empty: any that the roots vouch for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        key_pins: Vec<String>,
        /// Its URL.
        url: String,
    },
    /// A package from the npm registry, with all it depends on.
    Npm {
        /// Arguments it is started with.
        args: Vec<String>,
        /// The script, relative to the directory that was pinned.
        entry: String,
        /// SHA-256 of the lock file.
        lock: Digest,
        /// The package's name.
        package: String,
        /// Digest of the installed files.
        tree: Digest,
        /// The exact version.
        version: String,
    },
    /// An HTTP API whose OpenAPI description the gateway presents as tools.
    ///
    /// The description is no part of it: it runs nowhere, and all that it decides about a call stands in the tool's
    /// definition. An edited one is the same API with other definitions, so that the tools that changed are set aside and
    /// the others go on.
    #[serde(rename = "openapi")]
    OpenApi {
        /// As for [`Self::Http`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        key_pins: Vec<String>,
        /// The base URL that paths are put after.
        url: String,
    },
    /// A package from the Python package index, with all it depends on.
    Pypi {
        /// Arguments it is started with.
        args: Vec<String>,
        /// The script, relative to the directory that was pinned.
        entry: String,
        /// SHA-256 of the lock file.
        lock: Digest,
        /// The package's name.
        package: String,
        /// Digest of the installed files.
        tree: Digest,
        /// The exact version.
        version: String,
    },
}

impl ServerIdentity {
    /// The digest that entries and approvals name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        // Strings and lists only: serialising them cannot fail, and neither can reading that back.
        let text = serde_json::to_vec(self).unwrap_or_default();
        let canonical = Json::parse(text, Limits::REQUEST).map(|json| canonical::respell(json.root()));
        Digest::of_parts("interlock/server-identity/v1", &[&canonical.unwrap_or_default()])
    }

    /// What a person would call it: the package and version, the path, or the address without its query.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Executable { path, digest, args } => format!("{path}{} ({})", spaced(args), digest.short()),
            Self::GraphQl { url, key_pins } => format!("graphql {}", address(url, key_pins)),
            Self::Http { url, key_pins } => address(url, key_pins),
            Self::OpenApi { url, key_pins } => format!("openapi {}", address(url, key_pins)),
            Self::Npm { package, version, args, tree, .. } => {
                format!("npm {package}@{version}{} ({})", spaced(args), tree.short())
            }
            Self::Pypi { package, version, args, tree, .. } => {
                format!("pypi {package}=={version}{} ({})", spaced(args), tree.short())
            }
        }
    }

    /// The package's name, where there is one: what look-alikes are sought among.
    #[must_use]
    pub fn package(&self) -> Option<&str> {
        match self {
            Self::Npm { package, .. } | Self::Pypi { package, .. } => Some(package),
            Self::Executable { .. } | Self::GraphQl { .. } | Self::Http { .. } | Self::OpenApi { .. } => None,
        }
    }

    /// Whether it runs elsewhere: what it does is not done on this machine.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        matches!(self, Self::GraphQl { .. } | Self::Http { .. } | Self::OpenApi { .. })
    }

    /// The host of an API that the gateway itself calls for each tool, in lower case. `None` for MCP servers, which may
    /// call whom they like.
    #[must_use]
    pub fn api_host(&self) -> Option<String> {
        let (Self::GraphQl { url, .. } | Self::OpenApi { url, .. }) = self else { return None };
        let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((v6, _)) => v6,
            None => host.split_once(':').map_or(host, |(host, _)| host),
        };
        (!host.is_empty()).then(|| host.to_ascii_lowercase())
    }
}

/// An address for people. A query may hold a key that someone put there; it is part of the identity but not of a line.
fn address(url: &str, key_pins: &[String]) -> String {
    let shown = url.split(['?', '#']).next().unwrap_or_default();
    match key_pins.len() {
        0 => shown.to_owned(),
        1 => format!("{shown} (1 pinned key)"),
        n => format!("{shown} ({n} pinned keys)"),
    }
}

fn spaced(args: &[String]) -> String {
    args.iter().map(|a| format!(" {a}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npm() -> ServerIdentity {
        ServerIdentity::Npm {
            args: vec!["/srv/files".into()],
            entry: "node_modules/server-files/dist/index.js".into(),
            lock: Digest::of(b"lock"),
            package: "@example/server-files".into(),
            tree: Digest::of(b"tree"),
            version: "1.2.3".into(),
        }
    }

    #[test]
    fn round_trips_and_has_one_digest() {
        let args = vec!["--root".to_owned(), "/srv".to_owned()];
        for (identity, digest) in [
            (npm(), "507971b0"),
            (ServerIdentity::Executable { args, digest: Digest::of(b""), path: "/usr/bin/x".into() }, "5bcb1b31"),
            (ServerIdentity::Http { key_pins: vec!["AA==".into()], url: "https://x/mcp".into() }, "8aabbd18"),
            (ServerIdentity::OpenApi { key_pins: vec![], url: "https://x/api".into() }, "fc5efd27"),
            (ServerIdentity::GraphQl { key_pins: vec![], url: "https://x/graphql".into() }, "b0e30a43"),
        ] {
            let text = serde_json::to_string(&identity).unwrap();
            assert_eq!(serde_json::from_str::<ServerIdentity>(&text).unwrap(), identity);
            assert_eq!(identity.digest().short(), digest, "{text}");
        }
    }

    #[test]
    fn any_change_changes_the_digest() {
        let base = serde_json::to_value(npm()).unwrap();
        for (member, value) in [
            ("kind", "pypi".into()),
            ("args", serde_json::json!(["/srv/files", "/"])),
            ("entry", "other.js".into()),
            ("lock", Digest::of(b"x").to_string().into()),
            ("package", "@example/server-flies".into()),
            ("tree", Digest::of(b"x").to_string().into()),
            ("version", "1.2.4".into()),
        ] {
            let mut changed = base.clone();
            changed[member] = value;
            let changed: ServerIdentity = serde_json::from_value(changed).unwrap();
            assert_ne!(changed.digest(), npm().digest(), "{member}");
        }
    }

    #[test]
    fn unknown_members_and_kinds_are_refused() {
        for bad in [
            r#"{"kind":"http","url":"https://x/","proxy":"y"}"#,
            r#"{"kind":"docker","image":"x"}"#,
            r#"{"url":"https://x/"}"#,
        ] {
            assert!(serde_json::from_str::<ServerIdentity>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_of_apis() {
        let api = |url: &str| ServerIdentity::OpenApi { key_pins: vec![], url: url.to_owned() };
        for (url, expected) in [
            ("https://Shop.example/api", Some("shop.example")),
            ("http://127.0.0.1:8080", Some("127.0.0.1")),
            ("http://[::1]:8080/x", Some("::1")),
            ("https://user@host.example:1/?q=a://b", Some("host.example")),
            ("secret://shop-url", Some("shop-url")),
            ("/x", None),
        ] {
            assert_eq!(api(url).api_host().as_deref(), expected, "{url}");
        }
        assert_eq!(ServerIdentity::Http { key_pins: vec![], url: "https://x/mcp".into() }.api_host(), None);
    }

    #[test]
    fn people_see_no_query() {
        let identity = ServerIdentity::Http { key_pins: vec![], url: "https://x.example/mcp?key=s3cret".into() };
        assert_eq!(identity.describe(), "https://x.example/mcp");
    }
}
