//! Those that page people: PagerDuty, Opsgenie, VictorOps, Pushover, incident.io.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{one_of, required};
use crate::config::decode::section;
use crate::config::http::{HttpConfig, at_most_one};
use crate::config::types::{GoDuration, Secret, TextDuration, Url, is_template};

section! {
    /// A link.
    PagerdutyLink as "pagerduty.PagerdutyLink" {
        href: String = String::new(), "href";
        text: String = String::new(), "text";
    }
    check |_| Ok(())
}

section! {
    /// An image.
    PagerdutyImage as "pagerduty.PagerdutyImage" {
        src: String = String::new(), "src";
        alt: String = String::new(), "alt";
        href: String = String::new(), "href";
    }
    check |_| Ok(())
}

section! {
    /// `pagerduty_configs`.
    PagerdutyConfig as "pagerduty.plain" {
        send_resolved: bool = true, "send_resolved";
        http_config: Option<HttpConfig> = None, "http_config";
        service_key: Secret = Secret::default(), "service_key";
        service_key_file: String = String::new(), "service_key_file";
        routing_key: Secret = Secret::default(), "routing_key";
        routing_key_file: String = String::new(), "routing_key_file";
        url: Option<Url> = None, "url";
        client: String = "{{ template \"pagerduty.default.client\" . }}".to_owned(), "client";
        client_url: String = "{{ template \"pagerduty.default.clientURL\" . }}".to_owned(), "client_url";
        description: String = "{{ template \"pagerduty.default.description\" .}}".to_owned(), "description";
        details: BTreeMap<String, serde_json::Value> = BTreeMap::new(), "details";
        images: Vec<PagerdutyImage> = Vec::new(), "images";
        links: Vec<PagerdutyLink> = Vec::new(), "links";
        source: String = String::new(), "source";
        severity: String = String::new(), "severity";
        class: String = String::new(), "class";
        component: String = String::new(), "component";
        group: String = String::new(), "group";
        timeout: GoDuration = GoDuration::default(), "timeout";
    }
    check PagerdutyConfig::check
}

impl PagerdutyConfig {
    fn check(&mut self) -> Result<(), String> {
        /// What an event says besides, unless the configuration says otherwise.
        const DETAILS: [(&str, &str); 4] = [
            ("firing", "{{ .Alerts.Firing | toJson }}"),
            ("resolved", "{{ .Alerts.Resolved | toJson }}"),
            ("num_firing", "{{ .Alerts.Firing | len }}"),
            ("num_resolved", "{{ .Alerts.Resolved | len }}"),
        ];
        let routing = [!self.routing_key.is_empty(), !self.routing_key_file.is_empty()];
        let service = [!self.service_key.is_empty(), !self.service_key_file.is_empty()];
        if !routing.contains(&true) && !service.contains(&true) {
            return Err("missing service or routing key in PagerDuty config".to_owned());
        }
        at_most_one("at most one of routing_key & routing_key_file must be configured", &routing)?;
        at_most_one("at most one of service_key & service_key_file must be configured", &service)?;
        if self.source.is_empty() {
            self.source.clone_from(&self.client);
        }
        for (name, value) in DETAILS {
            self.details.entry(name.to_owned()).or_insert_with(|| value.into());
        }
        Ok(())
    }
}

section! {
    /// Who answers.
    OpsGenieResponder as "opsgenie.OpsGenieConfigResponder" {
        id: String = String::new(), "id";
        name: String = String::new(), "name";
        username: String = String::new(), "username";
        kind: String = String::new(), "type";
    }
    check |_| Ok(())
}

section! {
    /// `opsgenie_configs`.
    OpsGenieConfig as "opsgenie.plain" {
        send_resolved: bool = true, "send_resolved";
        http_config: Option<HttpConfig> = None, "http_config";
        api_key: Secret = Secret::default(), "api_key";
        api_key_file: String = String::new(), "api_key_file";
        api_url: Option<Url> = None, "api_url";
        message: String = "{{ template \"opsgenie.default.message\" . }}".to_owned(), "message";
        description: String = "{{ template \"opsgenie.default.description\" . }}".to_owned(), "description";
        source: String = "{{ template \"opsgenie.default.source\" . }}".to_owned(), "source";
        details: BTreeMap<String, String> = BTreeMap::new(), "details";
        entity: String = String::new(), "entity";
        responders: Vec<OpsGenieResponder> = Vec::new(), "responders";
        actions: String = String::new(), "actions";
        tags: String = String::new(), "tags";
        note: String = String::new(), "note";
        priority: String = String::new(), "priority";
        update_alerts: bool = false, "update_alerts";
    }
    check OpsGenieConfig::check
}

impl OpsGenieConfig {
    fn check(&mut self) -> Result<(), String> {
        at_most_one(
            "at most one of api_key & api_key_file must be configured",
            &[!self.api_key.is_empty(), !self.api_key_file.is_empty()],
        )?;
        for responder in &self.responders {
            let OpsGenieResponder { id, name, username, kind } = responder;
            let shown = format!("{{{id} {name} {username} {kind}}}");
            if id.is_empty() && name.is_empty() && username.is_empty() {
                return Err(format!(
                    "opsGenieConfig responder {shown} has to have at least one of id, username or name specified"
                ));
            }
            let template = is_template(kind).map_err(|error| {
                format!("opsGenieConfig responder {shown} type contains invalid template syntax: {error}")
            })?;
            let kind = kind.to_lowercase();
            let known = ["team", "teams", "user", "escalation", "schedule"];
            if !template && !known.contains(&kind.as_str()) {
                return Err(format!(
                    "opsGenieConfig responder {shown} type does not match valid options ^({})$",
                    known.join("|")
                ));
            }
        }
        Ok(())
    }
}

section! {
    /// `victorops_configs`.
    VictorOpsConfig as "config.plain" {
        send_resolved: bool = true, "send_resolved";
        http_config: Option<HttpConfig> = None, "http_config";
        api_key: Secret = Secret::default(), "api_key";
        api_key_file: String = String::new(), "api_key_file";
        api_url: Option<Url> = None, "api_url";
        routing_key: String = String::new(), "routing_key";
        message_type: String = "CRITICAL".to_owned(), "message_type";
        state_message: String = "{{ template \"victorops.default.state_message\" . }}".to_owned(), "state_message";
        entity_display_name: String = "{{ template \"victorops.default.entity_display_name\" . }}".to_owned(), "entity_display_name";
        monitoring_tool: String = "{{ template \"victorops.default.monitoring_tool\" . }}".to_owned(), "monitoring_tool";
        custom_fields: BTreeMap<String, String> = BTreeMap::new(), "custom_fields";
    }
    check VictorOpsConfig::check
}

impl VictorOpsConfig {
    fn check(&mut self) -> Result<(), String> {
        /// What every message has by itself.
        const FIXED: [&str; 7] = [
            "routing_key",
            "message_type",
            "state_message",
            "entity_display_name",
            "monitoring_tool",
            "entity_id",
            "entity_state",
        ];
        required(&self.routing_key, "missing Routing key in VictorOps config")?;
        at_most_one(
            "at most one of api_key & api_key_file must be configured",
            &[!self.api_key.is_empty(), !self.api_key_file.is_empty()],
        )?;
        match FIXED.iter().find(|name| self.custom_fields.contains_key(**name)) {
            None => Ok(()),
            Some(name) => Err(format!(
                "victorOps config contains custom field {name} which cannot be used as it conflicts with the fixed/static fields"
            )),
        }
    }
}

section! {
    /// `pushover_configs`.
    PushoverConfig as "pushover.plain" {
        send_resolved: bool = true, "send_resolved";
        http_config: Option<HttpConfig> = None, "http_config";
        user_key: Secret = Secret::default(), "user_key";
        user_key_file: String = String::new(), "user_key_file";
        token: Secret = Secret::default(), "token";
        token_file: String = String::new(), "token_file";
        title: String = "{{ template \"pushover.default.title\" . }}".to_owned(), "title";
        message: String = "{{ template \"pushover.default.message\" . }}".to_owned(), "message";
        url: String = "{{ template \"pushover.default.url\" . }}".to_owned(), "url";
        url_title: String = String::new(), "url_title";
        device: String = String::new(), "device";
        sound: String = String::new(), "sound";
        priority: String = "{{ if eq .Status \"firing\" }}2{{ else }}0{{ end }}".to_owned(), "priority";
        retry: TextDuration = TextDuration(Duration::from_secs(60)), "retry";
        expire: TextDuration = TextDuration(Duration::from_secs(3_600)), "expire";
        ttl: TextDuration = TextDuration::default(), "ttl";
        html: bool = false, "html";
        monospace: bool = false, "monospace";
    }
    check |pushover| {
        let user = [!pushover.user_key.is_empty(), !pushover.user_key_file.is_empty()];
        let token = [!pushover.token.is_empty(), !pushover.token_file.is_empty()];
        one_of("user_key", "user_key_file", &user)?;
        one_of("token", "token_file", &token)?;
        at_most_one(
            "at most one of monospace & html must be configured",
            &[pushover.monospace, pushover.html],
        )
    }
}

section! {
    /// `incidentio_configs`.
    IncidentioConfig as "incidentio.plain" {
        send_resolved: bool = true, "send_resolved";
        http_config: Option<HttpConfig> = None, "http_config";
        url: Option<Url> = None, "url";
        url_file: String = String::new(), "url_file";
        alert_source_token: Secret = Secret::default(), "alert_source_token";
        alert_source_token_file: String = String::new(), "alert_source_token_file";
        max_alerts: u64 = 0, "max_alerts";
        timeout: GoDuration = GoDuration::default(), "timeout";
    }
    check IncidentioConfig::check
}

impl IncidentioConfig {
    fn check(&mut self) -> Result<(), String> {
        one_of("url", "url_file", &[self.url.is_some(), !self.url_file.is_empty()])?;
        let token = [!self.alert_source_token.is_empty(), !self.alert_source_token_file.is_empty()];
        at_most_one(
            "at most one of alert_source_token & alert_source_token_file must be configured",
            &token,
        )?;
        let Some(http) = &self.http_config else { return Ok(()) };
        match (http.authorization.is_some(), token.contains(&true)) {
            (true, true) => Err(
                "cannot specify alert_source_token or alert_source_token_file when using http_config.authorization"
                    .to_owned(),
            ),
            (false, false) => Err(
                "at least one of alert_source_token, alert_source_token_file or http_config.authorization must be configured"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }
}
