//! `tls_config`: whom a client trusts and what it shows.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, SupportedProtocolVersion,
};

use super::Surroundings;
use crate::config::TlsConfig;
use crate::notify::BuildError;

/// The client's side of TLS.
pub(crate) fn client_config(config: &TlsConfig, around: &Surroundings) -> Result<ClientConfig, BuildError> {
    let wrong = |what: &str, error: &dyn std::fmt::Display| BuildError::new(format!("{what}: {error}"));
    for (name, reference) in
        [("ca_ref", &config.ca_ref), ("cert_ref", &config.cert_ref), ("key_ref", &config.key_ref)]
    {
        if !reference.is_empty() {
            return Err(wrong(name, &"there is no manager of secrets; give it inline or in a file"));
        }
    }
    let provider = Arc::new(ring::default_provider());
    let ca = text(&config.ca, &config.ca_file, around)?;
    let roots = match ca.as_deref() {
        None => Arc::clone(&around.roots),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(pem).map_err(|error| wrong("ca", &error))? {
                roots.add(certificate).map_err(|error| wrong("ca", &error))?;
            }
            Arc::new(roots)
        }
    };
    let verifier = verifier(config, roots, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(config)?)
        .map_err(|error| wrong("min_version and max_version", &error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let cert = text(&config.cert, &config.cert_file, around)?;
    let key = text(config.key.expose(), &config.key_file, around)?;
    match (cert, key) {
        (Some(cert), Some(key)) => {
            let chain = certificates(&cert).map_err(|error| wrong("cert", &error))?;
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| wrong("key", &error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| wrong("cert and key", &error))
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

/// What is given or in a file, if anything.
fn text(given: &str, file: &str, around: &Surroundings) -> Result<Option<String>, BuildError> {
    match (given.is_empty(), file.is_empty()) {
        (false, _) => Ok(Some(given.to_owned())),
        (true, true) => Ok(None),
        (true, false) => around.files.read_now(&around.path(file)).map(Some).map_err(BuildError::new),
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.map_err(|error| error.to_string())?;
    if all.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(all) }
}

/// The versions that are asked for, of those that there are here: 1.2 and 1.3.
fn versions(config: &TlsConfig) -> Result<Vec<&'static SupportedProtocolVersion>, BuildError> {
    let allowed = |version: &str| {
        let least = config.min_version.as_str() <= version;
        let most = config.max_version.is_empty() || version <= config.max_version.as_str();
        least && most
    };
    let mut versions = Vec::new();
    if allowed("TLS13") {
        versions.push(&rustls::version::TLS13);
    }
    if allowed("TLS12") {
        versions.push(&rustls::version::TLS12);
    }
    if versions.is_empty() {
        return Err(BuildError::new(
            "min_version and max_version leave no version of TLS; TLS12 and TLS13 can be spoken",
        ));
    }
    Ok(versions)
}

fn verifier(
    config: &TlsConfig,
    roots: Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, BuildError> {
    if config.insecure_skip_verify {
        return Ok(Arc::new(Nothing(Arc::clone(provider))));
    }
    if roots.is_empty() {
        // A machine without authorities: nobody is trusted, which is said when somebody is called.
        return Ok(Arc::new(Nobody(Arc::clone(provider))));
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|error| BuildError::new(error.to_string()))?;
    if config.server_name.is_empty() {
        return Ok(verifier);
    }
    let name = ServerName::try_from(config.server_name.clone())
        .map_err(|error| BuildError::new(format!("server_name: {error}")))?;
    Ok(Arc::new(Named { verifier, name }))
}

/// Verifies that a certificate is of a name that the configuration gives, whatever the URL says.
#[derive(Debug)]
struct Named {
    verifier: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier.verify_server_cert(certificate, intermediates, &self.name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Verifies no certificate, and that handshakes are signed with it: `insecure_skip_verify`.
#[derive(Debug)]
struct Nothing(Arc<CryptoProvider>);

/// Trusts nobody.
#[derive(Debug)]
struct Nobody(Arc<CryptoProvider>);

macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Nothing {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    signatures!();
}

impl ServerCertVerifier for Nobody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Err(Error::General(
            "this machine has no authorities that it trusts; name one with ca_file".to_owned(),
        ))
    }

    signatures!();
}
