//! Mattermost: a message over an incoming webhook, with one attachment or those of the configuration.

use async_trait::async_trait;
use serde::Serialize;

use super::http::{Client, RetryOn, Surroundings};
use super::msteams::url;
use super::telling::truncate_chars;
use super::value::go_json;
use super::{BuildError, Notifier, SendError, Telling};
use crate::config::{MattermostAttachment, MattermostConfig, MattermostField};

/// The longest text, in characters.
const MAX_TEXT_CHARS: usize = 16_383;
/// How urgent messages may be: only urgent ones can go on until somebody looks, only urgent and important ones can ask for
/// an answer.
const URGENT: &str = "urgent";
const IMPORTANT: &str = "important";
const STANDARD: &str = "standard";

pub(super) struct Mattermost {
    config: MattermostConfig,
    client: Client,
}

#[derive(Serialize)]
struct Request {
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    channel: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    icon_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    icon_emoji: String,
    attachments: Vec<Attachment>,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    props: Option<Props>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
}

#[derive(Serialize)]
struct Attachment {
    #[serde(skip_serializing_if = "String::is_empty")]
    fallback: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    color: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pretext: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    author_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    author_link: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    author_icon: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title_link: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field>,
    #[serde(skip_serializing_if = "String::is_empty")]
    thumb_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    footer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    footer_icon: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    image_url: String,
}

#[derive(Serialize)]
struct Field {
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    short: Option<bool>,
}

#[derive(Serialize)]
struct Props {
    #[serde(skip_serializing_if = "String::is_empty")]
    card: String,
}

#[derive(Serialize)]
struct Priority {
    priority: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    requested_ack: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    persistent_notifications: bool,
}

impl Mattermost {
    pub(super) fn new(config: &MattermostConfig, around: &Surroundings) -> Result<Self, BuildError> {
        Ok(Self { config: config.clone(), client: Client::new(config.http_config.as_ref(), around)? })
    }

    /// The message. Its text is that of its only attachment, unless the configuration has attachments of its own.
    fn request(&self, telling: &Telling) -> Result<Request, SendError> {
        let config = &self.config;
        let own = config.attachments.iter().map(|of| attachment(of, telling));
        let mut attachments = own.collect::<Result<Vec<_>, _>>()?;
        let mut text = String::new();
        if attachments.is_empty() {
            attachments.push(attachment(&self.only_attachment(), telling)?);
        } else {
            text = truncate_chars(telling.text(&config.text)?, MAX_TEXT_CHARS);
        }
        let card = config.props.as_ref().map(|props| props.card.as_str()).unwrap_or_default();
        Ok(Request {
            text,
            channel: telling.text(&config.channel)?,
            username: telling.text(&config.username)?,
            icon_url: telling.text(&config.icon_url)?,
            icon_emoji: telling.text(&config.icon_emoji)?,
            attachments,
            kind: telling.text(&config.kind)?,
            props: if card.is_empty() { None } else { Some(Props { card: telling.text(card)? }) },
            priority: self.priority(telling)?,
        })
    }

    /// The attachment that the configuration describes without naming it one.
    fn only_attachment(&self) -> MattermostAttachment {
        let config = self.config.clone();
        MattermostAttachment {
            fallback: config.fallback,
            color: config.color,
            pretext: config.pretext,
            text: config.text,
            author_name: config.author_name,
            author_link: config.author_link,
            author_icon: config.author_icon,
            title: config.title,
            title_link: config.title_link,
            fields: config.fields,
            thumb_url: config.thumb_url,
            footer: config.footer,
            footer_icon: config.footer_icon,
            image_url: config.image_url,
        }
    }

    /// How urgent it is: what Mattermost does not know is standard, and what it would refuse is left out.
    fn priority(&self, telling: &Telling) -> Result<Option<Priority>, SendError> {
        let Some(config) = self.config.priority.as_ref().filter(|config| !config.priority.is_empty()) else {
            return Ok(None);
        };
        let priority = telling.text(&config.priority)?.to_lowercase();
        let known = [URGENT, IMPORTANT, STANDARD].into_iter().find(|known| *known == priority);
        let priority = known.unwrap_or(STANDARD);
        Ok(Some(Priority {
            priority: priority.to_owned(),
            requested_ack: config.requested_ack && priority != STANDARD,
            persistent_notifications: config.persistent_notifications && priority == URGENT,
        }))
    }
}

fn attachment(config: &MattermostAttachment, telling: &Telling) -> Result<Attachment, SendError> {
    let text = |template: &str| telling.text(template);
    Ok(Attachment {
        fallback: text(&config.fallback)?,
        color: text(&config.color)?,
        pretext: text(&config.pretext)?,
        text: text(&config.text)?,
        author_name: text(&config.author_name)?,
        author_link: text(&config.author_link)?,
        author_icon: text(&config.author_icon)?,
        title: text(&config.title)?,
        title_link: text(&config.title_link)?,
        fields: config.fields.iter().map(|of| field(of, telling)).collect::<Result<_, _>>()?,
        thumb_url: text(&config.thumb_url)?,
        footer: text(&config.footer)?,
        footer_icon: text(&config.footer_icon)?,
        image_url: text(&config.image_url)?,
    })
}

fn field(config: &MattermostField, telling: &Telling) -> Result<Field, SendError> {
    Ok(Field {
        title: telling.text(&config.title)?,
        value: telling.text(&config.value)?,
        short: config.short,
    })
}

#[async_trait]
impl Notifier for Mattermost {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let config = &self.config;
        let url = url(&self.client, config.webhook_url.as_ref(), &config.webhook_url_file).await?;
        if url.is_empty() {
            return Err(SendError::for_good("webhook url missing"));
        }
        let request = self.request(telling)?;
        let answer = self.client.post_json(&url, go_json(&request)?).await?;
        let channel = format!("channel {}", gotemplate::quote(&request.channel));
        answer.check(RetryOn::ServerErrors).map_err(|error| error.context(&channel))
    }
}
