//! Opsgenie: alerts that are made, changed and closed.

use std::collections::BTreeMap;

use ::http::header::AUTHORIZATION;
use ::http::{HeaderMap, HeaderValue, Method};
use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use super::http::{Client, RetryOn, Surroundings};
use super::telling::truncate_chars;
use super::value::go_json;
use super::{BuildError, Notifier, SendError, Telling};
use crate::config::{OpsGenieConfig, Url};

/// The longest message, in characters.
const MAX_MESSAGE_CHARS: usize = 130;

pub(super) struct OpsGenie {
    config: OpsGenieConfig,
    client: Client,
}

#[derive(Serialize)]
struct Create {
    alias: String,
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    details: BTreeMap<String, String>,
    source: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    responders: Vec<Responder>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    priority: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    entity: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<String>,
}

#[derive(Serialize, Default)]
struct Responder {
    #[serde(skip_serializing_if = "String::is_empty")]
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(rename = "type")]
    kind: String,
}

/// A request that is to be sent.
struct Call {
    method: Method,
    url: String,
    body: Vec<u8>,
}

impl OpsGenie {
    pub(super) fn new(config: &OpsGenieConfig, around: &Surroundings) -> Result<Self, BuildError> {
        Ok(Self { config: config.clone(), client: Client::new(config.http_config.as_ref(), around)? })
    }

    /// The URL of a path of the API; a query of the configured one is kept.
    fn url(&self, path: &str, parameters: &str) -> String {
        let base = self.config.api_url.as_ref().map(Url::as_str).unwrap_or_default();
        let (base, query) = base.split_once('?').unwrap_or((base, ""));
        let query: Vec<&str> = [query, parameters].into_iter().filter(|part| !part.is_empty()).collect();
        let query = query.join("&");
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{base}{path}{mark}{query}")
    }

    fn of_alias(&self, alias: &str, what: &str) -> String {
        self.url(&format!("v2/alerts/{alias}/{what}"), "identifierType=alias")
    }

    fn calls(&self, telling: &Telling) -> Result<Vec<Call>, SendError> {
        let config = &self.config;
        let alias = telling.key_hash();
        if !telling.is_firing() {
            let body = go_json(&json!({"source": telling.text(&config.source)?}))?;
            return Ok(vec![Call { method: Method::POST, url: self.of_alias(&alias, "close"), body }]);
        }
        let create = self.create(telling, &alias)?;
        let (message, description) = (create.message.clone(), create.description.clone());
        let mut calls =
            vec![Call { method: Method::POST, url: self.url("v2/alerts", ""), body: go_json(&create)? }];
        if config.update_alerts {
            for (what, text) in [("message", message), ("description", description)] {
                let body = if text.is_empty() { json!({}) } else { json!({what: text}) };
                let (url, body) = (self.of_alias(&alias, what), go_json(&body)?);
                calls.push(Call { method: Method::PUT, url, body });
            }
        }
        Ok(calls)
    }

    fn create(&self, telling: &Telling, alias: &str) -> Result<Create, SendError> {
        let config = &self.config;
        let text = |template: &str| telling.text(template);
        let mut details = telling.data.common_labels.clone();
        for (name, template) in &config.details {
            details.insert(name.clone(), text(template)?);
        }
        Ok(Create {
            alias: alias.to_owned(),
            message: truncate_chars(text(&config.message)?, MAX_MESSAGE_CHARS),
            description: text(&config.description)?,
            details,
            source: text(&config.source)?,
            responders: self.responders(telling)?,
            tags: parts(&text(&config.tags)?),
            note: text(&config.note)?,
            priority: text(&config.priority)?,
            entity: text(&config.entity)?,
            actions: parts(&text(&config.actions)?),
        })
    }

    fn responders(&self, telling: &Telling) -> Result<Vec<Responder>, SendError> {
        let mut responders = Vec::new();
        for responder in &self.config.responders {
            let text = |template: &str| telling.text(template);
            let responder = Responder {
                id: text(&responder.id)?,
                name: text(&responder.name)?,
                username: text(&responder.username)?,
                kind: text(&responder.kind)?,
            };
            let Responder { id, name, username, kind } = &responder;
            if [id, name, username, kind].iter().all(|part| part.is_empty()) {
                continue;
            }
            if kind == "teams" {
                let team = |name| Responder { name, kind: "team".to_owned(), ..Responder::default() };
                responders.extend(parts(name).into_iter().map(team));
                continue;
            }
            responders.push(responder);
        }
        Ok(responders)
    }

    async fn key(&self, telling: &Telling) -> Result<String, SendError> {
        let (key, file) = (self.config.api_key.expose(), &self.config.api_key_file);
        let key = self.client.files().or_file(key, file, "api_key_file").await?;
        telling.text(&key)
    }
}

/// What stands between commas, without what is empty.
fn parts(text: &str) -> Vec<String> {
    text.trim().split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

#[async_trait]
impl Notifier for OpsGenie {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let calls = self.calls(telling)?;
        let key = format!("GenieKey {}", self.key(telling).await?);
        let mut value = HeaderValue::from_str(&key)
            .map_err(|_| SendError::for_good("the API key has characters that no header may have"))?;
        value.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        for Call { method, url, body } in calls {
            let body = Bytes::from(body);
            let answer = self.client.request(method, &url, "application/json", body, headers.clone()).await?;
            answer.check(RetryOn::TooManyRequests)?;
        }
        Ok(())
    }
}
