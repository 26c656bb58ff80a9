//! incident.io: the webhook's message, for an alert source that is known by its token.

use ::http::header::AUTHORIZATION;
use ::http::{HeaderMap, HeaderValue, Method};
use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;

use super::http::{Answer, Client, RetryOn, Surroundings};
use super::webhook::message;
use super::{BuildError, Notifier, SendError, Telling};
use crate::config::{IncidentioConfig, Url};

/// The largest message that incident.io takes, in bytes. A larger one says of its first alert only.
const MAX_MESSAGE_BYTES: usize = 512 * 1024;
/// The version of the message's form.
const VERSION: &str = "1";

pub(super) struct IncidentIo {
    config: IncidentioConfig,
    client: Client,
}

/// What incident.io says of a request that it refuses.
#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<String>,
    #[serde(default)]
    error: String,
}

impl IncidentIo {
    pub(super) fn new(config: &IncidentioConfig, around: &Surroundings) -> Result<Self, BuildError> {
        let mut http = config.http_config.clone().unwrap_or_default();
        if !config.alert_source_token.is_empty() || !config.alert_source_token_file.is_empty() {
            // What all receivers share may say something else.
            http.authorization = None;
        }
        Ok(Self { config: config.clone(), client: Client::new(Some(&http), around)? })
    }

    /// The message with as many alerts as there may be.
    fn body(&self, telling: &Telling) -> Result<Bytes, SendError> {
        let (mut data, truncated) = telling.truncated(self.config.max_alerts);
        let body = message(telling, &data, VERSION, truncated)?;
        if body.len() <= MAX_MESSAGE_BYTES {
            return Ok(body);
        }
        // Whatever comes of it is sent: whether it is too large still is for the receiver to say.
        data.alerts.truncate(1);
        message(telling, &data, VERSION, truncated)
    }

    async fn headers(&self) -> Result<HeaderMap, SendError> {
        let (token, file) = (&self.config.alert_source_token, &self.config.alert_source_token_file);
        if token.is_empty() && file.is_empty() {
            return Ok(HeaderMap::new());
        }
        let token = self.client.files().or_file(token.expose(), file, "alert_source_token_file").await?;
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| SendError::for_good("the token has characters that no header may have"))?;
        value.set_sensitive(true);
        Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
    }
}

fn details(answer: &Answer) -> String {
    let Ok(Refusal { message, errors, error }) = serde_json::from_slice(&answer.body) else {
        return String::new();
    };
    let parts = [message, error, errors.join(", ")];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(": ")
}

#[async_trait]
impl Notifier for IncidentIo {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let config = &self.config;
        let (body, headers) = (self.body(telling)?, self.headers().await?);
        let url = match config.url.as_ref().map(Url::as_str) {
            Some(url) => url.to_owned(),
            None => self.client.files().trimmed(&config.url_file, "url_file").await?,
        };
        let sending = async {
            let answer = self.client.request(Method::POST, &url, "application/json", body, headers).await?;
            answer.check_with(RetryOn::TooManyRequests, details)
        };
        self.client.within(config.timeout, "incident.io", sending).await
    }
}
