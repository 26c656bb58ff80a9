//! `/alerts`: those that there are, and new ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode, Uri};
use model::Labels;
use rpc::Tenant;
use serde::Serialize;
use serde_json::Value;

use super::answer::{Refused, bad, json, overloaded};
use super::params::{Params, ReceiverFilter, passes};
use super::read::{self, Fields};
use super::time::show;
use crate::alert::Alert;
use crate::config::url_parts;
use crate::dispatch::{AlertStatus, Dispatcher};
use crate::matcher::{Language, Matcher};
use crate::moment::Moment;
use crate::service::{Alertmanager, Shared};

/// An alert as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    annotations: Arc<BTreeMap<String, String>>,
    ends_at: String,
    fingerprint: String,
    receivers: Vec<Named>,
    starts_at: String,
    status: ShownStatus,
    updated_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: Arc<str>,
    labels: BTreeMap<String, String>,
}

/// A receiver by its name.
#[derive(Serialize, Clone)]
pub(super) struct Named {
    pub(super) name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownStatus {
    inhibited_by: Vec<String>,
    muted_by: Vec<String>,
    silenced_by: Vec<String>,
    state: &'static str,
}

impl Shown {
    /// The alert, with what keeps it from being told, and who would be told.
    pub(super) fn new(
        alert: &Alert,
        status: AlertStatus,
        receivers: Vec<Named>,
        muted_by: &[String],
    ) -> Self {
        let quiet = !status.inhibited_by.is_empty() || !status.silenced_by.is_empty() || !muted_by.is_empty();
        Self {
            annotations: Arc::clone(&alert.annotations),
            ends_at: alert.ends_at.map_or_else(String::new, show),
            fingerprint: alert.fingerprint().to_string(),
            receivers,
            starts_at: show(alert.starts_at),
            status: ShownStatus {
                inhibited_by: status.inhibited_by.iter().map(ToString::to_string).collect(),
                muted_by: muted_by.to_vec(),
                silenced_by: status.silenced_by,
                state: if quiet { "suppressed" } else { "active" },
            },
            updated_at: show(alert.updated_at),
            generator_url: Arc::clone(&alert.generator_url),
            labels: pairs(&alert.labels),
        }
    }
}

/// Labels as JSON has them.
pub(super) fn pairs(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Which alerts are wanted.
pub(super) struct AlertFilter {
    /// Those that all of these let pass.
    pub(super) matchers: Vec<Matcher>,
    /// Those that are told.
    pub(super) active: bool,
    /// Those that are silenced.
    pub(super) silenced: bool,
    /// Those that are inhibited.
    pub(super) inhibited: bool,
    /// Whose.
    pub(super) receivers: ReceiverFilter,
}

impl AlertFilter {
    pub(super) fn new(params: &Params, language: Language) -> Result<Self, Refused> {
        Ok(Self {
            matchers: params.filter(language)?,
            active: params.wanted("active"),
            silenced: params.wanted("silenced"),
            inhibited: params.wanted("inhibited"),
            receivers: params.receivers(language)?,
        })
    }

    /// What keeps an alert from being told, if the alert is wanted.
    pub(super) fn status(&self, alert: &Alert, dispatcher: &Dispatcher, now: Moment) -> Option<AlertStatus> {
        if alert.ends_at.is_some_and(|ends_at| ends_at < now) {
            return None;
        }
        if !passes(&self.matchers, |name| alert.labels.get(name)) {
            return None;
        }
        let status = dispatcher.status(&alert.labels, now);
        let (silenced, inhibited) = (!status.silenced_by.is_empty(), !status.inhibited_by.is_empty());
        let unwanted = (!self.active && !silenced && !inhibited)
            || (!self.silenced && silenced)
            || (!self.inhibited && inhibited);
        (!unwanted).then_some(status)
    }
}

pub(super) async fn list(State(role): State<Alertmanager>, Tenant(id): Tenant, uri: Uri) -> Response {
    let filter = match AlertFilter::new(&Params::of(&uri), role.0.config.language()) {
        Ok(filter) => filter,
        Err(refused) => return *refused,
    };
    let tenant = role.0.shown(&id);
    let (setup, now) = (tenant.setup(), role.0.now());
    let dispatcher = tenant.dispatcher.lock();
    let mut shown = Vec::new();
    for alert in dispatcher.alerts() {
        let routes = dispatcher.routes().matching(&alert.labels);
        let names: Vec<&str> = routes.iter().map(|route| route.options.receiver.as_str()).collect();
        if !filter.receivers.any(&setup.config, &names) {
            continue;
        }
        let Some(status) = filter.status(alert, &dispatcher, now) else { continue };
        let named = names.into_iter().map(|name| Named { name: name.to_owned() }).collect();
        shown.push(Shown::new(alert, status, named, &[]));
    }
    drop(dispatcher);
    shown.sort_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
    json(StatusCode::OK, &shown)
}

pub(super) async fn push(
    State(role): State<Alertmanager>,
    Tenant(id): Tenant,
    request: Request<Body>,
) -> Response {
    let shared = &role.0;
    let value = match read::json(request, shared.config.max_request.bytes(), "alerts").await {
        Ok(Some(value)) => value,
        Ok(None) => return *read::required("alerts"),
        Err(refused) => return *refused,
    };
    let posted = match posted(&value) {
        Ok(posted) => posted,
        Err(refused) => return *refused,
    };
    let tenant = match shared.tenant(&id) {
        Ok(tenant) => tenant,
        Err(refused) => return overloaded(&refused),
    };
    let now = shared.now();
    let resolve_timeout = tenant.setup().config.global.resolve_timeout;
    let (mut good, mut problems) = (Vec::with_capacity(posted.len()), Vec::new());
    for posted in posted {
        let alert = posted.into_alert(resolve_timeout, now);
        count(shared, &alert, now);
        match alert.check(shared.config.language()) {
            Ok(()) => good.push(alert),
            Err(problem) => {
                shared.metrics.invalid.inc();
                problems.push(problem.to_string());
            }
        }
    }
    let pushed = match shared.push(&tenant, good, now).await {
        Ok(pushed) => pushed,
        Err(why) => return overloaded(&why),
    };
    if pushed.refused {
        let max = shared.config.max_alerts;
        return overloaded(&format!("there are {max} alerts, as many as alertmanager.max_alerts allows"));
    }
    if problems.is_empty() {
        return StatusCode::OK.into_response();
    }
    bad(&problems.join("\n"))
}

fn count(shared: &Shared, alert: &Alert, now: Moment) {
    let status = if alert.is_resolved(now) { "resolved" } else { "firing" };
    shared.metrics.received.get_or_create(&[("status", status)]).inc();
}

/// An alert as it was sent.
struct Posted {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: Option<Moment>,
    ends_at: Option<Moment>,
    generator_url: String,
}

fn posted(value: &Value) -> Result<Vec<Posted>, Refused> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        Value::Null => &[],
        other => {
            let why = read::mismatch_whole(other, "models.PostableAlerts");
            return Err(read::unreadable("alerts", &why));
        }
    };
    let unreadable = |why: String| read::unreadable("alerts", &why);
    // All are read before any is looked into.
    let read: Vec<_> = items.iter().map(one).collect::<Result<_, _>>().map_err(unreadable)?;
    let mut posted = Vec::with_capacity(read.len());
    for (index, (labels, rest)) in read.into_iter().enumerate() {
        let url = &rest.generator_url;
        if !url.is_empty() && !is_uri(url) {
            return Err(read::invalid_type(&format!("{index}.generatorURL in body"), "uri", url));
        }
        let Some(labels) = labels else { return Err(read::required(&format!("{index}.labels"))) };
        posted.push(Posted { labels, ..rest });
    }
    Ok(posted)
}

/// An alert's labels, if they are given, and the rest of it.
fn one(value: &Value) -> Result<(Option<BTreeMap<String, String>>, Posted), String> {
    let empty = Value::Object(serde_json::Map::new());
    let value = if value.is_null() { &empty } else { value };
    let fields = Fields::of(value, "PostableAlert", "")?;
    let alert = Fields::of(value, "Alert", "Alert")?;
    let rest = Posted {
        labels: BTreeMap::new(),
        annotations: fields.texts("annotations")?.unwrap_or_default(),
        starts_at: fields.time("startsAt")?.1,
        ends_at: fields.time("endsAt")?.1,
        generator_url: alert.text("generatorURL")?.unwrap_or_default().to_owned(),
    };
    Ok((alert.texts("labels")?, rest))
}

/// Whether a text may be a URI as Go's requests have it: with a scheme, or a path.
fn is_uri(text: &str) -> bool {
    url_parts(text).is_ok_and(|parts| text.starts_with('/') || !parts.scheme.is_empty())
}

impl Posted {
    fn into_alert(self, resolve_timeout: std::time::Duration, now: Moment) -> Alert {
        let labels = self.labels.into_iter().filter(|(_, value)| !value.is_empty());
        Alert {
            labels: Labels::from_pairs(labels),
            annotations: Arc::new(self.annotations),
            starts_at: self.starts_at.or(self.ends_at).unwrap_or(now),
            ends_at: Some(self.ends_at.unwrap_or(now.plus(resolve_timeout))),
            generator_url: self.generator_url.into(),
            updated_at: now,
            timeout: self.ends_at.is_none(),
        }
    }
}
