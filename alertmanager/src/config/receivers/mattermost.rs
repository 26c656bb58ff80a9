//! Mattermost.

use super::required;
use crate::config::decode::section;
use crate::config::http::{HttpConfig, at_most_one};
use crate::config::types::SecretUrl;

section! {
    /// A field of a message.
    MattermostField as "mattermost.plain" {
        title: String = String::new(), "title";
        value: String = String::new(), "value";
        short: Option<bool> = None, "short";
    }
    check |field| {
        required(&field.title, "missing title in Mattermost field configuration")?;
        required(&field.value, "missing value in Mattermost field configuration")
    }
}

section! {
    /// A part of a message.
    MattermostAttachment as "mattermost.MattermostAttachment" {
        fallback: String = String::new(), "fallback";
        color: String = String::new(), "color";
        pretext: String = String::new(), "pretext";
        text: String = String::new(), "text";
        author_name: String = String::new(), "author_name";
        author_link: String = String::new(), "author_link";
        author_icon: String = String::new(), "author_icon";
        title: String = String::new(), "title";
        title_link: String = String::new(), "title_link";
        fields: Vec<MattermostField> = Vec::new(), "fields";
        thumb_url: String = String::new(), "thumb_url";
        footer: String = String::new(), "footer";
        footer_icon: String = String::new(), "footer_icon";
        image_url: String = String::new(), "image_url";
    }
    check |_| Ok(())
}

section! {
    /// How urgent a message is.
    MattermostPriority as "mattermost.MattermostPriority" {
        priority: String = String::new(), "priority";
        requested_ack: bool = false, "requested_ack";
        persistent_notifications: bool = false, "persistent_notifications";
    }
    check |_| Ok(())
}

section! {
    /// More about a message.
    MattermostProps as "mattermost.MattermostProps" {
        card: String = String::new(), "card";
    }
    check |_| Ok(())
}

section! {
    /// `mattermost_configs`.
    MattermostConfig as "mattermost.plain" {
        send_resolved: bool = true, "send_resolved";
        http_config: Option<HttpConfig> = None, "http_config";
        webhook_url: Option<SecretUrl> = None, "webhook_url";
        webhook_url_file: String = String::new(), "webhook_url_file";
        channel: String = String::new(), "channel";
        username: String = "{{ template \"mattermost.default.username\" . }}".to_owned(), "username";
        text: String = "{{ template \"mattermost.default.text\" . }}".to_owned(), "text";
        fallback: String = "{{ template \"mattermost.default.fallback\" . }}".to_owned(), "fallback";
        color: String = "{{ template \"mattermost.default.color\" . }}".to_owned(), "color";
        pretext: String = String::new(), "pretext";
        author_name: String = String::new(), "author_name";
        author_link: String = String::new(), "author_link";
        author_icon: String = String::new(), "author_icon";
        title: String = "{{ template \"mattermost.default.title\" . }}".to_owned(), "title";
        title_link: String = "{{ template \"mattermost.default.titlelink\" . }}".to_owned(), "title_link";
        fields: Vec<MattermostField> = Vec::new(), "fields";
        thumb_url: String = String::new(), "thumb_url";
        footer: String = String::new(), "footer";
        footer_icon: String = String::new(), "footer_icon";
        image_url: String = String::new(), "image_url";
        icon_url: String = String::new(), "icon_url";
        icon_emoji: String = String::new(), "icon_emoji";
        attachments: Vec<MattermostAttachment> = Vec::new(), "attachments";
        kind: String = String::new(), "type";
        props: Option<MattermostProps> = None, "props";
        priority: Option<MattermostPriority> = None, "priority";
    }
    check |mattermost| at_most_one(
        "at most one of webhook_url & webhook_url_file must be configured",
        &[mattermost.webhook_url.is_some(), !mattermost.webhook_url_file.is_empty()],
    )
}
