//! VictorOps (Splunk On-Call): events of its REST endpoint.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::http::{Client, RetryOn, Surroundings};
use super::telling::truncate_chars;
use super::url::path_text;
use super::value::go_json;
use super::{BuildError, Notifier, SendError, Telling};
use crate::config::{Url, VictorOpsConfig};

/// The longest message, in characters.
const MAX_MESSAGE_CHARS: usize = 20_480;
/// What kinds of events there are while something fires; any other is the last.
const KINDS: [&str; 3] = ["INFO", "WARNING", "CRITICAL"];
/// The kind of event that ends an incident.
const RESOLVED: &str = "RECOVERY";

pub(super) struct VictorOps {
    config: VictorOpsConfig,
    client: Client,
}

impl VictorOps {
    pub(super) fn new(config: &VictorOpsConfig, around: &Surroundings) -> Result<Self, BuildError> {
        Ok(Self { config: config.clone(), client: Client::new(config.http_config.as_ref(), around)? })
    }

    async fn url(&self, telling: &Telling) -> Result<String, SendError> {
        let config = &self.config;
        let (key, file) = (config.api_key.expose(), &config.api_key_file);
        let key = self.client.files().or_file(key, file, "api_key_file").await?;
        let path = path_text(&format!("{key}/{}", telling.text(&config.routing_key)?));
        let base = config.api_url.as_ref().map(Url::as_str).unwrap_or_default();
        let (base, rest) = base.split_at(base.find(['?', '#']).unwrap_or(base.len()));
        Ok(format!("{base}{path}{rest}"))
    }

    fn event(&self, telling: &Telling) -> Result<BTreeMap<&str, String>, SendError> {
        let config = &self.config;
        let text = |template: &str| telling.text(template);
        let kind = match text(&config.message_type)? {
            _ if !telling.is_firing() => RESOLVED.to_owned(),
            kind if KINDS.contains(&kind.as_str()) => kind,
            _ => "CRITICAL".to_owned(),
        };
        let mut event = BTreeMap::from([
            ("message_type", kind),
            ("entity_id", telling.key_hash()),
            ("entity_display_name", text(&config.entity_display_name)?),
            ("state_message", truncate_chars(text(&config.state_message)?, MAX_MESSAGE_CHARS)),
            ("monitoring_tool", text(&config.monitoring_tool)?),
        ]);
        for (name, template) in &config.custom_fields {
            event.insert(name, text(template)?);
        }
        Ok(event)
    }
}

#[async_trait]
impl Notifier for VictorOps {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let url = self.url(telling).await?;
        let answer = self.client.post_json(&url, go_json(&self.event(telling)?)?).await?;
        answer.check(RetryOn::ServerErrors)
    }
}
