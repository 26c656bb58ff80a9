//! Microsoft Teams: cards of connectors, and of workflows (version 2).

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use super::http::{Client, RetryOn, Surroundings};
use super::slack::exposed;
use super::value::go_json;
use super::{BuildError, Notifier, SendError, Telling};
use crate::config::{MsTeamsConfig, MsTeamsV2Config, SecretUrl};

pub(super) struct MsTeams {
    config: MsTeamsConfig,
    client: Client,
}

pub(super) struct MsTeamsV2 {
    config: MsTeamsV2Config,
    client: Client,
}

#[derive(Serialize)]
struct MessageCard {
    #[serde(rename = "@context")]
    context: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    title: String,
    summary: String,
    text: String,
    #[serde(rename = "themeColor")]
    theme_color: &'static str,
}

#[derive(Serialize)]
struct Message {
    #[serde(rename = "type")]
    kind: &'static str,
    attachments: [Attachment; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Attachment {
    content_type: &'static str,
    content_url: Value,
    content: AdaptiveCard,
}

#[derive(Serialize)]
struct AdaptiveCard {
    #[serde(rename = "$schema")]
    schema: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    version: &'static str,
    body: [TextBlock; 2],
    msteams: Width,
}

#[derive(Serialize)]
struct Width {
    width: &'static str,
}

#[derive(Serialize, Default)]
struct TextBlock {
    #[serde(rename = "type")]
    kind: &'static str,
    text: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    weight: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    size: &'static str,
    wrap: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    style: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    color: &'static str,
}

impl MsTeams {
    pub(super) fn new(config: &MsTeamsConfig, around: &Surroundings) -> Result<Self, BuildError> {
        Ok(Self { config: config.clone(), client: Client::new(config.http_config.as_ref(), around)? })
    }
}

impl MsTeamsV2 {
    pub(super) fn new(config: &MsTeamsV2Config, around: &Surroundings) -> Result<Self, BuildError> {
        Ok(Self { config: config.clone(), client: Client::new(config.http_config.as_ref(), around)? })
    }
}

/// The URL that is given, or in a file.
pub(super) async fn url(client: &Client, url: Option<&SecretUrl>, file: &str) -> Result<String, SendError> {
    match url {
        Some(url) => exposed(url),
        None => client.files().trimmed(file, "webhook_url_file").await,
    }
}

#[async_trait]
impl Notifier for MsTeams {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let config = &self.config;
        let card = MessageCard {
            context: "http://schema.org/extensions",
            kind: "MessageCard",
            title: telling.text(&config.title)?,
            summary: telling.text(&config.summary)?,
            text: telling.text(&config.text)?,
            theme_color: if telling.is_firing() { "8C1A1A" } else { "2DC72D" },
        };
        let url = url(&self.client, config.webhook_url.as_ref(), &config.webhook_url_file).await?;
        let answer = self.client.post_json(&url, go_json(&card)?).await?;
        answer.check(RetryOn::ServerErrors)
    }
}

#[async_trait]
impl Notifier for MsTeamsV2 {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let config = &self.config;
        let title = TextBlock {
            kind: "TextBlock",
            text: telling.text(&config.title)?,
            weight: "Bolder",
            size: "Medium",
            wrap: true,
            style: "heading",
            color: if telling.is_firing() { "Attention" } else { "Good" },
        };
        let text = TextBlock {
            kind: "TextBlock",
            text: telling.text(&config.text)?,
            wrap: true,
            ..TextBlock::default()
        };
        let message = Message {
            kind: "message",
            attachments: [Attachment {
                content_type: "application/vnd.microsoft.card.adaptive",
                content_url: Value::Null,
                content: AdaptiveCard {
                    schema: "http://adaptivecards.io/schemas/adaptive-card.json",
                    kind: "AdaptiveCard",
                    version: "1.2",
                    body: [title, text],
                    msteams: Width { width: "full" },
                },
            }],
        };
        let url = url(&self.client, config.webhook_url.as_ref(), &config.webhook_url_file).await?;
        let answer = self.client.post_json(&url, go_json(&message)?).await?;
        answer.check(RetryOn::ServerErrors)
    }
}
