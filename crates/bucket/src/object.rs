//! A file of a block that is an object.

use std::io;
use std::ops::Range;

use async_trait::async_trait;
use block::RangeRead;
use bytes::Bytes;

use crate::bucket::Bucket;
use crate::error::{BucketError, ErrorKind};
use crate::name::ObjectName;

/// An object that is read by ranges.
#[derive(Clone)]
pub struct BlockObject {
    bucket: Bucket,
    name: ObjectName,
    label: String,
    bytes: u64,
}

impl BlockObject {
    /// The object, whose length is asked for. Errors of the block call it `label`, such as `index`.
    ///
    /// # Errors
    /// As [`Bucket::head`].
    pub async fn open(
        bucket: Bucket,
        name: ObjectName,
        label: impl Into<String>,
    ) -> Result<Self, BucketError> {
        let bytes = bucket.head(&name).await?.bytes;
        Ok(Self::with_length(bucket, name, label, bytes))
    }

    /// The object, whose length is known.
    pub fn with_length(bucket: Bucket, name: ObjectName, label: impl Into<String>, bytes: u64) -> Self {
        Self { bucket, name, label: label.into(), bytes }
    }
}

#[async_trait]
impl RangeRead for BlockObject {
    fn name(&self) -> &str {
        &self.label
    }

    fn len(&self) -> u64 {
        self.bytes
    }

    async fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.bucket.get_range(&self.name, range).await.map_err(io::Error::from)
    }
}

impl From<BucketError> for io::Error {
    fn from(error: BucketError) -> Self {
        let kind = match error.kind {
            ErrorKind::NotFound | ErrorKind::NoSuchBucket => io::ErrorKind::NotFound,
            ErrorKind::Forbidden | ErrorKind::Credentials => io::ErrorKind::PermissionDenied,
            ErrorKind::Timeout => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
