//! Webex: a message in Markdown for a room.

use async_trait::async_trait;
use serde::Serialize;

use super::http::{Client, RetryOn, Surroundings};
use super::telling::truncate_bytes;
use super::value::go_json;
use super::{BuildError, Notifier, SendError, Telling};
use crate::config::{Url, WebexConfig};

/// The longest message that Webex takes, in bytes.
const MAX_MESSAGE_BYTES: usize = 7439;

pub(super) struct Webex {
    config: WebexConfig,
    client: Client,
}

#[derive(Serialize)]
struct Message {
    markdown: String,
    #[serde(rename = "roomId", skip_serializing_if = "String::is_empty")]
    room: String,
}

impl Webex {
    pub(super) fn new(config: &WebexConfig, around: &Surroundings) -> Result<Self, BuildError> {
        Ok(Self { config: config.clone(), client: Client::new(config.http_config.as_ref(), around)? })
    }
}

#[async_trait]
impl Notifier for Webex {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let message = Message {
            markdown: truncate_bytes(telling.text(&self.config.message)?, MAX_MESSAGE_BYTES),
            room: telling.text(&self.config.room_id)?,
        };
        let url = self.config.api_url.as_ref().map(Url::as_str).unwrap_or_default();
        let answer = self.client.post_json(url, go_json(&message)?).await?;
        answer.check(RetryOn::ServerErrors)
    }
}
