//! Characters that a reviewer does not see, and how they are shown.
//!
//! Source: Unicode UAX #9 (bidirectional controls), UAX #44 `Default_Ignorable_Code_Point`, UTS #51 (what emoji
//! sequences need), the tag block U+E0000.

use std::fmt::Write as _;

/// Why a character is not seen, or shows as something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hidden {
    /// Changes the order in which text is shown.
    Bidirectional,
    /// Has no width, or none of its own.
    Invisible,
    /// A tag character: invisible ASCII.
    Tag,
    /// Selects a variant of a character, or carries data after one.
    VariationSelector,
    /// A control character other than tab and line feed.
    Control,
    /// Private use or not a character: shows as whatever the reader's fonts say.
    Private,
}

impl Hidden {
    /// What it is called in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bidirectional => "bidirectional control",
            Self::Invisible => "invisible character",
            Self::Tag => "tag character",
            Self::VariationSelector => "variation selector",
            Self::Control => "control character",
            Self::Private => "private-use character",
        }
    }
}

/// What `c` is, if a reader would not see it. Regardless of its neighbours: see [`find`].
#[must_use]
pub const fn classify(c: char) -> Option<Hidden> {
    match c {
        '\t' | '\n' => None,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => Some(Hidden::Control),
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Some(Hidden::Bidirectional)
        }
        '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200d}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' => Some(Hidden::Invisible),
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => {
            Some(Hidden::VariationSelector)
        }
        '\u{e0000}'..='\u{e0fff}' => Some(Hidden::Tag),
        '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{f0000}'..='\u{10ffff}' => Some(Hidden::Private),
        _ => None,
    }
}

/// The hidden characters of `text` with their byte offsets, save those that a script or an emoji needs
/// where they stand: a joiner between letters of a joining script or between emoji, one variation
/// selector after a symbol.
pub fn find(text: &str) -> impl Iterator<Item = (usize, char, Hidden)> + '_ {
    let mut before: Option<char> = None;
    text.char_indices().filter_map(move |(at, c)| {
        let previous = before.replace(c);
        let hidden = classify(c)?;
        let next = text.get(at + c.len_utf8()..).and_then(|rest| rest.chars().next());
        (!belongs(previous, c, next)).then_some((at, c, hidden))
    })
}

/// `text` with every character that [`find`] finds written as `<U+202E>`.
#[must_use]
pub fn render(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (at, c, _) in find(text) {
        out.push_str(text.get(from..at).unwrap_or_default());
        // Writing to a string cannot fail.
        let _ = write!(out, "<U+{:04X}>", u32::from(c));
        from = at + c.len_utf8();
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

fn belongs(previous: Option<char>, c: char, next: Option<char>) -> bool {
    let Some(previous) = previous else { return false };
    match c {
        '\u{200c}' | '\u{200d}' => match next {
            Some(next) if joins(previous) => joins(next) || next == ' ',
            Some(next) => c == '\u{200d}' && (pictograph(previous) || previous == '\u{fe0f}') && pictograph(next),
            None => false,
        },
        '\u{fe0e}' | '\u{fe0f}' => pictograph(previous) || next == Some('\u{20e3}') && previous.is_ascii(),
        _ => false,
    }
}

/// Letters and signs of scripts whose spelling uses joiners: Arabic and the Indic family.
const fn joins(c: char) -> bool {
    matches!(c, '\u{620}'..='\u{8ff}' | '\u{900}'..='\u{dff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17b3}' | '\u{1820}'..='\u{18aa}')
}

/// Symbols that take part in emoji sequences.
const fn pictograph(c: char) -> bool {
    matches!(c, '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}'
        | '\u{2190}'..='\u{27ff}' | '\u{2900}'..='\u{2bff}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
        | '\u{1f000}'..='\u{1faff}')
        && c != '\u{2800}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (text, shown) in [
            ("plain\ttext\n", "plain\ttext\n"),
            ("a\u{202e}b", "a<U+202E>b"),
            ("a\u{200b}b", "a<U+200B>b"),
            ("x\u{e0068}\u{e0069}", "x<U+E0068><U+E0069>"),
            ("\u{1b}[2J", "<U+001B>[2J"),
            ("a\rb", "a<U+000D>b"),
            ("\u{feff}a", "<U+FEFF>a"),
            ("so\u{ad}ft", "so<U+00AD>ft"),
            // Data after a letter, or a second selector after a symbol.
            ("a\u{fe0f}", "a<U+FE0F>"),
            ("\u{2764}\u{fe0f}\u{fe0f}", "\u{2764}\u{fe0f}<U+FE0F>"),
            ("\u{1f600}\u{e0101}", "\u{1f600}<U+E0101>"),
            // What people write: a heart, a family, a keycap, Persian, Hindi, Japanese, Hebrew.
            ("\u{2764}\u{fe0f}", "\u{2764}\u{fe0f}"),
            ("\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}", "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}"),
            ("\u{2764}\u{fe0f}\u{200d}\u{1f525}", "\u{2764}\u{fe0f}\u{200d}\u{1f525}"),
            ("1\u{fe0f}\u{20e3}", "1\u{fe0f}\u{20e3}"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("क्\u{200d}ष", "क्\u{200d}ष"),
            ("ファイルを読む", "ファイルを読む"),
            ("קובץ", "קובץ"),
            // A joiner between Latin letters has no such use.
            ("re\u{200d}ad", "re<U+200D>ad"),
        ] {
            assert_eq!(render(text), shown, "{text:?}");
        }
    }
}
