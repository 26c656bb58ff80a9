//! Rocket.Chat: a message with an attachment, posted by a user's token.

use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::http::{Client, RetryOn, Surroundings};
use super::telling::truncate_chars;
use super::url::joined;
use super::value::go_json;
use super::{BuildError, Notifier, Reason, SendError, Telling};
use crate::config::{RocketchatConfig, Secret, Url};

/// The longest title, in characters.
const MAX_TITLE_CHARS: usize = 1024;

pub(super) struct Rocketchat {
    config: RocketchatConfig,
    client: Client,
}

#[derive(Serialize)]
struct Message {
    #[serde(skip_serializing_if = "String::is_empty")]
    channel: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    emoji: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    avatar: String,
    attachments: [Attachment; 1],
}

#[derive(Serialize)]
struct Attachment {
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title_link: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    image_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    thumb_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    color: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<Action>,
}

#[derive(Serialize)]
struct Field {
    short: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
}

#[derive(Serialize)]
struct Action {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    url: String,
    is_webview: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    msg: String,
    msg_in_chat_window: bool,
}

#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    success: bool,
    #[serde(default)]
    error: String,
}

impl Rocketchat {
    pub(super) fn new(config: &RocketchatConfig, around: &Surroundings) -> Result<Self, BuildError> {
        Ok(Self { config: config.clone(), client: Client::new(config.http_config.as_ref(), around)? })
    }

    fn attachment(&self, telling: &Telling) -> Result<Attachment, SendError> {
        let config = &self.config;
        let text = |template: &str| telling.text(template);
        let fields = config.fields.iter().map(|field| {
            let short = field.short.unwrap_or(config.short_fields);
            Ok(Field { short, title: text(&field.title)?, value: text(&field.value)? })
        });
        let actions = config.actions.iter().map(|action| {
            Ok(Action {
                // There is no other kind, and upstream sends nothing else of what can be configured.
                kind: "button",
                text: text(&action.text)?,
                url: text(&action.url)?,
                is_webview: false,
                msg: text(&action.msg)?,
                msg_in_chat_window: false,
            })
        });
        Ok(Attachment {
            title: truncate_chars(text(&config.title)?, MAX_TITLE_CHARS),
            title_link: text(&config.title_link)?,
            text: text(&config.text)?,
            image_url: text(&config.image_url)?,
            thumb_url: text(&config.thumb_url)?,
            color: text(&config.color)?,
            fields: fields.collect::<Result<_, SendError>>()?,
            actions: actions.collect::<Result<_, SendError>>()?,
        })
    }

    /// The headers by which the user is known.
    async fn headers(&self) -> Result<HeaderMap, SendError> {
        let config = &self.config;
        let mut headers = HeaderMap::new();
        let parts = [
            ("x-auth-token", &config.token, &config.token_file, "token_file"),
            ("x-user-id", &config.token_id, &config.token_id_file, "token_id_file"),
        ];
        for (name, given, file, what) in parts {
            let text = match file.is_empty() {
                true => given.as_ref().map(Secret::expose).unwrap_or_default().to_owned(),
                false => self.client.files().trimmed(file, what).await?,
            };
            let mut value = HeaderValue::from_str(&text)
                .map_err(|_| SendError::for_good("the token has characters that no header may have"))?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(headers)
    }
}

/// Whether Rocket.Chat took it: it may say no with a status that says yes.
fn answered(body: &[u8]) -> Result<(), SendError> {
    let client = |error: SendError| error.because(Reason::Client);
    let answered: Answered = serde_json::from_slice(body).map_err(|error| {
        let body = gotemplate::quote(&String::from_utf8_lossy(body));
        client(SendError::for_now(format!("could not unmarshal JSON response {body}: {error}")))
    })?;
    match answered.success {
        true => Ok(()),
        false => {
            Err(client(SendError::for_good(format!("error response from Rocketchat: {}", answered.error))))
        }
    }
}

#[async_trait]
impl Notifier for Rocketchat {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let config = &self.config;
        let message = Message {
            channel: telling.text(&config.channel)?,
            emoji: telling.text(&config.emoji)?,
            avatar: telling.text(&config.icon_url)?,
            attachments: [self.attachment(telling)?],
        };
        let base = config.api_url.as_ref().map(Url::as_str).unwrap_or_default();
        let url = joined(base, "api/v1/chat.postMessage");
        let (body, headers) = (Bytes::from(go_json(&message)?), self.headers().await?);
        let answer = self.client.request(Method::POST, &url, "application/json", body, headers).await?;
        let channel = format!("channel {}", gotemplate::quote(&message.channel));
        let taken = answer.check(RetryOn::ServerErrors).and_then(|()| answered(&answer.body));
        taken.map_err(|error| error.context(&channel))
    }
}
