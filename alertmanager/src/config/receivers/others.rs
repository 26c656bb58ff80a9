//! Webhooks, SNS and Jira.

use std::collections::BTreeMap;
use std::time::Duration;

use settings::yaml::Node;

use super::{one_of, required};
use crate::config::decode::{Decode, Fields, Problem, section};
use crate::config::http::HttpConfig;
use crate::config::show::Shown;
use crate::config::types::{GoDuration, Secret, SecretTemplateUrl, Url};

section! {
    /// `webhook_configs`.
    WebhookConfig as "webhook.plain" {
        send_resolved: bool = true, "send_resolved";
        http_config: Option<HttpConfig> = None, "http_config";
        url: SecretTemplateUrl = SecretTemplateUrl::default(), "url";
        url_file: String = String::new(), "url_file";
        max_alerts: u64 = 0, "max_alerts";
        timeout: GoDuration = GoDuration::default(), "timeout";
        payload: Option<serde_json::Value> = None, "payload";
    }
    check |webhook| one_of("url", "url_file", &[!webhook.url.is_empty(), !webhook.url_file.is_empty()])
}

section! {
    /// How requests to AWS are signed.
    SigV4Config as "sigv4.plain" {
        region: String = String::new(), "region";
        access_key: String = String::new(), "access_key";
        secret_key: Secret = Secret::default(), "secret_key";
        profile: String = String::new(), "profile";
        role_arn: String = String::new(), "role_arn";
        external_id: String = String::new(), "external_id";
        use_fips_sts_endpoint: bool = false, "use_fips_sts_endpoint";
        service_name: String = String::new(), "service_name";
    }
    check |sigv4| {
        if sigv4.access_key.is_empty() != sigv4.secret_key.is_empty() {
            return Err("must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config".to_owned());
        }
        if !sigv4.external_id.is_empty() && sigv4.role_arn.is_empty() {
            return Err("external_id can only be used with role_arn".to_owned());
        }
        Ok(())
    }
}

section! {
    /// `sns_configs`.
    SnsConfig as "sns.plain" {
        send_resolved: bool = true, "send_resolved";
        http_config: Option<HttpConfig> = None, "http_config";
        api_url: String = String::new(), "api_url";
        sigv4: SigV4Config = SigV4Config::default(), "sigv4";
        topic_arn: String = String::new(), "topic_arn";
        phone_number: String = String::new(), "phone_number";
        target_arn: String = String::new(), "target_arn";
        subject: String = "{{ template \"sns.default.subject\" . }}".to_owned(), "subject";
        message: String = "{{ template \"sns.default.message\" . }}".to_owned(), "message";
        attributes: BTreeMap<String, String> = BTreeMap::new(), "attributes";
        use_aws_http_client: bool = false, "use_aws_http_client";
    }
    check |sns| {
        // Upstream asks for one or all three of them.
        let given = [&sns.target_arn, &sns.topic_arn, &sns.phone_number];
        match given.iter().filter(|target| !target.is_empty()).count() {
            1 | 3 => Ok(()),
            _ => Err("must provide either a Target ARN, Topic ARN, or Phone Number for SNS config".to_owned()),
        }
    }
}

/// A field of an issue: a template, and whether an issue that exists gets it anew.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JiraField {
    /// The template.
    pub template: String,
    /// `enable_update`; by default it is.
    pub enable_update: Option<bool>,
}

impl JiraField {
    fn of(template: &str) -> Self {
        Self { template: template.to_owned(), enable_update: None }
    }
}

impl Decode for JiraField {
    fn decode(node: &Node) -> Result<Self, Problem> {
        if let Some(text) = node.scalar() {
            return Ok(Self::of(text));
        }
        let mut fields = Fields::of(node, "jira.plain")?;
        let template = fields.take("template").map(String::decode).transpose()?.unwrap_or_default();
        let enable_update = fields.take("enable_update").map(bool::decode).transpose()?;
        fields.end()?;
        Ok(Self { template, enable_update })
    }

    fn show(&self) -> Option<Shown> {
        let entries = [("template", self.template.show()), ("enable_update", self.enable_update.show())];
        Some(Shown::Map(
            entries
                .into_iter()
                .filter_map(|(name, shown)| shown.map(|shown| (name.to_owned(), shown)))
                .collect(),
        ))
    }
}

section! {
    /// `jira_configs`.
    JiraConfig as "jira.plain" {
        send_resolved: bool = true, "send_resolved";
        http_config: Option<HttpConfig> = None, "http_config";
        api_url: Option<Url> = None, "api_url";
        api_type: String = "auto".to_owned(), "api_type";
        project: String = String::new(), "project";
        summary: JiraField = JiraField::of("{{ template \"jira.default.summary\" . }}"), "summary";
        description: JiraField = JiraField::of("{{ template \"jira.default.description\" . }}"), "description";
        labels: Vec<String> = Vec::new(), "labels";
        priority: String = "{{ template \"jira.default.priority\" . }}".to_owned(), "priority";
        issue_type: String = String::new(), "issue_type";
        reopen_transition: String = String::new(), "reopen_transition";
        resolve_transition: String = String::new(), "resolve_transition";
        wont_fix_resolution: String = String::new(), "wont_fix_resolution";
        reopen_duration: Option<Duration> = None, "reopen_duration";
        fields: BTreeMap<String, serde_json::Value> = BTreeMap::new(), "fields";
    }
    check |jira| {
        required(&jira.project, "missing project in jira_config")?;
        required(&jira.issue_type, "missing issue_type in jira_config")?;
        match jira.api_type.as_str() {
            "auto" | "cloud" | "datacenter" => Ok(()),
            _ => Err("unknown api_type on jira_config, must be auto, cloud or datacenter".to_owned()),
        }
    }
}
