//! What a run came to: for people, for programs, and several runs side by side.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::measure::Cost;
use crate::query::QueryReport;
use crate::verify::VerifyReport;
use crate::write::Summary;

/// Result of one `loadtest write`.
#[derive(Debug, Serialize)]
pub struct WriteReport {
    /// What the run is called.
    pub name: String,
    /// Where it went; several places are separated by commas.
    pub url: String,
    /// Active series at the end.
    pub series: u32,
    /// The generator's counts.
    #[serde(flatten)]
    pub summary: Summary,
    /// Ratios made of counts and cost.
    pub per: Ratios,
    /// What it cost the server, where processes were named.
    pub cost: Option<Cost>,
    /// What was read back while writing, where that was asked for.
    pub reading: Option<VerifyReport>,
}

/// The figures that runs are compared by.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ratios {
    /// Acknowledged samples per second.
    pub samples_per_second: f64,
    /// Bytes before compression per sample.
    pub uncompressed_bytes_per_sample: f64,
    /// Bytes on the wire per sample.
    pub compressed_bytes_per_sample: f64,
    /// The server's CPU-seconds per million samples.
    pub server_cpu_seconds_per_million: f64,
    /// The generator's own CPU-seconds per million samples.
    pub own_cpu_seconds_per_million: f64,
    /// Anonymous and shared memory per series at the end, less what there was before the run.
    pub memory_bytes_per_series: f64,
    /// The same at the peak.
    pub peak_memory_bytes_per_series: f64,
    /// Resident file pages per series at the end.
    pub file_bytes_per_series: f64,
    /// Disk bytes per sample, where the folder was named.
    pub disk_bytes_per_sample: Option<f64>,
}

impl WriteReport {
    /// Puts a report together.
    pub fn new(name: String, url: String, series: u32, summary: Summary, cost: Option<Cost>) -> Self {
        let samples = (summary.samples as f64).max(1.0);
        let sent = (summary.samples + summary.samples_not_acknowledged) as f64;
        let mut per = Ratios {
            samples_per_second: summary.samples as f64 / summary.seconds.max(1e-9),
            uncompressed_bytes_per_sample: summary.bytes_uncompressed as f64 / sent.max(1.0),
            compressed_bytes_per_sample: summary.bytes_compressed as f64 / sent.max(1.0),
            ..Ratios::default()
        };
        if let Some(cost) = &cost {
            let each = |bytes: u64, before: u64| bytes.saturating_sub(before) as f64 / f64::from(series);
            per.server_cpu_seconds_per_million = cost.server_cpu_seconds / samples * 1e6;
            per.own_cpu_seconds_per_million = cost.own_cpu_seconds / samples * 1e6;
            per.memory_bytes_per_series = each(cost.after.anonymous_bytes, cost.before.anonymous_bytes);
            per.peak_memory_bytes_per_series = each(cost.peak.anonymous_bytes, cost.before.anonymous_bytes);
            per.file_bytes_per_series = each(cost.after.file_bytes, cost.before.file_bytes);
            per.disk_bytes_per_sample = cost.disk_bytes.map(|bytes| bytes as f64 / samples);
        }
        Self { name, url, series, summary, per, cost, reading: None }
    }

    /// Whether everything was acknowledged, and what was read back meanwhile was right.
    pub fn complete(&self) -> bool {
        let read = self.reading.as_ref().is_none_or(VerifyReport::agrees);
        read && self.summary.samples_not_acknowledged == 0 && self.summary.miscounted == 0
    }

    /// For people.
    pub fn readable(&self) -> String {
        let Summary { samples, requests, seconds, .. } = self.summary;
        let mut rows = vec![
            ("samples acknowledged", format!("{samples} in {requests} requests, {seconds:.1} s")),
            ("samples per second", format!("{:.0}", self.per.samples_per_second)),
            (
                "bytes per sample",
                format!(
                    "{:.1}, compressed {:.1}",
                    self.per.uncompressed_bytes_per_sample, self.per.compressed_bytes_per_sample
                ),
            ),
            (
                "latency",
                format!(
                    "p50 {:.1} ms, p99 {:.1} ms",
                    self.summary.latency_p50_ms, self.summary.latency_p99_ms
                ),
            ),
        ];
        if let Some(cost) = &self.cost {
            rows.extend(cost_rows(cost, &self.per));
        }
        if !self.complete() || self.summary.retries > 0 {
            rows.push(("not acknowledged", format!("{} samples", self.summary.samples_not_acknowledged)));
            rows.push(("requests miscounted", self.summary.miscounted.to_string()));
            rows.push(("retries", self.summary.retries.to_string()));
        }
        for (kind, count) in &self.summary.errors {
            rows.push(("errors", format!("{count} × {kind}")));
        }
        for message in &self.summary.messages {
            rows.push(("", message.clone()));
        }
        let mut text = format!("{}: {} series to {}\n", self.name, self.series, self.url);
        for (what, value) in rows {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {what:<26}{value}");
        }
        if let Some(reading) = &self.reading {
            let _ = write!(text, "while writing: {}", reading.readable());
        }
        text
    }
}

fn cost_rows(cost: &Cost, per: &Ratios) -> Vec<(&'static str, String)> {
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut rows = vec![
        (
            "server CPU",
            format!(
                "{:.2} s, {:.2} of them after the last request",
                cost.server_cpu_seconds, cost.settle_cpu_seconds
            ),
        ),
        ("CPU-s per million samples", format!("{:.3}", per.server_cpu_seconds_per_million)),
        (
            "memory, anon + shared",
            format!(
                "{:.1} MiB, peak {:.1}, before {:.1}",
                mebibytes(cost.after.anonymous_bytes),
                mebibytes(cost.peak.anonymous_bytes),
                mebibytes(cost.before.anonymous_bytes)
            ),
        ),
        (
            "memory bytes per series",
            format!("{:.0}, peak {:.0}", per.memory_bytes_per_series, per.peak_memory_bytes_per_series),
        ),
        ("resident file pages", format!("{:.1} MiB", mebibytes(cost.after.file_bytes))),
    ];
    if let (Some(bytes), Some(per_sample)) = (cost.disk_bytes, per.disk_bytes_per_sample) {
        rows.push(("disk", format!("{:.1} MiB, {per_sample:.2} bytes per sample", mebibytes(bytes))));
    }
    rows.push(("generator CPU-s/million", format!("{:.3}", per.own_cpu_seconds_per_million)));
    rows
}

/// Why reports cannot be compared.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A file that cannot be read.
    #[error("cannot read report {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that is no report.
    #[error(
        "{path} is not a report of `loadtest write --json` or of `loadtest query --json`, as the first one is"
    )]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// What the comparison needs of a stored report.
#[derive(Debug, Deserialize)]
struct StoredReport {
    name: String,
    samples: u64,
    samples_not_acknowledged: u64,
    miscounted: u64,
    latency_p99_ms: f64,
    per: Ratios,
}

/// Stored reports as Markdown tables, in the order given: all of writes, or all of queries.
pub fn side_by_side(paths: &[PathBuf]) -> Result<String, ReportError> {
    let of_queries =
        paths.first().map(|path| parsed::<QueryReport>(path)).is_some_and(|report| report.is_ok());
    if of_queries {
        let reports: Result<Vec<_>, _> = paths.iter().map(|path| parsed(path)).collect();
        return Ok(crate::query::side_by_side(&reports?));
    }
    let mut table = String::from(
        "| run | samples | CPU-s/M | memory B/series | peak | file pages B/series | disk B/sample | samples/s | p99 ms | generator CPU-s/M |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for path in paths {
        let report: StoredReport = parsed(path)?;
        let per = &report.per;
        let disk = per.disk_bytes_per_sample.map_or("–".to_owned(), |bytes| format!("{bytes:.2}"));
        let lost = match (report.samples_not_acknowledged, report.miscounted) {
            (0, 0) => String::new(),
            (0, requests) => format!(" ({requests} requests miscounted)"),
            (lost, _) => format!(" (+{lost} not acknowledged)"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| {} | {}{lost} | {:.2} | {:.0} | {:.0} | {:.0} | {disk} | {:.0} | {:.1} | {:.2} |",
            report.name,
            report.samples,
            per.server_cpu_seconds_per_million,
            per.memory_bytes_per_series,
            per.peak_memory_bytes_per_series,
            per.file_bytes_per_series,
            per.samples_per_second,
            report.latency_p99_ms,
            per.own_cpu_seconds_per_million,
        );
    }
    Ok(table)
}

fn parsed<T: DeserializeOwned>(path: &Path) -> Result<T, ReportError> {
    let bytes = fs::read(path).map_err(|source| ReportError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| ReportError::Parse { path: path.to_owned(), source })
}
