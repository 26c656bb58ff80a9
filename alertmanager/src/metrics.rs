//! What is counted, under upstream's names.

use telemetry::metrics::{Counter, Family, FloatGauge, Gauge};
use telemetry::{HistogramFamily, Registry};

use crate::notify::{KINDS, Reason};

/// What all names begin with.
const PREFIX: &str = "alertmanager";
/// Upper bounds, in seconds, of how long receivers take to answer: upstream's.
const LATENCY_SECONDS: [f64; 5] = [1.0, 5.0, 10.0, 15.0, 20.0];

type Integration = [(&'static str, &'static str); 1];
type Failure = [(&'static str, &'static str); 2];
type Label = [(&'static str, &'static str); 1];

/// A counter for each kind of integration.
#[derive(Debug, Clone)]
pub(crate) struct ByKind<M>(Family<Integration, M>);

/// How long requests took, by kind of integration.
#[derive(Debug, Clone)]
pub(crate) struct Latency(HistogramFamily<Integration>);

impl ByKind<Counter> {
    fn new(registry: &Registry, name: &str, help: &str) -> Self {
        let family: Family<Integration, Counter> = registry.family(name, help);
        for kind in KINDS {
            let _from_the_start = family.get_or_create(&[("integration", kind)]);
        }
        Self(family)
    }

    pub(crate) fn of(&self, kind: &'static str) -> Counter {
        self.0.get_or_create_owned(&[("integration", kind)])
    }
}

impl Latency {
    pub(crate) fn of(&self, kind: &'static str) -> telemetry::TracedHistogram {
        self.0.get_or_create_owned(&[("integration", kind)])
    }
}

/// The role's metrics. Clones are the same metrics.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) received: Family<Label, Counter>,
    pub(crate) invalid: Counter,
    pub(crate) refused: Counter,
    pub(crate) alerts: Family<Label, Gauge>,
    pub(crate) silences: Family<Label, Gauge>,
    pub(crate) groups: Gauge,
    pub(crate) groups_refused: Counter,
    pub(crate) notifications: ByKind<Counter>,
    pub(crate) requests: ByKind<Counter>,
    pub(crate) requests_failed: ByKind<Counter>,
    pub(crate) suppressed: Family<Label, Counter>,
    pub(crate) latency: Latency,
    failed: Family<Failure, Counter>,
    pub(crate) reload_successful: Gauge,
    pub(crate) reload_succeeded_at: FloatGauge,
    pub(crate) config_hash: Gauge,
    pub(crate) receivers: Gauge,
    pub(crate) integrations: Gauge,
    pub(crate) inhibition_rules: Gauge,
    pub(crate) snapshot_bytes: Gauge,
    pub(crate) snapshots: Counter,
    pub(crate) snapshots_failed: Counter,
    pub(crate) unrecorded: Counter,
    pub(crate) own_configs: Gauge,
    pub(crate) own_configs_unusable: Gauge,
    pub(crate) cluster_enabled: Gauge,
    pub(crate) members: Gauge,
    pub(crate) uncommitted: Gauge,
    pub(crate) without_metastore: Gauge,
    pub(crate) dispatched_tenants: Gauge,
    pub(crate) spreads_failed: Counter,
}

impl Metrics {
    /// Registers them.
    pub(crate) fn register(registry: &Registry) -> Self {
        let registry = registry.under(PREFIX);
        let failed: Family<Failure, Counter> =
            registry.family("notifications_failed", "The total number of failed notifications.");
        for kind in KINDS {
            for reason in Reason::ALL {
                let _from_the_start =
                    failed.get_or_create(&[("integration", kind), ("reason", reason.as_str())]);
            }
        }
        let cluster_enabled =
            registry.gauge("cluster_enabled", "Indicates whether the clustering is enabled or not.");
        cluster_enabled.set(0);
        Self {
            cluster_enabled,
            members: registry.gauge("cluster_members", "Number indicating current number of members in cluster."),
            uncommitted: registry.gauge(
                "cluster_uncommitted_notifications",
                "Notifications that went out and that the metastore has not taken down yet, so that a failover may repeat them",
            ),
            without_metastore: registry.gauge(
                "cluster_without_metastore",
                "1 while the metastore is gone and this process tells by what it knows; notifications may be repeated then",
            ),
            dispatched_tenants: registry
                .gauge("cluster_dispatched_tenants", "Tenants whose alerts this process tells receivers of"),
            spreads_failed: registry.counter(
                "cluster_alerts_unsent",
                "Times that another Alertmanager of the cluster could not be told of alerts that were posted to this one",
            ),
            own_configs: registry
                .gauge("tenant_configs", "Tenants that have set a configuration of their own"),
            own_configs_unusable: registry.gauge(
                "tenant_configs_unusable",
                "Tenants whose own configuration cannot be used any more, so that nobody is told of their alerts",
            ),
            received: registry.family("alerts_received", "The total number of received alerts."),
            invalid: registry
                .counter("alerts_invalid", "The total number of received alerts that were invalid."),
            refused: registry.counter(
                "alerts_limited",
                "Alerts that were refused since there are as many as there may be",
            ),
            alerts: registry.family("alerts", "How many alerts by state."),
            silences: registry.family("silences", "How many silences by state."),
            groups: registry
                .gauge("dispatcher_aggregation_groups", "Number of active aggregation groups"),
            groups_refused: registry.counter(
                "dispatcher_aggregation_group_limit_reached",
                "Number of times when dispatcher failed to create new aggregation group due to limit.",
            ),
            notifications: ByKind::new(
                &registry,
                "notifications",
                "The total number of attempted notifications.",
            ),
            requests: ByKind::new(
                &registry,
                "notification_requests",
                "The total number of attempted notification requests.",
            ),
            requests_failed: ByKind::new(
                &registry,
                "notification_requests_failed",
                "The total number of failed notification requests.",
            ),
            suppressed: registry.family(
                "notifications_suppressed",
                "The total number of notifications suppressed for being silenced, inhibited, outside of active time \
                 intervals or within muted time intervals.",
            ),
            latency: Latency(registry.histogram_family(
                "notification_latency_seconds",
                "The latency of notifications in seconds.",
                &LATENCY_SECONDS,
            )),
            failed,
            reload_successful: registry.gauge(
                "config_last_reload_successful",
                "Whether the last configuration reload attempt was successful.",
            ),
            reload_succeeded_at: registry.float_gauge(
                "config_last_reload_success_timestamp_seconds",
                "Timestamp of the last successful configuration reload.",
            ),
            config_hash: registry.gauge("config_hash", "Hash of the currently loaded alertmanager configuration."),
            receivers: registry.gauge("receivers", "Number of configured receivers."),
            integrations: registry.gauge("integrations", "Number of configured integrations."),
            inhibition_rules: registry.gauge("inhibition_rules", "Number of configured inhibition rules."),
            snapshot_bytes: registry
                .gauge("state_snapshot_size_bytes", "Size of the last snapshot of silences and notification log"),
            snapshots: registry.counter("state_snapshots", "Snapshots of silences and notification log"),
            snapshots_failed: registry
                .counter("state_snapshots_failed", "Snapshots that could not be written; the log has it all"),
            unrecorded: registry.counter(
                "notification_log_unrecorded",
                "Notifications that went out and could not be kept in the log, so that a restart may repeat them",
            ),
        }
    }

    /// Counts a notification that was given up.
    pub(crate) fn failed(&self, kind: &'static str, reason: Reason) {
        self.failed.get_or_create(&[("integration", kind), ("reason", reason.as_str())]).inc();
    }

    /// Counts alerts that were not told.
    pub(crate) fn suppressed(&self, reason: &'static str, alerts: usize) {
        if alerts > 0 {
            self.suppressed.get_or_create(&[("reason", reason)]).inc_by(alerts as u64);
        }
    }
}
