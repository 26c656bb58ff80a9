//! Receivers: who is told, and how. Each kind is what upstream documents, with its defaults and what it refuses.

mod chats;
mod email;
mod mattermost;
mod others;
mod pagers;
mod slack;

use std::collections::BTreeMap;

use settings::yaml::Node;

pub use self::chats::{
    DiscordConfig, MsTeamsConfig, MsTeamsV2Config, RocketchatAction, RocketchatConfig, RocketchatField,
    TelegramConfig, WebexConfig, WechatConfig,
};
pub use self::email::{EmailConfig, Threading};
pub use self::mattermost::{
    MattermostAttachment, MattermostConfig, MattermostField, MattermostPriority, MattermostProps,
};
pub use self::others::{JiraConfig, JiraField, SigV4Config, SnsConfig, WebhookConfig};
pub use self::pagers::{
    IncidentioConfig, OpsGenieConfig, OpsGenieResponder, PagerdutyConfig, PagerdutyImage, PagerdutyLink,
    PushoverConfig, VictorOpsConfig,
};
pub use self::slack::{SlackAction, SlackConfig, SlackConfirmation, SlackField};

use super::decode::{Decode, Fields, Problem};
use super::http::at_most_one;
use super::show::Shown;

/// `message`, if nothing is given.
fn required(text: &str, message: &str) -> Result<(), String> {
    if text.is_empty() { Err(message.to_owned()) } else { Ok(()) }
}

/// Exactly one of two has to be given.
fn one_of(a: &str, b: &str, given: &[bool; 2]) -> Result<(), String> {
    if !given.contains(&true) {
        return Err(format!("one of {a} or {b} must be configured"));
    }
    at_most_one(&format!("at most one of {a} & {b} must be configured"), given)
}

/// Declares the receiver with a list for each kind.
macro_rules! receiver {
    ($($field:ident: $type:ty, $key:literal, $missing:expr;)*) => {
        /// Who is told, by all of these ways.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct Receiver {
            /// What routes call it.
            pub name: String,
            /// For filters; `name` is among them.
            pub labels: BTreeMap<String, String>,
            $(#[doc = concat!("`", $key, "`.")] pub $field: Vec<$type>,)*
        }

        impl Receiver {
            fn kinds(fields: &mut Fields<'_>) -> Result<Self, Problem> {
                let mut receiver = Self::default();
                $(if let Some(node) = fields.take($key) {
                    receiver.$field = super::decode::list(node, |node| kind(node, $missing))?;
                })*
                Ok(receiver)
            }

            fn show_kinds(&self, entries: &mut Vec<(String, Shown)>) {
                $(if let Some(shown) = self.$field.show() {
                    entries.push(($key.to_owned(), shown));
                })*
            }

            /// Its ways in upstream's order: the kind's name and whether resolved alerts are told too.
            pub fn integrations(&self) -> Vec<Integration> {
                let mut all = Vec::new();
                $(for (index, config) in self.$field.iter().enumerate() {
                    let kind = $key.trim_end_matches("_configs");
                    all.push(Integration { kind, index, send_resolved: config.send_resolved });
                })*
                all
            }
        }
    };
}

/// One way of a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integration {
    /// Its kind: `webhook`, `email`.
    pub kind: &'static str,
    /// Its place among those of its kind.
    pub index: usize,
    /// Whether resolved alerts are told.
    pub send_resolved: bool,
}

receiver! {
    discord: DiscordConfig, "discord_configs", Some("missing discord config");
    email: EmailConfig, "email_configs", Some("missing email config");
    incidentio: IncidentioConfig, "incidentio_configs", Some("missing incidentio config");
    pagerduty: PagerdutyConfig, "pagerduty_configs", Some("missing pagerduty config");
    slack: SlackConfig, "slack_configs", None;
    webhook: WebhookConfig, "webhook_configs", Some("missing webhook config");
    opsgenie: OpsGenieConfig, "opsgenie_configs", None;
    wechat: WechatConfig, "wechat_configs", None;
    pushover: PushoverConfig, "pushover_configs", Some("missing pushover config");
    victorops: VictorOpsConfig, "victorops_configs", Some("missing victorops config");
    sns: SnsConfig, "sns_configs", Some("missing sns config");
    telegram: TelegramConfig, "telegram_configs", Some("missing telegram config");
    webex: WebexConfig, "webex_configs", Some("missing webex config");
    msteams: MsTeamsConfig, "msteams_configs", Some("missing msteams config");
    msteamsv2: MsTeamsV2Config, "msteamsv2_configs", Some("missing msteamsv2 config");
    jira: JiraConfig, "jira_configs", Some("missing jira config");
    rocketchat: RocketchatConfig, "rocketchat_configs", None;
    mattermost: MattermostConfig, "mattermost_configs", Some("missing mattermost config");
}

/// An entry of a list of receivers. Where nothing stands, most kinds refuse; the others are all defaults, as upstream
/// has it, and what they lack besides is found out with the global defaults.
fn kind<T: Decode + Default>(node: &Node, missing: Option<&str>) -> Result<T, Problem> {
    match missing {
        Some(message) if node.is_null() => Err(Problem::at(node, message)),
        None if node.is_null() => Ok(T::default()),
        _ => T::decode(node),
    }
}

impl Decode for Receiver {
    fn decode(node: &Node) -> Result<Self, Problem> {
        let mut fields = Fields::of(node, "config.plain")?;
        let name = fields.take("name").map(String::decode).transpose()?.unwrap_or_default();
        let labels = fields.take("labels").map(BTreeMap::<String, String>::decode).transpose()?;
        let mut receiver = Self::kinds(&mut fields)?;
        fields.end()?;
        receiver.name = name;
        receiver.labels = labels.unwrap_or_default();
        if receiver.name.is_empty() {
            return Err(Problem::at(node, "missing name in receiver"));
        }
        if let Some(label) = receiver.labels.get("name").filter(|label| **label != receiver.name) {
            let (name, label) = (gotemplate::quote(&receiver.name), gotemplate::quote(label));
            let message = format!("receiver label \"name\" must match receiver name {name}, got {label}");
            return Err(Problem::at(node, message));
        }
        receiver.labels.insert("name".to_owned(), receiver.name.clone());
        Ok(receiver)
    }

    fn show(&self) -> Option<Shown> {
        let mut entries = vec![("name".to_owned(), Shown::Text(self.name.clone()))];
        entries.extend(self.labels.show().map(|shown| ("labels".to_owned(), shown)));
        self.show_kinds(&mut entries);
        Some(Shown::Map(entries))
    }
}
