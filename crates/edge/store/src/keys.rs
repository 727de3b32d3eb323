//! The two keys that are files: the log's signing key and the vault's key-encryption key.
//!
//! Each is 32 random bytes as 64 hexadecimal digits and a newline, mode 0600, made at the first open.
//! Whoever can read `log.key` can sign another history; whoever can read `vault.key` and the database
//! can read every payload. They are apart from the database so that a copy of it gives away neither.

use crate::dir::{DataDir, replace_file};
use crate::error::OpenError;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use interlock_model::digest;
use interlock_signature::{PublicKey, Signature, Signer};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use zeroize::Zeroizing;

/// The bytes of a key file.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// Signs checkpoints.
pub(crate) struct LogKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl LogKey {
    /// The key whose seed is `secret`.
    pub(crate) fn new(secret: &Secret, path: &Path) -> Result<Self, OpenError> {
        let form = || OpenError::KeyForm(path.to_owned());
        let pair = Ed25519KeyPair::from_seed_unchecked(secret.as_slice()).map_err(|_| form())?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| form())?;
        Ok(Self { pair, public: PublicKey::from_bytes(public) })
    }
}

impl Signer for LogKey {
    fn public_key(&self) -> PublicKey {
        self.public
    }

    fn sign_raw(&self, message: &[u8]) -> Signature {
        let mut bytes = [0; 64];
        // An Ed25519 signature is 64 bytes; were it not, a signature of zeros verifies nowhere.
        if let Ok(signature) = self.pair.sign(message).as_ref().try_into() {
            bytes = signature;
        }
        Signature(bytes)
    }
}

/// The log's signing key of the data directory `dir`, for records that the ledger's owner signs beside
/// checkpoints (claims).
///
/// # Errors
///
/// [`OpenError`] if there is no ledger, or its key cannot be read.
pub fn log_signer(dir: &Path) -> Result<impl Signer + use<>, OpenError> {
    let dir = DataDir::existing(dir)?;
    LogKey::new(&read(&dir.log_key())?, &dir.log_key())
}

/// Both secrets, made where the directory holds no ledger yet.
pub(crate) fn open_or_create(dir: &DataDir) -> Result<(Secret, Secret), OpenError> {
    let fresh = !dir.database().exists();
    let one = |path: &Path| {
        if !path.exists() {
            if !fresh {
                return Err(OpenError::KeyMissing(path.to_owned()));
            }
            create(path)?;
        }
        read(path)
    };
    Ok((one(&dir.log_key())?, one(&dir.vault_key())?))
}

/// Reads a key file.
pub(crate) fn read(path: &Path) -> Result<Secret, OpenError> {
    let io = |source| OpenError::io(path, source);
    let file = fs::File::open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => OpenError::KeyMissing(path.to_owned()),
        _ => io(source),
    })?;
    let mode = file.metadata().map_err(io)?.mode();
    if mode & 0o077 != 0 {
        return Err(OpenError::Permissions { path: path.to_owned(), mode: mode & 0o777, want: 0o600 });
    }
    let mut text = Zeroizing::new(String::with_capacity(128));
    file.take(100).read_to_string(&mut text).map_err(|_| OpenError::KeyForm(path.to_owned()))?;
    let bytes = text.strip_suffix('\n').and_then(digest::unhex).map(Zeroizing::new);
    let secret: Option<[u8; 32]> = bytes.and_then(|b| b.as_slice().try_into().ok());
    secret.map(Zeroizing::new).ok_or_else(|| OpenError::KeyForm(path.to_owned()))
}

fn create(path: &Path) -> Result<(), OpenError> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut_slice()).map_err(|e| OpenError::io(path, std::io::Error::other(e.to_string())))?;
    let text = Zeroizing::new(format!("{}\n", *Zeroizing::new(digest::hex(secret.as_slice()))));
    replace_file(path, text.as_bytes()).map_err(|source| OpenError::io(path, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn keys_are_made_once_and_never_replaced() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = DataDir::create(&temporary.path().join("data")).unwrap();
        let (log, vault) = open_or_create(&dir).unwrap();
        assert_ne!(*log, *vault);
        assert_eq!(open_or_create(&dir).unwrap(), (log.clone(), vault));
        assert_eq!(fs::metadata(dir.log_key()).unwrap().mode() & 0o777, 0o600);

        let signer = LogKey::new(&log, &dir.log_key()).unwrap();
        assert_eq!(signer.public_key().verify_raw(b"m", &signer.sign_raw(b"m")), Ok(()));
        assert!(signer.public_key().verify_raw(b"n", &signer.sign_raw(b"m")).is_err());

        fs::write(dir.database(), b"").unwrap();
        fs::remove_file(dir.log_key()).unwrap();
        assert!(matches!(open_or_create(&dir), Err(OpenError::KeyMissing(path)) if path == dir.log_key()));
    }

    #[test]
    fn what_is_not_a_key_file_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("k");
        for text in ["", "00\n", &"0".repeat(64), &format!("{}\n", "0".repeat(66)), &format!("{}\n", "G".repeat(64))] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(read(&path), Err(OpenError::KeyForm(_))), "{text:?}");
        }
        fs::write(&path, format!("{}\n", "0".repeat(64))).unwrap();
        assert!(read(&path).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read(&path), Err(OpenError::Permissions { .. })));
    }
}
