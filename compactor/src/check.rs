//! A block of the bucket, copied here and read as a whole: before others are dropped for it, and to find out which input of a job
//! is broken.

use std::path::Path;
use std::sync::Arc;

use block::verify_folder;
use bucket::TenantBucket;
use env::OpenOptions;
use ulid::Ulid;

use crate::error::CompactError;
use crate::job::Workshop;

/// So much is copied at a time.
const PIECE_BYTES: u64 = 16 << 20;

impl Workshop {
    /// Reads all of a block of the bucket, and says what is wrong with it.
    pub(crate) async fn check(&self, bucket: &TenantBucket, id: Ulid) -> Result<(), CompactError> {
        let folder = self.dir.join(bucket.tenant().as_str()).join(format!("check-{id}"));
        self.remove(&folder).await?;
        let checked = self.copy_and_check(bucket, id, &folder).await;
        self.remove(&folder).await?;
        checked
    }

    async fn copy_and_check(
        &self,
        bucket: &TenantBucket,
        id: Ulid,
        folder: &Path,
    ) -> Result<(), CompactError> {
        let meta = bucket.meta(id).await?;
        let (fs, chunks) = (Arc::clone(&self.fs), folder.join("chunks"));
        let made = self.scope.run_blocking(move || fs.create_dir_all(&chunks)).await?;
        made.map_err(CompactError::Scratch)?;
        for (name, listed) in bucket.files(id).await? {
            if name != "index" && !name.starts_with("chunks/") {
                continue;
            }
            let mut at = 0;
            while at < listed.bytes || at == 0 {
                let end = listed.bytes.min(at + PIECE_BYTES);
                let bytes = bucket.bucket().get_range(&listed.name, at..end).await?;
                let (fs, path) = (Arc::clone(&self.fs), folder.join(&name));
                let write = move || {
                    let options = if at == 0 { OpenOptions::CREATE_NEW } else { OpenOptions::READ_WRITE };
                    env::write_all_at(&*fs.open(&path, options)?, &bytes, at)
                };
                self.scope.run_blocking(write).await?.map_err(CompactError::Scratch)?;
                at = end.max(1);
            }
        }
        let (fs, folder) = (Arc::clone(&self.fs), folder.to_owned());
        let verified = self.scope.run_blocking(move || verify_folder(&*fs, &folder, meta.index_version()));
        match verified.await? {
            Ok(_) => Ok(()),
            Err(source) => Err(CompactError::of_block(id, source)),
        }
    }
}
