//! The registry handle that every role receives: cheap to clone, carries a name prefix, never global.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Metric;

use crate::exemplars::TracedHistogram;
use crate::exposition::{self, Format, GatheredSample};
use crate::metrics::{FloatCounter, FloatGauge};

/// What every metric name of ours starts with.
pub const PREFIX: &str = "barograph";

/// A family of histograms that share their buckets, and have exemplars.
pub type HistogramFamily<L> = Family<L, TracedHistogram, Buckets>;

/// Makes histograms with fixed upper bounds; the constructor inside a [`HistogramFamily`].
#[derive(Debug, Clone)]
pub struct Buckets(Arc<[f64]>);

impl MetricConstructor<TracedHistogram> for Buckets {
    fn new_metric(&self) -> TracedHistogram {
        TracedHistogram::new(&self.0)
    }
}

/// A handle on a metrics registry, with the prefix under which this holder registers.
///
/// Counters are registered without `_total`, which the exposition adds.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Mutex<Shared>>,
    prefix: Arc<str>,
}

#[derive(Default)]
struct Shared {
    registry: prometheus_client::registry::Registry,
    names: BTreeSet<String>,
}

impl Registry {
    /// An empty registry whose metrics are named `barograph_…`.
    pub fn new() -> Self {
        Self { shared: Arc::default(), prefix: PREFIX.into() }
    }

    /// The same registry with `part` added to the prefix: `sub("ingester")` registers `barograph_ingester_…`.
    pub fn sub(&self, part: &str) -> Self {
        Self { shared: Arc::clone(&self.shared), prefix: format!("{}_{part}", self.prefix).into() }
    }

    /// The same registry with another prefix than ours: for metrics that dashboards know by upstream's names.
    pub fn under(&self, prefix: &str) -> Self {
        Self { shared: Arc::clone(&self.shared), prefix: prefix.into() }
    }

    /// Registers `metric` as `<prefix>_<name>`.
    ///
    /// # Panics
    /// When the name is taken: two metrics of one name make an exposition that no scraper accepts.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        let full = format!("{}_{name}", self.prefix);
        let mut shared = self.lock();
        assert!(shared.names.insert(full.clone()), "metric {full} is registered twice");
        shared.registry.register(full, help.trim_end_matches('.'), metric);
    }

    /// Registers a collector, which names its metrics itself, prefix included.
    pub fn register_collector(&self, collector: impl Collector) {
        self.lock().registry.register_collector(Box::new(collector));
    }

    /// A new counter, registered.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.registered(name, help, Counter::default())
    }

    /// A new counter of floats, registered.
    pub fn float_counter(&self, name: &str, help: &str) -> FloatCounter {
        self.registered(name, help, FloatCounter::default())
    }

    /// A new gauge, registered.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.registered(name, help, Gauge::default())
    }

    /// A new gauge of floats, registered.
    pub fn float_gauge(&self, name: &str, help: &str) -> FloatGauge {
        self.registered(name, help, FloatGauge::default())
    }

    /// A new histogram with the upper bounds `buckets`, registered.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.registered(name, help, Histogram::new(buckets.iter().copied()))
    }

    /// A new family of counters or gauges by label set, registered.
    pub fn family<L, M>(&self, name: &str, help: &str) -> Family<L, M>
    where
        L: Clone + Hash + Eq,
        M: Default,
        Family<L, M>: Metric + Default + Clone,
    {
        self.registered(name, help, Family::default())
    }

    /// A new family of histograms by label set, registered.
    pub fn histogram_family<L>(&self, name: &str, help: &str, buckets: &[f64]) -> HistogramFamily<L>
    where
        L: Clone + Hash + Eq + EncodeLabelSet + fmt::Debug + Send + Sync + 'static,
    {
        self.registered(name, help, Family::new_with_constructor(Buckets(buckets.into())))
    }

    /// Everything registered, as text that a scraper reads.
    pub fn encode(&self, format: Format) -> String {
        let text = self.encode_openmetrics();
        match format {
            Format::OpenMetrics => text,
            Format::Prometheus => exposition::to_prometheus_text(&text),
        }
    }

    /// Everything registered, as OpenMetrics 1.0 text.
    pub fn encode_openmetrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.lock().registry)
            .expect("writing to a String fails only where a collector does, and ours do not");
        text
    }

    /// Every sample of everything registered, so that the process can ingest its own metrics.
    pub fn gather(&self) -> Vec<GatheredSample> {
        exposition::samples(&self.encode_openmetrics())
    }

    /// The names registered so far, sorted, without suffixes that the exposition adds. Collectors are not among them.
    pub fn names(&self) -> Vec<String> {
        self.lock().names.iter().cloned().collect()
    }

    fn registered<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.register(name, help, metric.clone());
        metric
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A panic while registering leaves the registry whole: the name check comes first.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
