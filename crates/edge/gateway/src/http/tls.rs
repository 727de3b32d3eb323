//! TLS toward agents: one certificate and its key, from files, replaced while the gateway runs.
//!
//! In scope: reading and judging the files, handing the newest good pair to each new connection. Out of scope:
//! when to look at them again, client certificates.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

/// Most bytes of either file. A chain is a few kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// Where the certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the gateway's certificate, then those that lead from it to a root.
    pub certificate: PathBuf,
    /// PEM: the private key, without a passphrase, readable by its owner alone.
    pub key: PathBuf,
}

/// What new connections are secured with.
pub struct Tls {
    files: TlsFiles,
    current: RwLock<Current>,
}

struct Current {
    chain: Vec<CertificateDer<'static>>,
    config: Arc<ServerConfig>,
}

/// Why a certificate does not come into force.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The system refused, or it is no file.
    #[error("cannot read `{}`: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Whoever reads the key can pretend to be this gateway.
    #[error(
        "the private key `{}` can be read by others (mode {mode:03o}); run `chmod 600` on it, and replace it if others may have read it",
        file.display()
    )]
    Exposed {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// No certificate in it, or something that is none.
    #[error("`{}` holds no certificate in PEM; the gateway's own comes first, then those that lead to a root", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// No key in it, or a sealed one.
    #[error("`{}` holds no private key in PEM without a passphrase", file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// Two files that do not belong together.
    #[error("the key `{}` does not belong to the certificate `{}`", files.key.display(), files.certificate.display())]
    OtherKey {
        /// The files.
        files: TlsFiles,
    },
    /// A kind of key or certificate that cannot be used.
    #[error("`{}` and its key cannot be used: {source}", files.certificate.display())]
    Unusable {
        /// The files.
        files: TlsFiles,
        /// Why.
        source: rustls::Error,
    },
}

impl Tls {
    /// Reads and checks the files.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let current = RwLock::new(Current::read(&files)?);
        Ok(Self { files, current })
    }

    /// Reads the files again. Where they hold another certificate, it is what new connections get from now on;
    /// whether they do is returned. Connections that stand are not touched.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; the certificate that was in force stays so.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let found = Current::read(&self.files)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // The same certificate has the same key.
        let changed = found.chain != current.chain;
        if changed {
            *current = found;
        }
        Ok(changed)
    }

    /// Where the files are.
    #[must_use]
    pub const fn files(&self) -> &TlsFiles {
        &self.files
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).config.clone().into()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.files).finish()
    }
}

impl Current {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let (text, _) = read(&files.certificate)?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .ok()
            .filter(|chain: &Vec<_>| !chain.is_empty())
            .ok_or_else(|| TlsError::NoCertificate { file: files.certificate.clone() })?;
        let (text, mode) = read(&files.key)?;
        if let Some(mode) = mode.filter(|mode| mode & 0o077 != 0) {
            return Err(TlsError::Exposed { file: files.key.clone(), mode });
        }
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| TlsError::NoKey { file: files.key.clone() })?;
        let unusable = |source| match source {
            rustls::Error::InconsistentKeys(_) => TlsError::OtherKey { files: files.clone() },
            source => TlsError::Unusable { files: files.clone(), source },
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { chain, config: Arc::new(config) })
    }
}

/// A file's bytes and permission bits, both of what was opened.
fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, Option<u32>), TlsError> {
    let unreadable = |source| TlsError::Unreadable { file: path.to_owned(), source };
    // Before it is opened: opening a pipe would wait for whoever writes into it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("it is not a file")));
    }
    let file = File::open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if meta.len() > MAX_BYTES {
        return Err(unreadable(io::Error::other(format!("it is over {MAX_BYTES} bytes"))));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default() + 1));
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok((bytes, mode(&meta)))
}

#[cfg(unix)]
fn mode(meta: &std::fs::Metadata) -> Option<u32> {
    Some(std::os::unix::fs::MetadataExt::mode(meta) & 0o777)
}

#[cfg(not(unix))]
fn mode(_: &std::fs::Metadata) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;

    struct Site(tempfile::TempDir);

    impl Site {
        fn files(&self) -> TlsFiles {
            TlsFiles { certificate: self.0.path().join("c.pem"), key: self.0.path().join("k.pem") }
        }

        fn write(&self, certificate: &str, key: &str, mode: u32) {
            std::fs::write(self.files().certificate, certificate).unwrap();
            std::fs::write(self.files().key, key).unwrap();
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                std::fs::set_permissions(self.files().key, std::fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }

    fn pair() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["gateway.example.org".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der()))
    }

    fn pem(label: &str, der: &[u8]) -> String {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    }

    #[test]
    fn what_cannot_be_used_is_said_and_leaves_the_old_one_in_force() {
        let site = Site(tempfile::tempdir().unwrap());
        let ((certificate, key), (other, other_key)) = (pair(), pair());
        site.write(&certificate, &key, 0o600);
        let tls = Tls::load(site.files()).unwrap();
        assert!(!tls.reload().unwrap(), "nothing changed");
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let sealed = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        for (what, certificate, key, mode, part) in [
            ("another key", &certificate, &other_key, 0o600, "does not belong to the certificate"),
            ("another certificate", &other, &key, 0o600, "does not belong to the certificate"),
            ("files swapped", &key, &certificate, 0o600, "holds no certificate"),
            ("nothing", &String::new(), &key, 0o600, "holds no certificate"),
            ("no key", &certificate, &String::new(), 0o600, "holds no private key"),
            ("a sealed key", &certificate, &sealed, 0o600, "without a passphrase"),
            ("garbage in PEM", &garbage.to_owned(), &key, 0o600, "cannot be used"),
            ("half a file", &certificate[..200].to_owned(), &key, 0o600, "holds no certificate"),
            ("too much", &" ".repeat(2 << 20), &key, 0o600, "over 1048576 bytes"),
            #[cfg(unix)]
            ("a key for the group", &certificate, &key, 0o640, "chmod 600"),
            #[cfg(unix)]
            ("a key for all", &certificate, &key, 0o644, "chmod 600"),
        ] {
            site.write(certificate, key, mode);
            let error = tls.reload().expect_err(what).to_string();
            assert!(error.contains(part), "{what}: {error}");
            assert!(!error.contains("BEGIN"), "{what}: {error}");
            assert!(Tls::load(site.files()).is_err(), "{what}");
        }
        std::fs::remove_file(site.files().key).unwrap();
        assert!(matches!(tls.reload(), Err(TlsError::Unreadable { .. })));
        site.write(&other, &other_key, 0o600);
        assert!(tls.reload().unwrap(), "another pair comes into force");
        assert!(!tls.reload().unwrap());
    }
}
