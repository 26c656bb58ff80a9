//! `barograph block import`: blocks of a Prometheus data directory, and OpenMetrics text, into a tenant's bucket.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use ::block::verify;
use clap::ArgMatches;
use env::FileSystem;
use ulid::Ulid;

use super::openmetrics;
use super::target::Target;
use super::{Failed, files, in_folder};
use crate::output;
use crate::query::time::rfc3339;

/// Imports what is asked for.
pub(super) async fn import(fs: &Arc<dyn FileSystem>, asked: &ArgMatches) -> Result<ExitCode, Failed> {
    let mut target = Target::open(fs, asked).await?;
    let mut imported = 0;
    for source in asked.get_many::<PathBuf>("source").into_iter().flatten() {
        imported += match is_folder(&**fs, source)? {
            true => folder(fs, &mut target, source).await?,
            false => openmetrics::file(fs, &mut target, source, asked).await?,
        };
    }
    Ok(output::out(&format!("{imported} blocks imported into {}\n", target.name())))
}

fn is_folder(fs: &dyn FileSystem, path: &Path) -> Result<bool, Failed> {
    if !fs.exists(path) {
        return Err(Failed::Asked(format!("{}: there is no such file or folder", path.display())));
    }
    Ok(fs.read_dir(path).is_ok())
}

/// The blocks of a data directory, oldest first; one alone where the folder is a block.
async fn folder(fs: &Arc<dyn FileSystem>, target: &mut Target, path: &Path) -> Result<usize, Failed> {
    let mut folders = Vec::new();
    if fs.exists(&path.join("meta.json")) {
        folders.push(path.to_owned());
    } else {
        let failed = |error| Failed::Io { what: path.display().to_string(), error };
        for entry in fs.read_dir(path).map_err(failed)? {
            if entry.is_dir && Ulid::from_string(&entry.name).is_ok() {
                folders.push(path.join(&entry.name));
            }
        }
    }
    if folders.is_empty() {
        return Err(Failed::Asked(format!(
            "{}: no blocks are there; a data directory of Prometheus has folders with names such as 01JWS713P2E4MQW7T643GYGD69",
            path.display()
        )));
    }
    if fs.exists(&path.join("wal")) {
        output::note(&format!(
            "{}: what is not in blocks yet, about the last three hours, stays behind; Prometheus' API \
             /api/v1/admin/tsdb/snapshot makes a folder that has it, too",
            path.display()
        ));
    }
    let (mut imported, total) = (0, folders.len());
    for (number, folder) in (1..).zip(folders) {
        let meta = files::meta(&**fs, &folder)?;
        let what = format!(
            "{number} of {total}: block {} from {} to before {}",
            meta.ulid,
            rfc3339(meta.min_time),
            rfc3339(meta.max_time)
        );
        if target.has(meta.ulid) {
            output::note(&format!("{what}: the tenant has it"));
            continue;
        }
        let opened = files::open(&**fs, &folder).await?;
        let verified = verify(&opened.index, &opened.chunks).await.map_err(in_folder(&folder))?;
        target.add(&**fs, &folder, &meta).await?;
        imported += 1;
        output::note(&format!(
            "{what}: {} series with {} samples",
            verified.stats.num_series, verified.stats.num_samples
        ));
    }
    Ok(imported)
}
