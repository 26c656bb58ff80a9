//! `/rules`: groups and their rules, with filters, page by page.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use http::Uri;
use model::{Labels, Matcher};
use rpc::Tenant;
use rules::evaluation::RuleBody;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use super::alerts::ShownAlert;
use super::answer::{bad_data, success};
use super::params::{Params, Wanted, invalid};
use super::time::time_or_never;
use crate::group::{Timing, Unit};
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

    fn wants(&self, rule: &rules::Rule) -> bool {
        let kind = if rule.alerting().is_some() { self.alerting } else { self.recording };
        kind && self.names.has(rule.name()) && self.matches(&Labels::from_pairs(rule.labels()))
    }

    fn matches(&self, labels: &Labels) -> bool {
        let all = |set: &Vec<Matcher>| set.iter().all(|m| m.matches(labels.get_or_empty(m.name())));
        self.matchers.is_empty() || self.matchers.iter().any(all)
    }

    /// The group with the rules that are wanted; nothing where none of them is.
    fn group(&self, unit: &Unit) -> Option<ShownGroup> {
        if !self.groups.has(&unit.name) || !self.files.has(&unit.file) {
            return None;
        }
        let state = unit.state.lock();
        let rules = state.group.rules().iter().zip(&state.timings).filter(|(rule, _)| self.wants(rule));
        let rules: Vec<ShownRule> = rules.map(|(rule, timing)| self.rule(rule, *timing)).collect();
        if rules.is_empty() {
            return None;
        }
        Some(ShownGroup {
            name: unit.name.clone(),
            file: unit.file.clone(),
            rules,
            interval: state.group.interval_ms() as f64 / 1_000.0,
            limit: state.group.limit(),
            evaluation_time: state.timing.took.as_secs_f64(),
            last_evaluation: time_or_never(state.timing.began_ms),
        })
    }

    fn rule(&self, rule: &rules::Rule, timing: Timing) -> ShownRule {
        let labels = rule.labels().clone();
        let (state, alerting, labels, kind) = match rule.body() {
            RuleBody::Recording(_) => (None, None, Some(labels).filter(|l| !l.is_empty()), "recording"),
            RuleBody::Alerting(rule) => {
                let alerts = self.with_alerts.then(|| rule.alerts().map(ShownAlert::of).collect());
                let shown = ShownAlerting {
                    duration: rule.hold_ms() as f64 / 1_000.0,
                    keep_firing_for: rule.keep_firing_ms() as f64 / 1_000.0,
                    annotations: rule.annotations().clone(),
                    alerts,
                };
                (Some(rule.state().as_str()), Some(shown), Some(labels), "alerting")
            }
        };
        ShownRule {
            state,
            name: rule.name().to_owned(),
            query: rule.query().to_owned(),
            alerting,
            labels,
            health: rule.health().as_str(),
            last_error: rule.last_error().map(str::to_owned),
            evaluation_time: timing.took.as_secs_f64(),
            last_evaluation: time_or_never(timing.began_ms),
            r#type: kind,
        }
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
    let units = ruler.0.units(&tenant);
    let start = match page.token {
        None => 0,
        Some(wanted) => match units.iter().position(|unit| token(unit) == wanted) {
            Some(start) => start,
            None => {
                let reason = format!("invalid group_next_token '{wanted}'. were rule groups changed?");
                return bad_data(&invalid("group_next_token", &reason));
            }
        },
    };
    let mut found = Discovery { groups: Vec::new(), group_next_token: None };
    for unit in units.iter().skip(start) {
        let Some(group) = filter.group(unit) else { continue };
        if page.limit == Some(found.groups.len()) {
            found.group_next_token = Some(token(unit));
            break;
        }
        found.groups.push(group);
    }
    success(&found)
}

/// By what a group is known to be the next.
fn token(unit: &Unit) -> String {
    format!("{:032x}", xxh3_128(format!("{};{}", unit.file, unit.name).as_bytes()))
}
