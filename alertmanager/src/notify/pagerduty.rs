//! PagerDuty: events of version 2, and of version 1 for those who have a service key.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::http::{Answer, Client, RetryOn, Surroundings};
use super::telling::truncate_chars;
use super::value::{go_json, render};
use super::{BuildError, Notifier, SendError, Telling};
use crate::config::PagerdutyConfig;

/// The longest description, in characters.
const MAX_DESCRIPTION_CHARS: usize = 1024;
/// The largest event that PagerDuty takes, in bytes.
const MAX_EVENT_BYTES: usize = 512_000;
/// Where events of version 1 go.
const V1_URL: &str = "https://events.pagerduty.com/generic/2010-04-15/create_event.json";
/// What an event says in place of details that are too large.
const TOO_LARGE: &str =
    "Custom details have been removed because the original event exceeds the maximum size of 512kB";

pub(super) struct Pagerduty {
    config: PagerdutyConfig,
    client: Client,
}

#[derive(Serialize, Default)]
struct Event {
    #[serde(skip_serializing_if = "String::is_empty")]
    routing_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    service_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    dedup_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    incident_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    event_type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    event_action: String,
    payload: Option<Payload>,
    #[serde(skip_serializing_if = "String::is_empty")]
    client: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    client_url: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    details: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<Image>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link>,
}

#[derive(Serialize)]
struct Link {
    href: String,
    text: String,
}

#[derive(Serialize)]
struct Image {
    src: String,
    alt: String,
    href: String,
}

#[derive(Serialize)]
struct Payload {
    summary: String,
    source: String,
    severity: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    class: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    component: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    custom_details: Map<String, Value>,
}

/// What PagerDuty says of an event that it refuses.
#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<String>,
}

impl Pagerduty {
    pub(super) fn new(config: &PagerdutyConfig, around: &Surroundings) -> Result<Self, BuildError> {
        Ok(Self { config: config.clone(), client: Client::new(config.http_config.as_ref(), around)? })
    }

    fn is_v1(&self) -> bool {
        !self.config.service_key.is_empty() || !self.config.service_key_file.is_empty()
    }

    fn details(&self, telling: &Telling) -> Result<Map<String, Value>, SendError> {
        let details = self.config.details.iter();
        let rendered = details
            .map(|(name, value)| Ok((name.clone(), render(value, telling, &telling.data)?)))
            .collect::<Result<_, SendError>>();
        rendered.map_err(|error| error.context("failed to render details"))
    }

    async fn v1(&self, telling: &Telling) -> Result<Event, SendError> {
        let config = &self.config;
        let key = config.service_key.expose();
        let key = self.client.files().or_file(key, &config.service_key_file, "service_key_file").await?;
        let text = |template: &str| telling.text(template);
        let service_key = text(&key)?;
        if service_key.is_empty() {
            return Err(SendError::for_good("service key cannot be empty"));
        }
        let mut event = Event {
            service_key,
            event_type: action(telling).to_owned(),
            incident_key: telling.key_hash(),
            description: truncate_chars(text(&config.description)?, MAX_DESCRIPTION_CHARS),
            details: self.details(telling)?,
            ..Event::default()
        };
        if telling.is_firing() {
            event.client = text(&config.client)?;
            event.client_url = text(&config.client_url)?;
        }
        Ok(event)
    }

    async fn v2(&self, telling: &Telling) -> Result<Event, SendError> {
        let config = &self.config;
        let key = config.routing_key.expose();
        let key = self.client.files().or_file(key, &config.routing_key_file, "routing_key_file").await?;
        let text = |template: &str| telling.text(template);
        let routing_key = text(&key)?;
        if routing_key.is_empty() {
            return Err(SendError::for_good("routing key cannot be empty"));
        }
        let severity = if config.severity.is_empty() { "error" } else { &config.severity };
        let mut event = Event {
            routing_key,
            dedup_key: telling.key_hash(),
            event_action: action(telling).to_owned(),
            client: text(&config.client)?,
            client_url: text(&config.client_url)?,
            payload: Some(Payload {
                summary: truncate_chars(text(&config.description)?, MAX_DESCRIPTION_CHARS),
                source: text(&config.source)?,
                severity: text(severity)?,
                class: text(&config.class)?,
                component: text(&config.component)?,
                group: text(&config.group)?,
                custom_details: self.details(telling)?,
            }),
            ..Event::default()
        };
        for image in &config.images {
            let image = Image { src: text(&image.src)?, alt: text(&image.alt)?, href: text(&image.href)? };
            event.images.extend(Some(image).filter(|image| !image.src.is_empty()));
        }
        for link in &config.links {
            let link = Link { href: text(&link.href)?, text: text(&link.text)? };
            event.links.extend(Some(link).filter(|link| !link.href.is_empty()));
        }
        Ok(event)
    }
}

/// What an event asks for.
fn action(telling: &Telling) -> &'static str {
    if telling.is_firing() { "trigger" } else { "resolve" }
}

/// The event's bytes; without its details where it is too large with them.
fn encoded(mut event: Event) -> Result<Vec<u8>, SendError> {
    let body = go_json(&event)?;
    if body.len() <= MAX_EVENT_BYTES {
        return Ok(body);
    }
    let instead = Map::from_iter([("error".to_owned(), Value::from(TOO_LARGE))]);
    match &mut event.payload {
        Some(payload) => payload.custom_details = instead,
        None => event.details = instead,
    }
    go_json(&event)
}

/// What a refusal says.
fn refusal(answer: &Answer) -> String {
    if answer.status != 400 {
        return String::new();
    }
    let refused: Option<Refused> = serde_json::from_slice(&answer.body).ok();
    refused.map_or_else(String::new, |refused| format!("{}: {}", refused.message, refused.errors.join(",")))
}

#[async_trait]
impl Notifier for Pagerduty {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let sending = async {
            let (event, url, on) = if self.is_v1() {
                (self.v1(telling).await?, V1_URL, RetryOn::Forbidden)
            } else {
                let url = self.config.url.as_ref().map(crate::config::Url::as_str).unwrap_or_default();
                (self.v2(telling).await?, url, RetryOn::TooManyRequests)
            };
            let answer = self.client.post_json(url, encoded(event)?).await?;
            answer.check_with(on, refusal)
        };
        self.client.within(self.config.timeout, "pagerduty", sending).await
    }
}
