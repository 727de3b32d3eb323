//! Wrapping text to columns, counted as a terminal counts them.

use unicode_width::UnicodeWidthStr as _;

/// How many columns `text` takes.
#[must_use]
pub fn display_width(text: &str) -> usize {
    text.width()
}

/// Wraps `text` at spaces to `width` columns, each line after `indent` spaces; line breaks in it stay. A word wider than a
/// line stands alone: cut words (addresses, commands) cannot be copied.
#[must_use]
pub fn wrap(text: &str, width: usize, indent: usize) -> String {
    let room = width.saturating_sub(indent).max(10);
    let margin = " ".repeat(indent);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && display_width(&line) + 1 + display_width(word) > room {
                lines.push(std::mem::take(&mut line));
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    let indented: Vec<_> =
        lines.iter().map(|l| if l.is_empty() { String::new() } else { format!("{margin}{l}") }).collect();
    indented.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_words_stay_whole() {
        for (text, width, indent, expected) in [
            ("one two three", 11, 0, "one two\nthree"),
            ("one two three", 15, 4, "    one two\n    three"),
            ("a\n\nb", 20, 2, "  a\n\n  b"),
            (
                "\u{4e2d}\u{6587}\u{4e2d} \u{6587}\u{4e2d}\u{6587}",
                12,
                0,
                "\u{4e2d}\u{6587}\u{4e2d}\n\u{6587}\u{4e2d}\u{6587}",
            ),
            ("x https://example.com/long", 12, 0, "x\nhttps://example.com/long"),
        ] {
            assert_eq!(wrap(text, width, indent), expected, "{text}");
        }
    }
}
