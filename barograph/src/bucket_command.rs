//! The bucket that a command at a shell works on.

use std::sync::Arc;

use bucket::{BackendKind, Backing, Bucket, BucketDeps};
use clap::ArgMatches;
use env::{Clock, FileSystem, OsSeededRng, Scope};
use telemetry::Registry;

use crate::config::{Config, schema};
use crate::data_dir::DataDir;
use crate::output;

/// A bucket, and what it was opened with.
pub(crate) struct CommandBucket {
    pub(crate) bucket: Bucket,
    pub(crate) config: Config,
    /// Where the bucket is in it: nobody else uses it meanwhile.
    pub(crate) data: Option<DataDir>,
}

/// The bucket that the settings among `asked` name; `config` and `data` are arguments of the command.
///
/// # Errors
/// In words: the settings are wrong, name no bucket, or its folder is in use.
pub(crate) fn open(
    fs: &Arc<dyn FileSystem>,
    asked: &ArgMatches,
    clock: Arc<dyn Clock>,
) -> Result<CommandBucket, String> {
    let file = asked.get_one::<String>("config").map(String::as_str);
    let values =
        crate::cli::values(&schema(), &**fs, file, Some(asked)).map_err(|error| error.to_string())?;
    let config = Config::from_values(&values).map_err(|error| error.to_string())?;
    let folder = config.process.data.join("bucket");
    // Files have no server that keeps two writers of the index apart.
    let inside = config.bucket.backend == BackendKind::Filesystem && config.bucket.directory.is_none();
    let data = inside.then(|| DataDir::open(&**fs, &config.process.data)).transpose();
    let data = data.map_err(|error| output::chain(&error))?;
    let backing = Backing::open(&config.bucket, &folder, fs, &Scope::new("bucket"));
    let Some(backing) = backing.map_err(|error| output::chain(&error))? else {
        let message = "no bucket is named: --bucket.backend s3 --bucket.name NAME, --bucket.backend filesystem for the \
                       folder bucket in the data directory, or --config FILE with such settings";
        return Err(message.to_owned());
    };
    let deps = BucketDeps { clock, rng: Arc::new(OsSeededRng::new()), registry: Registry::new() };
    let bucket = Bucket::new(backing, &config.bucket, deps);
    Ok(CommandBucket { bucket, config, data })
}
