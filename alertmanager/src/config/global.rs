//! `global`: what receivers have unless they say otherwise; and what is configured of tracing and recorded events.

use std::collections::BTreeMap;
use std::time::Duration;

use settings::yaml::Node;

use super::decode::{Decode, Fields, Problem, section};
use super::http::{Header, HttpConfig, TlsConfig};
use super::show::Shown;
use super::types::{HostPort, Secret, SecretUrl, Url};

/// A URL that is one of upstream's defaults.
fn default_url(text: &str) -> Option<Url> {
    Url::parse(text).ok()
}

section! {
    /// `global`.
    Global as "config.plain" {
        resolve_timeout: Duration = Duration::from_secs(5 * 60), "resolve_timeout";
        http_config: HttpConfig = HttpConfig::default(), "http_config";
        jira_api_url: Option<Url> = None, "jira_api_url";
        smtp_from: String = String::new(), "smtp_from";
        smtp_hello: String = "localhost".to_owned(), "smtp_hello";
        smtp_smarthost: HostPort = HostPort::default(), "smtp_smarthost";
        smtp_auth_username: String = String::new(), "smtp_auth_username";
        smtp_auth_password: Secret = Secret::default(), "smtp_auth_password";
        smtp_auth_password_file: String = String::new(), "smtp_auth_password_file";
        smtp_auth_secret: Secret = Secret::default(), "smtp_auth_secret";
        smtp_auth_secret_file: String = String::new(), "smtp_auth_secret_file";
        smtp_auth_identity: String = String::new(), "smtp_auth_identity";
        smtp_require_tls: bool = true, "smtp_require_tls";
        smtp_tls_config: TlsConfig = TlsConfig::default(), "smtp_tls_config";
        smtp_force_implicit_tls: Option<bool> = None, "smtp_force_implicit_tls";
        slack_api_url: Option<SecretUrl> = None, "slack_api_url";
        slack_api_url_file: String = String::new(), "slack_api_url_file";
        slack_app_token: Secret = Secret::default(), "slack_app_token";
        slack_app_token_file: String = String::new(), "slack_app_token_file";
        slack_app_url: Option<Url> = default_url("https://slack.com/api/chat.postMessage"), "slack_app_url";
        pagerduty_url: Option<Url> = default_url("https://events.pagerduty.com/v2/enqueue"), "pagerduty_url";
        opsgenie_api_url: Option<Url> = default_url("https://api.opsgenie.com/"), "opsgenie_api_url";
        opsgenie_api_key: Secret = Secret::default(), "opsgenie_api_key";
        opsgenie_api_key_file: String = String::new(), "opsgenie_api_key_file";
        wechat_api_url: Option<Url> = default_url("https://qyapi.weixin.qq.com/cgi-bin/"), "wechat_api_url";
        wechat_api_secret: Secret = Secret::default(), "wechat_api_secret";
        wechat_api_secret_file: String = String::new(), "wechat_api_secret_file";
        wechat_api_corp_id: String = String::new(), "wechat_api_corp_id";
        victorops_api_url: Option<Url> =
            default_url("https://alert.victorops.com/integrations/generic/20131114/alert/"), "victorops_api_url";
        victorops_api_key: Secret = Secret::default(), "victorops_api_key";
        victorops_api_key_file: String = String::new(), "victorops_api_key_file";
        telegram_api_url: Option<Url> = default_url("https://api.telegram.org"), "telegram_api_url";
        telegram_bot_token: Secret = Secret::default(), "telegram_bot_token";
        telegram_bot_token_file: String = String::new(), "telegram_bot_token_file";
        webex_api_url: Option<Url> = default_url("https://webexapis.com/v1/messages"), "webex_api_url";
        rocketchat_api_url: Option<Url> = default_url("https://open.rocket.chat/"), "rocketchat_api_url";
        rocketchat_token: Option<Secret> = None, "rocketchat_token";
        rocketchat_token_file: String = String::new(), "rocketchat_token_file";
        rocketchat_token_id: Option<Secret> = None, "rocketchat_token_id";
        rocketchat_token_id_file: String = String::new(), "rocketchat_token_id_file";
        mattermost_webhook_url: Option<SecretUrl> = None, "mattermost_webhook_url";
        mattermost_webhook_url_file: String = String::new(), "mattermost_webhook_url_file";
    }
    check |_| Ok(())
}

section! {
    /// `tracing`. Barograph has its own set-up of traces; this is read and checked, so that files of upstream's work.
    Tracing as "tracing.plain" {
        client_type: String = "grpc".to_owned(), "client_type";
        endpoint: String = String::new(), "endpoint";
        sampling_fraction: f64 = 0.0, "sampling_fraction";
        insecure: bool = false, "insecure";
        tls_config: Option<TlsConfig> = None, "tls_config";
        headers: BTreeMap<String, Header> = BTreeMap::new(), "headers";
        compression: String = String::new(), "compression";
        timeout: Option<Duration> = None, "timeout";
    }
    check |tracing| {
        let Tracing { client_type, compression, .. } = tracing;
        if !matches!(client_type.as_str(), "http" | "grpc") {
            return Err(format!("expected tracing client type to be to be http or grpc, but got {client_type}"));
        }
        if tracing.endpoint.is_empty() {
            return Err("tracing endpoint must be set".to_owned());
        }
        if !matches!(compression.as_str(), "" | "gzip") {
            return Err(format!("invalid compression type {compression} provided, valid options: gzip"));
        }
        Ok(())
    }
}

section! {
    /// Events into a file.
    FileOutput as "eventrecorder.plain" {
        path: String = String::new(), "path";
    }
    check |file| match file.path.is_empty() {
        true => Err("event_recorder file output requires a path".to_owned()),
        false => Ok(()),
    }
}

section! {
    /// Events to a webhook.
    WebhookOutput as "eventrecorder.plain" {
        url: Option<SecretUrl> = None, "url";
        http_config: Option<HttpConfig> = None, "http_config";
        timeout: Option<Duration> = None, "timeout";
        workers: i64 = 0, "workers";
        max_retries: i64 = 0, "max_retries";
        retry_backoff: Option<Duration> = None, "retry_backoff";
        batch: bool = false, "batch";
        batch_max_events: i64 = 0, "batch_max_events";
        batch_max_bytes: i64 = 0, "batch_max_bytes";
        batch_flush_interval: Option<Duration> = None, "batch_flush_interval";
    }
    check |webhook| {
        let Some(url) = &webhook.url else {
            return Err("event_recorder webhook output requires a url".to_owned());
        };
        if url.expose().is_none() {
            return Err("event_recorder webhook output requires an absolute http(s) url".to_owned());
        }
        if webhook.batch_max_events < 0 || webhook.batch_max_bytes < 0 {
            return Err("event_recorder webhook batch settings cannot be negative".to_owned());
        }
        let given = webhook.batch_max_events != 0
            || webhook.batch_max_bytes != 0
            || webhook.batch_flush_interval.is_some();
        if given && !webhook.batch {
            return Err("event_recorder webhook batch settings require batch: true".to_owned());
        }
        Ok(())
    }
}

section! {
    /// Events to Kafka.
    KafkaOutput as "eventrecorder.plain" {
        brokers: Vec<String> = Vec::new(), "brokers";
        topic: String = String::new(), "topic";
        client_id: String = String::new(), "client_id";
        format: String = String::new(), "format";
        acks: String = String::new(), "acks";
        compression: String = String::new(), "compression";
        buffer_size: i64 = 0, "buffer_size";
        tls_config: Option<TlsConfig> = None, "tls_config";
    }
    check |kafka| match kafka.topic.is_empty() {
        true => Err("event_recorder kafka output requires a topic".to_owned()),
        false => Ok(()),
    }
}

/// Events to the standard output: there is nothing to say of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StdoutOutput;

impl Decode for StdoutOutput {
    fn decode(node: &Node) -> Result<Self, Problem> {
        Fields::of(node, "eventrecorder.StdoutOutputConfig")?.end().map(|()| Self)
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Map(Vec::new()))
    }
}

section! {
    /// `event_recorder`. Read and checked, so that files of upstream's work; no events are recorded.
    EventRecorder as "eventrecorder.Config" {
        file_outputs: Vec<FileOutput> = Vec::new(), "file_outputs";
        webhook_outputs: Vec<WebhookOutput> = Vec::new(), "webhook_outputs";
        kafka_outputs: Vec<KafkaOutput> = Vec::new(), "kafka_outputs";
        stdout_outputs: Vec<StdoutOutput> = Vec::new(), "stdout_outputs";
    }
    check |_| Ok(())
}
