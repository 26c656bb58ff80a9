//! Slack.

use super::required;
use crate::config::decode::section;
use crate::config::http::{HttpConfig, at_most_one};
use crate::config::types::{GoDuration, Secret, SecretUrl, Url};

section! {
    /// A question before an action.
    SlackConfirmation as "config.plain" {
        text: String = String::new(), "text";
        title: String = String::new(), "title";
        ok_text: String = String::new(), "ok_text";
        dismiss_text: String = String::new(), "dismiss_text";
    }
    check |field| required(&field.text, "missing text in Slack confirmation configuration")
}

section! {
    /// A button.
    SlackAction as "config.plain" {
        kind: String = String::new(), "type";
        text: String = String::new(), "text";
        url: String = String::new(), "url";
        style: String = String::new(), "style";
        name: String = String::new(), "name";
        value: String = String::new(), "value";
        confirm: Option<SlackConfirmation> = None, "confirm";
    }
    check SlackAction::check
}

section! {
    /// A field with a title and a value.
    SlackField as "config.plain" {
        title: String = String::new(), "title";
        value: String = String::new(), "value";
        short: Option<bool> = None, "short";
    }
    check |field| {
        required(&field.title, "missing title in Slack field configuration")?;
        required(&field.value, "missing value in Slack field configuration")
    }
}

section! {
    /// `slack_configs`.
    SlackConfig as "config.plain" {
        send_resolved: bool = false, "send_resolved";
        http_config: Option<HttpConfig> = None, "http_config";
        api_url: Option<SecretUrl> = None, "api_url";
        api_url_file: String = String::new(), "api_url_file";
        app_token: Secret = Secret::default(), "app_token";
        app_token_file: String = String::new(), "app_token_file";
        app_url: Option<Url> = None, "app_url";
        channel: String = String::new(), "channel";
        username: String = "{{ template \"slack.default.username\" . }}".to_owned(), "username";
        color: String = "{{ template \"slack.default.color\" . }}".to_owned(), "color";
        title: String = "{{ template \"slack.default.title\" . }}".to_owned(), "title";
        title_link: String = "{{ template \"slack.default.titlelink\" . }}".to_owned(), "title_link";
        pretext: String = "{{ template \"slack.default.pretext\" . }}".to_owned(), "pretext";
        text: String = "{{ template \"slack.default.text\" . }}".to_owned(), "text";
        message_text: String = String::new(), "message_text";
        fields: Vec<SlackField> = Vec::new(), "fields";
        short_fields: bool = false, "short_fields";
        footer: String = "{{ template \"slack.default.footer\" . }}".to_owned(), "footer";
        fallback: String = "{{ template \"slack.default.fallback\" . }}".to_owned(), "fallback";
        callback_id: String = "{{ template \"slack.default.callbackid\" . }}".to_owned(), "callback_id";
        icon_emoji: String = "{{ template \"slack.default.iconemoji\" . }}".to_owned(), "icon_emoji";
        icon_url: String = "{{ template \"slack.default.iconurl\" . }}".to_owned(), "icon_url";
        image_url: String = String::new(), "image_url";
        thumb_url: String = String::new(), "thumb_url";
        link_names: bool = false, "link_names";
        mrkdwn_in: Vec<String> = Vec::new(), "mrkdwn_in";
        actions: Vec<SlackAction> = Vec::new(), "actions";
        update_message: bool = false, "update_message";
        timeout: GoDuration = GoDuration::default(), "timeout";
    }
    check SlackConfig::check
}

/// Where messages can be updated that were sent before.
const POST_MESSAGE: &str = "https://slack.com/api/chat.postMessage";

impl SlackAction {
    fn check(&mut self) -> Result<(), String> {
        required(&self.kind, "missing type in Slack action configuration")?;
        required(&self.text, "missing text in Slack action configuration")?;
        if !self.url.is_empty() {
            self.name.clear();
            self.value.clear();
            self.confirm = None;
        } else if self.name.is_empty() {
            return Err("missing name or url in Slack action configuration".to_owned());
        }
        Ok(())
    }
}

impl SlackConfig {
    fn check(&mut self) -> Result<(), String> {
        let url = [self.api_url.is_some(), !self.api_url_file.is_empty()];
        let token = [!self.app_token.is_empty(), !self.app_token_file.is_empty()];
        at_most_one("at most one of api_url & api_url_file must be configured", &url)?;
        at_most_one("at most one of app_token & app_token_file must be configured", &token)?;
        at_most_one(
            "at most one of api_url/api_url_file & app_token/app_token_file must be configured",
            &[url.contains(&true), token.contains(&true)],
        )?;
        if self.update_message && self.api_url.as_ref().and_then(SecretUrl::expose) != Some(POST_MESSAGE) {
            return Err(format!(
                "update_message can only be used with bot tokens. api_url must be set to {POST_MESSAGE}"
            ));
        }
        Ok(())
    }
}
