//! Strings that no file may hold: paths of one machine, hosts of package registries, what a merge left behind.
//!
//! The registries are reached by their clients, configured by whoever runs them; a host named here would be a second,
//! unreviewed place to fetch from.

use crate::{Failure, tree};
use std::fs;
use std::path::Path;

/// In two halves, so that this file does not hold them itself.
const FORBIDDEN: [(&str, &str); 17] = [
    ("/wo", "rk/"),
    ("/root/", ".cargo"),
    ("crates", ".io"),
    ("docs", ".rs/"),
    ("registry.npm", "js.org"),
    ("npm", "js.com"),
    ("py", "pi.org"),
    ("python", "hosted.org"),
    ("deb.", "debian.org"),
    ("security.", "debian.org"),
    ("proxy.", "golang.org"),
    ("registry.", "yarnpkg.com"),
    ("gh", "cr.io"),
    ("<<<<", "<<< "),
    (">>>>", ">>> "),
    ("static.rust", "-lang.org"),
    ("sh.rust", "up.rs"),
];

/// Checks every file that is text.
pub(crate) fn run() -> Result<Vec<String>, Failure> {
    let root = tree::root()?;
    let mut complaints = Vec::new();
    for path in tree::files(&root)? {
        // Cargo itself writes its index into its lock.
        if path.file_name().is_some_and(|name| name == "Cargo.lock") {
            continue;
        }
        let bytes = fs::read(root.join(&path))?;
        // What is not text is not read by people, and is compressed as often as not.
        if let Ok(text) = String::from_utf8(bytes) {
            complaints.extend(check(&path, &text));
        }
    }
    Ok(complaints)
}

fn check(path: &Path, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (first, second) in FORBIDDEN {
        let word = format!("{first}{second}");
        for (index, line) in text.lines().enumerate() {
            let found = line.match_indices(&word).any(|(at, _)| {
                // `/home/me/wo` + `rk/` is somebody else's path, of which this is only the end.
                let before = line.get(..at).and_then(|before| before.chars().next_back());
                !word.starts_with('/') || !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-'))
            });
            if found {
                complaints.push(format!("{}:{}: holds `{word}`", path.display(), index + 1));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_and_named_with_its_line() {
        for (first, second) in FORBIDDEN {
            let text = format!("fine\n x {first}{second}y\n");
            let found = check(Path::new("a.md"), &text);
            assert!(found.contains(&format!("a.md:2: holds `{first}{second}`")), "{text}: {found:?}");
        }
    }

    #[test]
    fn the_end_of_another_path_and_plain_words_pass() {
        for text in ["/srv/net", "a wo rk/ in progress", &format!("/home/me{}{}x", "/wo", "rk/"), "a crate, documented"]
        {
            assert!(check(Path::new("a.md"), text).is_empty(), "{text}");
        }
    }
}
