//! Telling Alertmanagers: alerts get external labels, are relabelled, and wait in a queue for each Alertmanager, so that one
//! that is slow or gone holds up no other, and no rule.

mod alertmanager;
mod discovery;
mod dns;
mod queue;
mod targets;

use std::collections::BTreeMap;
use std::sync::Arc;

use env::{Clock, Scope};
use model::TenantId;
use proto::{PostAlerts, PostedAlert};
use relabel::Verdict;
use rules::SentAlert;

use crate::config::RulerConfig;
use crate::metrics::NotificationMetrics;

pub use discovery::{Alertmanagers, Discover};
pub use dns::NameServers;
use queue::Sending;
use targets::Targets;

/// An alert that is to be sent, and whose it is.
type Waiting = (TenantId, PostedAlert);

/// An Alertmanager, and what it is called in metrics.
#[derive(Clone)]
pub struct Target {
    /// What it is called: its URL, without a password.
    pub name: String,
    /// The way to it.
    pub way: Arc<dyn PostAlerts>,
}

/// The Alertmanagers that are told.
pub(crate) struct Notifier {
    external_labels: BTreeMap<String, String>,
    relabel: Arc<Vec<relabel::Rule>>,
    told: Vec<Arc<Targets>>,
}

impl Notifier {
    /// Begins to tell these, in tasks of `scope`.
    pub(crate) fn start(
        config: &RulerConfig,
        alertmanagers: Vec<Alertmanagers>,
        clock: &Arc<dyn Clock>,
        metrics: &NotificationMetrics,
        scope: &Scope,
    ) -> Self {
        metrics.capacity.set(i64::try_from(config.notification_queue_capacity).unwrap_or(i64::MAX));
        let sending = Arc::new(Sending::new(config, Arc::clone(clock), metrics.clone()));
        Self {
            external_labels: (*config.external_labels).clone(),
            relabel: Arc::new(config.alert_relabel_configs.to_vec()),
            told: alertmanagers.into_iter().map(|of| Targets::start(of, &sending, scope)).collect(),
        }
    }

    /// Sends alerts of a tenant: to be sent, that is.
    pub(crate) fn send(&self, tenant: &TenantId, alerts: &[SentAlert]) {
        if alerts.is_empty() || self.told.is_empty() {
            return;
        }
        let posted: Vec<PostedAlert> = alerts.iter().filter_map(|alert| self.prepare(alert)).collect();
        for targets in &self.told {
            targets.push(tenant, &posted);
        }
    }

    /// The alert as Alertmanagers are told of it; nothing where relabelling drops it.
    fn prepare(&self, alert: &SentAlert) -> Option<PostedAlert> {
        let mut labels = alert.labels.to_builder();
        for (name, value) in &self.external_labels {
            if labels.get(name).is_none_or(str::is_empty) {
                labels.set(name, value);
            }
        }
        if relabel::apply(&self.relabel, &mut labels) == Verdict::Drop {
            return None;
        }
        let labels = labels.build();
        if labels.is_empty() {
            return None;
        }
        Some(PostedAlert {
            labels,
            annotations: Arc::new(alert.annotations.clone()),
            starts_at_ms: alert.starts_at_ms,
            ends_at_ms: alert.ends_at_ms,
            generator_url: Arc::from(alert.generator_url.as_str()),
        })
    }
}
