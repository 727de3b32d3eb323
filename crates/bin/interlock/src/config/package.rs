//! Packages that servers come in: `npm:@scope/name@1.2.3`, `pypi:name@1.2.3`.

use std::fmt;

/// Where a package comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Registry {
    /// The npm registry.
    Npm,
    /// The Python package index.
    Pypi,
}

impl Registry {
    /// Its name in a reference.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pypi => "pypi",
        }
    }
}

/// One package, with an exact version or none. Without one, the version that installing finds is locked, and
/// `doctor` says so: a tag or range would let the publisher choose what runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageRef {
    registry: Registry,
    name: String,
    version: Option<String>,
}

/// Why a package reference was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPackage {
    /// No known registry in front.
    #[error("a package starts with `npm:` or `pypi:`")]
    Registry,
    /// Not a name that the registry would accept.
    #[error("not a package name of this registry")]
    Name,
    /// A range, a tag, or nothing after the `@`.
    #[error("a version is exact, such as `1.2.3`; ranges and tags let the publisher choose what runs")]
    Version,
}

impl PackageRef {
    /// Checks the parts.
    ///
    /// # Errors
    ///
    /// [`InvalidPackage`].
    pub fn new(registry: Registry, name: &str, version: Option<&str>) -> Result<Self, InvalidPackage> {
        let valid = match registry {
            Registry::Npm => npm_name(name),
            Registry::Pypi => pypi_name(name),
        };
        if !valid {
            return Err(InvalidPackage::Name);
        }
        if version.is_some_and(|v| !exact_version(v)) {
            return Err(InvalidPackage::Version);
        }
        Ok(Self { registry, name: name.to_owned(), version: version.map(str::to_owned) })
    }

    /// Where it comes from.
    #[must_use]
    pub const fn registry(&self) -> Registry {
        self.registry
    }

    /// Its name: with its scope for npm, with its extras (`name[extra]`) for Python.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its exact version, if it has one.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}

impl std::str::FromStr for PackageRef {
    type Err = InvalidPackage;
    fn from_str(s: &str) -> Result<Self, InvalidPackage> {
        let (registry, rest) = s.split_once(':').ok_or(InvalidPackage::Registry)?;
        let registry = match registry {
            "npm" => Registry::Npm,
            "pypi" => Registry::Pypi,
            _ => return Err(InvalidPackage::Registry),
        };
        // A scope's `@` stands at the front and begins no version.
        match rest.rfind('@').filter(|at| *at > 0) {
            Some(at) => Self::new(registry, &rest[..at], Some(&rest[at + 1..])),
            None => Self::new(registry, rest, None),
        }
    }
}

impl fmt::Display for PackageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.registry.as_str(), self.name)?;
        match &self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

/// `name` or `@scope/name`; npm's rule for new packages: at most 214 of URL-safe lower case, no leading dot or underscore.
fn npm_name(name: &str) -> bool {
    let part = |p: &str| {
        !p.is_empty()
            && !p.starts_with(['.', '_', '-'])
            && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_' | b'~'))
    };
    name.len() <= 214
        && match name.strip_prefix('@') {
            Some(scoped) => scoped.split_once('/').is_some_and(|(scope, name)| part(scope) && part(name)),
            None => part(name),
        }
}

/// PEP 508: letters, digits and inner `. _ -`, then extras in brackets.
fn pypi_name(name: &str) -> bool {
    let word = |w: &str| {
        w.len() <= 100
            && w.starts_with(|c: char| c.is_ascii_alphanumeric())
            && w.ends_with(|c: char| c.is_ascii_alphanumeric())
            && w.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    };
    match name.split_once('[') {
        None => word(name),
        Some((base, extras)) => word(base) && extras.strip_suffix(']').is_some_and(|e| e.split(',').all(word)),
    }
}

/// Starts with a digit, then what semver and PEP 440 use; `1.x` and `1.*` are ranges.
fn exact_version(v: &str) -> bool {
    v.len() <= 64
        && v.starts_with(|c: char| c.is_ascii_digit())
        && v.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+' | b'!'))
        && !v.split('.').any(|part| matches!(part, "x" | "X" | ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        use InvalidPackage as E;
        for (text, expected) in [
            ("npm:@modelcontextprotocol/server-filesystem@2026.7.10", Ok(())),
            ("npm:@scope/name", Ok(())),
            ("npm:server@1.0.0-rc.1+b2", Ok(())),
            ("pypi:mcp-server-git@2026.10.19", Ok(())),
            ("pypi:mcp[cli,ws]@1.2.3", Ok(())),
            ("pypi:mcp-server-git", Ok(())),
            ("mcp-server-git", Err(E::Registry)),
            ("cargo:x", Err(E::Registry)),
            ("npm:", Err(E::Name)),
            ("npm:Name@1", Err(E::Name)),
            ("npm:@scope@1.0.0", Err(E::Name)),
            ("npm:../evil", Err(E::Name)),
            ("npm:a b", Err(E::Name)),
            ("npm:--registry=x", Err(E::Name)),
            ("pypi:-r", Err(E::Name)),
            ("pypi:mcp[cli", Err(E::Name)),
            ("npm:server@latest", Err(E::Version)),
            ("npm:server@^1.0.0", Err(E::Version)),
            ("npm:server@1.x", Err(E::Version)),
            ("npm:server@", Err(E::Version)),
            ("pypi:mcp@1.*", Err(E::Version)),
            ("pypi:mcp@>=1", Err(E::Version)),
        ] {
            let parsed = text.parse::<PackageRef>();
            assert_eq!(parsed.clone().map(drop), expected, "{text}");
            if let Ok(package) = parsed {
                assert_eq!(package.to_string(), text);
            }
        }
    }
}
