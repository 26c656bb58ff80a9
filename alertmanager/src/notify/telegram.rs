//! Telegram: a message of a bot for a chat.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;

use super::http::{Client, Surroundings};
use super::telling::truncate_chars;
use super::value::go_json;
use super::{BuildError, Notifier, Reason, SendError, Telling};
use crate::config::{TelegramConfig, Url};

/// The longest message, in characters.
const MAX_MESSAGE_CHARS: usize = 4096;
/// What is said in place of HTML that is too long: cutting it could leave elements open.
const TOO_LONG: &str = "Alertmanager notification could not be sent: message length exceeds Telegram limits.\n\t\t\tPlease check the template used for producing the message content.";

pub(super) struct Telegram {
    config: TelegramConfig,
    client: Client,
}

/// What Telegram answers, whatever the status.
#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    ok: bool,
    #[serde(default)]
    error_code: u16,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize, Default)]
struct Parameters {
    /// How many seconds the bot is to be silent.
    #[serde(default)]
    retry_after: Option<u64>,
}

impl Telegram {
    pub(super) fn new(config: &TelegramConfig, around: &Surroundings) -> Result<Self, BuildError> {
        Ok(Self { config: config.clone(), client: Client::new(config.http_config.as_ref(), around)? })
    }

    fn message(&self, telling: &Telling) -> Result<String, SendError> {
        let template = &self.config.message;
        if self.config.parse_mode != "HTML" {
            return Ok(truncate_chars(telling.text(template)?, MAX_MESSAGE_CHARS));
        }
        let html = telling.html(template)?;
        Ok(if html.chars().count() > MAX_MESSAGE_CHARS { TOO_LONG.to_owned() } else { html })
    }

    async fn chat(&self) -> Result<i64, SendError> {
        let file = &self.config.chat_id_file;
        if file.is_empty() {
            return Ok(self.config.chat_id);
        }
        let text = self.client.files().trimmed(file, "chat_id_file").await;
        let text = text.map_err(SendError::again)?;
        text.parse()
            .map_err(|error| SendError::for_now(format!("could not parse chat_id from {file}: {error}")))
    }

    async fn url(&self) -> Result<String, SendError> {
        let config = &self.config;
        let token = match config.bot_token_file.is_empty() {
            true => config.bot_token.expose().to_owned(),
            false => {
                let read = self.client.files().trimmed(&config.bot_token_file, "bot_token_file").await;
                read.map_err(SendError::again)?
            }
        };
        let base = config.api_url.as_ref().map(Url::as_str).unwrap_or_default();
        Ok(format!("{base}/bot{token}/sendMessage"))
    }

    async fn body(&self, telling: &Telling) -> Result<Vec<u8>, SendError> {
        let config = &self.config;
        let mut fields = BTreeMap::from([
            ("text", self.message(telling)?),
            ("chat_id", self.chat().await?.to_string()),
            ("disable_web_page_preview", "true".to_owned()),
        ]);
        if config.disable_notifications {
            fields.insert("disable_notification", "true".to_owned());
        }
        if !config.parse_mode.is_empty() {
            fields.insert("parse_mode", config.parse_mode.clone());
        }
        if config.message_thread_id != 0 {
            fields.insert("message_thread_id", config.message_thread_id.to_string());
        }
        go_json(&fields)
    }
}

/// Whether Telegram took it. Upstream tries again whatever it says.
fn answered(body: &[u8]) -> Result<(), SendError> {
    let answered: Answered = serde_json::from_slice(body)
        .map_err(|error| SendError::for_now(format!("telegram: the answer is no JSON: {error}")))?;
    if answered.ok {
        return Ok(());
    }
    let Answered { error_code, description, parameters, .. } = answered;
    let mut error = SendError::for_now(format!("telegram: {description} ({error_code})"))
        .because(Reason::of_status(error_code));
    error.after = parameters.retry_after.map(Duration::from_secs);
    Err(error)
}

#[async_trait]
impl Notifier for Telegram {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let (url, body) = (self.url().await?, self.body(telling).await?);
        answered(&self.client.post_json(&url, body).await?.body)
    }
}
