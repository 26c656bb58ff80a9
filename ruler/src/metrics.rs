//! What is counted, under the names that Prometheus has for it.

use std::sync::Arc;

use telemetry::Registry;
use telemetry::metrics::{Counter, Family, FloatGauge, Gauge, Histogram};

/// Upper bounds of durations, in seconds: from a rule that finds nothing to one that takes a minute.
const DURATION_SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];
/// Of how many groups there are metrics by group; further ones are counted together, with the group left empty.
const MAX_GROUPS: usize = 5_000;

/// The group that a metric is about, `file;name`, and its tenant.
pub(crate) type GroupLabels = [(&'static str, Arc<str>); 2];
/// What a ruler of a cluster has of the groups.
pub(crate) type StandingLabels = [(&'static str, &'static str); 1];
/// The values of that.
const STANDINGS: [&str; 4] = ["nothing", "kept", "whole", "orphaned"];
/// The Alertmanager that a metric is about.
pub(crate) type TargetLabels = [(&'static str, Arc<str>); 1];

/// The role's metrics. Clones are the same metrics.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) rule_duration: Histogram,
    pub(crate) group_duration: Histogram,
    iterations: Family<GroupLabels, Counter>,
    missed: Family<GroupLabels, Counter>,
    evaluations: Family<GroupLabels, Counter>,
    failures: Family<GroupLabels, Counter>,
    interval: Family<GroupLabels, FloatGauge>,
    last_evaluation: Family<GroupLabels, FloatGauge>,
    last_duration: Family<GroupLabels, FloatGauge>,
    last_rules_duration: Family<GroupLabels, FloatGauge>,
    last_restore: Family<GroupLabels, FloatGauge>,
    rules: Family<GroupLabels, Gauge>,
    last_samples: Family<GroupLabels, Gauge>,
    pub(crate) groups: Gauge,
    pub(crate) unusable_groups: Gauge,
    pub(crate) write_failures: Counter,
    pub(crate) takeovers: Histogram,
    pub(crate) caught_up: Counter,
    standing: Family<StandingLabels, Gauge>,
    pub(crate) reload_successful: Gauge,
    pub(crate) reload_succeeded_at: FloatGauge,
    pub(crate) notifications: NotificationMetrics,
}

/// What is counted of alerts that are sent.
#[derive(Debug, Clone)]
pub(crate) struct NotificationMetrics {
    pub(crate) sent: Family<TargetLabels, Counter>,
    pub(crate) errors: Family<TargetLabels, Counter>,
    pub(crate) dropped: Family<TargetLabels, Counter>,
    pub(crate) queue_length: Family<TargetLabels, Gauge>,
    pub(crate) latency: Histogram,
    pub(crate) capacity: Gauge,
    pub(crate) targets: Gauge,
    pub(crate) lookups: Counter,
    pub(crate) lookup_failures: Counter,
}

impl Metrics {
    /// Registers them.
    pub(crate) fn register(registry: &Registry) -> Self {
        let own = registry.sub("ruler");
        let registry = registry.under("prometheus");
        Self {
            rule_duration: registry.histogram(
                "rule_evaluation_duration_seconds",
                "The duration for a rule to execute.",
                &DURATION_SECONDS,
            ),
            group_duration: registry.histogram(
                "rule_group_duration_seconds",
                "The duration of rule group evaluations.",
                &DURATION_SECONDS,
            ),
            iterations: registry.family(
                "rule_group_iterations",
                "The total number of scheduled rule group evaluations, whether executed or missed.",
            ),
            missed: registry.family(
                "rule_group_iterations_missed",
                "The total number of rule group evaluations missed due to slow rule group evaluation.",
            ),
            evaluations: registry.family("rule_evaluations", "The total number of rule evaluations."),
            failures: registry
                .family("rule_evaluation_failures", "The total number of rule evaluation failures."),
            interval: registry.family("rule_group_interval_seconds", "The interval of a rule group."),
            last_evaluation: registry.family(
                "rule_group_last_evaluation_timestamp_seconds",
                "The timestamp of the last rule group evaluation in seconds.",
            ),
            last_duration: registry.family(
                "rule_group_last_duration_seconds",
                "The duration of the last rule group evaluation.",
            ),
            last_rules_duration: registry.family(
                "rule_group_last_rule_duration_sum_seconds",
                "The sum of the durations of the rules of a group at its last evaluation.",
            ),
            last_restore: registry.family(
                "rule_group_last_restore_duration_seconds",
                "The duration of the last alert rules alerts restoration using the `ALERTS_FOR_STATE` series.",
            ),
            rules: registry.family("rule_group_rules", "The number of rules."),
            last_samples: registry.family(
                "rule_group_last_evaluation_samples",
                "The number of samples returned during the last rule group evaluation.",
            ),
            groups: own.gauge("groups", "Groups of rules that this process evaluates"),
            unusable_groups: own.gauge(
                "unusable_groups",
                "Groups that tenants have set, and that cannot be evaluated any more",
            ),
            write_failures: own
                .counter("write_failures", "Writes of what rules made that failed, in the end or in part"),
            takeovers: own.histogram(
                "takeover_duration_seconds",
                "How long it took to look up where a group was left by another ruler",
                &DURATION_SECONDS,
            ),
            caught_up: own
                .counter("caught_up_evaluations", "Evaluations of groups that were made up for, each at its own time"),
            standing: own.family(
                "share",
                "1 for what this ruler of a cluster has of the groups: nothing, what it has kept, its whole share, or, without the \
                 metastore, its share and what those had that are gone",
            ),
            reload_successful: own.gauge("last_reload_successful", "Whether the files of rules could be used"),
            reload_succeeded_at: own.float_gauge(
                "last_reload_success_timestamp_seconds",
                "When the files of rules were taken last",
            ),
            notifications: NotificationMetrics::register(&registry),
        }
    }

    /// What this ruler has of the groups of its cluster.
    pub(crate) fn standing(&self, name: &'static str) {
        for standing in STANDINGS {
            self.standing.get_or_create_owned(&[("share", standing)]).set(i64::from(standing == name));
        }
    }

    /// Those of one group: `number` is how many others there are.
    pub(crate) fn of_group(&self, tenant: &str, key: &str, number: usize) -> GroupMetrics {
        let (tenant, key) = if number < MAX_GROUPS { (tenant, key) } else { ("", "") };
        let labels = [("tenant", Arc::from(tenant)), ("rule_group", Arc::from(key))];
        GroupMetrics {
            iterations: self.iterations.get_or_create_owned(&labels),
            missed: self.missed.get_or_create_owned(&labels),
            evaluations: self.evaluations.get_or_create_owned(&labels),
            failures: self.failures.get_or_create_owned(&labels),
            interval: self.interval.get_or_create_owned(&labels),
            last_evaluation: self.last_evaluation.get_or_create_owned(&labels),
            last_duration: self.last_duration.get_or_create_owned(&labels),
            last_rules_duration: self.last_rules_duration.get_or_create_owned(&labels),
            last_restore: self.last_restore.get_or_create_owned(&labels),
            rules: self.rules.get_or_create_owned(&labels),
            last_samples: self.last_samples.get_or_create_owned(&labels),
            labels,
        }
    }

    /// A group is gone.
    pub(crate) fn forget(&self, group: &GroupMetrics) {
        let labels = &group.labels;
        if labels.iter().all(|(_, value)| value.is_empty()) {
            // Others are counted with it.
            return;
        }
        for counters in [&self.iterations, &self.missed, &self.evaluations, &self.failures] {
            counters.remove(labels);
        }
        let gauges = [&self.interval, &self.last_evaluation, &self.last_duration];
        for gauges in gauges.into_iter().chain([&self.last_rules_duration, &self.last_restore]) {
            gauges.remove(labels);
        }
        self.rules.remove(labels);
        self.last_samples.remove(labels);
    }
}

impl NotificationMetrics {
    fn register(registry: &Registry) -> Self {
        Self {
            sent: registry.family("notifications_sent", "Total number of alerts sent."),
            errors: registry
                .family("notifications_errors", "Total number of sent alerts affected by errors."),
            dropped: registry.family(
                "notifications_dropped",
                "Total number of alerts dropped due to errors when sending to Alertmanager.",
            ),
            queue_length: registry
                .family("notifications_queue_length", "The number of alert notifications in the queue."),
            latency: registry.histogram(
                "notifications_latency_seconds",
                "Latency for sending alert notifications.",
                &DURATION_SECONDS,
            ),
            capacity: registry
                .gauge("notifications_queue_capacity", "The capacity of the alert notifications queue."),
            targets: registry.gauge(
                "notifications_alertmanagers_discovered",
                "The number of alertmanagers discovered and active.",
            ),
            lookups: registry.counter("sd_dns_lookups", "The number of DNS-SD lookups."),
            lookup_failures: registry
                .counter("sd_dns_lookup_failures", "The number of DNS-SD lookup failures."),
        }
    }
}

/// The metrics of one group.
#[derive(Debug, Clone)]
pub(crate) struct GroupMetrics {
    pub(crate) iterations: Counter,
    pub(crate) missed: Counter,
    pub(crate) evaluations: Counter,
    pub(crate) failures: Counter,
    pub(crate) interval: FloatGauge,
    pub(crate) last_evaluation: FloatGauge,
    pub(crate) last_duration: FloatGauge,
    pub(crate) last_rules_duration: FloatGauge,
    pub(crate) last_restore: FloatGauge,
    pub(crate) rules: Gauge,
    pub(crate) last_samples: Gauge,
    labels: GroupLabels,
}
