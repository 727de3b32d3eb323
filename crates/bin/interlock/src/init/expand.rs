//! The variables that clients expand: `${env:X}`, `${X}`, `${X:-d}`, `${input:id}`, `${userHome}`, `${workspaceFolder}`,
//! `%X%` and a leading `~`.

use std::path::Path;

/// A value with its variables dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expanded {
    /// Text; `from_environment` if a variable's value is in it.
    Text {
        /// The text.
        text: String,
        /// Whether the environment gave a part of it.
        from_environment: bool,
    },
    /// All of it is one environment variable.
    Variable(String),
    /// It asks for something that is not known: which.
    Asks(String),
}

/// What variables stand for.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    /// The home directory.
    pub(super) home: &'a Path,
    /// The directory of the project that the file belongs to.
    pub(super) project: &'a Path,
    /// The environment.
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
}

/// Variables that hold directories: their values go into the text, as the client would put them there.
const DIRECTORIES: &[&str] = &[
    "HOME",
    "USERPROFILE",
    "APPDATA",
    "LOCALAPPDATA",
    "PROGRAMFILES",
    "PROGRAMDATA",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "TMPDIR",
    "PWD",
];

/// Expands `text`.
#[must_use]
pub(super) fn expand(text: &str, context: Context<'_>) -> Expanded {
    if let Some(name) = whole_variable(text) {
        let (name, default) = name.split_once(":-").map_or((name, None), |(n, d)| (n, Some(d)));
        match default {
            Some(default) if (context.environment)(name).is_none() => {
                return Expanded::Text { text: default.to_owned(), from_environment: false };
            }
            _ if !is_directory(name) => return Expanded::Variable(name.to_owned()),
            _ => {}
        }
    }
    let mut out = String::with_capacity(text.len());
    let mut from_environment = false;
    let mut rest = text;
    if let Some(after) = rest.strip_prefix('~').filter(|r| r.is_empty() || r.starts_with(['/', '\\'])) {
        out.push_str(&context.home.to_string_lossy());
        rest = after;
    }
    while let Some((before, variable, after)) = next_variable(rest) {
        out.push_str(before);
        match value(variable, context) {
            Some((value, environment)) => {
                out.push_str(&value);
                from_environment |= environment;
            }
            None => return Expanded::Asks(variable.to_owned()),
        }
        rest = after;
    }
    out.push_str(rest);
    Expanded::Text { text: out, from_environment }
}

fn is_directory(name: &str) -> bool {
    DIRECTORIES.iter().any(|d| d.eq_ignore_ascii_case(name))
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The name in `${env:X}`, `${X}`, `${X:-d}` or `%X%`, if `text` is nothing else.
fn whole_variable(text: &str) -> Option<&str> {
    let braced = text.strip_prefix("${").and_then(|t| t.strip_suffix('}')).map(|t| t.strip_prefix("env:").unwrap_or(t));
    let name = braced.or_else(|| text.strip_prefix('%').and_then(|t| t.strip_suffix('%')))?;
    let bare = name.split_once(":-").map_or(name, |(n, _)| n);
    (is_name(bare) && !matches!(bare, "userHome" | "workspaceFolder" | "cwd" | "pathSeparator")).then_some(name)
}

/// The text before the first variable, what stands inside it, and the text after it.
fn next_variable(text: &str) -> Option<(&str, &str, &str)> {
    let braced = text.find("${").and_then(|at| {
        let len = text.get(at..)?.find('}')?;
        Some((at, text.get(at + 2..at + len)?, at + len + 1))
    });
    let percent = text.find('%').and_then(|at| {
        let len = text.get(at + 1..)?.find('%')?;
        let name =
            text.get(at + 1..at + 1 + len).filter(|n| is_name(n) || n.eq_ignore_ascii_case("ProgramFiles(x86)"))?;
        Some((at, name, at + len + 2))
    });
    let (at, variable, end) = match (braced, percent) {
        (Some(b), Some(p)) => {
            if b.0 < p.0 {
                b
            } else {
                p
            }
        }
        (found, other) => found.or(other)?,
    };
    Some((text.get(..at)?, variable, text.get(end..)?))
}

/// A variable's value, and whether it is the environment's.
fn value(variable: &str, context: Context<'_>) -> Option<(String, bool)> {
    let path = |path: &Path| Some((path.to_string_lossy().into_owned(), false));
    match variable {
        "userHome" => return path(context.home),
        "workspaceFolder" | "cwd" => return path(context.project),
        "workspaceFolderBasename" => return path(Path::new(context.project.file_name()?)),
        "pathSeparator" | "/" => return Some((std::path::MAIN_SEPARATOR.to_string(), false)),
        _ => {}
    }
    let name = variable.strip_prefix("env:").unwrap_or(variable);
    let (name, default) = name.split_once(":-").map_or((name, None), |(n, d)| (n, Some(d)));
    let found = (context.environment)(name).filter(|v| !v.is_empty());
    match (found, default) {
        // A directory's name is no secret.
        (Some(value), _) => Some((value, !is_directory(name))),
        (None, Some(default)) => Some((default.to_owned(), false)),
        (None, None) if matches!(name.to_ascii_uppercase().as_str(), "HOME" | "USERPROFILE") => path(context.home),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables() {
        let environment = |name: &str| match name {
            "TOKEN" => Some("t0ken".to_owned()),
            "APPDATA" => Some(r"C:\Users\ada\AppData\Roaming".to_owned()),
            _ => None,
        };
        let context = Context { home: Path::new("/home/ada"), project: Path::new("/src/p"), environment: &environment };
        let text = |text: &str, from_environment| Expanded::Text { text: text.to_owned(), from_environment };
        for (given, expected) in [
            ("plain", text("plain", false)),
            ("${env:TOKEN}", Expanded::Variable("TOKEN".into())),
            ("${TOKEN}", Expanded::Variable("TOKEN".into())),
            ("${NOT_SET}", Expanded::Variable("NOT_SET".into())),
            ("%TOKEN%", Expanded::Variable("TOKEN".into())),
            ("${LEVEL:-info}", text("info", false)),
            ("${TOKEN:-none}", Expanded::Variable("TOKEN".into())),
            ("Bearer ${env:TOKEN}", text("Bearer t0ken", true)),
            ("Bearer ${env:NOT_SET}", Expanded::Asks("env:NOT_SET".into())),
            ("Bearer ${input:tok}", Expanded::Asks("input:tok".into())),
            ("${input:tok}", Expanded::Asks("input:tok".into())),
            ("~/x", text("/home/ada/x", false)),
            ("~", text("/home/ada", false)),
            ("~ada/x", text("~ada/x", false)),
            ("a~/x", text("a~/x", false)),
            ("${userHome}/x", text("/home/ada/x", false)),
            ("${HOME}", text("/home/ada", false)),
            ("${workspaceFolder}/server.js", text("/src/p/server.js", false)),
            (r"%APPDATA%\npm", text(r"C:\Users\ada\AppData\Roaming\npm", false)),
            (r"%NOT_SET%\npm", Expanded::Asks("NOT_SET".into())),
            ("100% of 50%", text("100% of 50%", false)),
            ("${unclosed", text("${unclosed", false)),
        ] {
            assert_eq!(expand(given, context), expected, "{given}");
        }
    }
}
