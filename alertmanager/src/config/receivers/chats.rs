//! Those that write into chats: Discord, Teams, Telegram, Webex, WeChat, Rocket.Chat.

use super::{one_of, required};
use crate::config::decode::section;
use crate::config::http::{HttpConfig, at_most_one};
use crate::config::types::{Secret, SecretUrl, Url};

section! {
    /// `discord_configs`.
    DiscordConfig as "discord.plain" {
        send_resolved: bool = true, "send_resolved";
        http_config: Option<HttpConfig> = None, "http_config";
        webhook_url: Option<SecretUrl> = None, "webhook_url";
        webhook_url_file: String = String::new(), "webhook_url_file";
        content: String = String::new(), "content";
        title: String = "{{ template \"discord.default.title\" . }}".to_owned(), "title";
        message: String = "{{ template \"discord.default.message\" . }}".to_owned(), "message";
        username: String = String::new(), "username";
        avatar_url: String = String::new(), "avatar_url";
    }
    check |receiver| one_of(
        "webhook_url",
        "webhook_url_file",
        &[receiver.webhook_url.is_some(), !receiver.webhook_url_file.is_empty()],
    )
}

section! {
    /// `msteams_configs`.
    MsTeamsConfig as "msteams.plain" {
        send_resolved: bool = true, "send_resolved";
        http_config: Option<HttpConfig> = None, "http_config";
        webhook_url: Option<SecretUrl> = None, "webhook_url";
        webhook_url_file: String = String::new(), "webhook_url_file";
        title: String = "{{ template \"msteams.default.title\" . }}".to_owned(), "title";
        summary: String = "{{ template \"msteams.default.summary\" . }}".to_owned(), "summary";
        text: String = "{{ template \"msteams.default.text\" . }}".to_owned(), "text";
    }
    check |receiver| one_of(
        "webhook_url",
        "webhook_url_file",
        &[receiver.webhook_url.is_some(), !receiver.webhook_url_file.is_empty()],
    )
}

section! {
    /// `msteamsv2_configs`.
    MsTeamsV2Config as "msteamsv2.plain" {
        send_resolved: bool = true, "send_resolved";
        http_config: Option<HttpConfig> = None, "http_config";
        webhook_url: Option<SecretUrl> = None, "webhook_url";
        webhook_url_file: String = String::new(), "webhook_url_file";
        title: String = "{{ template \"msteamsv2.default.title\" . }}".to_owned(), "title";
        text: String = "{{ template \"msteamsv2.default.text\" . }}".to_owned(), "text";
    }
    check |receiver| one_of(
        "webhook_url",
        "webhook_url_file",
        &[receiver.webhook_url.is_some(), !receiver.webhook_url_file.is_empty()],
    )
}

section! {
    /// `telegram_configs`.
    TelegramConfig as "telegram.plain" {
        send_resolved: bool = true, "send_resolved";
        http_config: Option<HttpConfig> = None, "http_config";
        api_url: Option<Url> = None, "api_url";
        bot_token: Secret = Secret::default(), "bot_token";
        bot_token_file: String = String::new(), "bot_token_file";
        chat_id: i64 = 0, "chat_id";
        chat_id_file: String = String::new(), "chat_id_file";
        message_thread_id: i64 = 0, "message_thread_id";
        message: String = "{{ template \"telegram.default.message\" . }}".to_owned(), "message";
        disable_notifications: bool = false, "disable_notifications";
        parse_mode: String = "HTML".to_owned(), "parse_mode";
    }
    check TelegramConfig::check
}

impl TelegramConfig {
    fn check(&mut self) -> Result<(), String> {
        at_most_one(
            "at most one of bot_token & bot_token_file must be configured",
            &[!self.bot_token.is_empty(), !self.bot_token_file.is_empty()],
        )?;
        let chat = [self.chat_id != 0, !self.chat_id_file.is_empty()];
        if !chat.contains(&true) {
            return Err("missing chat_id or chat_id_file on telegram_config".to_owned());
        }
        at_most_one("at most one of chat_id & chat_id_file must be configured", &chat)?;
        if !matches!(self.parse_mode.as_str(), "" | "Markdown" | "MarkdownV2" | "HTML") {
            return Err(
                "unknown parse_mode on telegram_config, must be Markdown, MarkdownV2, HTML or empty string"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

section! {
    /// `webex_configs`.
    WebexConfig as "config.plain" {
        send_resolved: bool = true, "send_resolved";
        http_config: Option<HttpConfig> = None, "http_config";
        api_url: Option<Url> = None, "api_url";
        message: String = "{{ template \"webex.default.message\" . }}".to_owned(), "message";
        room_id: String = String::new(), "room_id";
    }
    check |webex| {
        required(&webex.room_id, "missing room_id on webex_config")?;
        match webex.http_config.as_ref().and_then(|http| http.authorization.as_ref()) {
            Some(_) => Ok(()),
            None => Err("missing webex_configs.http_config.authorization".to_owned()),
        }
    }
}

section! {
    /// `wechat_configs`.
    WechatConfig as "config.plain" {
        send_resolved: bool = false, "send_resolved";
        http_config: Option<HttpConfig> = None, "http_config";
        api_secret: Secret = Secret::default(), "api_secret";
        api_secret_file: String = String::new(), "api_secret_file";
        corp_id: String = String::new(), "corp_id";
        message: String = "{{ template \"wechat.default.message\" . }}".to_owned(), "message";
        api_url: Option<Url> = None, "api_url";
        to_user: String = "{{ template \"wechat.default.to_user\" . }}".to_owned(), "to_user";
        to_party: String = "{{ template \"wechat.default.to_party\" . }}".to_owned(), "to_party";
        to_tag: String = "{{ template \"wechat.default.to_tag\" . }}".to_owned(), "to_tag";
        agent_id: String = "{{ template \"wechat.default.agent_id\" . }}".to_owned(), "agent_id";
        message_type: String = String::new(), "message_type";
    }
    check |wechat| {
        if wechat.message_type.is_empty() {
            wechat.message_type = "text".to_owned();
        }
        if !matches!(wechat.message_type.as_str(), "text" | "markdown") {
            let kind = gotemplate::quote(&wechat.message_type);
            return Err(format!("weChat message type {kind} does not match valid options ^(text|markdown)$"));
        }
        at_most_one(
            "at most one of api_secret & api_secret_file must be configured",
            &[!wechat.api_secret.is_empty(), !wechat.api_secret_file.is_empty()],
        )
    }
}

section! {
    /// A field of a message.
    RocketchatField as "rocketchat.RocketchatAttachmentField" {
        short: Option<bool> = None, "short";
        title: String = String::new(), "title";
        value: String = String::new(), "value";
    }
    check |_| Ok(())
}

section! {
    /// A button of a message. Upstream names no keys, so that they are its own names in small letters.
    RocketchatAction as "rocketchat.RocketchatAttachmentAction" {
        kind: String = String::new(), "type";
        text: String = String::new(), "text";
        url: String = String::new(), "url";
        image_url: String = String::new(), "imageurl";
        is_webview: bool = false, "iswebview";
        webview_height_ratio: String = String::new(), "webviewheightratio";
        msg: String = String::new(), "msg";
        msg_in_chat_window: bool = false, "msginchatwindow";
        msg_processing_type: String = String::new(), "msgprocessingtype";
    }
    check |_| Ok(())
}

section! {
    /// `rocketchat_configs`.
    RocketchatConfig as "rocketchat.plain" {
        send_resolved: bool = false, "send_resolved";
        http_config: Option<HttpConfig> = None, "http_config";
        api_url: Option<Url> = None, "api_url";
        token_id: Option<Secret> = None, "token_id";
        token_id_file: String = String::new(), "token_id_file";
        token: Option<Secret> = None, "token";
        token_file: String = String::new(), "token_file";
        channel: String = String::new(), "channel";
        color: String = "{{ if eq .Status \"firing\" }}red{{ else }}green{{ end }}".to_owned(), "color";
        title: String = "{{ template \"rocketchat.default.title\" . }}".to_owned(), "title";
        title_link: String = "{{ template \"rocketchat.default.titlelink\" . }}".to_owned(), "title_link";
        text: String = "{{ template \"rocketchat.default.text\" . }}".to_owned(), "text";
        fields: Vec<RocketchatField> = Vec::new(), "fields";
        short_fields: bool = false, "short_fields";
        emoji: String = "{{ template \"rocketchat.default.emoji\" . }}".to_owned(), "emoji";
        icon_url: String = "{{ template \"rocketchat.default.iconurl\" . }}".to_owned(), "icon_url";
        image_url: String = String::new(), "image_url";
        thumb_url: String = String::new(), "thumb_url";
        link_names: bool = false, "link_names";
        actions: Vec<RocketchatAction> = Vec::new(), "actions";
    }
    check |rocketchat| {
        at_most_one(
            "at most one of token & token_file must be configured",
            &[rocketchat.token.is_some(), !rocketchat.token_file.is_empty()],
        )?;
        at_most_one(
            "at most one of token_id & token_id_file must be configured",
            &[rocketchat.token_id.is_some(), !rocketchat.token_id_file.is_empty()],
        )
    }
}
