//! What is wrong with a configuration, where, and what to write instead.

use super::{suspect, text::TextError};
use std::{fmt, ops::Range, path::PathBuf};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is none.
    #[error("there is no configuration `{}`; `interlock init` writes one, --config names another", .0.display())]
    Missing(PathBuf),
    /// The file has no text.
    #[error("cannot read `{}`: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What happened.
        source: TextError,
    },
    /// The text is not a configuration.
    #[error(transparent)]
    Fault(Box<Fault>),
}

/// One fault in a configuration's text. Shows the offending line, with anything that looks like a secret masked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line, masked; tabs are spaces.
    pub text: String,
    /// How many characters are underlined; zero where the masked line cannot show the place.
    pub width: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "{}:{}:{}: {}", self.file.display(), self.line, self.column, self.message)?;
        write!(f, "{margin} |\n{number} | {}", self.text)?;
        if self.width > 0 {
            write!(f, "\n{margin} | {}{}", " ".repeat(self.column - 1), "^".repeat(self.width))?;
        }
        match &self.help {
            Some(help) => write!(f, "\n{margin} = {help}"),
            None => Ok(()),
        }
    }
}

/// A fault before it knows its file and line: a span of the text, what is wrong, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl Complaint {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn of_toml(error: &toml::de::Error) -> Self {
        let (message, help) = reworded(error.message());
        Self { span: error.span().unwrap_or(0..0), message, help }
    }

    pub(super) fn in_file(self, file: PathBuf, text: &str) -> Fault {
        let start = floor_boundary(text, self.span.start);
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_text = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let column = text.get(line_start..start).unwrap_or_default().chars().count() + 1;
        let masked = suspect::masked_line(line_text);
        let to_line_end = (line_start + line_text.len()).saturating_sub(start);
        let wanted = self.span.end.saturating_sub(start).min(to_line_end);
        let underlined =
            text.get(start..floor_boundary(text, start + wanted)).unwrap_or_default().chars().count().max(1);
        Fault {
            line: before.matches('\n').count() + 1,
            column,
            // A masked line has other columns than the file's.
            width: if masked == line_text { underlined } else { 0 },
            text: masked.replace('\t', " "),
            message: suspect::masked_line(&self.message),
            help: self.help,
            file,
        }
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

/// Says what serde and the TOML parser say in words that a reader of the file knows.
fn reworded(message: &str) -> (String, Option<String>) {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if let Some(rest) = message.strip_prefix("unknown ") {
        let what = if rest.starts_with("field") { "key" } else { "value" };
        let Some(found) = quoted.next() else { return (message.to_owned(), None) };
        let known: Vec<&str> = quoted.collect();
        let help = match nearest(found, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "nothing is expected here".to_owned(),
            None => format!("known here: {}", known.join(", ")),
        };
        return (format!("unknown {what} `{found}`"), Some(help));
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return (format!("missing key {rest}"), None);
    }
    let lower = message.replace('\n', ", ");
    let help = (lower.contains("escape") || lower.contains("unicode value")).then(|| {
        r"in double quotes `\` starts an escape: write Windows paths in single quotes, 'C:\like\this'".to_owned()
    });
    (lower, help)
}

/// The known word nearest to `found`, if it is near enough to be what was meant.
pub(crate) fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|word| (distance(found, word), *word))
        .min_by_key(|(d, _)| *d)
        .filter(|(d, word)| *d <= 1 + word.len().min(found.len()) / 4)
        .map(|(_, word)| word)
        .or_else(|| known.iter().find(|word| shares_its_beginning(found, word)).copied())
}

/// `env` and `environment`, `enforce` and `enforcing`.
fn shares_its_beginning(found: &str, word: &str) -> bool {
    let same = found.bytes().zip(word.bytes()).take_while(|(a, b)| a == b).count();
    same >= 3 && same * 4 >= found.len() * 3
}

/// Edit distance in which swapping two neighbours counts once (optimal string alignment), case and `-`/`_` aside.
/// Words are cut at 64 characters: the cost is theirs squared.
fn distance(a: &str, b: &str) -> usize {
    let plain = |s: &str| -> Vec<char> {
        s.chars().take(64).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
    };
    let (a, b) = (plain(a), plain(b));
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut last_a = None;
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        let mut last_b = None;
        for (j, cb) in b.iter().enumerate() {
            let get = |v: &[usize], at: usize| v.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut cost = (get(&above, j) + usize::from(ca != cb)).min(get(&above, j + 1) + 1).min(get(&row, j) + 1);
            if j > 0 && last_a == Some(cb) && last_b == Some(ca) {
                cost = cost.min(get(&before, j - 1) + 1);
            }
            row.push(cost);
            last_b = Some(cb);
        }
        before = std::mem::replace(&mut above, row);
        last_a = Some(ca);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words() {
        let known = ["mode", "environment", "listen", "data", "policy", "catalog", "limits", "servers"];
        for (found, expected) in [
            ("lisen", Some("listen")),
            ("enviroment", Some("environment")),
            ("Mode", Some("mode")),
            ("mdoe", Some("mode")), // swapped
            ("server", Some("servers")),
            ("env", Some("environment")),
            ("catalogue", Some("catalog")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(found, &known), expected, "{found}");
        }
    }

    #[test]
    fn places_count_characters_and_survive_any_span() {
        let text = "a = 1\r\n\"\u{e9}\u{e9}\" = nope\r\n";
        let at = text.find("nope").unwrap();
        let fault = Complaint::new(at..at + 4, "bad").in_file("c.toml".into(), text);
        assert_eq!((fault.line, fault.column, fault.width), (2, 8, 4));
        assert_eq!(fault.text, "\"\u{e9}\u{e9}\" = nope");
        for span in [0..0, 9..9, 5..900, 900..901] {
            let _ = Complaint::new(span, "bad").in_file("c.toml".into(), text).to_string();
        }
    }
}
