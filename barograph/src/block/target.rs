//! The bucket that blocks are imported into.

use std::path::Path;
use std::sync::Arc;

use ::block::chunks::segment_name;
use ::block::meta::{BlockFile, Thanos};
use ::block::{Meta, tombstones};
use bucket::{IndexedBlock, TenantBucket};
use clap::ArgMatches;
use env::{Clock, FileSystem, SystemClock};
use model::TenantId;
use ulid::Ulid;

use super::Failed;
use super::files::local_file;
use crate::bucket_command::{self, CommandBucket};
use crate::data_dir::DataDir;
use crate::output;

/// What `meta.json` of imported blocks says of who made them.
const SOURCE: &str = "import";

/// A tenant's part of a bucket, with the blocks that it has.
pub(super) struct Target {
    pub(super) bucket: TenantBucket,
    known: Vec<Ulid>,
    clock: SystemClock,
    /// Where the bucket is in it: nobody else uses it meanwhile.
    _data: Option<DataDir>,
}

impl Target {
    /// What the command's settings name.
    pub(super) async fn open(fs: &Arc<dyn FileSystem>, asked: &ArgMatches) -> Result<Self, Failed> {
        let tenant = asked.get_one::<String>("tenant").map_or(model::tenant::ANONYMOUS, String::as_str);
        let tenant = TenantId::new(tenant).map_err(Failed::asked)?;
        let clock = SystemClock::new();
        let opened = bucket_command::open(fs, asked, Arc::new(clock.clone())).map_err(Failed::Asked)?;
        let CommandBucket { bucket, data, .. } = opened;
        let Some(bucket) = TenantBucket::new(&bucket, &tenant) else {
            let message = format!("bucket.layout is thanos, and bucket.thanos_tenant is not {tenant}");
            return Err(Failed::Asked(message));
        };
        let index = bucket.index().await.map_err(|error| Failed::Asked(output::chain(&error)))?;
        let known =
            index.map(|(index, _)| index.blocks.iter().map(|block| block.id).collect()).unwrap_or_default();
        Ok(Self { bucket, known, clock, _data: data })
    }

    /// Whether the tenant has the block.
    pub(super) fn has(&self, id: Ulid) -> bool {
        self.known.contains(&id)
    }

    /// Where blocks go, for people.
    pub(super) fn name(&self) -> String {
        format!("tenant {} in {}", self.bucket.tenant(), self.bucket.bucket().name())
    }

    /// Copies a block from its folder, and reads back what was copied: `meta.json` last, then it is put into the index.
    pub(super) async fn add(
        &mut self,
        fs: &dyn FileSystem,
        folder: &Path,
        meta: &Meta,
    ) -> Result<(), Failed> {
        let failed = |error: &dyn std::error::Error| {
            Failed::Asked(format!("block {}: {}", meta.ulid, output::chain(error)))
        };
        let mut files = Vec::new();
        let segments = (0..).map(segment_name).take_while(|name| fs.exists(&folder.join(name)));
        let has_stones = meta.must_have_tombstones()
            || (meta.may_have_tombstones() && fs.exists(&folder.join(tombstones::FILE)));
        let stones = has_stones.then(|| tombstones::FILE.to_owned());
        for name in segments.chain(["index".to_owned()]).chain(stones) {
            let file = local_file(fs, folder, &name).map_err(|error| failed(&error))?;
            let object = self.bucket.file(meta.ulid, &name);
            let uploaded =
                self.bucket.bucket().upload(&object, &*file).await.map_err(|error| failed(&error))?;
            let there = self.bucket.bucket().head(&object).await.map_err(|error| failed(&error))?.bytes;
            let same = there == file.len() && {
                let read = self.bucket.bucket().checksum(&object, there).await;
                read.map_err(|error| failed(&error))? == uploaded.crc32c
            };
            if !same {
                let message = format!(
                    "block {}: {name} is something else in the bucket than it was on the disk: import it again",
                    meta.ulid
                );
                return Err(Failed::Asked(message));
            }
            files.push(BlockFile { rel_path: name, size_bytes: Some(there) });
        }
        files.push(BlockFile { rel_path: "meta.json".to_owned(), size_bytes: None });
        let thanos =
            meta.thanos.clone().unwrap_or_else(|| Thanos { source: SOURCE.to_owned(), ..Thanos::default() });
        let meta = Meta { thanos: Some(thanos.with_files(&files)), ..meta.clone() };
        let object = self.bucket.file(meta.ulid, "meta.json");
        self.bucket.bucket().put(&object, meta.encode().into()).await.map_err(|error| failed(&error))?;
        let block = IndexedBlock::of(&meta, self.clock.now_ms() / 1000);
        let listed = self.bucket.update_index(|index| index.add(block.clone())).await;
        listed.map_err(|error| failed(&error))?;
        self.known.push(meta.ulid);
        Ok(())
    }
}
