//! How things look on a terminal: colour where it is wanted, tables, wrapped text, progress.
//!
//! In scope: presentation, and keeping other people's text from driving the terminal. Out of scope: what is said.

mod clean;
mod progress;
mod wrap;

pub use clean::clean;
pub use progress::Progress;
pub use wrap::{display_width, wrap};

use comfy_table::{ContentArrangement, Table, presets};
use owo_colors::{OwoColorize as _, Style};
use std::io::IsTerminal as _;

/// What a piece of text means, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong, refused.
    Bad,
    /// Heads of sections, what to read first.
    Strong,
    /// Less important than its surroundings.
    Faint,
    /// Names and commands to type.
    Name,
}

/// One output stream and what it can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    colour: bool,
    width: usize,
    live: bool,
}

impl Term {
    /// Standard output. With `json` nothing is coloured and nothing moves.
    #[must_use]
    pub fn stdout(json: bool) -> Self {
        Self::of(std::io::stdout().is_terminal(), json, window_width())
    }

    /// Standard error.
    #[must_use]
    pub fn stderr(json: bool) -> Self {
        Self::of(std::io::stderr().is_terminal(), json, window_width())
    }

    /// No colour, `width` columns: for files and tests.
    #[must_use]
    pub const fn plain(width: usize) -> Self {
        Self { colour: false, width, live: false }
    }

    fn of(terminal: bool, json: bool, window: Option<usize>) -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let columns = variable("COLUMNS").and_then(|c| c.parse().ok());
        Self {
            colour: colour(terminal, json, &variable),
            width: window.or(columns).unwrap_or(100).clamp(40, 160),
            live: terminal && !json && variable("TERM").as_deref() != Some("dumb"),
        }
    }

    /// Columns to fill.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Whether colours are shown.
    #[must_use]
    pub const fn has_colour(&self) -> bool {
        self.colour
    }

    /// `text` in the colour of `tone`, if colours are shown.
    #[must_use]
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let style = match tone {
            Tone::Good => Style::new().green(),
            Tone::Warn => Style::new().yellow(),
            Tone::Bad => Style::new().red().bold(),
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dimmed(),
            Tone::Name => Style::new().cyan(),
        };
        text.style(style).to_string()
    }

    /// An empty table with a head, as wide as the terminal at most. Cells of other people's text go through [`clean`].
    #[must_use]
    pub fn table(&self, head: &[&str]) -> Table {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(u16::try_from(self.width).unwrap_or(160));
        if !head.is_empty() {
            table.set_header(head.iter().map(|h| self.paint(Tone::Strong, h)));
        }
        table
    }

    /// `text` wrapped to the width, each line after `indent` spaces.
    #[must_use]
    pub fn wrap(&self, indent: usize, text: &str) -> String {
        wrap(text, self.width, indent)
    }

    /// A spinner on standard error for what takes over a second; silent where nothing moves.
    #[must_use]
    pub fn progress(&self, message: &str) -> Progress {
        Progress::new(self.live, message)
    }
}

/// Colour is for people at terminals who did not decline it (no-color.org).
fn colour(terminal: bool, json: bool, variable: &dyn Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| variable(name).is_some_and(|v| !v.is_empty() && v != "0");
    if json || variable("NO_COLOR").is_some_and(|v| !v.is_empty()) {
        return false;
    }
    set("CLICOLOR_FORCE") || set("FORCE_COLOR") || terminal && variable("TERM").as_deref() != Some("dumb")
}

#[cfg(unix)]
fn window_width() -> Option<usize> {
    let stdout = rustix::termios::tcgetwinsize(std::io::stdout());
    let size = stdout.or_else(|_| rustix::termios::tcgetwinsize(std::io::stderr())).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(not(unix))]
fn window_width() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gets_colour() {
        for (terminal, json, variables, expected) in [
            (true, false, &[][..], true),
            (false, false, &[], false),
            (true, true, &[], false),
            (true, false, &[("NO_COLOR", "1")], false),
            (true, false, &[("NO_COLOR", "")], true), // no-color.org: not an empty string
            (true, false, &[("TERM", "dumb")], false),
            (false, false, &[("CLICOLOR_FORCE", "1")], true),
            (false, false, &[("CLICOLOR_FORCE", "0")], false),
            (false, false, &[("FORCE_COLOR", "1"), ("NO_COLOR", "1")], false),
            (false, true, &[("FORCE_COLOR", "1")], false),
        ] {
            let variable =
                |name: &str| variables.iter().find(|(n, _): &&(&str, &str)| *n == name).map(|(_, v)| (*v).to_owned());
            assert_eq!(colour(terminal, json, &variable), expected, "{terminal} {json} {variables:?}");
        }
    }

    #[test]
    fn plain_output_has_no_escapes_and_keeps_its_width() {
        let term = Term::plain(40);
        assert_eq!(term.paint(Tone::Bad, "x"), "x");
        let mut table = term.table(&["name", "what"]);
        table.add_row(["a", &"word ".repeat(30)]);
        let text = table.to_string();
        assert!(!text.contains('\u{1b}'));
        assert!(text.lines().all(|line| display_width(line) <= 40), "{text}");
        let colourful = Term { colour: true, width: 40, live: false };
        assert!(colourful.paint(Tone::Bad, "x").starts_with('\u{1b}'));
    }
}
