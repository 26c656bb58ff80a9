//! Pushover: a message for phones, its parts in the query of a URL.

use ::http::{HeaderMap, Method};
use async_trait::async_trait;
use bytes::Bytes;

use super::http::{Client, RetryOn, Surroundings};
use super::telling::truncate_chars;
use super::url::{form, with_query};
use super::{BuildError, Notifier, SendError, Telling};
use crate::config::PushoverConfig;

/// Where messages go.
const URL: &str = "https://api.pushover.net/1/messages.json";
/// What Pushover takes at most, in characters.
const MAX_TITLE_CHARS: usize = 250;
const MAX_MESSAGE_CHARS: usize = 1024;
const MAX_URL_CHARS: usize = 512;
/// What stands for a message without a text, which Pushover refuses.
const NO_TEXT: &str = "(no details)";

pub(super) struct Pushover {
    config: PushoverConfig,
    client: Client,
}

impl Pushover {
    pub(super) fn new(config: &PushoverConfig, around: &Surroundings) -> Result<Self, BuildError> {
        Ok(Self { config: config.clone(), client: Client::new(config.http_config.as_ref(), around)? })
    }

    /// The text, in HTML if so configured.
    fn message(&self, telling: &Telling) -> Result<String, SendError> {
        let template = &self.config.message;
        let text = if self.config.html { telling.html(template)? } else { telling.text(template)? };
        let text = truncate_chars(text, MAX_MESSAGE_CHARS);
        let text = text.trim();
        Ok(if text.is_empty() { NO_TEXT } else { text }.to_owned())
    }

    async fn query(&self, telling: &Telling) -> Result<String, SendError> {
        let config = &self.config;
        let files = self.client.files();
        let token = files.or_file(config.token.expose(), &config.token_file, "token_file").await?;
        let user = files.or_file(config.user_key.expose(), &config.user_key_file, "user_key_file").await?;
        let text = |template: &str| telling.text(template);
        let mut pairs = vec![
            ("token", text(&token)?),
            ("user", text(&user)?),
            ("title", truncate_chars(text(&config.title)?, MAX_TITLE_CHARS)),
            ("message", self.message(telling)?),
            ("url", truncate_chars(text(&config.url)?, MAX_URL_CHARS)),
            ("url_title", text(&config.url_title)?),
            ("priority", text(&config.priority)?),
            ("retry", config.retry.0.as_secs().to_string()),
            ("expire", config.expire.0.as_secs().to_string()),
            ("device", text(&config.device)?),
            ("sound", text(&config.sound)?),
        ];
        let ttl = config.ttl.0.as_secs();
        let switches = [("html", config.html, 1), ("monospace", config.monospace, 1), ("ttl", ttl > 0, ttl)];
        pairs.extend(switches.iter().filter(|(_, on, _)| *on).map(|(name, _, to)| (*name, to.to_string())));
        Ok(form(pairs.iter().map(|(name, value)| (*name, value.as_str()))))
    }
}

#[async_trait]
impl Notifier for Pushover {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let url = with_query(URL, &self.query(telling).await?);
        let answer = self.client.request(Method::POST, &url, "text/plain", Bytes::new(), HeaderMap::new());
        answer.await?.check(RetryOn::ServerErrors)
    }
}
