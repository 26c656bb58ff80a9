//! An Alertmanager at a URL, told by its API v2.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gotemplate::time::GoTime;
use http::header::CONTENT_TYPE;
use model::TenantId;
use proto::{Code, Error, PostAlerts, PostedAlert};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, StatusCode, Url};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;

use super::Target;
use crate::error::StartError;

/// Where an Alertmanager takes alerts, below its URL.
const PATH: &str = "/api/v2/alerts";
/// What says whose alerts they are, to an Alertmanager of several tenants.
const TENANT_HEADER: &str = "X-Scope-OrgID";
const USER_AGENT: &str = concat!("Barograph/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of what an Alertmanager says is wrong is shown, in characters.
const MAX_REASON: usize = 500;
/// Times as Alertmanagers read them.
const TIME_FORMAT: &str = "2006-01-02T15:04:05.000Z07:00";

/// An Alertmanager that is reached by HTTP.
#[derive(Debug, Clone)]
pub(super) struct HttpAlertmanager {
    client: Client,
    url: Url,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    ends_at: String,
    starts_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
}

/// Makes ways to Alertmanagers, which trust the same authorities. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    tls: ClientConfig,
    /// For those whose names are looked up when they are connected to.
    client: Client,
}

impl Connector {
    pub(super) fn new() -> Result<Self, StartError> {
        let tls = tls()?;
        let client = client(tls.clone()).build().map_err(StartError::Client)?;
        Ok(Self { tls, client })
    }

    /// The Alertmanager below this URL.
    pub(super) fn target(&self, url: Url) -> Result<Target, StartError> {
        let name = HttpAlertmanager::name(&url);
        Ok(Target { name, way: Arc::new(HttpAlertmanager::below(url, self.client.clone())) })
    }

    /// The one below this URL, of whose `host` this is the address.
    pub(super) fn pinned(
        &self,
        url: Url,
        host: &str,
        address: SocketAddr,
    ) -> Result<Arc<dyn PostAlerts>, StartError> {
        let client = client(self.tls.clone()).resolve(host, address).build().map_err(StartError::Client)?;
        Ok(Arc::new(HttpAlertmanager::below(url, client)))
    }
}

impl HttpAlertmanager {
    fn below(mut url: Url, client: Client) -> Self {
        url.set_path(&api_path(&url));
        Self { client, url }
    }

    /// What the Alertmanager below this URL is called in metrics: where alerts are sent to, without a password.
    pub(super) fn name(url: &Url) -> String {
        let mut shown = url.clone();
        shown.set_path(&api_path(url));
        // A URL with a host can have a user and a password, and so can do without.
        let _ = (shown.set_username(""), shown.set_password(None));
        shown.to_string()
    }
}

/// The URL of an Alertmanager, where it is one that requests can go to.
pub(super) fn base_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.filter(Url::has_host)
}

fn api_path(url: &Url) -> String {
    format!("{}{PATH}", url.path().trim_end_matches('/'))
}

#[async_trait]
impl PostAlerts for HttpAlertmanager {
    async fn post(&self, tenant: &TenantId, alerts: &[PostedAlert]) -> Result<(), Error> {
        let posted: Vec<Posted<'_>> = alerts.iter().map(Posted::of).collect();
        let body = serde_json::to_vec(&posted).map_err(|error| Error::internal(error.to_string()))?;
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        let answer = request.header(TENANT_HEADER, tenant.as_str()).body(body).send().await;
        let mut answer = answer.map_err(|error| transport(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let mut reason = Vec::new();
        while let Ok(Some(chunk)) = answer.chunk().await {
            reason.extend_from_slice(&chunk);
            if reason.len() >= MAX_REASON {
                break;
            }
        }
        let reason: String = String::from_utf8_lossy(&reason).chars().take(MAX_REASON).collect();
        let code = match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Code::Unavailable,
            status if status.is_server_error() => Code::Unavailable,
            _ => Code::InvalidArgument,
        };
        Err(Error::new(code, format!("it answered {status}: {}", reason.trim())))
    }
}

impl<'a> Posted<'a> {
    fn of(alert: &'a PostedAlert) -> Self {
        Self {
            annotations: &alert.annotations,
            ends_at: GoTime::from_millis(alert.ends_at_ms).format(TIME_FORMAT),
            starts_at: GoTime::from_millis(alert.starts_at_ms).format(TIME_FORMAT),
            generator_url: &alert.generator_url,
            labels: alert.labels.iter().collect(),
        }
    }
}

/// What went wrong, without the URL, which may hold a password.
fn transport(error: &reqwest::Error) -> Error {
    let mut source: &dyn std::error::Error = error;
    while let Some(deeper) = source.source() {
        source = deeper;
    }
    let message =
        if std::ptr::eq(source, error) { "the request failed".to_owned() } else { source.to_string() };
    Error::new(Code::Unavailable, message)
}

fn tls() -> Result<ClientConfig, StartError> {
    let mut roots = RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // What is no authority authorizes nobody.
        let _ = roots.add(certificate);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(StartError::Tls)?;
    Ok(tls.with_root_certificates(roots).with_no_client_auth())
}

fn client(tls: ClientConfig) -> ClientBuilder {
    Client::builder()
        .user_agent(USER_AGENT)
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
}
