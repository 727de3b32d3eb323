//! Policy text before Cedar sees it: limits, and where one policy ends and the next begins.
//!
//! In scope: one lexed pass that knows strings and comments. Out of scope: what the text means.
//! Cedar's own parser recurses with the text and ends the process at 150 nested parentheses, so
//! whatever nests is counted here first.

/// What policy text may be. Generous for people, far below what Cedar's recursion can bear.
#[derive(Clone, Copy, Debug)]
pub struct TextLimits {
    /// Most bytes in one file.
    pub file_bytes: usize,
    /// Most bytes in all files of the bundle.
    pub bundle_bytes: usize,
    /// Most files.
    pub files: usize,
    /// Most policies in the bundle.
    pub policies: usize,
    /// Most bytes in one policy.
    pub policy_bytes: usize,
    /// Most levels of brackets, braces and parentheses, and most `if`s in one policy.
    pub depth: usize,
    /// Most operators in one policy: a chain of them nests as well.
    pub operators: usize,
}

impl TextLimits {
    /// The limits in force.
    pub const DEFAULT: Self = Self {
        file_bytes: 1 << 20,
        bundle_bytes: 4 << 20,
        files: 512,
        policies: 2000,
        policy_bytes: 64 << 10,
        depth: 32,
        operators: 512,
    };
}

/// One policy's text, from its first token to its semicolon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a str,
    /// Byte offset in the file.
    pub(crate) at: usize,
}

/// Why a text was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextFault {
    pub(crate) fault: Fault,
    pub(crate) at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("a string that does not end")]
    OpenString,
    #[error("a bracket that nothing opened")]
    Unopened,
    #[error("a policy that does not end: `;` is missing")]
    Unfinished,
    #[error("nested deeper than the limit")]
    Depth,
    #[error("more operators in one policy than the limit")]
    Operators,
    #[error("a policy longer than the limit")]
    PolicyBytes,
    #[error("more policies than the limit")]
    Policies,
    #[error("a character that Cedar does not know")]
    Character,
}

/// Splits a file into its policies.
pub(crate) fn split<'t>(text: &'t str, limits: &TextLimits) -> Result<Vec<Piece<'t>>, TextFault> {
    let mut lexer = Lexer { bytes: text.as_bytes(), at: 0 };
    let mut pieces = Vec::new();
    let mut policy = Counts::default();
    while let Some((start, token)) = lexer.next()? {
        let from = *policy.start.get_or_insert(start);
        let fault = |fault| Err(TextFault { fault, at: start });
        match token {
            Token::Open => policy.depth += 1,
            Token::Close => match policy.depth.checked_sub(1) {
                Some(depth) => policy.depth = depth,
                None => return fault(Fault::Unopened),
            },
            Token::Operator => policy.operators += 1,
            Token::If => policy.ifs += 1,
            Token::Other => {}
            Token::Semicolon if policy.depth == 0 => {
                pieces.push(Piece { text: text.get(from..lexer.at).unwrap_or_default(), at: from });
                policy = Counts::default();
                if pieces.len() > limits.policies {
                    return fault(Fault::Policies);
                }
                continue;
            }
            Token::Semicolon => {}
        }
        if policy.depth > limits.depth || policy.ifs > limits.depth {
            return fault(Fault::Depth);
        }
        if policy.operators > limits.operators {
            return fault(Fault::Operators);
        }
        if lexer.at - from > limits.policy_bytes {
            return fault(Fault::PolicyBytes);
        }
    }
    match policy.start {
        Some(at) => Err(TextFault { fault: Fault::Unfinished, at }),
        None => Ok(pieces),
    }
}

#[derive(Default)]
struct Counts {
    start: Option<usize>,
    depth: usize,
    ifs: usize,
    operators: usize,
}

enum Token {
    Open,
    Close,
    Semicolon,
    Operator,
    If,
    Other,
}

struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Lexer<'_> {
    /// The next token and where it starts. Whatever Cedar's lexer would not take is refused here, so
    /// that the two never disagree on where a string ends.
    fn next(&mut self) -> Result<Option<(usize, Token)>, TextFault> {
        self.skip_space_and_comments();
        let start = self.at;
        let Some(byte) = self.peek(0) else { return Ok(None) };
        self.at += 1;
        let token = match byte {
            b'(' | b'[' | b'{' => Token::Open,
            b')' | b']' | b'}' => Token::Close,
            b';' => Token::Semicolon,
            b'"' => {
                self.string(start)?;
                Token::Other
            }
            b'&' | b'|' | b'=' | b'!' | b'<' | b'>' | b'+' | b'-' | b'*' | b'.' | b'/' | b'%' => {
                // `&&`, `||`, `==`, `!=`, `<=`, `>=` are one operator each; `!!` are two.
                if matches!((byte, self.peek(0)), (b'&', Some(b'&')) | (b'|', Some(b'|')) | (_, Some(b'='))) {
                    self.at += 1;
                }
                Token::Operator
            }
            b'@' | b',' | b':' | b'?' => Token::Other,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'0'..=b'9' => {
                while self.peek(0).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
                    self.at += 1;
                }
                match self.bytes.get(start..self.at) {
                    Some(b"if") => Token::If,
                    Some(b"in" | b"is" | b"has" | b"like") => Token::Operator,
                    _ => Token::Other,
                }
            }
            _ => return Err(TextFault { fault: Fault::Character, at: start }),
        };
        Ok(Some((start, token)))
    }

    fn string(&mut self, start: usize) -> Result<(), TextFault> {
        loop {
            match self.peek(0) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') if self.peek(1).is_some_and(|b| b != b'\n' && b != b'\r') => self.at += 2,
                Some(b'\\') | None => return Err(TextFault { fault: Fault::OpenString, at: start }),
                Some(_) => self.at += 1,
            }
        }
    }

    fn skip_space_and_comments(&mut self) {
        while let Some(byte) = self.peek(0) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'/' if self.peek(1) == Some(b'/') => {
                    while self.peek(0).is_some_and(|b| b != b'\n' && b != b'\r') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }
}

/// Where `at` stands in `text`: line and column, both from 1, the column in characters.
pub(crate) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> Result<usize, Fault> {
        split(text, &TextLimits::DEFAULT).map(|p| p.len()).map_err(|f| f.fault)
    }

    #[test]
    fn strings_and_comments_do_not_count() {
        for (text, expected) in [
            ("", Ok(0)),
            ("// only (((( a comment", Ok(0)),
            ("permit(principal, action, resource);", Ok(1)),
            ("permit(principal,\r\n action, resource); // ;;\r\nforbid(principal, action, resource);\r\n", Ok(2)),
            (r#"@reason("a ; b \" ; ((") permit(principal, action, resource);"#, Ok(1)),
            (r#"@reason("open"#, Err(Fault::OpenString)),
            ("@reason(\"a\\\nb\") permit(principal, action, resource);", Err(Fault::OpenString)),
            ("permit(principal, action, resource)", Err(Fault::Unfinished)),
            ("permit(principal, action, resource));", Err(Fault::Unopened)),
            ("permit(principal, action, resource) when { \u{201c}a\u{201d} };", Err(Fault::Character)),
        ] {
            assert_eq!(count(text), expected, "{text:?}");
        }
    }

    #[test]
    fn whatever_nests_is_capped() {
        let when = |condition: String| format!("permit(principal, action, resource) when {{ {condition} }};");
        let parens = |n: usize| when(format!("{}true{}", "(".repeat(n), ")".repeat(n)));
        assert_eq!(count(&parens(31)), Ok(1));
        assert_eq!(count(&parens(32)), Err(Fault::Depth));
        assert_eq!(count(&when("if true then true else ".repeat(33) + "true")), Err(Fault::Depth));
        assert_eq!(count(&when(vec!["true"; 514].join(" && "))), Err(Fault::Operators));
        assert_eq!(count(&when("!".repeat(513) + "true")), Err(Fault::Operators));
        assert_eq!(count(&when(format!("context{}", ".a".repeat(513)))), Err(Fault::Operators));
        assert_eq!(count(&when(format!("\"{}\" == \"\"", "x".repeat(70_000)))), Err(Fault::PolicyBytes));
        assert_eq!(count(&"permit(principal, action, resource);".repeat(2001)), Err(Fault::Policies));
    }

    #[test]
    fn places_are_counted_from_one() {
        let text = "a\r\n\u{e4}b";
        assert_eq!(line_and_column(text, 0), (1, 1));
        assert_eq!(line_and_column(text, text.find('b').unwrap()), (2, 2));
    }
}
