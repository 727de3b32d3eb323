//! TLS toward servers: the machine's roots and, beside them, pinned keys.

use crate::spec::KeyPin;
use interlock_model::Digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// A client configuration with the machine's roots.
///
/// # Errors
///
/// What is missing, for people.
pub(crate) fn config(pins: &[KeyPin]) -> Result<Arc<ClientConfig>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("this machine has no root certificates; install them (package `ca-certificates`)".into());
    }
    config_with(roots, pins)
}

/// The same with other roots.
pub(crate) fn config_with(roots: RootCertStore, pins: &[KeyPin]) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|e| format!("root certificates cannot be used: {e}"))?;
    let verifier = Pinned { webpki, pins: pins.to_vec() };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS cannot be set up: {e}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Everything that the ordinary verifier asks for and then, where there are pins, one of those keys.
#[derive(Debug)]
struct Pinned {
    webpki: Arc<WebPkiServerVerifier>,
    pins: Vec<KeyPin>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        if !self.pins.is_empty() {
            // Only the server's own key: a certificate beside it in the message proves nothing.
            let parsed = rustls::server::ParsedCertificate::try_from(end_entity)?;
            let key = KeyPin(Digest::of(&parsed.subject_public_key_info()));
            if !self.pins.contains(&key) {
                return Err(Error::General("the server's key is not one of the pinned keys".into()));
            }
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::PrivateKeyDer;

    struct Site {
        roots: RootCertStore,
        server: Arc<rustls::ServerConfig>,
        pin: KeyPin,
    }

    fn site(name: &str) -> Site {
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_cert = ca.self_signed(&ca_key).unwrap();
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(ca_cert.der().clone()).unwrap();
        let parsed = rustls::server::ParsedCertificate::try_from(cert.der()).unwrap();
        let pin = KeyPin(Digest::of(&parsed.subject_public_key_info()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![cert.der().clone(), ca_cert.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        Site { roots, server: Arc::new(server), pin }
    }

    async fn connects(site: &Site, roots: &RootCertStore, name: &'static str, pins: &[KeyPin]) -> Result<(), String> {
        let (near, far) = tokio::io::duplex(64 << 10);
        tokio::spawn(tokio_rustls::TlsAcceptor::from(site.server.clone()).accept(far));
        let config = config_with(roots.clone(), pins).unwrap();
        let name = ServerName::try_from(name).unwrap();
        let connected = tokio_rustls::TlsConnector::from(config).connect(name, near).await;
        connected.map(drop).map_err(|e| e.to_string())
    }

    #[tokio::test]
    async fn a_pin_is_asked_for_beside_a_valid_certificate() {
        let (site, other) = (site("mcp.example"), self::site("mcp.example"));
        let roots = &site.roots;
        assert_eq!(connects(&site, roots, "mcp.example", &[]).await, Ok(()));
        assert_eq!(connects(&site, roots, "mcp.example", &[other.pin, site.pin]).await, Ok(()));
        for (what, refused) in [
            ("another key", connects(&site, roots, "mcp.example", &[other.pin]).await),
            ("another name", connects(&site, roots, "other.example", &[site.pin]).await),
            ("another root", connects(&site, &other.roots, "mcp.example", &[site.pin]).await),
        ] {
            assert!(refused.is_err(), "{what}");
        }
    }
}
