//! The name a tool has toward hosts when many servers stand behind one endpoint.
//!
//! `server__tool` where that fits hosts' common limits (64 characters of `A-Z a-z 0-9 _ -`); else the
//! tool's part is cut and replaced where needed and ends in `_` and ten hexadecimal digits of the
//! SHA-256 of server and tool. A server's name has no underscore, so the first `__` always ends it;
//! a plain name that happens to look like a cut one is refused when the catalog is loaded, which
//! checks that all exposed names differ.

use interlock_model::{Digest, ServerName, ToolName, digest};
use std::fmt;

/// A tool's name on the aggregate endpoint. At most 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExposedName(Box<str>);

const MAX: usize = 64;
const SUFFIX: usize = 11;

impl ExposedName {
    /// The name under which `tool` of `server` is listed.
    #[must_use]
    pub fn new(server: &ServerName, tool: &ToolName) -> Self {
        let (server, tool) = (server.as_str(), tool.as_str());
        if server.len() + 2 + tool.len() <= MAX && !tool.contains('.') {
            return Self(format!("{server}__{tool}").into());
        }
        let room = MAX - server.len() - 2 - SUFFIX;
        let kept: String = tool.chars().take(room).map(|c| if c == '.' { '_' } else { c }).collect();
        let hash = Digest::of_parts("interlock/exposed-name", &[server.as_bytes(), tool.as_bytes()]);
        Self(format!("{server}__{kept}_{}", digest::hex(&hash.0[..5])).into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExposedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_fit_are_plain() {
        let name = |s: &str, t: &str| ExposedName::new(&s.parse().unwrap(), &t.parse().unwrap()).to_string();
        assert_eq!(name("files", "read_file"), "files__read_file");
        assert!(name("files", "read.file").starts_with("files__read_file_"));
        assert_ne!(name("files", "read.file"), name("files", "read_file"));
        let long = "x".repeat(128);
        assert_eq!(name("files", &long).len(), 64);
        assert_ne!(name("files", &long), name("files", &"x".repeat(127)));
    }

    proptest! {
        #[test]
        fn fits_every_host(server in "[a-z][a-z0-9-]{0,23}", tool in "[A-Za-z0-9_.-]{1,128}") {
            let name = ExposedName::new(&server.parse().unwrap(), &tool.parse().unwrap());
            prop_assert!(name.as_str().len() <= 64);
            prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
            prop_assert_eq!(name.as_str().split_once("__").unwrap().0, server);
        }
    }
}
