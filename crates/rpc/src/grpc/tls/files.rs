//! From files to what a connection is made with.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, FileSystem, TaskError};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version::TLS13};
use thiserror::Error;

/// The largest file that is read, in bytes: some hundred certificates.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// HTTP/2 (RFC 9113, section 3.1).
const ALPN: &[u8] = b"h2";

/// Why certificates cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} has no usable {what} in PEM", file.display())]
    Pem {
        /// Which.
        file: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// A certificate or key is refused.
    #[error("{} cannot be used", file.display())]
    Refused {
        /// The file that it is in.
        file: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The authorities are refused.
    #[error("{} cannot be used to verify certificates", file.display())]
    Authorities {
        /// The file that they are in.
        file: PathBuf,
        /// Why.
        #[source]
        source: VerifierBuilderError,
    },
    /// Not the name of a server.
    #[error("{name:?} is not a name that a certificate can bear; give a DNS name or an IP address")]
    Name {
        /// What was given.
        name: String,
    },
    /// Reading was cut short.
    #[error("reading certificates was interrupted: {reason}")]
    Interrupted {
        /// By what.
        reason: String,
    },
}

impl TlsError {
    pub(super) fn interrupted(error: &TaskError) -> Self {
        Self::Interrupted { reason: error.to_string() }
    }
}

/// Where the files are.
pub(super) struct Paths {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    pub(super) authorities: PathBuf,
}

/// What the files have.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    authorities: Vec<u8>,
}

/// What connections are made with, and what it was made of.
pub(super) struct Sides {
    pub(super) contents: Contents,
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
}

impl Paths {
    pub(super) fn read(&self, fs: &dyn FileSystem) -> Result<Contents, TlsError> {
        let read = |file: &Path| {
            let contents = env::read_file(fs, file, MAX_FILE_BYTES);
            contents.map_err(|source| TlsError::Read { file: file.to_owned(), source })
        };
        Ok(Contents { cert: read(&self.cert)?, key: read(&self.key)?, authorities: read(&self.authorities)? })
    }
}

impl Contents {
    pub(super) fn sides(self, paths: &Paths, clock: &Arc<dyn Clock>) -> Result<Sides, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(self.roots(&paths.authorities)?);
        let mut server = self.server(paths, clock, &provider, &roots)?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        let mut client = self.client(paths, clock, provider, roots)?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Sides { contents: self, server: Arc::new(server), client: Arc::new(client) })
    }

    fn server(
        &self,
        paths: &Paths,
        clock: &Arc<dyn Clock>,
        provider: &Arc<CryptoProvider>,
        roots: &Arc<RootCertStore>,
    ) -> Result<ServerConfig, TlsError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider));
        let verifier = verifier
            .build()
            .map_err(|source| TlsError::Authorities { file: paths.authorities.clone(), source })?;
        let (chain, key) = self.identity(paths)?;
        ServerConfig::builder_with_details(Arc::clone(provider), OurTime::of(clock))
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| builder.with_client_cert_verifier(verifier).with_single_cert(chain, key))
            .map_err(|source| TlsError::Refused { file: paths.cert.clone(), source })
    }

    fn client(
        &self,
        paths: &Paths,
        clock: &Arc<dyn Clock>,
        provider: Arc<CryptoProvider>,
        roots: Arc<RootCertStore>,
    ) -> Result<ClientConfig, TlsError> {
        let (chain, key) = self.identity(paths)?;
        ClientConfig::builder_with_details(provider, OurTime::of(clock))
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| builder.with_root_certificates(roots).with_client_auth_cert(chain, key))
            .map_err(|source| TlsError::Refused { file: paths.cert.clone(), source })
    }

    fn identity(
        &self,
        paths: &Paths,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let chain = certificates(&self.cert, &paths.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|source| TlsError::Pem {
            file: paths.key.clone(),
            what: "private key",
            source,
        })?;
        Ok((chain, key))
    }

    fn roots(&self, file: &Path) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.authorities, file)? {
            roots.add(certificate).map_err(|source| TlsError::Refused { file: file.to_owned(), source })?;
        }
        Ok(roots)
    }
}

fn certificates(contents: &[u8], file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unusable = |source| TlsError::Pem { file: file.to_owned(), what: "certificate", source };
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(contents).collect::<Result<_, _>>().map_err(unusable)?;
    match found.is_empty() {
        true => Err(unusable(pem::Error::NoItemsFound)),
        false => Ok(found),
    }
}

/// The time that certificates are checked against is this process' clock.
struct OurTime(Arc<dyn Clock>);

impl OurTime {
    fn of(clock: &Arc<dyn Clock>) -> Arc<dyn TimeProvider> {
        Arc::new(Self(Arc::clone(clock)))
    }
}

impl TimeProvider for OurTime {
    fn current_time(&self) -> Option<UnixTime> {
        let since = u64::try_from(self.0.now_ms()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(since)))
    }
}

impl std::fmt::Debug for OurTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OurTime").finish_non_exhaustive()
    }
}
