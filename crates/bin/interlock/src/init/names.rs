//! Names for what clients call as they like: servers' and secrets' names that are valid and apart.

use crate::config::SecretName;
use interlock_model::ServerName;
use std::collections::BTreeSet;

/// Longest name of a server.
const SERVER_MAX: usize = 24;
/// Longest name of a secret.
const SECRET_MAX: usize = 64;

/// A valid server name like `wanted`, none of `taken`. Always ends: at most `taken.len() + 1` are tried.
#[must_use]
pub fn server_name(wanted: &str, taken: &BTreeSet<ServerName>) -> Option<ServerName> {
    let mut base = kebab(wanted, false);
    if !base.starts_with(|c: char| c.is_ascii_lowercase()) {
        base = if base.is_empty() { "server".to_owned() } else { format!("s-{base}") };
    }
    (1..=taken.len() + 1)
        .filter_map(|n| ServerName::new(&numbered(&base, n, SERVER_MAX)).ok())
        .find(|name| !taken.contains(name))
}

/// A valid secret name for `key` of `server`, none for which `taken` is true.
#[must_use]
pub fn secret_name(server: &str, key: &str, taken: &dyn Fn(&SecretName) -> bool) -> Option<SecretName> {
    let key = kebab(key, true);
    let base = match key.strip_prefix(server) {
        // `github` and `GITHUB_TOKEN` make `github-token`.
        Some(rest) if rest.is_empty() || rest.starts_with('-') => key.clone(),
        _ => format!("{server}-{key}"),
    };
    let base = base.trim_matches('-');
    (1..=10_000).filter_map(|n| SecretName::new(&numbered(base, n, SECRET_MAX)).ok()).find(|name| !taken(name))
}

/// `base`, or `base-2`, ..., cut so that it is at most `max` long.
fn numbered(base: &str, n: usize, max: usize) -> String {
    let suffix = if n == 1 { String::new() } else { format!("-{n}") };
    let cut = base.get(..base.len().min(max - suffix.len())).unwrap_or(base).trim_end_matches('-');
    format!("{cut}{suffix}")
}

/// Lower case, everything but letters and digits as single hyphens; `camelCase` split where asked for.
fn kebab(text: &str, split_camel: bool) -> String {
    let mut out = String::new();
    let mut lower_before = false;
    for c in text.chars().take(256) {
        let boundary = !c.is_ascii_alphanumeric() || split_camel && c.is_ascii_uppercase() && lower_before;
        if boundary && !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        }
        lower_before = c.is_ascii_lowercase();
    }
    out.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn server_names() {
        let mut taken = BTreeSet::new();
        for (wanted, expected) in [
            ("github", "github"),
            ("GitHub", "github-2"),
            ("github", "github-3"),
            ("git hub", "git-hub"),
            ("My Server_1", "my-server-1"),
            ("@scope/name", "scope-name"),
            ("21st-dev", "s-21st-dev"),
            ("\u{6587}\u{4ef6}", "server"),
            ("a-very-long-name-for-a-server-indeed", "a-very-long-name-for-a-s"),
            ("a-very-long-name-for-a-server-indeed", "a-very-long-name-for-a-2"),
        ] {
            let name = server_name(wanted, &taken).unwrap();
            assert_eq!(name.as_str(), expected);
            taken.insert(name);
        }
    }

    #[test]
    fn secret_names() {
        let free = |_: &SecretName| false;
        assert_eq!(secret_name("github", "GITHUB_TOKEN", &free).unwrap().as_str(), "github-token");
        assert_eq!(secret_name("db", "Password", &free).unwrap().as_str(), "db-password");
        let taken = |name: &SecretName| name.as_str() == "db-password";
        assert_eq!(secret_name("db", "Password", &taken).unwrap().as_str(), "db-password-2");
    }

    proptest! {
        #[test]
        fn there_is_always_a_name(wanted in ".*", key in ".*") {
            prop_assert!(server_name(&wanted, &BTreeSet::new()).is_some());
            prop_assert!(secret_name("s", &key, &|_| false).is_some());
        }
    }
}
