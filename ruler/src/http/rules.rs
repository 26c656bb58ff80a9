//! `/rules`: groups and their rules, with filters, page by page.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use http::Uri;
use model::{Labels, Matcher};
use proto::ruler::{Alerting, Group, Health, Rule};
use rpc::Tenant;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use super::alerts::{self, ShownAlert};
use super::answer::{bad_data, success, unavailable};
use super::params::{Params, Wanted, invalid};
use super::time::time_or_never;
use crate::service::Ruler;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Discovery {
    groups: Vec<ShownGroup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownGroup {
    name: String,
    file: String,
    rules: Vec<ShownRule>,
    interval: f64,
    limit: i64,
    evaluation_time: f64,
    last_evaluation: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRule {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    name: String,
    query: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    alerting: Option<ShownAlerting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeMap<String, String>>,
    health: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    evaluation_time: f64,
    last_evaluation: String,
    r#type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownAlerting {
    duration: f64,
    keep_firing_for: f64,
    annotations: BTreeMap<String, String>,
    /// `null` where they are not wanted.
    alerts: Option<Vec<ShownAlert>>,
}

/// Which rules are wanted.
struct RuleFilter<'a> {
    groups: Wanted<'a>,
    names: Wanted<'a>,
    files: Wanted<'a>,
    alerting: bool,
    recording: bool,
    /// One of these sets has to match, if there are any.
    matchers: Vec<Vec<Matcher>>,
    with_alerts: bool,
}

/// The page that is wanted.
struct Page<'a> {
    /// How many groups; all if there is no limit.
    limit: Option<usize>,
    /// The group that it begins with.
    token: Option<&'a str>,
}

impl<'a> RuleFilter<'a> {
    fn of(params: &'a Params) -> Result<Self, String> {
        let kind = params.first("type").to_lowercase();
        if !matches!(kind.as_str(), "" | "alert" | "record") {
            return Err(invalid("type", &format!("not supported value {kind:?}")));
        }
        let matchers = params.all("match[]").map(promql::parse_series_selector).collect::<Result<_, _>>();
        Ok(Self {
            groups: params.wanted("rule_group[]"),
            names: params.wanted("rule_name[]"),
            files: params.wanted("file[]"),
            alerting: kind != "record",
            recording: kind != "alert",
            matchers: matchers.map_err(|error| invalid("match[]", &error.to_string()))?,
            with_alerts: !params.flag("exclude_alerts")?,
        })
    }

    fn wants(&self, rule: &Rule) -> bool {
        let kind = if rule.alerting.is_some() { self.alerting } else { self.recording };
        kind && self.names.has(&rule.name) && self.matches(&Labels::from_pairs(&rule.labels))
    }

    fn matches(&self, labels: &Labels) -> bool {
        let all = |set: &Vec<Matcher>| set.iter().all(|m| m.matches(labels.get_or_empty(m.name())));
        self.matchers.is_empty() || self.matchers.iter().any(all)
    }

    /// The group with the rules that are wanted; nothing where none of them is.
    fn group(&self, group: Group) -> Option<ShownGroup> {
        if !self.groups.has(&group.name) || !self.files.has(&group.file) {
            return None;
        }
        let rules: Vec<ShownRule> =
            group.rules.into_iter().filter(|rule| self.wants(rule)).map(|rule| self.rule(rule)).collect();
        if rules.is_empty() {
            return None;
        }
        Some(ShownGroup {
            name: group.name,
            file: group.file,
            rules,
            interval: group.interval_ms as f64 / 1_000.0,
            limit: group.limit,
            evaluation_time: seconds(group.took_us),
            last_evaluation: time_or_never(group.began_ms),
        })
    }

    fn rule(&self, rule: Rule) -> ShownRule {
        let health = match rule.health() {
            Health::Unknown => "unknown",
            Health::Good => "ok",
            Health::Bad => "err",
        };
        let (state, alerting, labels, kind) = match rule.alerting {
            None => (None, None, Some(rule.labels).filter(|labels| !labels.is_empty()), "recording"),
            Some(alerting) => {
                let (state, shown) = self.alerting(alerting);
                (Some(state), Some(shown), Some(rule.labels), "alerting")
            }
        };
        ShownRule {
            state,
            name: rule.name,
            query: rule.query,
            alerting,
            labels,
            health,
            last_error: rule.last_error,
            evaluation_time: seconds(rule.took_us),
            last_evaluation: time_or_never(rule.began_ms),
            r#type: kind,
        }
    }

    fn alerting(&self, alerting: Alerting) -> (&'static str, ShownAlerting) {
        let state = alerts::state(alerting.state());
        let shown = ShownAlerting {
            duration: alerting.hold_ms as f64 / 1_000.0,
            keep_firing_for: alerting.keep_firing_ms as f64 / 1_000.0,
            annotations: alerting.annotations,
            alerts: self.with_alerts.then(|| alerting.alerts.into_iter().map(ShownAlert::of).collect()),
        };
        (state, shown)
    }
}

impl<'a> Page<'a> {
    fn of(params: &'a Params) -> Result<Self, String> {
        let (limit, token) = (params.first("group_limit"), params.first("group_next_token"));
        let token = Some(token).filter(|token| !token.is_empty());
        if limit.is_empty() {
            return match token {
                None => Ok(Self { limit: None, token: None }),
                Some(_) => Err(invalid(
                    "group_limit",
                    "group_limit needs to be present in order to paginate over the groups",
                )),
            };
        }
        let wrong = |reason: &str| invalid("group_limit", reason);
        let limit: i64 = limit.parse().map_err(|_| {
            wrong(&format!(
                "group_limit needs to be a valid number: strconv.ParseInt: parsing {limit:?}: invalid syntax"
            ))
        })?;
        match usize::try_from(limit) {
            Ok(limit) if limit > 0 => Ok(Self { limit: Some(limit), token }),
            _ => Err(wrong("group_limit needs to be greater than 0")),
        }
    }
}

pub(super) async fn list(State(ruler): State<Ruler>, Tenant(tenant): Tenant, uri: Uri) -> Response {
    let params = Params::of(&uri);
    let (filter, page) = match RuleFilter::of(&params).and_then(|filter| Ok((filter, Page::of(&params)?))) {
        Ok(wanted) => wanted,
        Err(wrong) => return bad_data(&wrong),
    };
    let groups = match ruler.0.all(&tenant, !filter.with_alerts).await {
        Ok(groups) => groups,
        Err(error) => return unavailable(&error.message),
    };
    let start = match page.token {
        None => 0,
        Some(wanted) => match groups.iter().position(|group| token(group) == wanted) {
            Some(start) => start,
            None => {
                let reason = format!("invalid group_next_token '{wanted}'. were rule groups changed?");
                return bad_data(&invalid("group_next_token", &reason));
            }
        },
    };
    let mut found = Discovery { groups: Vec::new(), group_next_token: None };
    for group in groups.into_iter().skip(start) {
        let next = token(&group);
        let Some(group) = filter.group(group) else { continue };
        if page.limit == Some(found.groups.len()) {
            found.group_next_token = Some(next);
            break;
        }
        found.groups.push(group);
    }
    success(&found)
}

/// By what a group is known to be the next.
fn token(group: &Group) -> String {
    format!("{:032x}", xxh3_128(format!("{};{}", group.file, group.name).as_bytes()))
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1_000_000.0
}
