//! Links between Markdown files: the file is there, and so is the heading.
//!
//! In scope: inline links, images and link definitions with a relative target. Out of scope: other hosts, which no test here
//! may ask.

use crate::{Failure, tree};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Checks every Markdown file.
pub(crate) fn run() -> Result<Vec<String>, Failure> {
    let root = tree::root()?;
    let files = tree::files(&root)?;
    let mut pages = BTreeMap::new();
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        pages.insert(path.clone(), fs::read_to_string(root.join(path))?);
    }
    Ok(check(&pages, &files.into_iter().collect()))
}

fn check(pages: &BTreeMap<PathBuf, String>, files: &BTreeSet<PathBuf>) -> Vec<String> {
    let mut complaints = Vec::new();
    for (page, text) in pages {
        for (line, target) in targets(text) {
            if let Some(why) = broken(page, &target, pages, files) {
                complaints.push(format!("{}:{line}: `{target}`: {why}", page.display()));
            }
        }
    }
    complaints
}

fn broken(
    page: &Path,
    target: &str,
    pages: &BTreeMap<PathBuf, String>,
    files: &BTreeSet<PathBuf>,
) -> Option<&'static str> {
    // With a scheme it leads elsewhere.
    if target.split('/').next().is_some_and(|first| first.contains(':')) {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let resolved = if path.is_empty() {
        page.to_owned()
    } else {
        match resolve(page.parent().unwrap_or_else(|| Path::new("")), path) {
            Some(resolved) => resolved,
            None => return Some("leads out of the repository"),
        }
    };
    let is_folder = || files.iter().any(|file| file.starts_with(&resolved));
    if !files.contains(&resolved) && !is_folder() {
        return Some("no such file");
    }
    let (anchor, text) = (anchor?, pages.get(&resolved)?);
    (!anchors(text).contains(anchor)).then_some("no such heading")
}

/// `path` as seen from `folder`, without dots; `None` if it leads above the root.
fn resolve(folder: &Path, path: &str) -> Option<PathBuf> {
    let start = if path.starts_with('/') { Path::new("") } else { folder };
    let mut resolved = PathBuf::new();
    for part in start.join(path.trim_start_matches('/')).components() {
        match part {
            Component::ParentDir if resolved.pop() => {}
            Component::ParentDir => return None,
            Component::Normal(part) => resolved.push(part),
            _ => {}
        }
    }
    Some(resolved)
}

/// Where each link of a page leads, with its line.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        let mut rest = line.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, after)) = after.split_once(')') else { break };
            // A title may follow.
            if let Some(target) = target.split_whitespace().next() {
                found.push((number, target.trim_matches(['<', '>']).to_owned()));
            }
            rest = after;
        }
        if let Some((_, target)) = line.trim_start().strip_prefix('[').and_then(|line| line.split_once("]: "))
            && let Some(target) = target.split_whitespace().next()
        {
            found.push((number, target.to_owned()));
        }
    }
    found
}

/// The lines that are not in a fenced block, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => return Some((index + 1, line)),
            _ => {}
        }
        None
    })
}

/// The line without what stands in backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// The anchors that hosting sites make of headings: lower case, spaces as hyphens, punctuation gone, repeats numbered.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let anchor: String = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter_map(|c| match c {
                ' ' => Some('-'),
                '-' | '_' => Some(c),
                c if c.is_alphanumeric() => Some(c),
                _ => None,
            })
            .collect();
        let times = seen.entry(anchor.clone()).or_default();
        anchors.insert(if *times == 0 { anchor } else { format!("{anchor}-{times}") });
        *times += 1;
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        let other = "# Other page\n\n## A `b`: c, d\n\n## Twice\n\n## Twice\n";
        let pages = BTreeMap::from([
            (PathBuf::from("docs/page.md"), text.to_owned()),
            (PathBuf::from("docs/other.md"), other.to_owned()),
        ]);
        let files = pages.keys().cloned().chain(["README".into(), "src/lib.rs".into()]).collect();
        check(&pages, &files)
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        for text in [
            "[a](other.md) and [b](../README), [c](../src/lib.rs \"title\")",
            "![picture](/README)",
            "[folder](../src)",
            "[heading](other.md#a-b-c-d) [second](other.md#twice-1)",
            "# Here\n[self](#here)",
            "[elsewhere](https://example.com/x) [mail](mailto:a@example.com)",
            "[ref]: other.md",
            "`[code](nothing.md)`",
            "```\n[code](nothing.md)\n```",
        ] {
            assert!(complaints(text).is_empty(), "{text}: {:?}", complaints(text));
        }
    }

    #[test]
    fn links_that_lead_nowhere_are_named_with_their_line() {
        for (text, expected) in [
            ("\n[a](nothing.md)", "docs/page.md:2: `nothing.md`: no such file"),
            ("[a](other.md) [b](other.md#nothing)", "docs/page.md:1: `other.md#nothing`: no such heading"),
            ("[a](#nothing)", "docs/page.md:1: `#nothing`: no such heading"),
            ("[a](../../outside)", "docs/page.md:1: `../../outside`: leads out of the repository"),
            ("[ref]: nothing.md", "docs/page.md:1: `nothing.md`: no such file"),
            ("```\n```\n![a](no.png)", "docs/page.md:3: `no.png`: no such file"),
        ] {
            assert_eq!(complaints(text), [expected]);
        }
    }
}
