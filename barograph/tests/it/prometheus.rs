//! A real Prometheus scrapes itself and the node exporter and remote-writes here, in both versions of the protocol;
//! what it holds is read back equal, sample by sample.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::support::{Barograph, Program, free_port, get, peer, query_value, request, wait_for};
use serde_json::Value;

/// How many scrapes of each target are compared, at least.
const SCRAPES: f64 = 5.0;

struct Setup {
    barograph: Barograph,
    _exporter: Program,
    prometheus: Vec<(&'static str, SocketAddr, Program)>,
    _folder: tempfile::TempDir,
}

/// Tenants, and the message with which each one's Prometheus writes.
const TENANTS: [(&str, &str); 2] =
    [("version-1", "prometheus.WriteRequest"), ("version-2", "io.prometheus.write.v2.Request")];

fn start() -> Option<Setup> {
    let (prometheus, exporter) = (peer("prometheus")?, peer("prometheus-node-exporter")?);
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["--multitenancy-enabled", "--self-monitoring.enabled=false"];
    let barograph = Barograph::start(&folder.path().join("barograph"), &arguments);
    let exporter_addr: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let exporter =
        Program::start(quiet(Command::new(exporter).arg(format!("--web.listen-address={exporter_addr}"))));
    let prometheus = TENANTS.map(|(tenant, message)| {
        let addr: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let config = folder.path().join(format!("{tenant}.yml"));
        std::fs::write(&config, configuration(addr, exporter_addr, barograph.addr, tenant, message))
            .expect("written");
        let mut command = Command::new(&prometheus);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join(tenant).display()))
            .arg(format!("--web.listen-address={addr}"))
            .args([
                "--enable-feature=native-histograms,exemplar-storage,metadata-wal-records",
                "--log.level=error",
            ]);
        (tenant, addr, Program::start(quiet(&mut command)))
    });
    Some(Setup { barograph, _exporter: exporter, prometheus: prometheus.into(), _folder: folder })
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::null()).stderr(Stdio::null())
}

fn configuration(
    own: SocketAddr,
    exporter: SocketAddr,
    to: SocketAddr,
    tenant: &str,
    message: &str,
) -> String {
    format!(
        "global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: prometheus
    static_configs: [{{targets: ['{own}']}}]
  - job_name: node
    static_configs: [{{targets: ['{exporter}']}}]
remote_write:
  - url: http://{to}/api/v1/push
    protobuf_message: {message}
    send_native_histograms: true
    send_exemplars: true
    headers: {{X-Scope-OrgID: {tenant}}}
    metadata_config: {{send_interval: 1s}}
    queue_config: {{batch_send_deadline: 1s}}
"
    )
}

/// The result of an API call.
fn data(addr: SocketAddr, prefix: &str, path: &str, tenant: &str) -> Value {
    let (status, body) = request(addr, &format!("{prefix}{path}"), &[("X-Scope-OrgID", tenant)]);
    assert_eq!(status, 200, "{path}: {body}");
    let answer: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"));
    answer.get("data").cloned().expect("data")
}

/// The series of a matrix, sorted, so that two of them compare.
fn matrix(addr: SocketAddr, prefix: &str, path: &str, tenant: &str) -> Vec<String> {
    let result = data(addr, prefix, path, tenant);
    let series = result.get("result").and_then(Value::as_array).expect("a matrix");
    let mut series: Vec<String> = series.iter().map(Value::to_string).collect();
    series.sort();
    series
}

fn first_difference(left: &[String], right: &[String]) -> String {
    let only = |a: &[String], b: &[String]| a.iter().find(|series| !b.contains(series)).cloned();
    format!(
        "{} and {} series; here only: {:?}; there only: {:?}",
        left.len(),
        right.len(),
        only(left, right),
        only(right, left)
    )
}

#[test]
fn what_prometheus_holds_is_read_back_equal() {
    let Some(setup) = start() else { return };
    for (tenant, prometheus, _) in &setup.prometheus {
        let scraped = |job: &str| {
            let query = query_value(&format!("count_over_time(up{{job=\"{job}\"}}[5m])"));
            let (status, body) = get(*prometheus, &format!("/api/v1/query?query={query}"));
            let answer: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
            let count: f64 = answer.pointer("/data/result/0/value/1")?.as_str()?.parse().ok()?;
            (count >= SCRAPES).then_some(())
        };
        wait_for("scrapes of itself", || scraped("prometheus"));
        wait_for("scrapes of the exporter", || scraped("node"));
        compare(&setup.barograph, *prometheus, tenant);
    }
}

fn compare(barograph: &Barograph, prometheus: SocketAddr, tenant: &str) {
    // One moment for both, so that samples that come meanwhile are in neither answer.
    let up = data(
        prometheus,
        "",
        &format!("/api/v1/query?query={}", query_value("timestamp(up{job=\"node\"}) - 2")),
        tenant,
    );
    let at = up.pointer("/result/0/value/1").and_then(Value::as_str).expect("a scrape").to_owned();
    let query = query_value("{__name__=~\".+\"}[5m]");
    let path = format!("/api/v1/query?query={query}&time={at}");
    let there = matrix(prometheus, "", &path, tenant);
    assert!(there.len() > 500, "only {} series in Prometheus", there.len());
    let mut here = Vec::new();
    let equal = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("all samples to arrive", || {
            here = matrix(barograph.addr, "/prometheus", &path, tenant);
            (here == there).then_some(())
        });
    }));
    assert!(equal.is_ok(), "{tenant}: {}", first_difference(&here, &there));
    let histograms = there.iter().filter(|series| series.contains("\"histograms\"")).count();
    assert!(histograms > 0, "{tenant}: Prometheus has no native histograms to compare");
    compare_rest(barograph, prometheus, tenant);
}

/// Label names and values, and metadata.
fn compare_rest(barograph: &Barograph, prometheus: SocketAddr, tenant: &str) {
    for path in ["/api/v1/labels", "/api/v1/label/__name__/values", "/api/v1/label/job/values"] {
        let both = || (data(barograph.addr, "/prometheus", path, tenant), data(prometheus, "", path, tenant));
        wait_for(path, || {
            let (here, there) = both();
            (here == there).then_some(())
        });
    }
    let family = "/api/v1/metadata?metric=node_cpu_seconds_total";
    wait_for(family, || {
        let here = data(barograph.addr, "/prometheus", family, tenant);
        (here == data(prometheus, "", family, tenant)).then_some(())
    });
}
