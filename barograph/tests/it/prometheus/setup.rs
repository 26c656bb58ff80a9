//! The programs of the test, and what is waited for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::compare::Sides;
use super::target::Target;
use crate::http::{get, query_value};
use testkit::free_address;

use crate::support::{Barograph, Program, now_ms, peer, wait_for, wait_until};

/// How many scrapes of each target are compared, at least.
const SCRAPES: f64 = 25.0;

/// How Barograph is started: nothing but what Prometheus writes is in it.
pub(super) const ARGUMENTS: &[&str] = &["--self-monitoring.enabled=false"];

/// The jobs that Prometheus scrapes.
pub(super) const JOBS: [&str; 4] = ["barograph", "node", "odd", "prometheus"];

/// A version of the remote write protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

impl Version {
    fn message(self) -> &'static str {
        match self {
            Self::V1 => "prometheus.WriteRequest",
            Self::V2 => "io.prometheus.write.v2.Request",
        }
    }
}

/// What runs.
pub(super) struct Setup {
    pub(super) barograph: Barograph,
    prometheus: SocketAddr,
    _prometheus: Program,
    _exporter: Program,
    _odd: Target,
    folder: TempDir,
}

impl Setup {
    /// Starts everything.
    pub(super) fn start(version: Version) -> Self {
        let (prometheus, exporter) = (peer("prometheus"), peer("prometheus-node-exporter"));
        let folder = tempfile::tempdir().expect("a folder");
        let barograph = Barograph::start(&folder.path().join("barograph"), ARGUMENTS);
        let [addr, exporter_addr] = [(); 2].map(|()| free_address());
        let mut command = Command::new(exporter);
        command.arg(format!("--web.listen-address={exporter_addr}"));
        // It complains about what containers do not have.
        let exporter = Program::start(command.stdout(Stdio::null()));
        let odd = Target::start();
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, configuration(barograph.addr, version)).expect("written");
        for (job, target) in JOBS.iter().zip([barograph.addr, exporter_addr, odd.addr, addr]) {
            write_targets(folder.path(), job, &format!("'{target}'"));
        }
        let mut command = Command::new(prometheus);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("prometheus").display()))
            .arg(format!("--web.listen-address={addr}"))
            .arg("--enable-feature=native-histograms,exemplar-storage,metadata-wal-records")
            .arg("--log.level=error");
        let program = Program::start(command.stdout(Stdio::null()));
        Self { barograph, prometheus: addr, _prometheus: program, _exporter: exporter, _odd: odd, folder }
    }

    /// Where Barograph keeps its data.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("barograph")
    }

    /// Both sides, compared from a moment to now.
    pub(super) fn sides(&self, start_ms: i64) -> Sides {
        Sides { barograph: self.barograph.addr, prometheus: self.prometheus, start_ms, end_ms: now_ms() }
    }

    /// Waits until each target has been scraped often enough.
    pub(super) fn wait_for_scrapes(&self) {
        for job in JOBS {
            let query = format!("sum_over_time(up{{job=\"{job}\"}}[10m]) >= {SCRAPES}");
            wait_for(&format!("{SCRAPES} scrapes of {job}"), || {
                (!self.ask(&query)?.is_empty()).then_some(())
            });
        }
    }

    /// Takes its targets from Prometheus, and waits until it has marked all series stale.
    pub(super) fn stop_scraping(&self) {
        for job in JOBS {
            write_targets(self.folder.path(), job, "");
        }
        wait_for("every series to be stale", || self.ask("{__name__!=\"\"}")?.is_empty().then_some(()));
    }

    /// Waits until Prometheus has sent everything that it has.
    pub(super) fn wait_until_sent(&self) {
        const PREFIX: &str = "prometheus_remote_storage_";
        wait_until("everything to be sent", || {
            let metrics = self.metrics();
            let value = |name: &str| sum(&metrics, &format!("{PREFIX}{name}")).unwrap_or(f64::NAN);
            let pending = ["samples_pending", "histograms_pending", "exemplars_pending"].map(value);
            let newest = ["highest_timestamp_in_seconds", "queue_highest_sent_timestamp_seconds"].map(value);
            if pending == [0.0; 3] && newest[0] <= newest[1] {
                return Ok(());
            }
            Err(format!("pending are {pending:?}; the newest and the newest sent are of {newest:?}"))
        });
        for kind in ["samples", "histograms", "exemplars"] {
            let sent = sum(&self.metrics(), &format!("{PREFIX}{kind}_total"));
            assert!(sent > Some(0.0), "no {kind} were sent");
        }
    }

    /// Nothing that Prometheus wanted to send was refused, dropped, or had to be sent again.
    pub(super) fn nothing_failed(&self) {
        let metrics = self.metrics();
        for kind in ["samples", "histograms", "exemplars", "metadata"] {
            for outcome in ["failed_total", "retried_total", "dropped_total"] {
                let name = format!("prometheus_remote_storage_{kind}_{outcome}");
                let count = sum(&metrics, &name);
                // Prometheus has a counter of what it dropped once it has dropped something, and none for metadata.
                let absent = count.is_none() && outcome == "dropped_total";
                assert!(count == Some(0.0) || absent, "{name}: {count:?}");
            }
        }
        let (_, ours) = get(self.barograph.addr, "/metrics");
        for (name, allowed) in
            [("ingester_refused_samples_total", 0.0), ("distributor_push_failures_total", 0.0)]
        {
            assert_eq!(sum(&ours, &format!("barograph_{name}")), Some(allowed), "{name}");
        }
        let received = sum(&ours, "barograph_distributor_received_samples_total");
        assert_eq!(received, sum(&metrics, "prometheus_remote_storage_samples_total"));
    }

    fn metrics(&self) -> String {
        let (status, metrics) = get(self.prometheus, "/metrics");
        assert_eq!(status, 200, "{metrics}");
        metrics
    }

    /// The result of an instant query in Prometheus, once it answers.
    fn ask(&self, query: &str) -> Option<Vec<Value>> {
        let (status, body) = get(self.prometheus, &format!("/api/v1/query?query={}", query_value(query)));
        let answer: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
        answer.pointer("/data/result")?.as_array().cloned()
    }
}

/// The sum of the samples of one name in the text format; `None` where there are none.
fn sum(metrics: &str, name: &str) -> Option<f64> {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with([' ', '{']))?;
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

/// Targets come from files, because series get stale markers when a target goes, not when a job does.
fn write_targets(folder: &Path, job: &str, targets: &str) {
    let (file, new) = (folder.join(format!("targets-{job}.yml")), folder.join(format!("{job}.new")));
    std::fs::write(&new, format!("[{{targets: [{targets}]}}]\n")).expect("written");
    std::fs::rename(new, file).expect("renamed");
}

fn configuration(to: SocketAddr, version: Version) -> String {
    let jobs = JOBS.map(|job| {
        format!(
            "  - job_name: {job}
    always_scrape_classic_histograms: true
    file_sd_configs: [{{files: ['targets-{job}.yml'], refresh_interval: 1s}}]
"
        )
    });
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}
remote_write:
  - url: http://{to}/api/v1/push
    protobuf_message: {}
    send_native_histograms: true
    send_exemplars: true
    metadata_config: {{send: true, send_interval: 1s}}
    queue_config: {{batch_send_deadline: 500ms}}
scrape_configs:
{}",
        version.message(),
        jobs.concat()
    )
}
