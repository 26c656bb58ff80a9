//! `http_config`: the client that a receiver's requests go out with.

mod auth;
mod oauth2;
mod proxy;
mod sender;
mod tls;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::{Clock, Rng};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use rustls::RootCertStore;

use self::auth::Auth;
pub use self::sender::ReceiverNetwork;
use self::sender::Sender;
pub(crate) use self::tls::client_config;
use super::{BuildError, Files, Reason, SendError};
use crate::config::{GoDuration, Header, HttpConfig};

/// As whom requests are sent: some receivers tell senders apart.
const USER_AGENT: &str = concat!("Alertmanager/", "0.34.0", " (Barograph ", env!("CARGO_PKG_VERSION"), ")");
/// How much of an answer is read, in bytes: answers are short, and what is not may be anything.
const MAX_ANSWER_BYTES: usize = 256 << 10;
/// How many redirects are followed.
const MAX_REDIRECTS: usize = 10;
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection that nobody uses is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// What clients are made with.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) files: Files,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    /// The authorities that the machine trusts.
    pub(crate) roots: Arc<RootCertStore>,
    /// What files of `http_config` are relative to: the folder of the configuration.
    pub(crate) dir: PathBuf,
    /// What takes requests to receivers, where it is not the network.
    pub(crate) network: Option<Arc<dyn ReceiverNetwork>>,
}

impl Surroundings {
    /// Where a file of `http_config` is.
    fn path(&self, file: &str) -> String {
        self.dir.join(file).to_string_lossy().into_owned()
    }

    /// The authorities that this machine trusts; those that cannot be read are left out.
    pub(crate) fn machine_roots() -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for certificate in rustls_native_certs::load_native_certs().certs {
            // What is no authority authorizes nobody.
            let _ = roots.add(certificate);
        }
        Arc::new(roots)
    }
}

/// A client of one receiver.
pub(crate) struct Client {
    sender: Sender,
    auth: Auth,
    headers: Vec<(HeaderName, Header)>,
    around: Surroundings,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Which answers make trying again worth it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryOn {
    /// Those by which the receiver says that it failed.
    ServerErrors,
    /// These too: it is asked too often.
    TooManyRequests,
    /// These too: it says so by another status.
    Forbidden,
}

impl Client {
    /// The client that a configuration asks for.
    pub(crate) fn new(config: Option<&HttpConfig>, around: &Surroundings) -> Result<Self, BuildError> {
        let default = HttpConfig::default();
        let config = config.unwrap_or(&default);
        let sender = Sender::new(config, around)?;
        let auth = Auth::new(config, around)?;
        let headers = headers(&config.http_headers)?;
        Ok(Self { sender, auth, headers, around: around.clone() })
    }

    /// What reads files for whoever has the client.
    pub(crate) fn files(&self) -> &Files {
        &self.around.files
    }

    /// Posts JSON.
    pub(crate) async fn post_json(&self, url: &str, body: impl Into<Bytes>) -> Result<Answer, SendError> {
        self.request(Method::POST, url, "application/json", body.into(), HeaderMap::new()).await
    }

    /// Sends a request. `headers` are the caller's own; the configuration's do not replace them.
    pub(crate) async fn request(
        &self,
        method: Method,
        url: &str,
        content_type: &str,
        body: Bytes,
        mut headers: HeaderMap,
    ) -> Result<Answer, SendError> {
        for (name, header) in &self.headers {
            for value in self.values(header).await? {
                headers.append(name, value);
            }
        }
        if !content_type.is_empty() {
            let value = HeaderValue::from_str(content_type);
            let value = value.map_err(|error| SendError::for_good(error.to_string()))?;
            headers.insert(CONTENT_TYPE, value);
        }
        self.auth.authorize(&mut headers, &self.around).await?;
        self.sender.send(method, url, headers, body).await
    }

    async fn values(&self, header: &Header) -> Result<Vec<HeaderValue>, SendError> {
        let mut values = header.values.clone();
        values.extend(header.secrets.iter().map(|secret| secret.expose().to_owned()));
        for file in &header.files {
            values.push(self.around.files.trimmed(&self.around.path(file), "header file").await?);
        }
        let values = values.iter().map(|value| secret_value(value));
        values.collect()
    }

    /// `sending`, for no longer than a configuration allows; zero is as long as it takes.
    pub(crate) async fn within(
        &self,
        timeout: GoDuration,
        what: &str,
        sending: impl Future<Output = Result<(), SendError>> + Send,
    ) -> Result<(), SendError> {
        if timeout.0.is_zero() {
            return sending.await;
        }
        tokio::select! {
            biased;
            done = sending => done,
            () = self.around.clock.sleep(timeout.0) => {
                let message = format!("configured {what} timeout reached ({})", shown(timeout));
                Err(SendError::for_now(message).because(Reason::DeadlineExceeded))
            }
        }
    }
}

fn shown(duration: GoDuration) -> String {
    let nanos = i64::try_from(duration.0.as_nanos()).unwrap_or(i64::MAX);
    gotemplate::time::GoDuration(nanos).to_string()
}

fn plain_client(config: &HttpConfig, around: &Surroundings) -> Result<reqwest::Client, BuildError> {
    let tls = config.tls_config.clone().unwrap_or_default();
    let mut tls = tls::client_config(&tls, around)?;
    tls.alpn_protocols = match config.enable_http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    let redirects = match config.follow_redirects {
        true => reqwest::redirect::Policy::limited(MAX_REDIRECTS),
        false => reqwest::redirect::Policy::none(),
    };
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .tls_backend_preconfigured(tls)
        .redirect(redirects)
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT);
    if !config.enable_http2 {
        builder = builder.http1_only();
    }
    let proxy = proxy::proxy(
        config.proxy_url.as_ref(),
        &config.no_proxy,
        config.proxy_from_environment,
        &config.proxy_connect_header,
    )?;
    builder = proxy.apply(builder);
    builder.build().map_err(|error| BuildError::new(chain(&error)))
}

fn headers(config: &BTreeMap<String, Header>) -> Result<Vec<(HeaderName, Header)>, BuildError> {
    let parsed = config.iter().map(|(name, header)| {
        let name = HeaderName::try_from(name.as_str())
            .map_err(|_| BuildError::new(format!("{} is no name of a header", gotemplate::quote(name))))?;
        Ok((name, header.clone()))
    });
    parsed.collect()
}

/// A header's value that logs do not show.
fn secret_value(text: &str) -> Result<HeaderValue, SendError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| SendError::for_good("the value of a header has characters that it may not have"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A request that came to nothing. The URL may hold secrets, and is left out.
fn transport(error: &reqwest::Error) -> SendError {
    let message = match std::error::Error::source(error) {
        Some(source) => chain(source),
        None if error.is_redirect() => "too many redirects".to_owned(),
        None if error.is_builder() => "the URL is none that requests can go to".to_owned(),
        None => "the request failed".to_owned(),
    };
    if error.is_builder() { SendError::for_good(message) } else { SendError::for_now(message) }
}

/// What an error says, and what it comes from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

impl Answer {
    /// Whether the receiver has it; else why not, with what it said.
    pub(crate) fn check(&self, on: RetryOn) -> Result<(), SendError> {
        self.check_with(on, |answer| String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// The same, where something else is said of what the answer has.
    pub(crate) fn check_with(
        &self,
        on: RetryOn,
        details: impl FnOnce(&Self) -> String,
    ) -> Result<(), SendError> {
        let status = self.status;
        if (200..300).contains(&status) {
            return Ok(());
        }
        let again = match on {
            RetryOn::ServerErrors => false,
            RetryOn::TooManyRequests => status == 429,
            RetryOn::Forbidden => status == 403,
        };
        let mut message = format!("unexpected status code {status}");
        let details = details(self);
        if !details.is_empty() {
            message = format!("{message}: {details}");
        }
        Err(SendError {
            message,
            again: again || (500..600).contains(&status),
            reason: Reason::of_status(status),
            after: self.retry_after(),
        })
    }

    /// How long the receiver wants to be left alone.
    fn retry_after(&self) -> Option<Duration> {
        let value = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        value.parse().ok().map(Duration::from_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")))
            .collect();
        Answer { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn statuses_say_whether_trying_again_helps() {
        let check = |status, on, again, reason| {
            let error = answer(status, &[], "why").check(on).expect_err("no success");
            assert_eq!((error.again, error.reason), (again, reason), "{status}");
            assert_eq!(error.message, format!("unexpected status code {status}: why"));
        };
        assert_eq!(answer(204, &[], "").check(RetryOn::ServerErrors), Ok(()));
        check(302, RetryOn::ServerErrors, false, Reason::Other);
        check(400, RetryOn::ServerErrors, false, Reason::Client);
        check(401, RetryOn::ServerErrors, false, Reason::Auth);
        check(429, RetryOn::ServerErrors, false, Reason::RateLimited);
        check(429, RetryOn::TooManyRequests, true, Reason::RateLimited);
        check(403, RetryOn::Forbidden, true, Reason::Auth);
        check(503, RetryOn::ServerErrors, true, Reason::Server);
    }

    #[test]
    fn retry_after_is_read_in_seconds() {
        let after = |value: &str| {
            let error = answer(503, &[("retry-after", value)], "").check(RetryOn::ServerErrors);
            error.expect_err("no success").after
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), None);
    }
}
