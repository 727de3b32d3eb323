//! Values that may be references: `secret://NAME` into the secrets file, `env://NAME` into the environment.

use super::Secrets;
use std::fmt;
use zeroize::Zeroizing;

/// A name in the secrets file: 1 to 64 of `A-Z a-z 0-9 . _ -`, a letter or digit first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(Box<str>);

/// One value of `env`, `headers`, `args` or `url`.
#[derive(Clone, PartialEq, Eq)]
pub enum Setting {
    /// Written out.
    Plain(String),
    /// In the secrets file.
    Secret(SecretName),
    /// In the gateway's environment.
    Env(String),
}

/// Why a value was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// `secret://` with something that no secret is called.
    #[error("a secret's name is 1 to 64 of letters, digits and `. _ -`, a letter or digit first")]
    SecretName,
    /// `env://` with something that no variable is called.
    #[error("a variable's name is letters, digits and `_`, not a digit first")]
    VariableName,
    /// A reference inside a longer value would be sent as it stands.
    #[error("a reference must be the whole value; put all of it in the secrets file")]
    Inside,
    /// A NUL, which neither an environment nor a header can hold.
    #[error("a value cannot hold a NUL character")]
    Nul,
}

impl SecretName {
    /// Checks `s`.
    ///
    /// # Errors
    ///
    /// [`InvalidReference::SecretName`].
    pub fn new(s: &str) -> Result<Self, InvalidReference> {
        let valid = (1..=64).contains(&s.len())
            && s.starts_with(|c: char| c.is_ascii_alphanumeric())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if valid { Ok(Self(s.into())) } else { Err(InvalidReference::SecretName) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Setting {
    type Err = InvalidReference;
    fn from_str(s: &str) -> Result<Self, InvalidReference> {
        if s.contains('\0') {
            return Err(InvalidReference::Nul);
        }
        if let Some(name) = s.strip_prefix("secret://") {
            return SecretName::new(name).map(Self::Secret);
        }
        if let Some(name) = s.strip_prefix("env://") {
            let valid = !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            return if valid { Ok(Self::Env(name.to_owned())) } else { Err(InvalidReference::VariableName) };
        }
        if s.contains("secret://") || s.contains("env://") {
            return Err(InvalidReference::Inside);
        }
        Ok(Self::Plain(s.to_owned()))
    }
}

/// As written in the file.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Secret(name) => write!(f, "secret://{name}"),
            Self::Env(name) => write!(f, "env://{name}"),
        }
    }
}

/// A plain value that looks like a secret is not shown.
impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) if super::suspect::suspicion(None, text).is_some() => f.write_str("\"\u{2026}\""),
            Self::Plain(text) => fmt::Debug::fmt(text, f),
            Self::Secret(_) | Self::Env(_) => fmt::Display::fmt(self, f),
        }
    }
}

/// A value with its reference replaced. What came from a reference is not shown by `Debug` and is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Resolved {
    text: Zeroizing<String>,
    secret: bool,
}

impl Resolved {
    /// The value, secret or not.
    #[must_use]
    pub fn danger_reveal(&self) -> &str {
        &self.text
    }

    /// Whether it came from a reference.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        self.secret
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret { f.write_str("\"\u{2026}\"") } else { fmt::Debug::fmt(&*self.text, f) }
    }
}

/// A reference without a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{place}` refers to `{reference}`: {reason}")]
pub struct Unresolved {
    /// Where it stands: `servers.github.env.GITHUB_TOKEN`.
    pub place: String,
    /// As written.
    pub reference: String,
    /// Why there is no value.
    pub reason: &'static str,
}

/// All references without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnresolvedList(pub Vec<Unresolved>);

impl std::error::Error for UnresolvedList {}

impl fmt::Display for UnresolvedList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, one) in self.0.iter().enumerate() {
            write!(f, "{}{one}", if i > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

/// Looks references up and keeps count of those that lead nowhere.
pub(super) struct Resolver<'a> {
    pub(super) secrets: &'a Secrets,
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    pub(super) missing: Vec<Unresolved>,
}

impl Resolver<'_> {
    pub(super) fn resolve(&mut self, setting: &Setting, place: impl FnOnce() -> String) -> Option<Resolved> {
        let (found, reason) = match setting {
            Setting::Plain(text) => return Some(Resolved { text: Zeroizing::new(text.clone()), secret: false }),
            Setting::Secret(name) => {
                (self.secrets.get(name).map(|v| Zeroizing::new(v.to_owned())), "the secrets file has no such name")
            }
            Setting::Env(name) => {
                ((self.environment)(name).map(Zeroizing::new), "the environment has no such variable")
            }
        };
        let found = found.filter(|text| !text.is_empty());
        if found.is_none() {
            self.missing.push(Unresolved { place: place(), reference: setting.to_string(), reason });
        }
        found.map(|text| Resolved { text, secret: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings() {
        use InvalidReference as E;
        for (text, expected) in [
            ("plain", Ok(())),
            ("secret://github-token", Ok(())),
            ("env://GITHUB_TOKEN", Ok(())),
            ("secret://", Err(E::SecretName)),
            ("secret://a/b", Err(E::SecretName)),
            ("secret://.x", Err(E::SecretName)),
            ("env://1A", Err(E::VariableName)),
            ("env://A-B", Err(E::VariableName)),
            ("Bearer secret://x", Err(E::Inside)),
            ("a\0b", Err(E::Nul)),
        ] {
            let parsed = text.parse::<Setting>();
            assert_eq!(parsed.as_ref().map(drop).map_err(|e| *e), expected, "{text}");
            if let Ok(setting) = parsed {
                assert_eq!(setting.to_string(), text);
            }
        }
    }

    #[test]
    fn invariant_7_debug_shows_no_secret() {
        let resolved = Resolved { text: Zeroizing::new("hunter2".into()), secret: true };
        assert!(!format!("{resolved:?}").contains("hunter2"));
        let token = format!("ghp_{}", "a1B2".repeat(9));
        assert!(!format!("{:?}", Setting::Plain(token.clone())).contains(&token));
    }
}
