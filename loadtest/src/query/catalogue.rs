//! The queries that are measured: what dashboards and alerts ask about the [population](crate::population), of every
//! common kind, each on a metric that the population has.

/// At one time, or over a span of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `query`, at the end of the span.
    Instant,
    /// `query_range`, over the span.
    Range,
}

/// A query. `$span` in its expression stands for the length of the span.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// What it is called in reports.
    pub name: &'static str,
    /// How it is asked.
    pub kind: Kind,
    /// The expression.
    pub expr: &'static str,
}

const fn instant(name: &'static str, expr: &'static str) -> Query {
    Query { name, kind: Kind::Instant, expr }
}

const fn range(name: &'static str, expr: &'static str) -> Query {
    Query { name, kind: Kind::Range, expr }
}

/// All queries, in the order in which they are measured.
pub const QUERIES: &[Query] = &[
    instant("up by job", "sum by (job) (up)"),
    instant("series by name", r#"count by (__name__) ({__name__=~"node_.+"})"#),
    instant("largest containers", "topk(10, container_memory_working_set_bytes)"),
    instant("cpu by namespace", "sum by (namespace) (rate(container_cpu_usage_seconds_total[5m]))"),
    instant(
        "latency, 99th percentile",
        "histogram_quantile(0.99, sum by (le) (rate(http_server_request_duration_seconds_bucket[5m])))",
    ),
    instant("full disks", "node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.2"),
    instant("largest over span", "max by (namespace) (max_over_time(container_memory_rss[$span]))"),
    instant("errors over span", r#"sum(increase(http_server_requests_total{code="500"}[$span]))"#),
    instant("all running pods", r#"kube_pod_status_phase{phase="Running"}"#),
    instant("quantile of memory", "quantile(0.95, process_resident_memory_bytes)"),
    instant("disk full in four hours", "predict_linear(node_filesystem_free_bytes[1h], 4 * 3600) < 0"),
    range("load, each node", "node_load1"),
    range(
        "cpu use, each node",
        r#"100 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])) * 100"#,
    ),
    range("cpu by mode", "sum by (mode) (rate(node_cpu_seconds_total[5m]))"),
    range("memory use, each node", "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes"),
    range("memory by namespace", "sum by (namespace) (container_memory_working_set_bytes)"),
    range("cpu by pod", "sum by (namespace, pod) (rate(container_cpu_usage_seconds_total[5m]))"),
    range(
        "latency by handler",
        "histogram_quantile(0.95, sum by (le, handler) (rate(http_server_request_duration_seconds_bucket[5m])))",
    ),
    range(
        "error ratio",
        r#"sum(rate(http_server_requests_total{code=~"5.."}[5m])) / sum(rate(http_server_requests_total[5m]))"#,
    ),
    range("busiest writers", "topk(5, sum by (pod) (rate(container_fs_writes_bytes_total[5m])))"),
    range("traffic, each device", r#"rate(node_network_receive_bytes_total{device!~"lo|veth.+"}[5m]) * 8"#),
    range("used space by node", "max by (node) (node_filesystem_size_bytes - node_filesystem_free_bytes)"),
    range(
        "requests of running pods",
        r#"sum by (node) (kube_pod_container_resource_requests{resource="cpu"} * on (cluster, namespace, pod) group_left () kube_pod_info)"#,
    ),
    range("smoothed load", "avg_over_time(node_load5[10m])"),
    range("heat map", "sum by (le) (increase(http_server_request_duration_seconds_bucket[2m]))"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_there_are_25() {
        let names: BTreeSet<_> = QUERIES.iter().map(|query| query.name).collect();
        assert_eq!(names.len(), 25);
        assert_eq!(QUERIES.len(), 25);
    }
}
