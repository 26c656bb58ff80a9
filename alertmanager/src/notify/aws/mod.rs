//! Services of AWS whose requests are forms and whose answers are XML: SNS, and STS for the roles that SNS is used in.

mod credentials;
mod sign;
mod xml;

use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use bytes::Bytes;
use tokio::sync::Mutex;

use self::credentials::Kept;
use self::sign::{Credentials, FORM, Place, headers};
use self::xml::element;
use super::http::{Answer, Client, RetryOn, Surroundings};
use super::url::form;
use super::{BuildError, SendError};
use crate::config::{HttpConfig, SigV4Config};
use crate::moment::Moment;

/// Asks services of AWS.
pub(super) struct Aws {
    config: SigV4Config,
    client: Client,
    around: Surroundings,
    /// Credentials that last for a while.
    kept: Mutex<Option<Kept>>,
}

/// A service and where it is.
pub(super) struct Service<'a> {
    /// As signatures name it.
    pub(super) name: &'a str,
    /// Its URL; empty for AWS's own.
    pub(super) url: &'a str,
}

impl Aws {
    pub(super) fn new(
        config: &SigV4Config,
        http: Option<&HttpConfig>,
        around: &Surroundings,
    ) -> Result<Self, BuildError> {
        let client = Client::new(http, around)?;
        Ok(Self { config: config.clone(), client, around: around.clone(), kept: Mutex::default() })
    }

    /// Posts a form to a service: what it answered, if it did what it was asked.
    pub(super) async fn ask(
        &self,
        service: &Service<'_>,
        fields: &[(&str, &str)],
    ) -> Result<Answer, SendError> {
        let region = self.region().await?;
        let credentials = self.credentials(&region).await?;
        let url = match service.url.is_empty() {
            true => own_url(service.name, &region),
            false => service.url.to_owned(),
        };
        self.post(&url, &Place { region: &region, service: service.name }, &credentials, fields).await
    }

    async fn post(
        &self,
        url: &str,
        place: &Place<'_>,
        credentials: &Credentials,
        fields: &[(&str, &str)],
    ) -> Result<Answer, SendError> {
        let body = form(fields.iter().copied());
        let now = Moment::from_millis(self.around.clock.now_ms());
        let mut map = HeaderMap::new();
        if !credentials.access_key.is_empty() {
            for (name, value) in headers(credentials, place, host_and_path(url), body.as_bytes(), now) {
                let wrong = |_| {
                    SendError::for_good(format!("the value of {name} has characters that it may not have"))
                };
                let mut value = HeaderValue::from_str(&value).map_err(wrong)?;
                value.set_sensitive(name != "host");
                if name != "content-type" && name != "host" {
                    map.insert(HeaderName::from_static(name), value);
                }
            }
        }
        let answer = self.client.request(Method::POST, url, FORM, Bytes::from(body), map).await?;
        let said =
            |answer: &Answer| element(&String::from_utf8_lossy(&answer.body), "Message").unwrap_or_default();
        answer.check_with(RetryOn::ServerErrors, said)?;
        Ok(answer)
    }

    /// How long ago the clock started.
    fn monotonic(&self) -> Duration {
        self.around.clock.monotonic()
    }
}

/// Where AWS has a service in a region.
fn own_url(service: &str, region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{service}.{region}.{domain}/")
}

/// The host that a request to a URL names, and the path that it asks for.
fn host_and_path(url: &str) -> (&str, &str) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let default_port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    (host.strip_suffix(default_port).unwrap_or(host), if path.is_empty() { "/" } else { path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_paths_are_those_that_requests_have() {
        assert_eq!(
            host_and_path("https://sns.eu-west-1.amazonaws.com"),
            ("sns.eu-west-1.amazonaws.com", "/")
        );
        assert_eq!(host_and_path("http://u@127.0.0.1:8080/a/b?c=d"), ("127.0.0.1:8080", "/a/b"));
        assert_eq!(host_and_path("https://x:443/"), ("x", "/"));
        assert_eq!(own_url("sns", "cn-north-1"), "https://sns.cn-north-1.amazonaws.com.cn/");
    }
}
