//! What a reviewer should see before saying yes: characters nobody sees, names that pass for others.
//!
//! In scope: finding and naming concerns. Out of scope: whether a description tries to steer a model
//! (inspection); accepting concerns (`candidates`).
//! Source: Unicode UTS #39 (confusables).

use crate::{Definition, Lock, ServerIdentity, visible};
use interlock_model::ServerName;
use interlock_model::json::{Kind, View};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// One thing that a human must accept by its [`Concern::id`] before the definition is approved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Concern {
    /// A string has characters that a reader does not see.
    Hidden {
        /// Their code points, `U+202E`, sorted.
        characters: Vec<String>,
        /// Where the string stands (RFC 6901).
        pointer: String,
        /// The first of them and its surroundings, made visible.
        rendering: String,
    },
    /// A word mixes ASCII letters with letters of another script that look like ASCII.
    MixedScript {
        /// Where the string stands.
        pointer: String,
        /// The word.
        word: String,
    },
    /// Another server has an approved tool of this very name.
    SameName {
        /// The other server.
        server: String,
        /// The name.
        tool: String,
    },
    /// A name that can be taken for an approved one.
    LookAlike {
        /// What is named.
        named: Named,
        /// Its name.
        name: String,
        /// The approved name; `server/tool` where a tool is named.
        like: String,
        /// How they are alike.
        likeness: Likeness,
    },
}

/// What a look-alike name is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// A tool.
    Tool,
    /// A server.
    Server,
    /// A server's package.
    Package,
    /// A title.
    Title,
}

/// How two names are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// They look the same in common fonts.
    Confusable,
    /// They differ in one or two letters.
    Near,
}

impl Named {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Server => "server",
            Self::Package => "package",
            Self::Title => "title",
        }
    }
}

impl Concern {
    /// What `catalog approve --accept` takes and the lock file's `exceptions` hold.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Hidden { pointer, .. } => format!("hidden:{}", visible::render(pointer)),
            Self::MixedScript { pointer, .. } => format!("mixed-script:{}", visible::render(pointer)),
            Self::SameName { server, tool } => format!("same-name:{server}/{tool}"),
            Self::LookAlike { named, like, .. } => {
                format!("look-alike:{}:{}", named.as_str(), visible::render(like))
            }
        }
    }
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hidden { characters, pointer, rendering } => {
                write!(f, "hidden characters ({}) at {}: {rendering}", characters.join(", "), visible::render(pointer))
            }
            Self::MixedScript { pointer, word } => {
                write!(f, "the word `{word}` at {pointer} mixes ASCII with letters that look like ASCII")
            }
            Self::SameName { server, tool } => write!(f, "server `{server}` has an approved tool `{tool}` too"),
            Self::LookAlike { named, name, like, likeness } => {
                let how = match likeness {
                    Likeness::Confusable => "looks like",
                    Likeness::Near => "is nearly",
                };
                write!(f, "the {} `{}` {how} `{}`", named.as_str(), visible::render(name), visible::render(like))
            }
        }
    }
}

/// Everything that concerns `definition` of `server`, given what is approved already; sorted, each once.
///
/// Tools of the same server are not compared with each other: whoever chose one name chose both.
#[must_use]
pub fn concerns(
    server: &ServerName,
    identity: &ServerIdentity,
    definition: &Definition,
    approved: &Lock,
) -> Vec<Concern> {
    let mut found = BTreeSet::new();
    hidden(definition.root(), &mut String::new(), &mut found);
    let name = definition.name().as_str();
    let title = definition.title();
    if let Some(title) = &title {
        found
            .extend(mixed_word(title).map(|word| Concern::MixedScript { pointer: "/title".into(), word: word.into() }));
    }
    for (other, locked) in approved.servers.iter().filter(|(other, _)| *other != server) {
        found.extend(look_alike(Named::Server, server.as_str(), other.as_str(), other.as_str()));
        if let (Some(own), Some(others)) = (identity.package(), locked.identity.package()) {
            found.extend(look_alike(Named::Package, own, others, others));
        }
        for tool in locked.tools.keys() {
            if tool.as_str() == name {
                found.insert(Concern::SameName { server: other.to_string(), tool: name.into() });
            }
            found.extend(look_alike(Named::Tool, name, tool.as_str(), &format!("{other}/{tool}")));
        }
        if let Some(title) = &title {
            let others = locked.tools.values().filter_map(|t| t.definition.title());
            found.extend(others.filter_map(|others| {
                (likeness(title, &others) == Some(Likeness::Confusable)).then(|| Concern::LookAlike {
                    named: Named::Title,
                    name: title.to_string(),
                    like: others.into_owned(),
                    likeness: Likeness::Confusable,
                })
            }));
        }
    }
    found.into_iter().collect()
}

fn look_alike(named: Named, name: &str, other: &str, like: &str) -> Option<Concern> {
    let likeness = likeness(name, other)?;
    Some(Concern::LookAlike { named, name: name.into(), like: like.into(), likeness })
}

/// How `a` and `b` are alike; `None` if they are equal or clearly different.
#[must_use]
pub fn likeness(a: &str, b: &str) -> Option<Likeness> {
    if a == b {
        return None;
    }
    if skeleton(a) == skeleton(b) {
        return Some(Likeness::Confusable);
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Of the shortest names, most are one letter from another word; long ones are not two letters from one.
    let most = match a.len().min(b.len()) {
        0..4 => return None,
        4..8 => 1,
        8.. => 2,
    };
    within(&a, &b, most).then_some(Likeness::Near)
}

/// What a name looks like: UTS #39, then what ASCII can be mistaken for, without case and separators.
fn skeleton(name: &str) -> String {
    let folded = if name.is_ascii() { name.to_owned() } else { unicode_security::skeleton(name).collect() };
    let mut out = String::with_capacity(folded.len());
    for c in folded.chars().filter(|c| !matches!(c, '-' | '_' | '.' | ' ')).flat_map(char::to_lowercase) {
        out.push(match c {
            '1' | 'i' | '|' => 'l',
            '0' => 'o',
            '5' => 's',
            c => c,
        });
    }
    out.replace("rn", "m").replace("vv", "w")
}

/// Whether at most `most` insertions, deletions, replacements and swaps of neighbours lead from `a` to `b`.
fn within(a: &[char], b: &[char], most: usize) -> bool {
    if a.len().abs_diff(b.len()) > most || a.len().max(b.len()) > 256 {
        return false;
    }
    // Three rows of the usual table (optimal string alignment): two back, one back, this one.
    let (mut two_back, mut one_back) = (Vec::new(), (0..=b.len()).collect::<Vec<usize>>());
    let mut before = None;
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        let mut left = None;
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut cost = (at(&one_back, j) + usize::from(x != y)).min(at(&one_back, j + 1) + 1).min(at(&row, j) + 1);
            if let (Some(before), Some(left)) = (before, left)
                && before == y
                && left == x
            {
                cost = cost.min(at(&two_back, j - 1) + 1);
            }
            row.push(cost);
            left = Some(y);
        }
        two_back = std::mem::replace(&mut one_back, row);
        before = Some(x);
    }
    one_back.last().is_some_and(|cost| *cost <= most)
}

/// The first word that mixes ASCII letters with letters that are drawn like ASCII ones.
fn mixed_word(text: &str) -> Option<&str> {
    if text.is_ascii() {
        return None;
    }
    let passes = |c: char| {
        !c.is_ascii()
            && c.is_alphabetic()
            && unicode_security::skeleton(c.encode_utf8(&mut [0; 4])).all(|s| s.is_ascii_alphabetic())
    };
    text.split(|c: char| !c.is_alphanumeric())
        .find(|word| word.chars().any(|c| c.is_ascii_alphabetic()) && word.chars().any(passes))
}

/// Walks all strings, keys included. Recursion is bounded by the definition's depth limit.
fn hidden(value: View<'_>, pointer: &mut String, found: &mut BTreeSet<Concern>) {
    match value.kind() {
        Kind::String => hidden_in(&value.as_str().unwrap_or_default(), pointer, found),
        Kind::Array => {
            for (i, element) in value.elements().enumerate() {
                descend(&i.to_string(), element, pointer, found);
            }
        }
        Kind::Object => {
            for (key, member) in value.members() {
                let key = key.as_str().unwrap_or_default();
                descend(&key, member, pointer, found);
                // A key is reported at the member it names.
                let len = pointer.len();
                step(&key, pointer);
                hidden_in(&key, pointer, found);
                pointer.truncate(len);
            }
        }
        Kind::Null | Kind::Bool | Kind::Number => {}
    }
}

fn descend(key: &str, value: View<'_>, pointer: &mut String, found: &mut BTreeSet<Concern>) {
    let len = pointer.len();
    step(key, pointer);
    hidden(value, pointer, found);
    pointer.truncate(len);
}

fn step(key: &str, pointer: &mut String) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

fn hidden_in(text: &str, pointer: &str, found: &mut BTreeSet<Concern>) {
    if text.bytes().all(|b| matches!(b, b'\t' | b'\n' | 0x20..0x7f)) {
        return;
    }
    let mut all = visible::find(text).peekable();
    let Some((first, ..)) = all.peek().copied() else { return };
    let characters: BTreeSet<char> = all.map(|(_, c, _)| c).collect();
    found.insert(Concern::Hidden {
        characters: characters.into_iter().take(16).map(|c| format!("U+{:04X}", u32::from(c))).collect(),
        pointer: pointer.to_owned(),
        rendering: visible::render(around(text, first)),
    });
}

/// Some thirty characters on either side of byte `at`.
fn around(text: &str, at: usize) -> &str {
    const CHARACTERS: usize = 30;
    let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
    let start = before.char_indices().rev().take(CHARACTERS).last().map_or(at, |(i, _)| i);
    let end = after.char_indices().nth(CHARACTERS).map_or(text.len(), |(i, _)| at + i);
    text.get(start..end).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LockedServer, LockedTool, ToolFacts};
    use interlock_model::UnixMillis;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn definition(value: &Value) -> Definition {
        Definition::parse(value.to_string().as_bytes()).unwrap()
    }

    fn package(name: &str) -> ServerIdentity {
        let digest = interlock_model::Digest::of(b"");
        ServerIdentity::Npm {
            args: vec![],
            entry: "x".into(),
            lock: digest,
            package: name.into(),
            tree: digest,
            version: "1.0.0".into(),
        }
    }

    fn approved() -> Lock {
        let tools = ["read_file", "list_issues", "get", "firmware.sign"].map(|name| {
            let definition = definition(&json!({"name": name, "title": "Paypal", "inputSchema": {}}));
            let tool = LockedTool {
                approved_at: UnixMillis(0),
                approved_by: "ana@example.com".parse().unwrap(),
                digest: definition.digest(),
                exceptions: vec![],
                facts: ToolFacts::worst(),
                definition: definition.clone(),
            };
            (definition.name().clone(), tool)
        });
        let server = LockedServer { identity: package("@example/server-files"), tools: BTreeMap::from(tools) };
        Lock { servers: BTreeMap::from([("files".parse().unwrap(), server)]), ..Lock::empty() }
    }

    fn ids(server: &str, identity: &ServerIdentity, tool: &Value) -> Vec<String> {
        concerns(&server.parse().unwrap(), identity, &definition(tool), &approved()).iter().map(Concern::id).collect()
    }

    #[test]
    fn names_that_pass_for_approved_ones() {
        let none: &[&str] = &[];
        for (name, expected) in [
            ("read_file", &["same-name:files/read_file"][..]),
            ("readFile", &["look-alike:tool:files/read_file"]),
            ("read-file", &["look-alike:tool:files/read_file"]),
            ("read_fi1e", &["look-alike:tool:files/read_file"]),
            ("read_flie", &["look-alike:tool:files/read_file"]),
            ("read_files", &["look-alike:tool:files/read_file"]),
            ("Iist_issues", &["look-alike:tool:files/list_issues"]),
            ("1ist_lssues", &["look-alike:tool:files/list_issues"]),
            ("firrnware.sign", &["look-alike:tool:files/firmware.sign"]),
            ("firmware_s1gn", &["look-alike:tool:files/firmware.sign"]),
            ("set", none), // short names are all near each other
            ("write_file", none),
            ("add", none),
            ("search_code", none),
        ] {
            let found = ids("other", &package("unlike"), &json!({"name": name, "inputSchema": {}}));
            assert_eq!(found, expected, "{name}");
            // Its own server may name its tools as it likes.
            assert_eq!(ids("files", &package("unlike"), &json!({"name": name, "inputSchema": {}})), none, "{name}");
        }
    }

    #[test]
    fn servers_packages_and_titles() {
        let tool = json!({"name": "unlike", "inputSchema": {}});
        assert_eq!(ids("fi1es", &package("unlike"), &tool), ["look-alike:server:files"]);
        assert_eq!(
            ids("other", &package("@example/server-flies"), &tool),
            ["look-alike:package:@example/server-files"]
        );
        assert_eq!(
            ids("other", &package("@examp1e/server-files"), &tool),
            ["look-alike:package:@example/server-files"]
        );
        // Cyrillic a's.
        let titled = |title: &str| json!({"name": "unlike", "title": title, "inputSchema": {}});
        assert_eq!(
            ids("other", &package("unlike"), &titled("P\u{430}yp\u{430}l")),
            ["mixed-script:/title", "look-alike:title:Paypal"]
        );
        for title in ["Paypal", "Fichier supprimé", "Прочитать файл", "ファイルを読む API", "Größe", "קריאת קובץ"]
        {
            assert_eq!(ids("other", &package("unlike"), &titled(title)), [""; 0], "{title}");
        }
    }

    #[test]
    fn characters_nobody_sees() {
        let tool = json!({
            "name": "t",
            "description": "Adds.\u{e0001}\u{e0068}\u{e0069}",
            "inputSchema": {"properties": {"a": {"enum": ["x", "y\u{200b}"]}, "b\u{202e}": {"description": "\u{1b}[8m"}}},
            "_meta": {"deep/er": ["ok", "\u{2764}\u{fe0f}"]},
        });
        let found = concerns(&"s".parse().unwrap(), &package("p"), &definition(&tool), &Lock::empty());
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "hidden characters (U+001B) at /inputSchema/properties/b<U+202E>/description: <U+001B>[8m",
                "hidden characters (U+200B) at /inputSchema/properties/a/enum/1: y<U+200B>",
                "hidden characters (U+202E) at /inputSchema/properties/b<U+202E>: b<U+202E>",
                "hidden characters (U+E0001, U+E0068, U+E0069) at /description: Adds.<U+E0001><U+E0068><U+E0069>",
            ]
        );
        let ids: BTreeSet<String> = found.iter().map(Concern::id).collect();
        assert_eq!(ids.len(), found.len(), "an id names one concern");
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Concern>>(&text).unwrap(), found);
    }

    #[test]
    fn distance() {
        for (a, b, most, near) in [
            ("abcd", "abcd", 0, true),
            ("abcd", "abdc", 1, true),
            ("abcd", "acbd", 1, true),
            ("abcd", "abc", 1, true),
            ("abcd", "xabcd", 1, true),
            ("abcd", "badc", 1, false),
            ("abcd", "badc", 2, true),
            ("ab", "", 1, false),
        ] {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            assert_eq!(within(&chars(a), &chars(b), most), near, "{a} {b} {most}");
            assert_eq!(within(&chars(b), &chars(a), most), near, "{b} {a} {most}");
        }
    }
}
