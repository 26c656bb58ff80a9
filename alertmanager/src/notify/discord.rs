//! Discord: a message with an embed, over a webhook of a channel.

use async_trait::async_trait;
use serde::Serialize;

use super::http::{Client, RetryOn, Surroundings};
use super::msteams::url;
use super::telling::truncate_chars;
use super::value::go_json;
use super::{BuildError, Notifier, SendError, Telling};
use crate::config::DiscordConfig;

/// What Discord takes at most, in characters.
const MAX_TITLE_CHARS: usize = 256;
const MAX_DESCRIPTION_CHARS: usize = 4096;
const MAX_CONTENT_CHARS: usize = 2000;
/// The bar beside the embed: dark red while something fires, then green.
const FIRING: u32 = 0x99_2d_22;
const RESOLVED: u32 = 0x2e_cc_71;

pub(super) struct Discord {
    config: DiscordConfig,
    client: Client,
}

#[derive(Serialize)]
struct Message {
    content: String,
    embeds: [Embed; 1],
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    avatar_url: String,
}

#[derive(Serialize)]
struct Embed {
    title: String,
    description: String,
    color: u32,
}

impl Discord {
    pub(super) fn new(config: &DiscordConfig, around: &Surroundings) -> Result<Self, BuildError> {
        Ok(Self { config: config.clone(), client: Client::new(config.http_config.as_ref(), around)? })
    }
}

#[async_trait]
impl Notifier for Discord {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let config = &self.config;
        let embed = Embed {
            title: truncate_chars(telling.text(&config.title)?, MAX_TITLE_CHARS),
            description: truncate_chars(telling.text(&config.message)?, MAX_DESCRIPTION_CHARS),
            color: if telling.is_firing() { FIRING } else { RESOLVED },
        };
        let message = Message {
            content: truncate_chars(telling.text(&config.content)?, MAX_CONTENT_CHARS),
            embeds: [embed],
            username: config.username.clone(),
            avatar_url: config.avatar_url.clone(),
        };
        let url = url(&self.client, config.webhook_url.as_ref(), &config.webhook_url_file).await?;
        let answer = self.client.post_json(&url, go_json(&message)?).await?;
        answer.check(RetryOn::ServerErrors)
    }
}
