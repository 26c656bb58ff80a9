//! Writing large objects in pieces, and reading them back.

use std::ops::Range;

use block::RangeRead;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::multipart::{MultipartStore, PartId};
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};

use crate::bucket::Bucket;
use crate::error::{BucketError, Failure, Operation};
use crate::name::ObjectName;

/// What was written is read back so much at a time: it is compared and forgotten.
const READ_BACK_BYTES: u64 = 1 << 20;

/// Where one stream writes an object, so much is handed over at a time: more makes nothing faster.
const STREAM_BYTES: u64 = 1 << 20;

/// Servers take no more pieces of an object.
const MAX_PARTS: u64 = 10_000;

/// Pieces of a file that are on their way at the same time are at most one of so many: whoever has small files has little memory.
const PARTS_FOR_EACH: u64 = 8;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uploaded {
    /// How many bytes.
    pub bytes: u64,
    /// The CRC-32C of all of them.
    pub crc32c: u32,
}

impl Bucket {
    /// Writes an object from a file, in pieces where it is large; at most [`parallel_parts`] of them are in memory, and
    /// no more than an eighth of the file or one of them. The object is there whole or not at all.
    ///
    /// # Errors
    /// See [`BucketError`]. It may have been written then.
    ///
    /// [`parallel_parts`]: crate::BucketConfig::parallel_parts
    pub async fn upload(&self, name: &ObjectName, file: &dyn RangeRead) -> Result<Uploaded, BucketError> {
        let parts = self.inner.backing.parts.as_deref();
        let part_bytes = match parts {
            Some(_) => self.config().part_size.bytes().max(file.len().div_ceil(MAX_PARTS)),
            None => STREAM_BYTES,
        };
        if file.len() <= part_bytes {
            let bytes = self.read_local(name, file, 0..file.len()).await?;
            let crc32c = crc32c::crc32c(&bytes);
            self.put(name, bytes).await?;
            return Ok(Uploaded { bytes: file.len(), crc32c });
        }
        let uploaded = match parts {
            Some(parts) => self.upload_parts(parts, name, file, part_bytes).await?,
            None => self.upload_stream(name, file, part_bytes).await?,
        };
        self.inner.metrics.sent.inc_by(uploaded.bytes);
        Ok(uploaded)
    }

    /// Each piece is repeated by itself; where one fails in the end, nothing of the object stays.
    async fn upload_parts(
        &self,
        store: &dyn MultipartStore,
        name: &ObjectName,
        file: &dyn RangeRead,
        part_bytes: u64,
    ) -> Result<Uploaded, BucketError> {
        let path = self.path(name);
        let begin = || -> futures::future::BoxFuture<'_, _> {
            Box::pin(async { Ok(store.create_multipart(&path).await?) })
        };
        let id = self.run(Operation::Upload, name.as_str(), begin).await?;
        let written = async {
            let part = async |(number, range): (usize, Range<u64>)| {
                let bytes = self.read_local(name, file, range).await?;
                let (crc, length) = (crc32c::crc32c(&bytes), bytes.len());
                let put = || -> futures::future::BoxFuture<'_, _> {
                    let payload = PutPayload::from_bytes(bytes.clone());
                    Box::pin(async { Ok(store.put_part(&path, &id, number, payload).await?) })
                };
                let part = self.run(Operation::Upload, name.as_str(), put).await?;
                Ok::<_, BucketError>((part, crc, length))
            };
            let pieces: Vec<_> = pieces(file.len(), part_bytes).enumerate().map(part).collect();
            let few = (pieces.len() as u64 / PARTS_FOR_EACH).max(1) as usize;
            let parallel = self.config().parallel_parts.min(few);
            let parts: Vec<(PartId, u32, usize)> =
                stream::iter(pieces).buffered(parallel).try_collect().await?;
            let crc32c =
                parts.iter().fold(0, |crc, (_, next, length)| crc32c::crc32c_combine(crc, *next, *length));
            let parts: Vec<PartId> = parts.into_iter().map(|(part, _, _)| part).collect();
            let complete = || -> futures::future::BoxFuture<'_, _> {
                let parts = parts.clone();
                Box::pin(async { Ok(store.complete_multipart(&path, &id, parts).await?) })
            };
            self.run(Operation::Upload, name.as_str(), complete).await?;
            Ok(Uploaded { bytes: file.len(), crc32c })
        };
        let written = written.await;
        if written.is_err() {
            // Pieces of an object that never comes about cost money until a lifecycle rule removes them.
            let abort = || -> futures::future::BoxFuture<'_, _> {
                Box::pin(async { Ok(store.abort_multipart(&path, &id).await?) })
            };
            if let Err(error) = self.run(Operation::Upload, name.as_str(), abort).await {
                tracing::debug!(%error, "pieces of an upload that failed stay in the bucket");
            }
        }
        written
    }

    /// One piece behind the other; the whole is repeated where one fails.
    async fn upload_stream(
        &self,
        name: &ObjectName,
        file: &dyn RangeRead,
        part_bytes: u64,
    ) -> Result<Uploaded, BucketError> {
        let path = self.path(name);
        let attempt = || -> futures::future::BoxFuture<'_, _> {
            Box::pin(async {
                let mut upload = self.store().put_multipart(&path).await?;
                match stream_parts(&mut *upload, file, part_bytes).await {
                    Ok(uploaded) => Ok(uploaded),
                    Err(failure) => {
                        // What cannot be removed has a name that is never listed.
                        let _ = upload.abort().await;
                        Err(failure)
                    }
                }
            })
        };
        self.run(Operation::Upload, name.as_str(), attempt).await
    }

    async fn read_local(
        &self,
        name: &ObjectName,
        file: &dyn RangeRead,
        range: Range<u64>,
    ) -> Result<Bytes, BucketError> {
        file.read(range).await.map_err(|source| BucketError {
            bucket: self.name().to_owned(),
            object: name.as_str().to_owned(),
            operation: Operation::Upload,
            kind: crate::error::ErrorKind::Other,
            attempts: 1,
            source: Failure::Source(source),
        })
    }

    /// The CRC-32C of an object of this length, which is read for it, piece by piece.
    ///
    /// # Errors
    /// As [`Bucket::get_range`]; an object that is shorter fails, too.
    pub async fn checksum(&self, name: &ObjectName, bytes: u64) -> Result<u32, BucketError> {
        let reads: Vec<_> = pieces(bytes, READ_BACK_BYTES).map(|range| self.get_range(name, range)).collect();
        let parts = stream::iter(reads).buffered(self.config().parallel_parts);
        let crc = parts.try_fold(0, async |crc, bytes| Ok(crc32c::crc32c_append(crc, &bytes)));
        crc.await
    }
}

async fn stream_parts(
    upload: &mut dyn MultipartUpload,
    file: &dyn RangeRead,
    part_bytes: u64,
) -> Result<Uploaded, Failure> {
    let mut crc32c = 0;
    for range in pieces(file.len(), part_bytes) {
        let bytes = file.read(range).await.map_err(Failure::Source)?;
        crc32c = crc32c::crc32c_append(crc32c, &bytes);
        upload.put_part(PutPayload::from_bytes(bytes)).await?;
    }
    upload.complete().await?;
    Ok(Uploaded { bytes: file.len(), crc32c })
}

/// The ranges of the pieces of a file, in order.
fn pieces(bytes: u64, part_bytes: u64) -> impl Iterator<Item = Range<u64>> {
    let part_bytes = part_bytes.max(1);
    (0..bytes.div_ceil(part_bytes)).map(move |n| n * part_bytes..((n + 1) * part_bytes).min(bytes))
}
