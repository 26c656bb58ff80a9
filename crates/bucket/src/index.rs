//! `bucket-index.json.gz`: what blocks a tenant has, so that nobody needs to list the bucket to know. The format is that
//! of Mimir and Cortex; what others put there and we do not know is kept. See `docs/formats/bucket.md`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use block::Meta;
use block::meta::null_is_default;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The version that is written: that of Mimir. 1, that of Cortex, lacks some fields of blocks.
const VERSION: u32 = 2;

/// The largest index that is read, unpacked: 100,000 blocks have about 30 MB.
pub(crate) const MAX_INDEX_BYTES: u64 = 1 << 30;

/// Segments are numbered from 1 with six digits.
pub const SEGMENTS_1B6D: &str = "1b6d";

/// The label under which Mimir keeps the shard of a compacted block.
pub const SHARD_LABEL: &str = "__compactor_shard_id__";

/// Under which the index keeps why a block must not be merged.
const NO_COMPACT: &str = "no_compact";

/// The index of a tenant's blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BucketIndex {
    /// The version of the format.
    pub version: u32,
    /// Blocks that are complete, those that are marked included.
    #[serde(deserialize_with = "null_is_default")]
    pub blocks: Vec<IndexedBlock>,
    /// Blocks that are marked to be deleted.
    #[serde(default, deserialize_with = "null_is_default")]
    pub block_deletion_marks: Vec<IndexedMark>,
    /// When it was written, in seconds since the Unix epoch.
    pub updated_at: i64,
    /// What others have put there.
    #[serde(flatten)]
    pub others: BTreeMap<String, serde_json::Value>,
}

/// A block in the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexedBlock {
    /// Its name.
    #[serde(rename = "block_id", with = "ulid_text")]
    pub id: Ulid,
    /// The first time that may be in it, in milliseconds since the Unix epoch.
    pub min_time: i64,
    /// The first time that is behind it, likewise.
    pub max_time: i64,
    /// How its segments are numbered; [`SEGMENTS_1B6D`], or empty where that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub segments_format: String,
    /// How many segments it has; 0 where that is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub segments_num: u32,
    /// When its upload was complete, in seconds since the Unix epoch.
    #[serde(default)]
    pub uploaded_at: i64,
    /// Which shard of its tenant's series it has.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub compactor_shard_id: String,
    /// Who made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// How often its samples have been merged; 1 for a block that was cut from a head.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub compaction_level: u32,
    /// Whether its samples came out of order.
    #[serde(default, skip_serializing_if = "is_false")]
    pub out_of_order: bool,
    /// Labels that all its series have besides their own.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What others have put there.
    #[serde(flatten)]
    pub others: BTreeMap<String, serde_json::Value>,
}

/// A block that is marked to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedMark {
    /// The block.
    #[serde(rename = "block_id", with = "ulid_text")]
    pub id: Ulid,
    /// When it was marked, in seconds since the Unix epoch.
    pub deletion_time: i64,
}

impl BucketIndex {
    /// The name of its file.
    pub const FILE: &'static str = "bucket-index.json.gz";

    /// An index without blocks.
    pub fn new() -> Self {
        Self {
            version: VERSION,
            blocks: Vec::new(),
            block_deletion_marks: Vec::new(),
            updated_at: 0,
            others: BTreeMap::new(),
        }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// In words, where it is not an index packed with gzip.
    pub fn parse(file: &[u8]) -> Result<Self, String> {
        let mut json = Vec::new();
        let mut unpacked = GzDecoder::new(file).take(MAX_INDEX_BYTES);
        unpacked.read_to_end(&mut json).map_err(|error| format!("it is not packed with gzip: {error}"))?;
        let index: Self = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
        match index.version {
            1..=3 => Ok(index),
            other => Err(format!("version {other} of the index is unknown; 1 to 3 are known")),
        }
    }

    /// The content of the file.
    pub fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_vec(self).expect("numbers and texts are JSON");
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(&json).and_then(|()| packer.finish()).expect("memory takes every byte")
    }

    /// The block, if it is there.
    pub fn block(&self, id: Ulid) -> Option<&IndexedBlock> {
        self.blocks.iter().find(|block| block.id == id)
    }

    /// Puts a block in, in place of one of the same name. Whether that changed anything but the time of its upload.
    pub fn add(&mut self, block: IndexedBlock) -> bool {
        self.version = self.version.max(VERSION);
        match self.blocks.iter_mut().find(|known| known.id == block.id) {
            Some(known) => {
                // What others noted beside it stays.
                let others = known.others.clone();
                let block =
                    IndexedBlock { others: others.into_iter().chain(block.others).collect(), ..block };
                let same = IndexedBlock { uploaded_at: known.uploaded_at, ..block.clone() } == *known;
                if !same {
                    *known = block;
                }
                !same
            }
            None => {
                self.blocks.push(block);
                self.blocks.sort_unstable_by_key(|block| block.id);
                true
            }
        }
    }

    /// Notes that a block is marked to be deleted.
    pub fn mark(&mut self, id: Ulid, deletion_time: i64) {
        if !self.block_deletion_marks.iter().any(|mark| mark.id == id) {
            self.block_deletion_marks.push(IndexedMark { id, deletion_time });
        }
    }

    /// Whether a block is there, and not marked to be deleted.
    pub fn is_live(&self, id: Ulid) -> bool {
        self.block(id).is_some() && !self.is_marked(id)
    }

    /// Whether a block is marked to be deleted.
    pub fn is_marked(&self, id: Ulid) -> bool {
        self.block_deletion_marks.iter().any(|mark| mark.id == id)
    }

    /// The blocks that are not marked to be deleted.
    pub fn live(&self) -> impl Iterator<Item = &IndexedBlock> {
        let marked: std::collections::BTreeSet<Ulid> =
            self.block_deletion_marks.iter().map(|mark| mark.id).collect();
        self.blocks.iter().filter(move |block| !marked.contains(&block.id))
    }

    /// The blocks that must not be merged.
    pub fn excluded(&self) -> impl Iterator<Item = Ulid> {
        self.blocks.iter().filter(|block| block.no_compact().is_some()).map(|block| block.id)
    }

    /// Notes that a block may be merged again. Whether that is new.
    pub fn include(&mut self, id: Ulid) -> bool {
        let block = self.blocks.iter_mut().find(|block| block.id == id);
        block.is_some_and(|block| block.others.remove(NO_COMPACT).is_some())
    }

    /// Notes why a block must not be merged, unless a reason is known. Whether that is new.
    pub fn exclude(&mut self, id: Ulid, reason: &str) -> bool {
        let Some(block) = self.blocks.iter_mut().find(|block| block.id == id) else { return false };
        if block.no_compact().is_some() {
            return false;
        }
        block.others.insert(NO_COMPACT.to_owned(), reason.into());
        true
    }

    /// Takes a block and its mark out.
    pub fn remove(&mut self, id: Ulid) {
        self.blocks.retain(|block| block.id != id);
        self.block_deletion_marks.retain(|mark| mark.id != id);
    }
}

impl Default for BucketIndex {
    fn default() -> Self {
        Self::new()
    }
}

impl IndexedBlock {
    /// Why it must not be merged, where that is so.
    pub fn no_compact(&self) -> Option<&str> {
        self.others.get(NO_COMPACT)?.as_str()
    }

    /// What the index says of a block with this `meta.json`.
    pub fn of(meta: &Meta, uploaded_at: i64) -> Self {
        let thanos = meta.thanos.clone().unwrap_or_default();
        let segments = numbered_segments(&thanos);
        Self {
            id: meta.ulid,
            min_time: meta.min_time,
            max_time: meta.max_time,
            segments_format: segments.map(|_| SEGMENTS_1B6D.to_owned()).unwrap_or_default(),
            segments_num: segments.unwrap_or(0),
            uploaded_at,
            compactor_shard_id: thanos.labels.get(SHARD_LABEL).cloned().unwrap_or_default(),
            source: thanos.source,
            compaction_level: meta.compaction.level,
            out_of_order: meta.compaction.hints.iter().any(|hint| hint == "from-out-of-order"),
            labels: thanos.labels,
            others: BTreeMap::new(),
        }
    }
}

/// How many segments there are, where `meta.json` says so and they are numbered as is usual.
fn numbered_segments(thanos: &block::meta::Thanos) -> Option<u32> {
    let names: Vec<String> = match &thanos.segment_files {
        Some(names) if !names.is_empty() => names.clone(),
        _ => {
            let files = thanos.others.get("files")?.as_array()?;
            let paths = files.iter().filter_map(|file| file.get("rel_path")?.as_str());
            paths.filter_map(|path| path.strip_prefix("chunks/")).map(str::to_owned).collect()
        }
    };
    let numbered = names.iter().enumerate().all(|(i, name)| *name == format!("{:06}", i + 1));
    u32::try_from(names.len()).ok().filter(|count| numbered && *count > 0)
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// A name in 26 characters.
pub(crate) mod ulid_text {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use ulid::Ulid;

    pub(crate) fn serialize<S: Serializer>(ulid: &Ulid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(ulid)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ulid, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ulid::from_string(&text).map_err(|error| D::Error::custom(format!("{text:?} is no ULID: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(json: &str) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(json.as_bytes()).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn indexes_of_cortex_and_mimir_are_read_and_nothing_of_them_is_lost() {
        let cortex = r#"{"version":1,"blocks":[{"block_id":"01JWS713P2E4MQW7T643GYGD69","min_time":1,"max_time":9,
            "segments_format":"1b6d","segments_num":2,"uploaded_at":5,"parquet":{"version":1}}],
            "block_deletion_marks":null,"updated_at":77}"#;
        let mut index = BucketIndex::parse(&packed(cortex)).unwrap();
        assert_eq!((index.version, index.blocks.len(), index.updated_at), (1, 1, 77));
        assert_eq!(index.blocks[0].segments_num, 2);
        let mimir = r#"{"version":2,"blocks":null,"block_deletion_marks":[{"block_id":"01JWS713P2E4MQW7T643GYGD69",
            "deletion_time":8}],"updated_at":78,"later":[1]}"#;
        let other = BucketIndex::parse(&packed(mimir)).unwrap();
        assert_eq!(other.block_deletion_marks[0].deletion_time, 8);
        assert_eq!(BucketIndex::parse(&other.encode()).unwrap(), other);
        index.add(IndexedBlock { id: Ulid(7), ..index.blocks[0].clone() });
        assert_eq!((index.version, index.blocks[0].id), (2, Ulid(7)));
        let again = BucketIndex::parse(&index.encode()).unwrap();
        assert_eq!(again.blocks[1].others["parquet"]["version"], 1);
    }

    #[test]
    fn what_is_no_index_is_refused_in_words() {
        assert!(BucketIndex::parse(b"{}").unwrap_err().contains("gzip"));
        assert!(BucketIndex::parse(&packed("{\"version\":")).unwrap_err().contains("EOF"));
        let version = r#"{"version":9,"blocks":[],"block_deletion_marks":[],"updated_at":0}"#;
        assert!(BucketIndex::parse(&packed(version)).unwrap_err().contains("version 9"));
    }

    #[test]
    fn a_block_is_in_it_once() {
        let meta = |level| {
            let text = format!(
                r#"{{"ulid":"01JWS713P2E4MQW7T643GYGD69","minTime":1,"maxTime":9,"version":1,
                "compaction":{{"level":{level},"sources":[],"hints":["from-out-of-order"]}},
                "thanos":{{"labels":{{"__compactor_shard_id__":"1_of_4"}},"source":"ingester",
                "segment_files":["000001","000002"]}}}}"#
            );
            Meta::parse("meta.json", text.as_bytes()).unwrap()
        };
        let mut index = BucketIndex::new();
        assert!(index.add(IndexedBlock::of(&meta(1), 5)));
        assert!(!index.add(IndexedBlock::of(&meta(1), 6)));
        assert_eq!(index.blocks[0].uploaded_at, 5);
        let block = &index.blocks[0];
        assert_eq!((block.segments_num, &*block.compactor_shard_id, block.out_of_order), (2, "1_of_4", true));
        assert!(index.add(IndexedBlock::of(&meta(2), 6)));
        assert_eq!(index.blocks.len(), 1);
        index.mark(index.blocks[0].id, 9);
        index.remove(index.blocks[0].id);
        assert!(index.blocks.is_empty() && index.block_deletion_marks.is_empty());
    }
}
