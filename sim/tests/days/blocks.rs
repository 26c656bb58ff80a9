//! What is in blocks of the bucket, read from them directly.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::{ChunkReader, Index, RangeRead, verify};
use bucket::{BucketIndex, TenantBucket};
use model::Labels;
use ulid::Ulid;

use crate::answers::{histogram, value_text};
use crate::data::Samples;

/// Values as texts, with how often each is there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) samples: BTreeMap<(Labels, i64), String>,
    /// With repetitions.
    pub(crate) copies: usize,
}

impl Stored {
    /// What has been written.
    pub(crate) fn of(written: &Samples) -> Self {
        let of_series = |(labels, samples): (&Labels, &BTreeMap<i64, model::Value>)| {
            samples.iter().map(|(at, value)| ((labels.clone(), *at), value_text(value))).collect::<Vec<_>>()
        };
        let samples: BTreeMap<_, _> = written.iter().flat_map(of_series).collect();
        Self { copies: samples.len(), samples }
    }
}

/// The index of a tenant's blocks.
pub(crate) async fn index(bucket: &TenantBucket) -> BucketIndex {
    bucket.index().await.expect("it can be read").map(|(index, _)| index).unwrap_or_default()
}

/// All samples of the blocks that are not marked. Each of these has to be whole.
pub(crate) async fn live(bucket: &TenantBucket) -> Stored {
    let mut stored = Stored::default();
    for block in index(bucket).await.live() {
        read(bucket, block.id, &mut stored).await;
    }
    stored
}

async fn read(bucket: &TenantBucket, id: Ulid, stored: &mut Stored) {
    let meta = bucket.meta(id).await.expect("what the index lists is there");
    let index = Index::open(open(bucket, id, "index").await).await.expect("an index");
    let mut segments = Vec::new();
    for (name, _) in bucket.files(id).await.expect("a listing") {
        if name.starts_with("chunks/") {
            segments.push(open(bucket, id, &name).await);
        }
    }
    let chunks = ChunkReader::open(segments).await.expect("segments");
    assert_eq!(verify(&index, &chunks).await.expect("a whole block").stats, meta.stats, "{id}");
    let mut scan = index.scan();
    while let Some((_, series)) = scan.next().await.expect("a series") {
        for piece in chunks.read_all(&series.chunks).await.expect("chunks") {
            let mut cursor = chunk::cursor(piece.encoding, &piece.data).expect("a chunk");
            while let Some((at, value)) = cursor.next_sample().expect("a sample") {
                let text = match value {
                    chunk::ValueRef::Float(value) => value_text(&model::Value::Float(value)),
                    chunk::ValueRef::Histogram(value) => histogram(&value.to_float()),
                    chunk::ValueRef::FloatHistogram(value) => histogram(value),
                };
                stored.copies += 1;
                let other = stored.samples.insert((series.labels.clone(), at), text.clone());
                assert!(other.is_none_or(|other| other == text), "{} at {at} has two values", series.labels);
            }
        }
    }
}

async fn open(bucket: &TenantBucket, id: Ulid, name: &str) -> Arc<dyn RangeRead> {
    Arc::new(bucket.open(id, name).await.expect("what the index lists is there"))
}
