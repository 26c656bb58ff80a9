//! The metrics that queries are made of.

/// A metric that the generator uses.
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) labels: &'static [&'static str],
    /// Matchers that leave something.
    pub(super) matchers: &'static [&'static str],
}

const TARGET: &[&str] =
    &["job=\"api\"", "job!=\"api\"", "instance=\"0\"", "instance=~\"1|2\",job=~\"a.*|w.*\"", "nosuch=\"\""];

/// Metrics that are counters.
pub(super) const COUNTERS: &[Metric] = &[
    Metric {
        name: "http_requests_total",
        labels: &["code", "instance", "job", "method"],
        matchers: &[
            "code=\"200\"",
            "code=~\"[45]..\",job=\"web\"",
            "method=\"GET\"",
            "job=\"api\",instance=\"1\"",
            "code!~\"2..\"",
        ],
    },
    Metric { name: "errors_total", labels: &["instance", "job"], matchers: TARGET },
    Metric { name: "latency_seconds_count", labels: &["instance", "job"], matchers: TARGET },
    Metric { name: "latency_seconds_sum", labels: &["instance", "job"], matchers: TARGET },
];

/// Metrics that are gauges.
pub(super) const GAUGES: &[Metric] = &[
    Metric { name: "memory_bytes", labels: &["instance", "job"], matchers: TARGET },
    Metric { name: "queue_length", labels: &["instance", "job"], matchers: TARGET },
    Metric { name: "up", labels: &["instance", "job"], matchers: TARGET },
    Metric {
        name: "temperature_celsius",
        labels: &["instance", "job", "sensor"],
        matchers: &["sensor=\"cpu\"", "sensor=~\"d.+\"", "job=\"web\"", "sensor!=\"\",instance!=\"0\""],
    },
    Metric { name: "memory_limit_bytes", labels: &["job"], matchers: &["job=\"api\"", "job=~\".+\""] },
    Metric {
        name: "odd_value",
        labels: &["kind"],
        matchers: &["kind=~\"mixed|somenan|stale\"", "kind=~\"zero|constant|big\"", "kind!~\"huge|tiny\""],
    },
    Metric { name: "sparse", labels: &["job"], matchers: &["job=\"api\""] },
];

/// Metrics that are native histograms.
pub(super) const HISTOGRAMS: &[Metric] = &[
    Metric { name: "rpc_seconds", labels: &["instance", "job"], matchers: TARGET },
    Metric { name: "payload_bytes", labels: &["instance", "job"], matchers: TARGET },
    Metric {
        name: "batch_sizes",
        labels: &["instance", "job"],
        matchers: &["job=\"web\"", "instance=\"0\""],
    },
];
