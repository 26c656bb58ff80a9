//! A connection to a server, with TLS where its address begins with `https`, for one request and its answer.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::output::chain;

/// Where systems keep the authorities that they trust, as one file of PEM.
const SYSTEM_AUTHORITIES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A variable that names such a file in their place, as OpenSSL has it.
const AUTHORITIES_VARIABLE: &str = "SSL_CERT_FILE";

/// The largest file of authorities that is read, in bytes.
const MAX_AUTHORITIES_BYTES: u64 = 16 << 20;

/// How to reach a server.
pub(crate) struct Transport {
    host: String,
    port: u16,
    /// Who it has to be, and who says so, with TLS.
    tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
}

impl Transport {
    /// To the server of `base`. Its certificate has to come from an authority of `authorities`, or else of the system.
    pub(crate) fn new(base: &Uri, authorities: Option<&Path>) -> Result<Self, String> {
        // An IPv6 address stands in brackets in a URL.
        let host = base.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let is_tls = base.scheme_str() == Some("https");
        let port = base.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tls = if is_tls {
            let name = ServerName::try_from(host.clone());
            let name = name.map_err(|_| format!("--url: {host:?} is no name that a certificate can bear"))?;
            Some((name, Arc::new(config(authorities)?)))
        } else {
            None
        };
        Ok(Self { host, port, tls })
    }

    /// Sends a request and reads its answer, whose body may have `max_bytes`.
    pub(crate) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        max_bytes: usize,
    ) -> Result<(StatusCode, Bytes), String> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|error| format!("cannot connect: {}", chain(&error)))?;
        stream.set_nodelay(true).map_err(|error| chain(&error))?;
        match &self.tls {
            None => over(stream, request, max_bytes).await,
            Some((name, config)) => {
                let connected = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await;
                let stream = connected.map_err(|error| format!("no TLS connection: {}", chain(&error)))?;
                over(stream, request, max_bytes).await
            }
        }
    }
}

/// Sends a request over a connection and reads its answer.
async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    mut request: Request<Full<Bytes>>,
    max_bytes: usize,
) -> Result<(StatusCode, Bytes), String> {
    let host = request.uri().authority().map_or("", |authority| authority.as_str());
    let host = HeaderValue::from_str(host).map_err(|error| chain(&error))?;
    request.headers_mut().insert(HOST, host);
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
    let driven = async {
        // What goes wrong with it, the exchange is told as well.
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|error| chain(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), max_bytes).collect().await;
        Ok::<_, String>((status, body.map_err(|error| chain(error.as_ref()))?.to_bytes()))
    };
    tokio::select! {
        answer = exchange => answer,
        never = driven => match never {},
    }
}

fn config(authorities: Option<&Path>) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| chain(&error))?;
    Ok(builder.with_root_certificates(roots(authorities)?).with_no_client_auth())
}

/// The authorities of a file, or else those that the system trusts.
fn roots(file: Option<&Path>) -> Result<RootCertStore, String> {
    let named = || std::env::var_os(AUTHORITIES_VARIABLE).map(PathBuf::from);
    let system = || SYSTEM_AUTHORITIES.iter().map(PathBuf::from).find(|file| file.exists());
    let file = file.map(Path::to_owned).or_else(named).or_else(system).ok_or_else(|| {
        "this system has no file of authorities where one is looked for; --ca-file names one".to_owned()
    })?;
    let failed = |error: &dyn std::error::Error| format!("{}: {}", file.display(), chain(error));
    let length = std::fs::metadata(&file).map_err(|error| failed(&error))?.len();
    if length > MAX_AUTHORITIES_BYTES {
        let text = format!("{length} bytes are too many, at most {MAX_AUTHORITIES_BYTES} are read");
        return Err(format!("{}: {text}", file.display()));
    }
    let contents = std::fs::read(&file).map_err(|error| failed(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&contents) {
        // Some that systems trust are of kinds that nobody else accepts.
        let _ = roots.add(certificate.map_err(|error| failed(&error))?);
    }
    match roots.is_empty() {
        true => Err(format!("{}: no certificate of an authority in PEM", file.display())),
        false => Ok(roots),
    }
}
