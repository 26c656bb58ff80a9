//! Logging and trace set-up, the metrics registry handle and log rate limits.
//!
//! Nothing here is global: a process may hold several registries (tests and simulation do), each role gets the one it
//! is given, and only `main` calls [`logging::init`]. Nothing here reads a clock: what depends on time takes `now`.

mod exemplars;
pub mod exposition;
pub mod logging;
pub mod rate_limit;
pub mod registry;
pub mod tenants;
pub mod trace;

pub use exemplars::TracedHistogram;
pub use exposition::{Format, GatheredSample};
pub use logging::{LogConfig, LogError, LogFormat};
pub use rate_limit::LogRateLimit;
pub use registry::{HistogramFamily, Registry};
pub use tenants::{NoLabels, TenantFamily};

/// The metric types and label derives that roles use, so that they name one crate.
pub mod metrics {
    pub use prometheus_client::collector::Collector;
    pub use prometheus_client::encoding::{
        DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelSetEncoder, LabelValueEncoder,
    };
    pub use prometheus_client::metrics::counter::{ConstCounter, Counter};
    pub use prometheus_client::metrics::family::Family;
    pub use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
    pub use prometheus_client::metrics::histogram::{Histogram, exponential_buckets, linear_buckets};
    pub use prometheus_client::registry::Unit;

    /// A gauge that holds a float.
    pub type FloatGauge = Gauge<f64, std::sync::atomic::AtomicU64>;
    /// A counter that holds a float, for seconds and the like.
    pub type FloatCounter = Counter<f64, std::sync::atomic::AtomicU64>;
}
