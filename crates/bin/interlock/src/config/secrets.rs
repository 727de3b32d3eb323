//! `secrets.toml` in the data directory: names and values, readable by the gateway's user alone.

use super::{InvalidReference, MAX_BYTES, SecretName, TextError, quoted, read_text};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The secrets file's name in the data directory.
pub const SECRETS_FILE: &str = "secrets.toml";

/// All secrets, by name. Never printed; wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<SecretName, Zeroizing<String>>);

/// Why the secrets file was not read or written. Never shows the file's text.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file has no text.
    #[error("cannot read `{}`: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What happened.
        source: TextError,
    },
    /// Others may read it.
    #[error("`{}` can be read by others (mode {mode:03o}); run `chmod 600` on it and replace what was in it", file.display())]
    Exposed {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not in the file's format.
    #[error("`{}`, line {line}: not a secrets file; it holds `version = 1` and a table `[secrets]` of names and quoted values", file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A name no reference can spell.
    #[error("`{}`: {source}", file.display())]
    Name {
        /// The file.
        file: PathBuf,
        /// Why.
        source: InvalidReference,
    },
    /// The system refused to write.
    #[error("cannot write `{}`: {source}", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u8,
    #[serde(default)]
    secrets: BTreeMap<String, String>,
}

impl Secrets {
    /// Reads `file`; no secrets if there is no file. Refuses one that others can read: what is in it is known.
    ///
    /// # Errors
    ///
    /// [`SecretsError`].
    pub fn load(file: &Path) -> Result<Self, SecretsError> {
        let unreadable = |source| SecretsError::Unreadable { file: file.to_owned(), source };
        match std::fs::metadata(file) {
            Ok(meta) => {
                if let Some(mode) = exposed_mode(&meta) {
                    return Err(SecretsError::Exposed { file: file.to_owned(), mode });
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(unreadable(e.into())),
        }
        let text = Zeroizing::new(read_text(file, MAX_BYTES).map_err(unreadable)?);
        Self::parse(&text, file)
    }

    /// Reads `text` as the contents of `file`.
    ///
    /// # Errors
    ///
    /// [`SecretsError::Format`], [`SecretsError::Name`].
    pub fn parse(text: &str, file: &Path) -> Result<Self, SecretsError> {
        let format = |line| SecretsError::Format { file: file.to_owned(), line };
        let wire: Wire = toml::from_str(text).map_err(|e| {
            let before = e.span().and_then(|s| text.get(..s.start)).unwrap_or_default();
            format(before.matches('\n').count() + 1)
        })?;
        if wire.version != 1 {
            return Err(format(1));
        }
        let named = |(name, value): (String, String)| match SecretName::new(&name) {
            Ok(name) => Ok((name, Zeroizing::new(value))),
            Err(source) => Err(SecretsError::Name { file: file.to_owned(), source }),
        };
        wire.secrets.into_iter().map(named).collect::<Result<_, _>>().map(Self)
    }

    /// The value called `name`.
    #[must_use]
    pub fn get(&self, name: &SecretName) -> Option<&str> {
        self.0.get(name).map(|v| v.as_str())
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &SecretName> {
        self.0.keys()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one, or replaces its value.
    pub fn set(&mut self, name: SecretName, value: Zeroizing<String>) {
        self.0.insert(name, value);
    }

    /// Removes one; false if there was none.
    pub fn remove(&mut self, name: &SecretName) -> bool {
        self.0.remove(name).is_some()
    }

    /// Writes all to `file`, mode 0600, replacing it in one step.
    ///
    /// # Errors
    ///
    /// [`SecretsError::Unwritable`].
    pub fn save(&self, file: &Path) -> Result<(), SecretsError> {
        let mut text = Zeroizing::new(String::from(
            "# Values that interlock.toml refers to as secret://NAME. Readable by the gateway's user alone (mode 0600).\nversion = 1\n\n[secrets]\n",
        ));
        for (name, value) in &self.0 {
            text.push_str(&quoted(name.as_str()));
            text.push_str(" = ");
            text.push_str(&Zeroizing::new(quoted(value)));
            text.push('\n');
        }
        crate::private_file::replace(file, text.as_bytes())
            .map_err(|source| SecretsError::Unwritable { file: file.to_owned(), source })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(unix)]
fn exposed_mode(meta: &std::fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = meta.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Windows: the user's profile is closed to others by its access list, which is not read here.
#[cfg(not(unix))]
fn exposed_mode(_: &std::fs::Metadata) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(SECRETS_FILE);
        assert!(Secrets::load(&file).unwrap().is_empty());
        let mut secrets = Secrets::default();
        for (name, value) in [("a.b", "plain"), ("c", "quote\" \\ \n '''\u{e9}"), ("d-1", "C:\\x")] {
            secrets.set(SecretName::new(name).unwrap(), Zeroizing::new(value.to_owned()));
        }
        secrets.save(&file).unwrap();
        assert_eq!(Secrets::load(&file).unwrap(), secrets);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
            assert!(matches!(Secrets::load(&file), Err(SecretsError::Exposed { mode: 0o640, .. })));
        }
    }

    #[test]
    fn invariant_7_errors_show_no_secret() {
        for text in ["version = 1\n[secrets]\nx = hunter2", "version = 1\n[secrets]\nx = \"hunter2", "hunter2"] {
            let error = Secrets::parse(text, Path::new("s")).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        let secrets = Secrets::parse("version = 1\n[secrets]\nx = \"hunter2\"", Path::new("s")).unwrap();
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }
}
