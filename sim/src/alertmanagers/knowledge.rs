//! Which process knows what of alerts at a moment: asked of the processes themselves, as another one would ask them, but without
//! a network in between.

use std::collections::BTreeMap;
use std::time::Duration;

use alertmanager::{Alertmanager, AlertmanagerService};
use futures::{FutureExt as _, StreamExt as _};
use membership::LeaseHolder;
use proto::alertmanager::HeldRequest;
use proto::alertmanager::alertmanager_server::Alertmanager as _;
use tonic::Request;

/// A process that lives.
#[derive(Clone)]
pub(super) struct Living {
    pub(super) life: String,
    pub(super) began: Duration,
    pub(super) role: Alertmanager,
    pub(super) lease: LeaseHolder,
}

/// What a process knows.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) began: Duration,
    /// When its lease was registered, which others know it by; `None` where it has none that holds.
    pub(super) registered: Option<Duration>,
    /// It goes on without a lease, since the metastore is gone for all that it reaches.
    pub(super) alone: bool,
    /// By alert: when what it knows was posted, by the clock of whoever was posted it, in nanoseconds.
    pub(super) alerts: BTreeMap<String, i64>,
}

/// What processes know at a moment, by their lives.
pub(super) type Knowledge = BTreeMap<String, Known>;

impl Living {
    /// What it knows now.
    pub(super) fn knows(&self, now: Duration) -> Known {
        let service = AlertmanagerService::new(self.role.clone());
        let held = self.lease.held();
        let registered = held.is_valid(now, Duration::ZERO).then_some(held.registered_at);
        let alone = service.is_without_metastore();
        // It waits for nothing.
        let parts = service.held(Request::new(HeldRequest::default())).now_or_never();
        let parts = parts.and_then(Result::ok).map(|answer| answer.into_inner().collect::<Vec<_>>());
        let parts = parts.and_then(futures::FutureExt::now_or_never).unwrap_or_default();
        let parts = parts.into_iter().filter_map(|part| part.ok()?.part);
        let alerts = parts.flat_map(|part| part.alerts);
        let alerts = alerts.filter_map(|mut alert| Some((alert.labels.remove("id")?, alert.updated_ns)));
        Known { began: self.began, registered, alone, alerts: alerts.collect() }
    }
}

/// The machine that a life is of.
pub(super) fn machine(life: &str) -> &str {
    life.split_once(' ').map_or(life, |(machine, _)| machine)
}
