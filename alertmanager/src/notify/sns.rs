//! SNS: a message for a topic, an end point or a phone.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::aws::{Aws, Service};
use super::{BuildError, Notifier, Reason, SendError, Surroundings, Telling};
use crate::config::SnsConfig;

/// The longest message, in bytes: for topics and end points, and for phones.
const MAX_MESSAGE_BYTES: usize = 256 * 1024;
const MAX_SMS_BYTES: usize = 1600;
/// The version of the API.
const VERSION: &str = "2010-03-31";

pub(super) struct Sns {
    config: SnsConfig,
    aws: Aws,
}

impl Sns {
    pub(super) fn new(config: &SnsConfig, around: &Surroundings) -> Result<Self, BuildError> {
        let aws = Aws::new(&config.sigv4, config.http_config.as_ref(), around)?;
        Ok(Self { config: config.clone(), aws })
    }

    /// The fields of the request.
    fn fields(&self, telling: &Telling) -> Result<Vec<(String, String)>, SendError> {
        let config = &self.config;
        let mut fields = vec![field("Action", "Publish"), field("Version", VERSION)];
        let targets = [
            ("TopicArn", "topic_arn", &config.topic_arn),
            ("PhoneNumber", "phone_number", &config.phone_number),
            ("TargetArn", "target_arn", &config.target_arn),
            ("Subject", "subject", &config.subject),
        ];
        for (name, key, template) in targets.into_iter().filter(|(_, _, template)| !template.is_empty()) {
            let value = text(telling, key, template)?;
            if name == "TopicArn" && value.ends_with(".fifo") {
                // Topics that keep an order take a message once.
                for name in ["MessageDeduplicationId", "MessageGroupId"] {
                    fields.push((name.to_owned(), telling.key_hash()));
                }
            }
            fields.push((name.to_owned(), value));
        }
        let mut attributes = BTreeMap::new();
        for (name, value) in &config.attributes {
            attributes.insert(text(telling, "attributes", name)?, text(telling, "attributes", value)?);
        }
        let max = if config.phone_number.is_empty() { MAX_MESSAGE_BYTES } else { MAX_SMS_BYTES };
        let mut message = text(telling, "message", &config.message)?;
        if message.len() > max {
            message.truncate(message.floor_char_boundary(max));
            attributes.insert("truncated".to_owned(), "true".to_owned());
        }
        fields.push(field("Message", &message));
        for (index, (name, value)) in attributes.iter().enumerate() {
            let entry = |part: &str| format!("MessageAttributes.entry.{}.{part}", index + 1);
            fields.push((entry("Name"), name.clone()));
            fields.push((entry("Value.DataType"), "String".to_owned()));
            fields.push((entry("Value.StringValue"), value.clone()));
        }
        Ok(fields)
    }
}

fn field(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// A template of the configuration. Upstream tries again where it fails.
fn text(telling: &Telling, key: &str, template: &str) -> Result<String, SendError> {
    let rendered = telling.text(template);
    rendered.map_err(|error| error.context(&format!("execute '{key}'")).because(Reason::Client).again())
}

#[async_trait]
impl Notifier for Sns {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let url = text(telling, "api_url", &self.config.api_url)?;
        let fields = self.fields(telling)?;
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.aws.ask(&Service { name: "sns", url: &url }, &fields).await.map(drop)
    }
}
