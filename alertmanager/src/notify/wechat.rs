//! WeChat Work: a message of an application, sent with a token that is got first and lasts two hours.

use std::time::Duration;

use ::http::{HeaderMap, Method};
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::http::{Client, Surroundings};
use super::url::{form, joined, with_query};
use super::value::go_json;
use super::{BuildError, Notifier, Reason, SendError, Telling};
use crate::config::{Url, WechatConfig};

/// How long a token is used.
const TOKEN_LASTS: Duration = Duration::from_secs(2 * 3_600);
/// What WeChat says of a token that is over.
const TOKEN_IS_OVER: i64 = 42_001;

pub(super) struct Wechat {
    config: WechatConfig,
    client: Client,
    around: Surroundings,
    /// The token, and when it was got, in the clock's time since its start.
    token: Mutex<Option<(String, Duration)>>,
}

/// The message. WeChat looks at the part that `msgtype` names.
#[derive(Serialize)]
struct Message {
    text: Content,
    #[serde(skip_serializing_if = "String::is_empty")]
    touser: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    toparty: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    totag: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    agentid: String,
    safe: &'static str,
    msgtype: String,
    markdown: Content,
}

#[derive(Serialize, Default)]
struct Content {
    content: String,
}

#[derive(Deserialize)]
struct Granted {
    #[serde(default)]
    access_token: String,
}

#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    errcode: i64,
    #[serde(default)]
    errmsg: String,
}

impl Wechat {
    pub(super) fn new(config: &WechatConfig, around: &Surroundings) -> Result<Self, BuildError> {
        let client = Client::new(config.http_config.as_ref(), around)?;
        Ok(Self { config: config.clone(), client, around: around.clone(), token: Mutex::default() })
    }

    fn url(&self, path: &str, query: &str) -> String {
        let base = self.config.api_url.as_ref().map(Url::as_str).unwrap_or_default();
        with_query(&joined(base, path), query)
    }

    async fn token(&self, telling: &Telling) -> Result<String, SendError> {
        let config = &self.config;
        let mut token = self.token.lock().await;
        let now = self.around.clock.monotonic();
        if let Some((token, _)) = token.as_ref().filter(|(_, got)| now.saturating_sub(*got) <= TOKEN_LASTS) {
            return Ok(token.clone());
        }
        let (secret, file) = (config.api_secret.expose(), &config.api_secret_file);
        let secret = self.client.files().or_file(secret, file, "api_secret_file").await?;
        let (secret, corp) = (telling.text(&secret)?, telling.text(&config.corp_id)?);
        let query = form([("corpsecret", secret.as_str()), ("corpid", corp.as_str())]);
        let url = self.url("gettoken", &query);
        let answer = self.client.request(Method::GET, &url, "", Bytes::new(), HeaderMap::new()).await?;
        let granted: Granted = serde_json::from_slice(&answer.body)
            .map_err(|error| SendError::for_good(format!("the answer to gettoken is no JSON: {error}")))?;
        if granted.access_token.is_empty() {
            return Err(SendError::for_good(format!("invalid APISecret for CorpID: {}", config.corp_id)));
        }
        *token = Some((granted.access_token.clone(), now));
        Ok(granted.access_token)
    }

    fn message(&self, telling: &Telling) -> Result<Message, SendError> {
        let config = &self.config;
        let content = Content { content: telling.text(&config.message)? };
        let (text, markdown) = match config.message_type.as_str() {
            "markdown" => (Content::default(), content),
            _ => (content, Content::default()),
        };
        Ok(Message {
            text,
            touser: telling.text(&config.to_user)?,
            toparty: telling.text(&config.to_party)?,
            totag: telling.text(&config.to_tag)?,
            agentid: telling.text(&config.agent_id)?,
            safe: "0",
            msgtype: config.message_type.clone(),
            markdown,
        })
    }
}

#[async_trait]
impl Notifier for Wechat {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let token = self.token(telling).await?;
        let url = self.url("message/send", &form([("access_token", token.as_str())]));
        let answer = self.client.post_json(&url, go_json(&self.message(telling)?)?).await?;
        if answer.status != 200 {
            let message = format!("unexpected status code {}", answer.status);
            return Err(SendError::for_now(message).because(Reason::of_status(answer.status)));
        }
        let answered: Answered =
            serde_json::from_slice(&answer.body).map_err(|error| SendError::for_now(error.to_string()))?;
        match answered.errcode {
            0 => Ok(()),
            TOKEN_IS_OVER => {
                *self.token.lock().await = None;
                Err(SendError::for_now(answered.errmsg))
            }
            _ => Err(SendError::for_good(answered.errmsg)),
        }
    }
}
