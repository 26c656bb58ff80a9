//! A real Prometheus keeps the exemplars of our latency histograms.

use std::process::{Command, Stdio};

use serde_json::Value as Json;

use super::collector::Collector;
use super::{WRITE, start, write};
use crate::http::{get, query_value};
use crate::support::{Program, now_ms, peer, wait_until};
use testkit::free_address;

#[test]
fn prometheus_scrapes_exemplars_that_name_a_trace() {
    let (folder, collector) = (tempfile::tempdir().expect("a folder"), Collector::start());
    let barograph = start(folder.path(), &collector);
    let (file, addr) = (folder.path().join("prometheus.yml"), free_address());
    let target = barograph.addr;
    let configuration = format!(
        "scrape_configs: [{{job_name: b, scrape_interval: 1s, static_configs: [{{targets: ['{target}']}}]}}]\n"
    );
    std::fs::write(&file, configuration).expect("written");
    let mut command = Command::new(peer("prometheus"));
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("prometheus").display()))
        .arg(format!("--web.listen-address={addr}"))
        .args(["--enable-feature=exemplar-storage", "--log.level=error"]);
    let _prometheus = Program::start(command.stdout(Stdio::null()));
    wait_until("Prometheus to be ready", || match get(addr, "/-/ready") {
        (200, _) => Ok(()),
        (status, text) => Err(format!("{status} {text}")),
    });
    write(barograph.addr, Some(WRITE));
    wait_until("the exemplar", || {
        let query = query_value("barograph_http_request_duration_seconds_bucket");
        let (start, end) = (now_ms() / 1_000 - 600, now_ms() / 1_000 + 60);
        let path = format!("/api/v1/query_exemplars?query={query}&start={start}&end={end}");
        let (status, body) = get(addr, &path);
        let answer: Json =
            serde_json::from_str(&body).map_err(|error| format!("{status} {body}: {error}"))?;
        let series = answer.pointer("/data").and_then(Json::as_array).cloned().unwrap_or_default();
        let named = |series: &Json| {
            let exemplars = series["exemplars"].as_array().cloned().unwrap_or_default();
            series["seriesLabels"]["route"] == "/api/v1/push"
                && exemplars.iter().any(|exemplar| exemplar["labels"]["trace_id"] == WRITE)
        };
        if series.iter().any(named) { Ok(()) } else { Err(body) }
    });
}
