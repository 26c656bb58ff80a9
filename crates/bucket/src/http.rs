//! How requests reach a server: hyper over rustls, in the process' scope. What a server refuses is told apart here, where
//! its status and its words are still known.

use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use env::{FileSystem, Scope};
use http::StatusCode;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::TokioTimer;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

use crate::error::ErrorKind;
use crate::open::OpenError;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections are closed after this.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// So much is read of what a server says about a refusal.
const MAX_REFUSAL_BYTES: usize = 64 << 10;
/// The largest file of authorities.
const MAX_CA_BYTES: u64 = 1 << 20;

/// What a server refused, in its own words.
#[derive(Debug, Error)]
#[error("the server answers {status}{}", said(code, message))]
pub(crate) struct Refusal {
    status: StatusCode,
    /// The protocol's name for the reason, such as `NoSuchBucket`.
    code: String,
    message: String,
}

fn said(code: &str, message: &str) -> String {
    [code, message].iter().filter(|part| !part.is_empty()).map(|part| format!(": {part}")).collect()
}

impl Refusal {
    /// The refusal that an error came from, if it came from one.
    pub(crate) fn in_chain<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(refusal) = error.downcast_ref() {
                return Some(refusal);
            }
            next = error.source();
        }
        None
    }

    /// What kind of failure it is.
    pub(crate) fn kind(&self) -> ErrorKind {
        match (self.status.as_u16(), self.code.as_str()) {
            (404, "NoSuchBucket" | "ContainerNotFound") => ErrorKind::NoSuchBucket,
            (404, _) => ErrorKind::NotFound,
            (401, _) => ErrorKind::Credentials,
            (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken") => {
                ErrorKind::Credentials
            }
            (_, "AuthenticationFailed" | "TokenRefreshRequired" | "RequestTimeTooSkewed") => {
                ErrorKind::Credentials
            }
            (403, _) => ErrorKind::Forbidden,
            (429, _) | (_, "SlowDown" | "ServerBusy" | "RequestLimitExceeded") => ErrorKind::Throttled,
            (_, "RequestTimeout") => ErrorKind::Unavailable,
            (500.., _) => ErrorKind::Unavailable,
            (300..=499, _) => ErrorKind::Configuration,
            _ => ErrorKind::Other,
        }
    }

    /// Whether the library above has a meaning of its own for the answer, which must reach it.
    fn is_left_alone(status: StatusCode) -> bool {
        let meant = [
            StatusCode::NOT_MODIFIED,
            StatusCode::CONFLICT,
            StatusCode::PRECONDITION_FAILED,
            StatusCode::RANGE_NOT_SATISFIABLE,
        ];
        status.is_success() || meant.contains(&status)
    }

    async fn of(response: hyper::Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let read = Limited::new(body, MAX_REFUSAL_BYTES).collect().await;
        let bytes = read.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let header = parts.headers.get("x-ms-error-code").and_then(|value| value.to_str().ok());
        let code = header.unwrap_or_else(|| element(&text, "Code")).to_owned();
        Self { status: parts.status, code, message: element(&text, "Message").to_owned() }
    }
}

/// What stands in the first element of this name; nothing where there is none. Errors of S3, Google and Azure are flat.
fn element<'a>(text: &'a str, name: &str) -> &'a str {
    let begin = text.split_once(&format!("<{name}>")).map(|(_, behind)| behind);
    begin.and_then(|behind| behind.split_once("</")).map_or("", |(content, _)| content)
}

/// Makes clients for `object_store`.
#[derive(Debug, Clone)]
pub(crate) struct Connect {
    client: Client<HttpsConnector<TcpConnector>, HttpRequestBody>,
}

impl Connect {
    /// Clients whose connections live in `scope`. `ca_file` has authorities to be trusted besides the machine's.
    pub(crate) fn new(scope: &Scope, fs: &dyn FileSystem, ca_file: Option<&Path>) -> Result<Self, OpenError> {
        let mut tcp = TcpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls(fs, ca_file)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(InScope(scope.clone()))
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .build(https);
        Ok(Self { client })
    }
}

fn tls(fs: &dyn FileSystem, ca_file: Option<&Path>) -> Result<ClientConfig, OpenError> {
    let mut roots = RootCertStore::empty();
    // A machine without authorities can still reach a server over HTTP, or one whose authority is in the file.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca_file {
        let unusable = |reason: String| OpenError::Authorities { file: file.to_owned(), reason };
        let pem = env::read_file(fs, file, MAX_CA_BYTES).map_err(|error| unusable(error.to_string()))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| OpenError::Tls { reason: error.to_string() })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl HttpConnector for Connect {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connect {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let response = self.client.request(request).await.map_err(|error| {
            let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Request };
            HttpError::new(kind, error)
        })?;
        if !Refusal::is_left_alone(response.status()) {
            let refusal = Refusal::of(response).await;
            // A missing object is a case that callers know; a missing bucket is not.
            if refusal.kind() == ErrorKind::NotFound {
                let mut missing = HttpResponse::new(HttpResponseBody::from(Bytes::new()));
                *missing.status_mut() = StatusCode::NOT_FOUND;
                return Ok(missing);
            }
            return Err(HttpError::new(HttpErrorKind::Unknown, refusal));
        }
        let (parts, body) = response.into_parts();
        let body = body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error));
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

/// Spawns connections in a scope.
#[derive(Debug, Clone)]
struct InScope(Scope);

impl<F> hyper::rt::Executor<F> for InScope
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.spawn("bucket-connection", future));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_status_and_code() {
        let kind = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            Refusal { status, code: element(body, "Code").to_owned(), message: String::new() }.kind()
        };
        let xml = |code: &str| {
            format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>")
        };
        assert_eq!(kind(404, &xml("NoSuchBucket")), ErrorKind::NoSuchBucket);
        assert_eq!(kind(404, ""), ErrorKind::NotFound);
        assert_eq!(kind(403, &xml("SignatureDoesNotMatch")), ErrorKind::Credentials);
        assert_eq!(kind(400, &xml("ExpiredToken")), ErrorKind::Credentials);
        assert_eq!(kind(403, &xml("AccessDenied")), ErrorKind::Forbidden);
        assert_eq!(kind(503, &xml("SlowDown")), ErrorKind::Throttled);
        assert_eq!(kind(503, ""), ErrorKind::Unavailable);
        assert_eq!(kind(301, &xml("PermanentRedirect")), ErrorKind::Configuration);
    }
}
