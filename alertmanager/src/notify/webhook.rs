//! Webhooks: the notification as JSON, or as whatever the configuration makes of it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::http::{Client, RetryOn, Surroundings};
use super::value::render;
use super::{BuildError, Notifier, SendError, Telling};
use crate::config::WebhookConfig;
use crate::template::{Data, to_json};

pub(super) struct Webhook {
    config: WebhookConfig,
    client: Arc<Client>,
}

impl Webhook {
    pub(super) fn new(config: &WebhookConfig, around: &Surroundings) -> Result<Self, BuildError> {
        let client = Client::new(config.http_config.as_ref(), around)?;
        Ok(Self { config: config.clone(), client: Arc::new(client) })
    }

    fn body(&self, telling: &Telling, data: &Data, truncated: u64) -> Result<Bytes, SendError> {
        if let Some(payload) = &self.config.payload {
            return super::value::go_json(&render(payload, telling, data)?).map(Bytes::from);
        }
        message(telling, data, "4", truncated)
    }
}

/// The message that webhooks get: the data, the version of its form, the group, and how many alerts were left out.
pub(super) fn message(
    telling: &Telling,
    data: &Data,
    version: &str,
    truncated: u64,
) -> Result<Bytes, SendError> {
    let mut body = to_json(&data.to_value()).map_err(SendError::for_good)?;
    // The brace at its end: more fields follow.
    body.pop();
    let key = to_json(&telling.group_key.as_str().into()).map_err(SendError::for_good)?;
    body.push_str(&format!(
        ",\"version\":\"{version}\",\"groupKey\":{key},\"truncatedAlerts\":{truncated}}}\n"
    ));
    Ok(Bytes::from(body))
}

#[async_trait]
impl Notifier for Webhook {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let (data, truncated) = telling.truncated(self.config.max_alerts);
        let body = self.body(telling, &data, truncated)?;
        let url = match self.config.url.is_empty() {
            false => self.config.url.expose().to_owned(),
            true => self.client.files().trimmed(&self.config.url_file, "url_file").await?,
        };
        let url =
            telling.text_of(&url, &data).map_err(|error| error.context("failed to template webhook URL"))?;
        if url.is_empty() {
            return Err(SendError::for_good("webhook URL is empty after templating"));
        }
        let sending = async {
            let answer = self.client.post_json(&url, body).await?;
            answer.check(RetryOn::ServerErrors)
        };
        self.client.within(self.config.timeout, "webhook", sending).await
    }
}
