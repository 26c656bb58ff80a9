//! What the distributor counts.

use proto::{RejectReason, Written};
use telemetry::metrics::{Counter, Family, Gauge, Histogram};
use telemetry::{Registry, TenantFamily};

/// Seconds that a push to an ingester may take.
const PUSH_BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// The metrics of a distributor.
#[derive(Clone)]
pub(crate) struct Metrics {
    received_samples: TenantFamily<Counter>,
    received_histograms: TenantFamily<Counter>,
    received_exemplars: TenantFamily<Counter>,
    received_requests: TenantFamily<Counter>,
    deduped_samples: TenantFamily<Counter>,
    discarded_samples: TenantFamily<Counter, OneLabel>,
    discarded_metadata: TenantFamily<Counter, OneLabel>,
    pub(crate) shed_requests: Family<OneLabel, Counter>,
    pub(crate) inflight_requests: Gauge,
    pub(crate) inflight_bytes: Gauge,
    pub(crate) push_failures: Counter,
    pub(crate) push_seconds: Histogram,
}

/// One label and its value.
pub(crate) type OneLabel = [(&'static str, &'static str); 1];

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let own = registry.sub("distributor");
        Self {
            received_samples: TenantFamily::register(
                &own,
                "received_samples",
                "Float samples received, before any is refused or deduplicated",
            ),
            received_histograms: TenantFamily::register(
                &own,
                "received_histograms",
                "Native histograms received, before any is refused or deduplicated",
            ),
            received_exemplars: TenantFamily::register(
                &own,
                "received_exemplars",
                "Exemplars received, before any is refused or deduplicated",
            ),
            received_requests: TenantFamily::register(&own, "received_requests", "Write requests received"),
            deduped_samples: TenantFamily::register(
                &own,
                "deduped_samples",
                "Samples and histograms left out because another replica of their HA pair is elected",
            ),
            discarded_samples: TenantFamily::register(
                registry,
                "discarded_samples",
                "Samples and histograms that were refused, by reason",
            ),
            discarded_metadata: TenantFamily::register(
                registry,
                "discarded_metadata",
                "Metadata entries that were refused, by reason",
            ),
            shed_requests: own
                .family("shed_requests", "Write requests refused because too much was under way, by limit"),
            inflight_requests: own.gauge("inflight_requests", "Write requests under way"),
            inflight_bytes: own.gauge("inflight_bytes", "Bytes of write requests under way"),
            push_failures: own.counter("push_failures", "Pushes to an ingester that failed or took too long"),
            push_seconds: own.histogram(
                "push_duration_seconds",
                "How long pushes to an ingester took",
                &PUSH_BUCKETS,
            ),
        }
    }

    pub(crate) fn of(&self, tenant: &str) -> TenantMetrics {
        TenantMetrics {
            tenant: tenant.to_owned(),
            received_samples: self.received_samples.of(tenant),
            received_histograms: self.received_histograms.of(tenant),
            received_exemplars: self.received_exemplars.of(tenant),
            received_requests: self.received_requests.of(tenant),
            deduped_samples: self.deduped_samples.of(tenant),
            discarded_samples: self.discarded_samples.clone(),
            discarded_metadata: self.discarded_metadata.clone(),
        }
    }

    /// Forgets a tenant.
    pub(crate) fn remove(&self, tenant: &str) {
        self.received_samples.remove(tenant);
        self.received_histograms.remove(tenant);
        self.received_exemplars.remove(tenant);
        self.received_requests.remove(tenant);
        self.deduped_samples.remove(tenant);
        self.discarded_samples.remove(tenant);
        self.discarded_metadata.remove(tenant);
    }
}

/// The metrics of one tenant.
pub(crate) struct TenantMetrics {
    tenant: String,
    received_samples: Counter,
    received_histograms: Counter,
    received_exemplars: Counter,
    received_requests: Counter,
    deduped_samples: Counter,
    discarded_samples: TenantFamily<Counter, OneLabel>,
    discarded_metadata: TenantFamily<Counter, OneLabel>,
}

impl TenantMetrics {
    pub(crate) fn received(&self, received: Written) {
        self.received_requests.inc();
        self.received_samples.inc_by(received.samples);
        self.received_histograms.inc_by(received.histograms);
        self.received_exemplars.inc_by(received.exemplars);
    }

    pub(crate) fn deduped(&self, samples: u64) {
        if samples > 0 {
            self.deduped_samples.inc_by(samples);
        }
    }

    pub(crate) fn discarded(&self, reason: RejectReason, refused: Written) {
        self.discarded_for(reason.as_str(), refused.samples + refused.histograms);
    }

    /// Counts samples left out for a reason that is no error of the sender's.
    pub(crate) fn discarded_for(&self, reason: &'static str, samples: u64) {
        if samples > 0 {
            let label = [("reason", reason)];
            self.discarded_samples.of_labels(&self.tenant, &label).inc_by(samples);
        }
    }

    pub(crate) fn discarded_metadata(&self, reason: &'static str) {
        let label = [("reason", reason)];
        self.discarded_metadata.of_labels(&self.tenant, &label).inc();
    }
}
