//! What a tenant's queries may use and how much they may take.

use crate::ParseOptions;

/// Options of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// How far back an instant selector looks for a sample, in milliseconds; a sample exactly that old is too old.
    /// Default 5 minutes.
    pub lookback_ms: i64,
    /// The step of subqueries that name none, in milliseconds. Default 1 minute.
    pub default_subquery_step_ms: i64,
    /// How many samples a query may hold in memory at once. Default 50,000,000.
    pub max_samples: u64,
    /// How many bytes of samples and series a query may hold in memory at once. Default 2 GiB.
    pub max_memory_bytes: u64,
    /// An aggregation that is given series by labels, because not all are at hand, may have sums of so many bytes, about, to
    /// which more series may come. Beyond that, the rest of the series is gathered, which changes nothing but what is held.
    /// Default 16 MiB.
    pub max_open_shards_bytes: usize,
    /// How many steps a range query may have. Default 11,000, as in Prometheus.
    pub max_steps: u64,
    /// Experimental functions and aggregations. Default off.
    pub experimental_functions: bool,
    /// `anchored` and `smoothed`. Default off.
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left`, `fill_right`. Default off.
    pub fill_modifiers: bool,
    /// Metric names are dropped at the end of the query rather than by each function. Default off.
    pub delayed_name_removal: bool,
    /// `rate`, `irate`, `increase` and `resets` use start timestamps. Default off.
    pub start_timestamps: bool,
    /// Whether a metric is a counter is told from its `__type__` label rather than from its name. Default off.
    pub type_and_unit_labels: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_ms: 5 * 60_000,
            default_subquery_step_ms: 60_000,
            max_samples: 50_000_000,
            max_memory_bytes: 2 << 30,
            max_open_shards_bytes: 16 << 20,
            max_steps: 11_000,
            experimental_functions: false,
            extended_range_selectors: false,
            fill_modifiers: false,
            delayed_name_removal: false,
            start_timestamps: false,
            type_and_unit_labels: false,
        }
    }
}

impl EngineOptions {
    /// What these options allow the parser to accept.
    pub fn parse_options(&self) -> ParseOptions {
        ParseOptions {
            experimental_functions: self.experimental_functions,
            extended_range_selectors: self.extended_range_selectors,
            fill_modifiers: self.fill_modifiers,
        }
    }
}
