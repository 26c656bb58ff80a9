//! Slack: incoming webhooks, and messages of an app, which later notifications of the group can change.

use async_trait::async_trait;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::http::{Client, RetryOn, Surroundings};
use super::telling::truncate_chars;
use super::value::go_json;
use super::{BuildError, Notifier, Reason, SendError, Telling};
use crate::config::{SecretUrl, SlackAction, SlackConfig, SlackField};

/// The longest title that Slack shows, in characters.
const MAX_TITLE_CHARS: usize = 1024;
/// How many groups' messages are remembered so that they can be changed.
const MAX_MESSAGES: usize = 100_000;
/// Where messages are changed.
const UPDATE_URL: &str = "https://slack.com/api/chat.update";

pub(super) struct Slack {
    config: SlackConfig,
    client: Client,
    /// The last message of each group.
    messages: Mutex<BTreeMap<String, Message>>,
}

/// A message that was sent: its channel and its time, by which Slack knows it.
#[derive(Clone)]
struct Message {
    channel: String,
    ts: String,
}

#[derive(Serialize, Default)]
struct Request {
    #[serde(skip_serializing_if = "String::is_empty")]
    channel: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ts: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    icon_emoji: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    icon_url: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    link_names: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    attachments: [Attachment; 1],
}

#[derive(Serialize, Default)]
struct Attachment {
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title_link: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pretext: String,
    text: String,
    fallback: String,
    callback_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<Action>,
    #[serde(skip_serializing_if = "String::is_empty")]
    image_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    thumb_url: String,
    footer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    color: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mrkdwn_in: Vec<String>,
}

#[derive(Serialize)]
struct Field {
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
    short: bool,
}

#[derive(Serialize)]
struct Action {
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    style: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm: Option<Confirmation>,
}

#[derive(Serialize)]
struct Confirmation {
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ok_text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    dismiss_text: String,
}

/// What Slack answers, where it answers in JSON.
#[derive(Deserialize, Default)]
struct Answered {
    #[serde(default)]
    ok: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    ts: String,
}

impl Slack {
    pub(super) fn new(config: &SlackConfig, around: &Surroundings) -> Result<Self, BuildError> {
        let client = Client::new(config.http_config.as_ref(), around)?;
        Ok(Self { config: config.clone(), client, messages: Mutex::default() })
    }

    fn request(&self, telling: &Telling) -> Result<Request, SendError> {
        let config = &self.config;
        let text = |template: &str| telling.text(template);
        Ok(Request {
            channel: text(&config.channel)?,
            ts: String::new(),
            username: text(&config.username)?,
            icon_emoji: text(&config.icon_emoji)?,
            icon_url: text(&config.icon_url)?,
            link_names: config.link_names,
            text: text(&config.message_text)?,
            attachments: [self.attachment(telling)?],
        })
    }

    fn attachment(&self, telling: &Telling) -> Result<Attachment, SendError> {
        let config = &self.config;
        let text = |template: &str| telling.text(template);
        let markdown = match config.mrkdwn_in.is_empty() {
            true => ["fallback", "pretext", "text"].map(str::to_owned).to_vec(),
            false => config.mrkdwn_in.clone(),
        };
        Ok(Attachment {
            title: truncate_chars(text(&config.title)?, MAX_TITLE_CHARS),
            title_link: text(&config.title_link)?,
            pretext: text(&config.pretext)?,
            text: text(&config.text)?,
            fallback: text(&config.fallback)?,
            callback_id: text(&config.callback_id)?,
            fields: config.fields.iter().map(|field| self.field(field, telling)).collect::<Result<_, _>>()?,
            actions: config.actions.iter().map(|of| action(of, telling)).collect::<Result<_, _>>()?,
            image_url: text(&config.image_url)?,
            thumb_url: text(&config.thumb_url)?,
            footer: text(&config.footer)?,
            color: text(&config.color)?,
            mrkdwn_in: markdown,
        })
    }

    fn field(&self, field: &SlackField, telling: &Telling) -> Result<Field, SendError> {
        Ok(Field {
            title: telling.text(&field.title)?,
            value: telling.text(&field.value)?,
            short: field.short.unwrap_or(self.config.short_fields),
        })
    }

    async fn url(&self) -> Result<String, SendError> {
        match &self.config.api_url {
            Some(url) => exposed(url),
            None => self.client.files().trimmed(&self.config.api_url_file, "api_url_file").await,
        }
    }

    fn remember(&self, group: &str, answered: Answered) {
        let mut messages = self.messages.lock();
        if !answered.ts.is_empty()
            && !answered.channel.is_empty()
            && (messages.len() < MAX_MESSAGES || messages.contains_key(group))
        {
            messages.insert(group.to_owned(), Message { channel: answered.channel, ts: answered.ts });
        }
    }
}

/// The URL, unless the configuration is one that was shown.
pub(super) fn exposed(url: &SecretUrl) -> Result<String, SendError> {
    let hidden = || SendError::for_good("the URL was read from a configuration whose secrets were hidden");
    url.expose().map(str::to_owned).ok_or_else(hidden)
}

fn action(action: &SlackAction, telling: &Telling) -> Result<Action, SendError> {
    let text = |template: &str| telling.text(template);
    let confirm = match &action.confirm {
        None => None,
        Some(confirm) => Some(Confirmation {
            text: text(&confirm.text)?,
            title: text(&confirm.title)?,
            ok_text: text(&confirm.ok_text)?,
            dismiss_text: text(&confirm.dismiss_text)?,
        }),
    };
    Ok(Action {
        kind: text(&action.kind)?,
        text: text(&action.text)?,
        url: text(&action.url)?,
        style: text(&action.style)?,
        name: text(&action.name)?,
        value: text(&action.value)?,
        confirm,
    })
}

/// Whether Slack took it: it may say no with a status that says yes.
fn answered(content_type: &str, body: &[u8]) -> Result<Answered, SendError> {
    let text = String::from_utf8_lossy(body);
    if !content_type.starts_with("application/json") {
        if text == "ok" {
            return Ok(Answered::default());
        }
        let message = format!("received an error response from Slack: {text}");
        return Err(SendError::for_good(message).because(Reason::Client));
    }
    let answered: Answered = serde_json::from_slice(body).map_err(|error| {
        SendError::for_now(format!("could not unmarshal JSON response {}: {error}", gotemplate::quote(&text)))
    })?;
    if !answered.ok {
        let message = format!("error response from Slack: {}", answered.error);
        return Err(SendError::for_good(message).because(Reason::Client));
    }
    Ok(answered)
}

#[async_trait]
impl Notifier for Slack {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let mut url = self.url().await?;
        let mut request = self.request(telling)?;
        let known = self.messages.lock().get(&telling.group_key).cloned();
        if let Some(message) = known.filter(|_| self.config.update_message) {
            url = UPDATE_URL.to_owned();
            request.ts = message.ts;
            request.channel = message.channel;
        }
        let body = go_json(&request)?;
        let channel = format!("channel {}", gotemplate::quote(&request.channel));
        let sending = async {
            let answer = self.client.post_json(&url, body).await?;
            answer.check(RetryOn::ServerErrors).map_err(|error| error.context(&channel))?;
            let kind = answer.headers.get(::http::header::CONTENT_TYPE);
            let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            let answered = answered(kind, &answer.body).map_err(|error| error.context(&channel))?;
            if self.config.update_message {
                self.remember(&telling.group_key, answered);
            }
            Ok(())
        };
        self.client.within(self.config.timeout, "slack", sending).await
    }
}
