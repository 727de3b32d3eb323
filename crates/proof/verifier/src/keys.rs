//! The keys a verifier trusts: of logs, in the form of C2SP signed-note, and of claims, as base64.

use interlock_ledger::note::VerifierKey;
use interlock_signature::PublicKey;

/// Keys one trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    logs: Vec<VerifierKey>,
    claims: Vec<PublicKey>,
}

/// A line is not a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line} is not a key: expected a log's `name+01234567+base64` or the base64 of a claim key's 32 bytes{hint}"
)]
pub struct InvalidKey {
    line: usize,
    hint: String,
}

impl Keys {
    /// Reads one key for each line. Empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] at the first line that is neither kind of key.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let mut keys = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match (line.parse::<VerifierKey>(), line.parse::<PublicKey>()) {
                (Ok(key), _) => keys.logs.push(key),
                (_, Ok(key)) => keys.claims.push(key),
                // A base64 key may hold `+` too; only one that looks like a log's is worth a hint.
                (Err(e), Err(_)) => {
                    let hint = if line.matches('+').count() >= 2 { format!(" ({e})") } else { String::new() };
                    return Err(InvalidKey { line: number, hint });
                }
            }
        }
        Ok(keys)
    }

    /// Adds those of `more`.
    pub fn extend(&mut self, more: Self) {
        self.logs.extend(more.logs);
        self.claims.extend(more.claims);
    }

    /// Keys of logs.
    #[must_use]
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// Keys of claims.
    #[must_use]
    pub fn claims(&self) -> &[PublicKey] {
        &self.claims
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.logs.is_empty() && self.claims.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_ledger::samples::SoftSigner;
    use interlock_signature::Signer as _;

    #[test]
    fn both_kinds_and_comments() {
        let claim = SoftSigner::new(1).public_key();
        let log = VerifierKey::new("interlock.example/log".parse().unwrap(), SoftSigner::new(2).public_key());
        let keys = Keys::parse(&format!("# ours\n{claim}\n\n  {log}\r\n")).unwrap();
        assert_eq!((keys.claims(), keys.logs()), (&[claim][..], &[log.clone()][..]));
        assert!(Keys::parse("").unwrap().is_empty());
        let bent = log.to_string().replace("example", "exempla");
        for (text, line) in [("nonsense", 1), ("# a\nAAAA", 2), (bent.as_str(), 1)] {
            assert_eq!(Keys::parse(text).unwrap_err().line, line, "{text}");
        }
        assert!(Keys::parse(&bent).unwrap_err().to_string().contains("copied wrongly"));
    }
}
