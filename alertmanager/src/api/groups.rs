//! `/alerts/groups`: alerts as they are told together.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use rpc::Tenant;
use serde::Serialize;

use super::alerts::{AlertFilter, Named, Shown, pairs};
use super::answer::json;
use super::params::Params;
use crate::alert::Fingerprint;
use crate::dispatch::{AlertStatus, GroupView};
use crate::moment::Moment;
use crate::notify::Labelled;
use crate::service::{Alertmanager, Shared};
use crate::setup::Setup;
use crate::tenant::Tenant as Owner;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownGroup {
    alerts: Vec<Shown>,
    labels: BTreeMap<String, String>,
    receiver: Named,
    route_labels: BTreeMap<String, String>,
}

pub(super) async fn list(State(role): State<Alertmanager>, Tenant(id): Tenant, uri: Uri) -> Response {
    let params = Params::of(&uri);
    let filter = match AlertFilter::new(&params, role.0.config.language()) {
        Ok(filter) => filter,
        Err(refused) => return *refused,
    };
    let tenant = role.0.shown(&id);
    let (setup, now) = (tenant.setup(), role.0.now());
    let wanted = wanted(&tenant, &filter, now);
    let told = told(&wanted);
    let muted = params.wanted("muted");
    let shown: Vec<ShownGroup> = wanted
        .into_iter()
        .filter(|(group, _)| muted || group.muted_by.is_empty())
        .map(|(group, statuses)| show(&role.0, &setup, &group, statuses, &told, now))
        .collect();
    json(StatusCode::OK, &shown)
}

/// The groups that are wanted, with what becomes of each of their alerts that is.
pub(super) fn wanted(
    tenant: &Owner,
    filter: &AlertFilter,
    now: Moment,
) -> Vec<(GroupView, Vec<AlertStatus>)> {
    let setup = tenant.setup();
    let dispatcher = tenant.dispatcher.lock();
    let mut wanted = Vec::new();
    for mut group in dispatcher.groups(now) {
        if !filter.receivers.any(&setup.config, &[&group.receiver]) {
            continue;
        }
        let mut statuses = Vec::new();
        group.alerts.retain(|alert| {
            let status = filter.status(alert, &dispatcher, now);
            let keeps = status.is_some();
            statuses.extend(status);
            keeps
        });
        if !group.alerts.is_empty() {
            wanted.push((group, statuses));
        }
    }
    wanted
}

/// Who is told of each alert.
fn told(groups: &[(GroupView, Vec<AlertStatus>)]) -> BTreeMap<Fingerprint, Vec<Named>> {
    let mut told: BTreeMap<Fingerprint, Vec<Named>> = BTreeMap::new();
    for (group, _) in groups {
        for alert in &group.alerts {
            told.entry(alert.fingerprint()).or_default().push(Named { name: group.receiver.clone() });
        }
    }
    told.values_mut().for_each(|names| names.sort_by(|a, b| a.name.cmp(&b.name)));
    told
}

fn show(
    shared: &Shared,
    setup: &Setup,
    group: &GroupView,
    statuses: Vec<AlertStatus>,
    told: &BTreeMap<Fingerprint, Vec<Named>>,
    now: Moment,
) -> ShownGroup {
    let alerts = group.alerts.iter().zip(statuses).map(|(alert, status)| {
        let receivers = told.get(&alert.fingerprint()).cloned().unwrap_or_default();
        Shown::new(alert, status, receivers, &group.muted_by)
    });
    let labelled = Labelled {
        receiver: &group.receiver,
        labels: &group.route.options.labels,
        group_labels: &group.labels,
        alerts: &group.group_alerts,
    };
    ShownGroup {
        alerts: alerts.collect(),
        labels: pairs(&group.labels),
        receiver: Named { name: group.receiver.clone() },
        route_labels: labelled.rendered(&setup.templates, &shared.external_url, now),
    }
}
