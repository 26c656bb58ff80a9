//! `barograph block inspect` and `barograph block verify`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::block::{Verified, verify as verify_block};
use clap::ArgMatches;
use env::FileSystem;
use model::TimeRange;
use serde_json::json;

use crate::output;
use crate::query::time::rfc3339;

use super::files::{Opened, open};
use super::list::columns;
use super::{Failed, in_folder};

/// What a block has.
struct Content {
    /// Labels with how many values they have, most first.
    labels: Vec<(String, u64)>,
    /// Metrics with how many series they have, most first.
    metrics: Vec<(String, u64)>,
}

/// A block's content and origin.
pub(super) async fn inspect(fs: &dyn FileSystem, asked: &ArgMatches) -> Result<String, Failed> {
    let folder = asked.get_one::<PathBuf>("block").cloned().unwrap_or_default();
    let limit = asked.get_one::<u32>("limit").map_or(0, |limit| *limit as usize);
    let block = open(fs, &folder).await?;
    let content = content(&block, &folder, limit).await?;
    match asked.get_one::<String>("format").map(String::as_str) {
        Some("json") => Ok(format!("{:#}\n", object(&block, &content))),
        _ => Ok(text(&block, &content)),
    }
}

async fn content(block: &Opened, folder: &Path, limit: usize) -> Result<Content, Failed> {
    let index = &block.index;
    let labels = index.label_names().map(|name| (name.to_owned(), index.label_values(name).count() as u64));
    let mut metrics = Vec::new();
    for name in index.label_values("__name__") {
        let list = index.postings("__name__", name).await.map_err(in_folder(folder))?;
        metrics.push((name.to_owned(), list.len() as u64));
    }
    Ok(Content { labels: largest(labels.collect(), limit), metrics: largest(metrics, limit) })
}

/// The `limit` largest; of equal ones the first by name.
fn largest(mut counted: Vec<(String, u64)>, limit: usize) -> Vec<(String, u64)> {
    counted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counted.truncate(limit);
    counted
}

fn text(block: &Opened, content: &Content) -> String {
    let (meta, stats) = (&block.meta, &block.meta.stats);
    let said = |count: u64| if stats.is_said() { count.to_string() } else { "not said".to_owned() };
    let mut rows = vec![
        ("block", meta.ulid.to_string()),
        ("from", rfc3339(meta.min_time)),
        ("before", rfc3339(meta.max_time)),
        ("series", said(stats.num_series)),
        ("samples", said(stats.num_samples)),
        ("chunks", said(stats.num_chunks)),
        ("symbols", block.index.symbol_count().to_string()),
        ("tombstones", stones(block).to_string()),
        ("index", format!("{:?}", block.index.version()).to_lowercase()),
        ("level", meta.compaction.level.to_string()),
    ];
    rows.extend(meta.compaction.sources.iter().map(|source| ("source", source.to_string())));
    rows.extend(meta.compaction.parents.iter().map(|parent| ("parent", parent.ulid.to_string())));
    if let Some(thanos) = &meta.thanos {
        rows.extend(
            thanos.labels.iter().map(|(name, value)| ("external label", format!("{name}={value:?}"))),
        );
        rows.push(("resolution", format!("{} ms", thanos.downsample.resolution)));
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect();
    let mut text = columns(&rows, 2);
    for (heading, unit, counted) in
        [("LABEL", "VALUES", &content.labels), ("METRIC", "SERIES", &content.metrics)]
    {
        let mut rows = vec![vec![heading.to_owned(), unit.to_owned()]];
        rows.extend(counted.iter().map(|(name, count)| vec![name.clone(), count.to_string()]));
        text.push('\n');
        text.push_str(&columns(&rows, 1));
    }
    text
}

fn object(block: &Opened, content: &Content) -> serde_json::Value {
    let counted = |all: &[(String, u64)]| -> Vec<serde_json::Value> {
        all.iter().map(|(name, count)| json!({ "name": name, "count": count })).collect()
    };
    json!({
        "meta": block.meta,
        "symbols": block.index.symbol_count(),
        "tombstones": stones(block),
        "labelsByValues": counted(&content.labels),
        "metricsBySeries": counted(&content.metrics),
    })
}

fn stones(block: &Opened) -> usize {
    block.tombstones.as_ref().map_or(0, Vec::len)
}

/// Reads all of the blocks, a line each; one that is not good makes the command fail, after the others have been read.
pub(super) async fn verify(fs: &dyn FileSystem, asked: &ArgMatches) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for folder in asked.get_many::<PathBuf>("block").into_iter().flatten() {
        match verify_one(fs, folder).await {
            Ok(verified) => {
                if output::out(&good(folder, &verified)) != ExitCode::SUCCESS {
                    return ExitCode::FAILURE;
                }
            }
            Err(failed) => {
                output::error(&failed.to_string());
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

async fn verify_one(fs: &dyn FileSystem, folder: &Path) -> Result<Verified, Failed> {
    let block = open(fs, folder).await?;
    let verified = verify_block(&block.index, &block.chunks).await.map_err(in_folder(folder))?;
    let (said, found) = (&block.meta.stats, &verified.stats);
    let counts = [
        ("numSeries", said.num_series, found.num_series),
        ("numSamples", said.num_samples, found.num_samples),
        ("numChunks", said.num_chunks, found.num_chunks),
    ];
    let name = folder.display();
    if block.tombstones.is_none() && block.meta.must_have_tombstones() {
        return Err(Failed::Asked(format!(
            "{name}: meta.json: numTombstones is {}, but there is no file tombstones: what was deleted is back",
            said.num_tombstones
        )));
    }
    let wrong = counts.into_iter().find(|(_, said, found)| said != found).filter(|_| said.is_said());
    if let Some((key, said, found)) = wrong {
        return Err(Failed::Asked(format!("{name}: meta.json: {key} is {said}, but {found} are there")));
    }
    let outside =
        |range: &TimeRange| range.start_ms() < block.meta.min_time || range.end_ms() > block.meta.max_time;
    if let Some(range) = verified.range.filter(outside) {
        return Err(Failed::Asked(format!(
            "{name}: meta.json: minTime {} and maxTime {}, but samples are from {} to {}",
            block.meta.min_time,
            block.meta.max_time,
            range.start_ms(),
            range.end_ms()
        )));
    }
    Ok(verified)
}

fn good(folder: &Path, verified: &Verified) -> String {
    let stats = &verified.stats;
    format!(
        "{}: good: {} series, {} samples, {} chunks\n",
        folder.display(),
        stats.num_series,
        stats.num_samples,
        stats.num_chunks
    )
}
