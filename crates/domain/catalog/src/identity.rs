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
            Self::Http { url, key_pins } => {
                // A query may hold a key that someone put there; it is part of the identity but not of a line for people.
                let shown = url.split(['?', '#']).next().unwrap_or_default();
                match key_pins.len() {
                    0 => shown.to_owned(),
                    1 => format!("{shown} (1 pinned key)"),
                    n => format!("{shown} ({n} pinned keys)"),
                }
            }
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
            Self::Executable { .. } | Self::Http { .. } => None,
        }
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
    fn people_see_no_query() {
        let identity = ServerIdentity::Http { key_pins: vec![], url: "https://x.example/mcp?key=s3cret".into() };
        assert_eq!(identity.describe(), "https://x.example/mcp");
    }
}
