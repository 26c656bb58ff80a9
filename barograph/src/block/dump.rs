//! `barograph block dump`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::block::{Series, SeriesRef, Tombstone};
use chunk::ValueRef;
use clap::ArgMatches;
use env::{Clock, FileSystem, SystemClock};
use model::{Labels, Matcher, TimeRange};
use serde_json::json;

use crate::query::time;

use super::files::{Opened, open};
use super::{Failed, in_folder};

/// What is to be printed.
struct Wanted {
    /// A series is, if all matchers of at least one match; without any, all are.
    selectors: Vec<Vec<Matcher>>,
    range: TimeRange,
    json: bool,
}

impl Wanted {
    fn of(asked: &ArgMatches) -> Result<Self, Failed> {
        let selector = |text: &String| {
            promql::parse_series_selector(text)
                .map_err(|error| Failed::Asked(format!("--match: {text:?}: {error}")))
        };
        let selectors = asked.get_many::<String>("match").into_iter().flatten().map(selector);
        let selectors = selectors.collect::<Result<Vec<_>, _>>()?;
        let now = SystemClock::new().now_ms();
        let at = |flag: &str, default: i64| match asked.get_one::<String>(flag) {
            None => Ok(default),
            Some(text) => time::parse(text, now).map_err(|error| Failed::Asked(format!("--{flag}: {error}"))),
        };
        let (start, end) = (at("start", i64::MIN)?, at("end", i64::MAX)?);
        let range = TimeRange::new(start, end);
        let range = range.ok_or_else(|| Failed::Asked("--end is before --start".to_owned()))?;
        let json = asked.get_one::<String>("format").is_some_and(|format| format == "json");
        Ok(Self { selectors, range, json })
    }

    fn matches(&self, labels: &Labels) -> bool {
        let all = |set: &Vec<Matcher>| set.iter().all(|m| m.matches(labels.get_or_empty(m.name())));
        self.selectors.is_empty() || self.selectors.iter().any(all)
    }
}

/// Prints the samples of a block while it is read.
pub(super) async fn dump(fs: &dyn FileSystem, asked: &ArgMatches) -> Result<ExitCode, Failed> {
    let folder = asked.get_one::<PathBuf>("block").cloned().unwrap_or_default();
    let wanted = Wanted::of(asked)?;
    let block = open(fs, &folder).await?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut scan = block.index.scan();
    while let Some((reference, series)) = scan.next().await.map_err(in_folder(&folder))? {
        if wanted.matches(&series.labels) {
            let deleted = deleted(block.tombstones.as_deref().unwrap_or_default(), reference);
            print(&mut out, &block, &folder, &series, &wanted, &deleted).await?;
        }
    }
    out.flush().map_err(not_written)?;
    Ok(ExitCode::SUCCESS)
}

fn deleted(tombstones: &[Tombstone], reference: SeriesRef) -> Vec<TimeRange> {
    let own = tombstones.iter().filter(|stone| stone.series == u64::from(reference.as_u32()));
    own.map(|stone| stone.range).collect()
}

async fn print(
    out: &mut impl Write,
    block: &Opened,
    folder: &Path,
    series: &Series,
    wanted: &Wanted,
    deleted: &[TimeRange],
) -> Result<(), Failed> {
    let mut metas = series.chunks.clone();
    metas.retain(|meta| meta.range.overlaps(wanted.range));
    for chunk in block.chunks.read_all(&metas).await.map_err(in_folder(folder))? {
        let damaged = |error: chunk::ChunkError| {
            Failed::Asked(format!("{}: series {}: {error}", folder.display(), series.labels))
        };
        let mut cursor = chunk::cursor(chunk.encoding, &chunk.data).map_err(damaged)?;
        while let Some((at, value)) = cursor.next_sample().map_err(damaged)? {
            let gone = deleted.iter().any(|range| range.contains(at));
            if wanted.range.contains(at) && !gone {
                line(out, &series.labels, at, value, wanted.json).map_err(not_written)?;
            }
        }
    }
    Ok(())
}

fn line(
    out: &mut impl Write,
    labels: &Labels,
    at: i64,
    value: ValueRef<'_>,
    json: bool,
) -> std::io::Result<()> {
    let value = match value {
        ValueRef::Float(value) => promql::text::number::general(value),
        ValueRef::Histogram(histogram) => histogram.to_float().to_string(),
        ValueRef::FloatHistogram(histogram) => histogram.to_string(),
    };
    match json {
        false => writeln!(out, "{labels} {value} {at}"),
        true => {
            let labels: serde_json::Map<String, serde_json::Value> =
                labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            writeln!(out, "{}", json!({ "labels": labels, "timestamp": at, "value": value }))
        }
    }
}

fn not_written(error: std::io::Error) -> Failed {
    Failed::Io { what: "standard output".to_owned(), error }
}
