//! What receivers take from `global`, and what is refused only then, in the order in which upstream finds it.

use super::global::Global;
use super::http::{Authorization, at_most_one};
use super::receivers::{
    EmailConfig, JiraConfig, MattermostConfig, OpsGenieConfig, PagerdutyConfig, Receiver, RocketchatConfig,
    SlackConfig, TelegramConfig, VictorOpsConfig, WebexConfig, WechatConfig,
};
use super::types::SecretUrl;

/// Refuses a `global` that says one thing in two ways.
pub(super) fn check_global(global: &Global) -> Result<(), String> {
    let app_token = [!global.slack_app_token.is_empty(), !global.slack_app_token_file.is_empty()];
    let api_url = [global.slack_api_url.is_some(), !global.slack_api_url_file.is_empty()];
    at_most_one("at most one of slack_app_token & slack_app_token_file must be configured", &app_token)?;
    at_most_one("at most one of slack_api_url & slack_api_url_file must be configured", &api_url)?;
    // That both say the same is what people do on their way from one to the other.
    let url = global.slack_api_url.as_ref().and_then(SecretUrl::expose);
    let same = url.is_some() && url == global.slack_app_url.as_ref().map(super::types::Url::as_str);
    if app_token.contains(&true) && api_url.contains(&true) && !same {
        let message = "at most one of slack_app_token/slack_app_token_file & slack_api_url/slack_api_url_file must be configured";
        return Err(message.to_owned());
    }
    let pairs = [
        ("opsgenie_api_key", !global.opsgenie_api_key.is_empty(), &global.opsgenie_api_key_file),
        ("victorops_api_key", !global.victorops_api_key.is_empty(), &global.victorops_api_key_file),
        ("telegram_bot_token", !global.telegram_bot_token.is_empty(), &global.telegram_bot_token_file),
        ("smtp_auth_password", !global.smtp_auth_password.is_empty(), &global.smtp_auth_password_file),
        ("rocketchat_token", global.rocketchat_token.is_some(), &global.rocketchat_token_file),
        ("rocketchat_token_id", global.rocketchat_token_id.is_some(), &global.rocketchat_token_id_file),
        ("smtp_auth_secret", !global.smtp_auth_secret.is_empty(), &global.smtp_auth_secret_file),
        ("wechat_api_secret", !global.wechat_api_secret.is_empty(), &global.wechat_api_secret_file),
        (
            "mattermost_webhook_url",
            global.mattermost_webhook_url.is_some(),
            &global.mattermost_webhook_url_file,
        ),
    ];
    for (name, inline, file) in pairs {
        let message = format!("at most one of {name} & {name}_file must be configured");
        at_most_one(&message, &[inline, !file.is_empty()])?;
    }
    Ok(())
}

/// Gives receivers what they inherit.
pub(super) fn receivers(receivers: &mut [Receiver], global: &Global) -> Result<(), String> {
    for index in 0..receivers.len() {
        let (before, rest) = receivers.split_at_mut(index);
        let Some(receiver) = rest.first_mut() else { break };
        if before.iter().any(|other| other.name == receiver.name) {
            let name = gotemplate::quote(&receiver.name);
            return Err(format!("notification config name {name} is not unique"));
        }
        inherit(receiver, global)?;
    }
    Ok(())
}

fn inherit(receiver: &mut Receiver, global: &Global) -> Result<(), String> {
    macro_rules! http {
        ($($field:ident),*) => {
            $(for config in &mut receiver.$field {
                config.http_config.get_or_insert_with(|| global.http_config.clone());
            })*
        };
    }
    receiver.email.iter_mut().try_for_each(|config| email(config, global))?;
    receiver.slack.iter_mut().try_for_each(|config| slack(config, global))?;
    http!(
        webhook, pushover, pagerduty, incidentio, opsgenie, wechat, victorops, sns, telegram, discord, webex,
        msteams, jira, rocketchat, mattermost
    );
    receiver.pagerduty.iter_mut().try_for_each(|config| pagerduty(config, global))?;
    receiver.opsgenie.iter_mut().try_for_each(|config| opsgenie(config, global))?;
    receiver.wechat.iter_mut().try_for_each(|config| wechat(config, global))?;
    receiver.victorops.iter_mut().try_for_each(|config| victorops(config, global))?;
    receiver.telegram.iter_mut().try_for_each(|config| telegram(config, global))?;
    receiver.webex.iter_mut().try_for_each(|config| webex(config, global))?;
    for config in &mut receiver.msteamsv2 {
        match &mut config.http_config {
            None => config.http_config = Some(global.http_config.clone()),
            // It takes the proxy even if it says something else of its own.
            Some(http) if http.proxy_url.is_none() => {
                http.proxy_url.clone_from(&global.http_config.proxy_url);
            }
            Some(_) => {}
        }
    }
    receiver.jira.iter_mut().try_for_each(|config| jira(config, global))?;
    receiver.rocketchat.iter_mut().try_for_each(|config| rocketchat(config, global))?;
    receiver.mattermost.iter_mut().try_for_each(|config| mattermost(config, global))
}

/// The receiver's own text, or the inherited one.
fn or(own: &mut String, inherited: &str) {
    if own.is_empty() {
        inherited.clone_into(own);
    }
}

fn email(config: &mut EmailConfig, global: &Global) -> Result<(), String> {
    config.tls_config.get_or_insert_with(|| global.smtp_tls_config.clone());
    if config.smarthost.is_empty() {
        config.smarthost = global.smtp_smarthost.clone();
    }
    if config.smarthost.is_empty() {
        return Err("no global SMTP smarthost set".to_owned());
    }
    or(&mut config.from, &global.smtp_from);
    if config.from.is_empty() {
        return Err("no global SMTP from set".to_owned());
    }
    or(&mut config.hello, &global.smtp_hello);
    or(&mut config.auth_username, &global.smtp_auth_username);
    if config.auth_password.is_empty() && config.auth_password_file.is_empty() {
        config.auth_password = global.smtp_auth_password.clone();
        config.auth_password_file.clone_from(&global.smtp_auth_password_file);
    }
    if config.auth_secret.is_empty() && config.auth_secret_file.is_empty() {
        config.auth_secret = global.smtp_auth_secret.clone();
        config.auth_secret_file.clone_from(&global.smtp_auth_secret_file);
    }
    or(&mut config.auth_identity, &global.smtp_auth_identity);
    config.require_tls.get_or_insert(global.smtp_require_tls);
    config.force_implicit_tls = config.force_implicit_tls.or(global.smtp_force_implicit_tls);
    Ok(())
}

fn slack(config: &mut SlackConfig, global: &Global) -> Result<(), String> {
    config.app_url = config.app_url.take().or_else(|| global.slack_app_url.clone());
    let Some(app_url) = config.app_url.clone() else {
        return Err("no global Slack App URL set".to_owned());
    };
    let authorized = config.http_config.as_ref().is_some_and(|http| http.authorization.is_some());
    let token = |config: &SlackConfig| !config.app_token.is_empty() || !config.app_token_file.is_empty();
    if !token(config) && !authorized && config.api_url.is_none() {
        config.app_token = global.slack_app_token.clone();
        config.app_token_file.clone_from(&global.slack_app_token_file);
    }
    if config.api_url.is_none() && config.api_url_file.is_empty() {
        config.api_url = global.slack_api_url.clone();
        config.api_url_file.clone_from(&global.slack_api_url_file);
    }
    if config.api_url.is_none() && config.api_url_file.is_empty() && !token(config) {
        return Err("no Slack API URL nor App token set either inline or in a file".to_owned());
    }
    let has_token = token(config);
    let http = config.http_config.get_or_insert_with(|| global.http_config.clone());
    if has_token {
        if http.authorization.is_some() {
            return Err("http authorization can't be set when using Slack App tokens".to_owned());
        }
        http.authorization = Some(Authorization {
            kind: "Bearer".to_owned(),
            credentials: config.app_token.clone(),
            credentials_file: config.app_token_file.clone(),
            ..Authorization::default()
        });
        config.api_url = Some(SecretUrl::from(app_url));
    }
    Ok(())
}

fn pagerduty(config: &mut PagerdutyConfig, global: &Global) -> Result<(), String> {
    config.url = config.url.take().or_else(|| global.pagerduty_url.clone());
    config.url.as_ref().map(|_| ()).ok_or_else(|| "no global PagerDuty URL set".to_owned())
}

fn opsgenie(config: &mut OpsGenieConfig, global: &Global) -> Result<(), String> {
    let url = config.api_url.take().or_else(|| global.opsgenie_api_url.clone());
    config.api_url = Some(url.ok_or("no global OpsGenie URL set")?.with_slash());
    if config.api_key.is_empty() {
        config.api_key = global.opsgenie_api_key.clone();
    }
    or(&mut config.api_key_file, &global.opsgenie_api_key_file);
    if config.api_key.is_empty() && config.api_key_file.is_empty() {
        return Err("no global OpsGenie API Key set either inline or in a file".to_owned());
    }
    Ok(())
}

fn wechat(config: &mut WechatConfig, global: &Global) -> Result<(), String> {
    let url = config.api_url.take().or_else(|| global.wechat_api_url.clone());
    let url = url.ok_or("no global Wechat URL set")?;
    if config.api_secret.is_empty() && config.api_secret_file.is_empty() {
        if global.wechat_api_secret.is_empty() && global.wechat_api_secret_file.is_empty() {
            return Err("no global Wechat Api Secret set either inline or in a file".to_owned());
        }
        config.api_secret = global.wechat_api_secret.clone();
        config.api_secret_file.clone_from(&global.wechat_api_secret_file);
    }
    or(&mut config.corp_id, &global.wechat_api_corp_id);
    if config.corp_id.is_empty() {
        return Err("no global Wechat CorpID set".to_owned());
    }
    config.api_url = Some(url.with_slash());
    Ok(())
}

fn victorops(config: &mut VictorOpsConfig, global: &Global) -> Result<(), String> {
    let url = config.api_url.take().or_else(|| global.victorops_api_url.clone());
    config.api_url = Some(url.ok_or("no global VictorOps URL set")?.with_slash());
    // What it says of its own, inline or in a file, keeps it from the other kind of the global one.
    if config.api_key.is_empty() && config.api_key_file.is_empty() {
        config.api_key = global.victorops_api_key.clone();
        config.api_key_file.clone_from(&global.victorops_api_key_file);
    }
    if config.api_key.is_empty() && config.api_key_file.is_empty() {
        return Err("no global VictorOps API Key set".to_owned());
    }
    Ok(())
}

fn telegram(config: &mut TelegramConfig, global: &Global) -> Result<(), String> {
    config.api_url = config.api_url.take().or_else(|| global.telegram_api_url.clone());
    if config.bot_token.is_empty() && config.bot_token_file.is_empty() {
        if global.telegram_bot_token.is_empty() && global.telegram_bot_token_file.is_empty() {
            return Err("missing bot_token or bot_token_file on telegram_config".to_owned());
        }
        config.bot_token = global.telegram_bot_token.clone();
        config.bot_token_file.clone_from(&global.telegram_bot_token_file);
    }
    Ok(())
}

fn webex(config: &mut WebexConfig, global: &Global) -> Result<(), String> {
    config.api_url = config.api_url.take().or_else(|| global.webex_api_url.clone());
    config.api_url.as_ref().map(|_| ()).ok_or_else(|| "no global Webex URL set".to_owned())
}

fn jira(config: &mut JiraConfig, global: &Global) -> Result<(), String> {
    config.api_url = config.api_url.take().or_else(|| global.jira_api_url.clone());
    config.api_url.as_ref().map(|_| ()).ok_or_else(|| "no global Jira Cloud URL set".to_owned())
}

fn rocketchat(config: &mut RocketchatConfig, global: &Global) -> Result<(), String> {
    config.api_url = config.api_url.take().or_else(|| global.rocketchat_api_url.clone());
    config.token_id = config.token_id.take().or_else(|| global.rocketchat_token_id.clone());
    or(&mut config.token_id_file, &global.rocketchat_token_id_file);
    if config.token_id.is_none() && config.token_id_file.is_empty() {
        return Err("no global Rocketchat TokenID set either inline or in a file".to_owned());
    }
    config.token = config.token.take().or_else(|| global.rocketchat_token.clone());
    or(&mut config.token_file, &global.rocketchat_token_file);
    if config.token.is_none() && config.token_file.is_empty() {
        return Err("no global Rocketchat Token set either inline or in a file".to_owned());
    }
    Ok(())
}

fn mattermost(config: &mut MattermostConfig, global: &Global) -> Result<(), String> {
    if config.webhook_url.is_none() && config.webhook_url_file.is_empty() {
        if global.mattermost_webhook_url.is_none() && global.mattermost_webhook_url_file.is_empty() {
            return Err("missing webhook_url or webhook_url_file on mattermost_config".to_owned());
        }
        config.webhook_url = global.mattermost_webhook_url.clone();
        config.webhook_url_file.clone_from(&global.mattermost_webhook_url_file);
    }
    Ok(())
}
