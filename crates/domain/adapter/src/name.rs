//! Names of tools and arguments: what hosts and models take (`A-Z a-z 0-9 _ -`), and never two alike.

use interlock_model::Digest;
use std::collections::{HashMap, HashSet};

/// Most bytes of a tool's name: what the strictest of the widespread hosts takes.
pub(crate) const TOOL_MAX: usize = 64;
/// Most bytes of an argument's name.
const ARGUMENT_MAX: usize = 64;

/// What a tool would be called, and what tells it from all others of its description.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// As its author named it.
    pub(crate) wanted: String,
    /// Unique in the description, such as `GET /pets`.
    pub(crate) identity: String,
}

/// A name for each candidate; `None` where there is no free one.
///
/// Where two want the same name, or the name is too long, a name ends in eight digits of the SHA-256 of the identity,
/// not in a number: a tool keeps its name when others come, go or change places.
pub(crate) fn assign(candidates: &[Candidate]) -> Vec<Option<String>> {
    let fitted: Vec<String> = candidates.iter().map(|c| fit(&c.wanted)).collect();
    let mut count: HashMap<&str, usize> = HashMap::new();
    for name in &fitted {
        *count.entry(name).or_default() += 1;
    }
    let mut taken = HashSet::new();
    let named = fitted.iter().zip(candidates).map(|(name, candidate)| {
        let alone = count.get(name.as_str()) == Some(&1) && !name.is_empty() && name.len() <= TOOL_MAX;
        if alone { name.clone() } else { marked(name, &candidate.identity) }
    });
    named.map(|name| taken.insert(name.clone()).then_some(name)).collect()
}

fn marked(name: &str, identity: &str) -> String {
    let digest = Digest::of(identity.as_bytes()).to_string();
    let digits: String = digest.rsplit(':').next().unwrap_or_default().chars().take(8).collect();
    // A fitted name is ASCII, so that any cut is one between characters.
    let kept = name.get(..TOOL_MAX - 9).unwrap_or(name).trim_end_matches('_');
    if kept.is_empty() { format!("tool_{digits}") } else { format!("{kept}_{digits}") }
}

/// `wanted` with a run of characters that names cannot have as one `_`, none at the ends.
fn fit(wanted: &str) -> String {
    let mut out = String::with_capacity(wanted.len());
    let mut gap = false;
    for c in wanted.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') {
            if gap && !out.is_empty() {
                out.push('_');
            }
            gap = false;
            out.push(c);
        } else {
            gap = true;
        }
    }
    out
}

/// An argument's name: `wanted` where it is of `A-Z a-z 0-9 _ - .`, else made so.
pub(crate) fn argument(wanted: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let name: String = wanted.chars().map(|c| if fits(c) { c } else { '_' }).take(ARGUMENT_MAX).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

/// `name`, or `name_2` and so on where it is taken.
pub(crate) fn free(name: String, taken: &HashSet<String>) -> String {
    if !taken.contains(&name) {
        return name;
    }
    // One of `taken.len() + 1` names is free.
    (2..taken.len() + 3).map(|n| format!("{name}_{n}")).find(|n| !taken.contains(n)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pairs: &[(&str, &str)]) -> Vec<Option<String>> {
        let candidate = |(wanted, identity): &(&str, &str)| Candidate {
            wanted: (*wanted).to_owned(),
            identity: (*identity).to_owned(),
        };
        assign(&pairs.iter().map(candidate).collect::<Vec<_>>())
    }

    #[test]
    fn fitted() {
        for (wanted, expected) in [
            ("listPets", "listPets"),
            ("pets/list all", "pets_list_all"),
            ("get /pets/{petId}.json", "get_pets_petId_json"),
            ("__x-y__", "__x-y__"),
            ("\u{441}\u{202e}", ""),
        ] {
            assert_eq!(fit(wanted), expected, "{wanted:?}");
        }
        assert_eq!(argument("filter[name]"), "filter_name_");
        assert_eq!(argument(""), "_");
    }

    #[test]
    fn never_two_alike_and_no_order() {
        let there = names(&[("a", "GET /1"), ("a", "GET /2"), ("b", "GET /3"), ("", "GET /4")]);
        let back = names(&[("", "GET /4"), ("b", "GET /3"), ("a", "GET /2"), ("a", "GET /1")]);
        assert_eq!(there, back.into_iter().rev().collect::<Vec<_>>());
        let there: Vec<String> = there.into_iter().flatten().collect();
        assert_eq!(there.iter().collect::<HashSet<_>>().len(), 4);
        assert_eq!(there[2], "b");
        assert!(there[0].starts_with("a_") && there[3].starts_with("tool_"));
        let long = "x".repeat(200);
        for name in names(&[(&long, "1"), (&long, "2")]).into_iter().flatten() {
            assert_eq!(name.len(), TOOL_MAX);
        }
        // Who calls a tool by the name that two others would get gains nothing: it is refused.
        let forged = there[0].clone();
        let all = names(&[("a", "GET /1"), ("a", "GET /2"), (&forged, "GET /5")]);
        assert_eq!(all[2], None);
    }
}
