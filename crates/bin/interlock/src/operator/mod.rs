//! The operator's Ed25519 key: made once, sealed under a passphrase, opened for one command.
//!
//! It signs approvals, administration, the catalog and policy bundles. An agent with a shell on the same
//! machine may have the sealed file; it does not have the passphrase (design 4.10).
//! In scope: the two files in `keys/`, asking for the passphrase. Out of scope: what gets signed.

mod passphrase;
mod sealed;

pub use passphrase::{Passphrase, PassphraseError, Source};
pub use sealed::Cost;

use crate::private_file;
use interlock_signature::{PublicKey, Signature, Signer};
use std::{
    io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The directory of keys in the data directory.
pub const KEYS_DIR: &str = "keys";
/// The sealed private key.
pub const KEY_FILE: &str = "operator.key";
/// The public key, base64 and a line break.
pub const PUBLIC_FILE: &str = "operator.pub";

/// Most bytes of either file.
const MAX_BYTES: u64 = 16 << 10;

/// The operator's key, opened. Not printed; its memory is wiped when it is dropped.
pub struct OperatorKey {
    pair: aws_lc_rs::signature::Ed25519KeyPair,
    public: PublicKey,
}

/// Why there is no operator's key.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// One is there already, and everything signed so far hangs on it.
    #[error("there is an operator's key already: `{}`", .0.display())]
    Exists(PathBuf),
    /// Nobody made one.
    #[error("there is no operator's key at `{}`; `interlock init` makes one", .0.display())]
    Missing(PathBuf),
    /// The passphrase does not open it.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// The file is not a sealed key.
    #[error("`{}` is not a sealed key: {reason}; restore it from a backup", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The system refused.
    #[error("`{}`: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// No randomness, or not enough memory for the key derivation.
    #[error("the system has {0} to spare")]
    Resources(&'static str),
    /// No passphrase.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
}

/// Makes a key, seals it under `passphrase` and writes both files under `data_dir`.
///
/// A crash after the first write leaves the sealed key without its `.pub`, which [`public_key`] does not need.
///
/// # Errors
///
/// [`OperatorError`]; never replaces a key.
pub fn create(data_dir: &Path, passphrase: &Passphrase) -> Result<OperatorKey, OperatorError> {
    create_at_cost(data_dir, passphrase, Cost::DEFAULT)
}

/// As [`create`], at another cost of guessing. For tests; less than [`Cost::DEFAULT`] is easier to guess.
///
/// # Errors
///
/// [`OperatorError`].
pub fn create_at_cost(data_dir: &Path, passphrase: &Passphrase, cost: Cost) -> Result<OperatorKey, OperatorError> {
    let keys = data_dir.join(KEYS_DIR);
    let (file, public_file) = (keys.join(KEY_FILE), keys.join(PUBLIC_FILE));
    if file.exists() {
        return Err(OperatorError::Exists(file));
    }
    for dir in [data_dir, &keys] {
        private_file::create_dir(dir).map_err(|source| OperatorError::Io { file: dir.to_owned(), source })?;
    }
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|_| OperatorError::Resources("no randomness"))?;
    let key = OperatorKey::from_seed(&seed).ok_or(OperatorError::Resources("no randomness"))?;
    let sealed = sealed::seal(&seed, &key.public, passphrase, cost)?;
    private_file::create_new(&file, sealed.as_bytes()).map_err(|source| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            OperatorError::Exists(file.clone())
        } else {
            OperatorError::Io { file: file.clone(), source }
        }
    })?;
    private_file::replace_public(&public_file, format!("{}\n", key.public).as_bytes())
        .map_err(|source| OperatorError::Io { file: public_file, source })?;
    Ok(key)
}

/// Opens the key under `data_dir`. A right and a wrong passphrase take the same work.
///
/// # Errors
///
/// [`OperatorError`].
pub fn unlock(data_dir: &Path, passphrase: &Passphrase) -> Result<OperatorKey, OperatorError> {
    let file = data_dir.join(KEYS_DIR).join(KEY_FILE);
    let text = read(&file)?;
    let seed = sealed::open(&text, passphrase).map_err(|e| e.in_file(&file))?;
    let key = OperatorKey::from_seed(&seed.seed);
    key.filter(|k| k.public == seed.public)
        .ok_or(OperatorError::Damaged { file, reason: "it holds another key than it says" })
}

/// The public half, which needs no passphrase: from `operator.pub`, or from the sealed file if there is no other.
///
/// # Errors
///
/// [`OperatorError`].
pub fn public_key(data_dir: &Path) -> Result<PublicKey, OperatorError> {
    let keys = data_dir.join(KEYS_DIR);
    let file = keys.join(PUBLIC_FILE);
    match read(&file) {
        Ok(text) => text.trim_end().parse().map_err(|_| OperatorError::Damaged { file, reason: "not a public key" }),
        Err(OperatorError::Missing(_)) => {
            let file = keys.join(KEY_FILE);
            sealed::public_key(&read(&file)?).map_err(|e| e.in_file(&file))
        }
        Err(e) => Err(e),
    }
}

/// Whether a key was made under `data_dir`.
#[must_use]
pub fn exists(data_dir: &Path) -> bool {
    data_dir.join(KEYS_DIR).join(KEY_FILE).exists()
}

fn read(file: &Path) -> Result<String, OperatorError> {
    crate::config::read_text(file, MAX_BYTES).map_err(|e| match e {
        crate::config::TextError::Io(e) if e.kind() == io::ErrorKind::NotFound => {
            OperatorError::Missing(file.to_owned())
        }
        crate::config::TextError::Io(source) => OperatorError::Io { file: file.to_owned(), source },
        crate::config::TextError::TooLarge { .. } | crate::config::TextError::Encoding { .. } => {
            OperatorError::Damaged { file: file.to_owned(), reason: "not text of a sensible size" }
        }
    })
}

impl OperatorKey {
    fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let public = pair.public_key().as_ref().try_into().ok().map(PublicKey::from_bytes)?;
        Some(Self { pair, public })
    }
}

impl Signer for OperatorKey {
    fn public_key(&self) -> PublicKey {
        self.public
    }

    fn sign_raw(&self, message: &[u8]) -> Signature {
        let mut bytes = [0; 64];
        // Always 64 bytes; were it ever not, the zero signature verifies under no key.
        if let Ok(signature) = <[u8; 64]>::try_from(self.pair.sign(message).as_ref()) {
            bytes = signature;
        }
        Signature(bytes)
    }
}

impl std::fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OperatorKey({})", self.public.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_signature::Purpose;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned())
    }

    #[test]
    fn the_right_passphrase_opens_the_key_that_was_made() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let right = passphrase("correct horse");
        let made = create_at_cost(&data, &right, Cost::TEST).unwrap();
        let opened = unlock(&data, &right).unwrap();
        assert_eq!(opened.public_key(), made.public_key());
        assert_eq!(public_key(&data).unwrap(), made.public_key());
        let signature = opened.sign(Purpose::Catalog, b"x");
        assert_eq!(made.public_key().verify(Purpose::Catalog, b"x", &signature), Ok(()));
        for wrong in ["correct hors", "correct horse ", "Correct horse", ""] {
            assert!(matches!(unlock(&data, &passphrase(wrong)), Err(OperatorError::WrongPassphrase)), "{wrong:?}");
        }
        assert!(matches!(create_at_cost(&data, &right, Cost::TEST), Err(OperatorError::Exists(_))));
        std::fs::remove_file(data.join("keys/operator.pub")).unwrap();
        assert_eq!(public_key(&data).unwrap(), made.public_key());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |p: &str| std::fs::metadata(data.join(p)).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode("keys"), mode("keys/operator.key")), (0o700, 0o600));
        }
    }

    #[test]
    fn a_changed_file_opens_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let right = passphrase("correct horse");
        create_at_cost(dir.path(), &right, Cost::TEST).unwrap();
        let file = dir.path().join("keys/operator.key");
        let text = std::fs::read_to_string(&file).unwrap();
        let other = PublicKey::from_bytes([9; 32]).to_string();
        let public = public_key(dir.path()).unwrap().to_string();
        let damaged = |text: &str| {
            std::fs::write(&file, text).unwrap();
            unlock(dir.path(), &right).unwrap_err()
        };
        for (change, wrong_passphrase) in [
            (text.replace(&public, &other), true), // bound as associated data
            (text.replace("\"passes\": 1", "\"passes\": 2"), true),
            (text.replace("\"version\": 1", "\"version\": 2"), false),
            (text.replace("\"memory_kib\": 256", "\"memory_kib\": 4294967295"), false),
            (text.replace("aes-256-gcm", "none"), false),
            (text.replace("\"passes\"", "\"passses\""), false),
            (text[..text.len() / 2].to_owned(), false),
            (String::new(), false),
        ] {
            assert_ne!(change, text);
            let error = damaged(&change);
            assert_eq!(matches!(error, OperatorError::WrongPassphrase), wrong_passphrase, "{change}\n{error}");
        }
        assert!(matches!(unlock(&dir.path().join("none"), &right), Err(OperatorError::Missing(_))));
    }

    #[test]
    fn invariant_7_debug_shows_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let key = create_at_cost(dir.path(), &passphrase("correct horse"), Cost::TEST).unwrap();
        assert_eq!(format!("{key:?}"), format!("OperatorKey({})", key.public_key().id()));
        assert!(!format!("{:?}", passphrase("hunter2")).contains("hunter2"));
    }
}
