//! Credentials toward servers, held so that they are hard to print and gone once dropped.

use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret text: an environment variable's value for a child, or a header's value.
///
/// It has no `Display`, no equality and no serialisation; `Debug` shows nothing of it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretString(Box<str>);

impl SecretString {
    /// The secret itself, for the one place that puts it on the wire or into a child's environment.
    #[must_use]
    pub fn danger_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretString {
    fn from(mut s: String) -> Self {
        // A fresh allocation of the right size, since shrinking one leaves a copy behind.
        let secret = Self(s.as_str().into());
        s.zeroize();
        secret
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretString(..)")
    }
}

/// Takes the secrets of one server out of texts that people will see.
#[derive(Clone, Default)]
pub(crate) struct Redactor(Vec<SecretString>);

impl Redactor {
    /// Shorter values are words, not secrets: hiding every `1` of a text would only hide the text.
    const SHORTEST: usize = 4;
    /// Longer texts are cut before they are shown.
    const LONGEST: usize = 1024;

    pub(crate) fn new(secrets: impl Iterator<Item = SecretString>) -> Self {
        // A header's `Bearer x` must not appear as `x` either.
        let words = |s: SecretString| {
            let parts: Vec<String> = s.danger_str().split_whitespace().map(str::to_owned).collect();
            std::iter::once(s).chain(parts.into_iter().map(SecretString::from)).collect::<Vec<_>>()
        };
        let mut all: Vec<SecretString> =
            secrets.flat_map(words).filter(|s| s.danger_str().len() >= Self::SHORTEST).collect();
        // The longest first, so that a secret which contains another one leaves no rest.
        all.sort_by_key(|s| std::cmp::Reverse(s.danger_str().len()));
        Self(all)
    }

    /// `text` without secrets and control characters, cut to a length fit for a message.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for secret in &self.0 {
            if out.contains(secret.danger_str()) {
                out = out.replace(secret.danger_str(), "***");
            }
        }
        let mut out: String = out.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if out.len() > Self::LONGEST {
            out.truncate(out.floor_char_boundary(Self::LONGEST));
            out.push_str("...");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_7_secrets_are_not_printed() {
        let secret = SecretString::from("hunter2-hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "SecretString(..)");
        let secrets = ["Bearer abcdef", "abc", "abcdefgh"].map(|s| SecretString::from(s.to_owned()));
        let redactor = Redactor::new(secrets.into_iter());
        for (text, expected) in [
            ("abcdefgh Bearer abcdef", "*** ***"),
            ("key x\u{7}abcdef", "key x ***"),
            ("abc is too short to hide", "abc is too short to hide"),
        ] {
            assert_eq!(redactor.clean(text), expected);
        }
    }
}
