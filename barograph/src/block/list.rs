//! `barograph block list`.

use std::path::{Path, PathBuf};

use ::block::Meta;
use clap::ArgMatches;
use env::FileSystem;
use serde_json::json;
use ulid::Ulid;

use crate::query::time::rfc3339;

use super::Failed;
use super::files::meta;

/// A block of a folder.
struct Listed {
    meta: Meta,
    bytes: u64,
}

/// The blocks of a folder, oldest first.
pub(super) fn list(fs: &dyn FileSystem, asked: &ArgMatches) -> Result<String, Failed> {
    let folder = asked.get_one::<PathBuf>("folder").cloned().unwrap_or_default();
    let failed = |error| Failed::Io { what: folder.display().to_string(), error };
    let mut blocks = Vec::new();
    for entry in fs.read_dir(&folder).map_err(failed)? {
        // Other folders stand beside blocks: the log, what has not been finished.
        if entry.is_dir && Ulid::from_string(&entry.name).is_ok() {
            let own = folder.join(&entry.name);
            blocks.push(Listed { meta: meta(fs, &own)?, bytes: bytes_in(fs, &own)? });
        }
    }
    blocks.sort_by_key(|block| (block.meta.min_time, block.meta.max_time, block.meta.ulid));
    match asked.get_one::<String>("format").map(String::as_str) {
        Some("json") => Ok(format!("{:#}\n", serde_json::Value::from_iter(blocks.iter().map(object)))),
        _ => Ok(table(&blocks)),
    }
}

/// The bytes of the files of a block.
fn bytes_in(fs: &dyn FileSystem, folder: &Path) -> Result<u64, Failed> {
    let failed = |error| Failed::Io { what: folder.display().to_string(), error };
    let mut bytes = 0;
    for entry in fs.read_dir(folder).map_err(failed)? {
        bytes += match entry.is_dir {
            true => bytes_in(fs, &folder.join(&entry.name))?,
            false => entry.len,
        };
    }
    Ok(bytes)
}

fn table(blocks: &[Listed]) -> String {
    let header = ["BLOCK", "FROM", "BEFORE", "LEVEL", "SERIES", "SAMPLES", "CHUNKS", "BYTES"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(blocks.iter().map(|Listed { meta, bytes }| {
        let numbers = [
            u64::from(meta.compaction.level),
            meta.stats.num_series,
            meta.stats.num_samples,
            meta.stats.num_chunks,
            *bytes,
        ];
        let texts = [meta.ulid.to_string(), rfc3339(meta.min_time), rfc3339(meta.max_time)];
        texts.into_iter().chain(numbers.map(|number| number.to_string())).collect()
    }));
    columns(&rows, 3)
}

/// Rows in columns: the first few to the left, the others to the right.
pub(super) fn columns(rows: &[Vec<String>], left: usize) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(i, (cell, width))| match i < left {
            true => format!("{cell:<width$}"),
            false => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn object(block: &Listed) -> serde_json::Value {
    let Listed { meta, bytes } = block;
    json!({
        "ulid": meta.ulid.to_string(),
        "minTime": meta.min_time,
        "maxTime": meta.max_time,
        "level": meta.compaction.level,
        "sources": meta.compaction.sources.iter().map(Ulid::to_string).collect::<Vec<_>>(),
        "series": meta.stats.num_series,
        "samples": meta.stats.num_samples,
        "chunks": meta.stats.num_chunks,
        "bytes": bytes,
        "resolutionMs": meta.thanos.as_ref().map_or(0, |thanos| thanos.downsample.resolution),
    })
}
