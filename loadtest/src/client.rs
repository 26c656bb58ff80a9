//! HTTP to the server under test: one connection pool, bounded answers, a deadline per request.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use thiserror::Error;

use crate::encode::Protocol;

/// The longest answer to a write that is read.
const MAX_WRITE_ANSWER_BYTES: usize = 64 * 1024;
/// The longest answer to a query that is read.
const MAX_QUERY_ANSWER_BYTES: usize = 1 << 30;
const AGENT: &str = concat!("loadtest/", env!("CARGO_PKG_VERSION"));

/// Why there was no HTTP answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The address is none.
    #[error("{url:?} is not a URL of the form http://host:port/path")]
    Url {
        /// What was given.
        url: String,
    },
    /// A header's value cannot be sent.
    #[error("tenant {tenant:?} cannot be sent in a header")]
    Tenant {
        /// The offending tenant.
        tenant: String,
    },
    /// No connection, or it broke.
    #[error("{message}")]
    Connection {
        /// What went wrong, with its causes.
        message: String,
    },
    /// No whole answer in time.
    #[error("no answer within {timeout:?}")]
    Timeout {
        /// How long it was waited for.
        timeout: Duration,
    },
}

impl ClientError {
    /// One word for statistics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Url { .. } | Self::Tenant { .. } => "request",
            Self::Connection { .. } => "connection",
            Self::Timeout { .. } => "timeout",
        }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// How long the server asks to wait, where it says so in seconds.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// A whole number in a header.
    pub fn number(&self, header: &str) -> Option<u64> {
        self.headers.get(header)?.to_str().ok()?.trim().parse().ok()
    }

    /// The beginning of the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().chars().take(300).collect()
    }
}

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Client {
    http: HyperClient<HttpConnector, Full<Bytes>>,
    timeout: Duration,
}

impl Client {
    /// A client that gives each request this long.
    pub fn new(timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = HyperClient::builder(TokioExecutor::new()).build(connector);
        Self { http, timeout }
    }

    /// Sends a remote write request, compressed already.
    pub async fn push(
        &self,
        url: &Uri,
        tenant: Option<&str>,
        protocol: Protocol,
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        let mut headers = tenant_header(tenant)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(protocol.content_type()));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert("x-prometheus-remote-write-version", HeaderValue::from_static(protocol.version()));
        self.send(Method::POST, url.clone(), headers, body, MAX_WRITE_ANSWER_BYTES).await
    }

    /// Gets a page; `query` are the parameters of its address.
    pub async fn get(
        &self,
        base: &str,
        path: &str,
        query: &[(&str, &str)],
        tenant: Option<&str>,
    ) -> Result<Answer, ClientError> {
        let mut url = format!("{}{path}", base.trim_end_matches('/'));
        for (i, (name, value)) in query.iter().enumerate() {
            url.push(if i == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            percent_encode(&mut url, value);
        }
        let uri = parse_url(&url)?;
        self.send(Method::GET, uri, tenant_header(tenant)?, Bytes::new(), MAX_QUERY_ANSWER_BYTES).await
    }

    async fn send(
        &self,
        method: Method,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
        max_bytes: usize,
    ) -> Result<Answer, ClientError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| connection_error(&error))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, max_bytes).collect().await;
            let body = body.map_err(|error| connection_error(error.as_ref()))?.to_bytes();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Timeout { timeout: self.timeout }),
        }
    }
}

/// Reads a URL of plain HTTP.
pub fn parse_url(url: &str) -> Result<Uri, ClientError> {
    let uri: Option<Uri> = url.parse().ok();
    uri.filter(|uri| uri.scheme_str() == Some("http") && uri.authority().is_some())
        .ok_or_else(|| ClientError::Url { url: url.to_owned() })
}

/// Reads the URLs of servers of which each does for the others; there has to be one.
pub fn parse_urls(urls: &[String]) -> Result<Vec<Uri>, ClientError> {
    if urls.is_empty() {
        return Err(ClientError::Url { url: String::new() });
    }
    urls.iter().map(|url| parse_url(url)).collect()
}

fn tenant_header(tenant: Option<&str>) -> Result<HeaderMap, ClientError> {
    let mut headers = HeaderMap::new();
    if let Some(tenant) = tenant {
        let value =
            HeaderValue::from_str(tenant).map_err(|_| ClientError::Tenant { tenant: tenant.to_owned() })?;
        headers.insert("x-scope-orgid", value);
    }
    Ok(headers)
}

fn connection_error(error: &dyn std::error::Error) -> ClientError {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message.push_str(": ");
        message.push_str(&cause.to_string());
        source = cause.source();
    }
    ClientError::Connection { message }
}

fn percent_encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_plain_http() {
        assert!(parse_url("http://127.0.0.1:9009/api/v1/push").is_ok());
        for url in ["", "localhost:9090", "https://a/b", "/api"] {
            assert!(parse_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn parameters_are_escaped() {
        let mut out = String::new();
        percent_encode(&mut out, "{a=\"ü &b\"}[5m]");
        assert_eq!(out, "%7Ba%3D%22%C3%BC%20%26b%22%7D%5B5m%5D");
    }
}
