//! Text that others wrote, made safe to print.

use std::borrow::Cow;

/// `text` with everything a terminal would obey or hide made visible: control characters (line breaks and tabs
/// become spaces), direction marks, zero-width and tag characters as `<U+202E>`. An agent or server that writes an
/// escape sequence into an argument could otherwise repaint what an approver reads.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            c if is_hidden(c) => out.push_str(&format!("<U+{:04X}>", u32::from(c))),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0x00ad | 0x034f | 0x061c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
            | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_remains() {
        for (text, expected) in [
            ("plain caf\u{e9} \u{4e2d}\u{6587}", "plain caf\u{e9} \u{4e2d}\u{6587}"),
            ("\u{1b}[2Jgone", "<U+001B>[2Jgone"),
            ("\u{9b}31m", "<U+009B>31m"),
            ("a\nb\tc", "a b c"),
            ("evil\u{202e}txt.exe", "evil<U+202E>txt.exe"),
            ("in\u{200b}visible", "in<U+200B>visible"),
            ("tag\u{e0041}", "tag<U+E0041>"),
        ] {
            assert_eq!(clean(text), expected);
        }
    }
}
