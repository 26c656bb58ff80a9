//! Blocks of a process that is alone and was told of no bucket: a bucket in its data directory, with the retention of the process.
//!
//! It is not the folder that `bucket.backend: filesystem` means: nothing is ever removed from that one unless somebody asks for it.

use std::time::Duration;

use bucket::BackendKind;
use env::FileSystem;
use settings::{ByteSize, Values};

use crate::config::Config;
use crate::roles::Roles;

/// The folder in the data directory.
const FOLDER: &str = "blocks";
/// With less nothing would ever be removed in time: blocks have two hours, and days once they are merged.
const LEAST_RETENTION: Duration = Duration::from_secs(86_400);
/// What is read of blocks is in the page cache already.
const CACHE_MEMORY: ByteSize = ByteSize(64 << 20);

/// Says so where there are blocks from such a time, and now another bucket is named, or none is wanted.
pub(crate) fn warn_if_left(config: &Config, fs: &dyn FileSystem) {
    let folder = config.process.data.join(FOLDER);
    if config.bucket.directory.as_ref() != Some(&folder) && fs.exists(&folder) {
        tracing::warn!(
            folder = %folder.display(),
            "there are blocks here that are not read any more: see docs/operations/bucket.md for how to bring them along"
        );
    }
}

/// The configuration with such a bucket, where there is to be one.
pub(crate) fn with_local_blocks(mut config: Config, values: &Values) -> Config {
    let roles = Roles::of(&config);
    let has_all = roles.ingester && roles.querier && roles.compactor;
    let is_alone = has_all && !roles.in_cluster(&config);
    let has_none = config.bucket.backend == BackendKind::None;
    let process = &config.process;
    if !process.local_blocks || !is_alone || !has_none || process.retention < LEAST_RETENTION {
        return config;
    }
    config.bucket.backend = BackendKind::Filesystem;
    config.bucket.directory = Some(process.data.join(FOLDER));
    let kept = &mut config.compactor_limits.compactor_blocks_retention_period;
    if kept.is_zero() {
        *kept = process.retention;
    }
    if values.given("blocks.cache_memory").is_none() {
        config.blocks.cache_memory = CACHE_MEMORY;
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema;

    /// A file that says nothing, of a process that does not want any.
    const NOT_WANTED: &str = "";

    fn configured(file: &str) -> Config {
        let file = format!("local_blocks: {}\n{file}", file != NOT_WANTED);
        let values = schema().values(Some(("test.yaml", &file)), std::iter::empty(), None).unwrap();
        with_local_blocks(Config::from_values(&values).unwrap(), &values)
    }

    #[test]
    fn a_process_that_is_alone_has_blocks_and_a_retention() {
        let config = configured("data: /d\nretention: 20d\n");
        assert_eq!(config.bucket.backend, BackendKind::Filesystem);
        assert_eq!(config.bucket.directory.as_deref(), Some(std::path::Path::new("/d/blocks")));
        let day = Duration::from_secs(86_400);
        assert_eq!(config.compactor_limits.compactor_blocks_retention_period, 20 * day);
        assert_eq!(config.blocks.cache_memory, CACHE_MEMORY);
        let other =
            configured("blocks: {cache_memory: 1GiB}\nlimits: {compactor_blocks_retention_period: 90d}\n");
        assert_eq!(other.blocks.cache_memory, ByteSize(1 << 30));
        assert_eq!(other.compactor_limits.compactor_blocks_retention_period, 90 * day);
    }

    #[test]
    fn a_bucket_that_is_named_keeps_everything() {
        let config = configured("bucket: {backend: filesystem}\n");
        assert_eq!(config.bucket.directory, None);
        assert!(config.compactor_limits.compactor_blocks_retention_period.is_zero());
    }

    #[test]
    fn there_are_none_where_they_are_not_wanted_or_not_possible() {
        for file in [
            NOT_WANTED,
            "retention: 23h\n",
            "metastore: {addresses: ['127.0.0.1:9095']}\n",
            "target: distributor,ingester,querier\n",
        ] {
            let config = configured(file);
            assert_eq!(config.bucket.backend, BackendKind::None, "{file}");
            assert!(config.compactor_limits.compactor_blocks_retention_period.is_zero(), "{file}");
        }
    }
}
