//! `meta.json`: what a block is, and what it was made from.

use std::collections::BTreeMap;

use model::TimeRange;
use serde::{Deserialize, Deserializer, Serialize};
use ulid::Ulid;

use crate::error::BlockError;
use crate::index::Version;

/// The largest `meta.json` that is read. Blocks of a year name thousands of sources, of 30 bytes each.
pub const MAX_META_BYTES: u64 = 16 << 20;

/// What Prometheus wrote for a while by mistake, together with the wrong version into the index.
const MISTAKEN_VERSION: u32 = 2;

/// What `meta.json` says. What others put there and we do not know is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// The block's name, which is that of its folder.
    #[serde(with = "as_text")]
    pub ulid: Ulid,
    /// The first time that may be in it, in milliseconds since the Unix epoch.
    pub min_time: i64,
    /// The first time that is behind it, likewise.
    pub max_time: i64,
    /// How much is in it; nothing where that is not said.
    #[serde(default, deserialize_with = "null_is_default")]
    pub stats: Stats,
    /// How it came about.
    #[serde(default, deserialize_with = "null_is_default")]
    pub compaction: Compaction,
    /// The version of this file: 1, or 2 by mistake; see [`Self::index_version`].
    pub version: u32,
    /// What Thanos and its relatives say besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thanos: Option<Thanos>,
    /// What others have put there.
    #[serde(flatten)]
    pub others: BTreeMap<String, serde_json::Value>,
}

/// How much is in a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stats {
    /// Samples of any kind.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    /// Samples that are floats.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    /// Samples that are native histograms.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    /// Series.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    /// Chunks.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    /// Entries of the tombstones.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

/// How a block came about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Compaction {
    /// 1 for a block that was cut from a head; one more than that of its sources for one that was merged.
    pub level: u32,
    /// The blocks that were cut from heads whose samples are in it, sorted.
    #[serde(with = "as_texts")]
    pub sources: Vec<Ulid>,
    /// The blocks that it was merged from.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Parent>,
    /// What was remarkable about it, such as `from-out-of-order`.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// Whether it is empty and may be removed.
    #[serde(skip_serializing_if = "is_false")]
    pub deletable: bool,
    /// Whether merging it has failed.
    #[serde(skip_serializing_if = "is_false")]
    pub failed: bool,
}

/// A block that another was merged from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parent {
    /// Its name.
    #[serde(with = "as_text")]
    pub ulid: Ulid,
    /// Its first time.
    pub min_time: i64,
    /// The first time behind it.
    pub max_time: i64,
}

/// The section of Thanos, which Cortex and Mimir have, too.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Thanos {
    /// Labels that all its series are to have besides their own.
    #[serde(deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// How far it has been downsampled.
    #[serde(deserialize_with = "null_is_default")]
    pub downsample: Downsample,
    /// Who made it.
    pub source: String,
    /// The names of its segment files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_files: Option<Vec<String>>,
    /// What others have put there.
    #[serde(flatten)]
    pub others: BTreeMap<String, serde_json::Value>,
}

/// A file of a block, as the section of Thanos lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockFile {
    /// Its name inside of the block's folder, such as `chunks/000001`.
    pub rel_path: String,
    /// Its length in bytes; `None` for `meta.json`, which cannot know its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

/// How far a block has been downsampled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Downsample {
    /// Milliseconds between samples; 0 where they are as they came.
    pub resolution: i64,
}

impl Thanos {
    /// Under which the files are listed.
    const FILES: &'static str = "files";

    /// The block's files, where they are listed.
    pub fn files(&self) -> Vec<BlockFile> {
        let listed = self.others.get(Self::FILES).and_then(serde_json::Value::as_array);
        listed.into_iter().flatten().filter_map(|file| BlockFile::deserialize(file).ok()).collect()
    }

    /// Lists the block's files.
    #[must_use]
    pub fn with_files(mut self, files: &[BlockFile]) -> Self {
        let listed = serde_json::to_value(files).expect("texts and numbers are JSON");
        self.others.insert(Self::FILES.to_owned(), listed);
        self
    }
}

impl Stats {
    /// Whether `meta.json` says how much is in the block: nothing is in none that was written, but some do not count.
    pub fn is_said(&self) -> bool {
        *self != Self::default()
    }
}

impl Compaction {
    /// Of a block that was cut from a head.
    pub fn of_head(ulid: Ulid) -> Self {
        Self { level: 1, sources: vec![ulid], ..Self::default() }
    }
}

impl Meta {
    /// The version of the file that is written.
    pub const VERSION: u32 = 1;

    /// Reads the file. `file` names it in errors.
    ///
    /// # Errors
    /// Where it is not JSON of this kind, or of a version that is not known.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, BlockError> {
        let meta: Self = serde_json::from_slice(bytes).map_err(|error| {
            // Line and column are those of a text that people read; the offset is that of its line.
            let lines = bytes.split_inclusive(|byte| *byte == b'\n');
            let before: usize = lines.take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
            let offset = before + error.column().saturating_sub(1);
            BlockError::malformed(file, offset as u64, error.to_string())
        })?;
        if ![Self::VERSION, MISTAKEN_VERSION].contains(&meta.version) {
            let what =
                format!("version {} of meta.json is unknown; {} is known", meta.version, Self::VERSION);
            return Err(BlockError::malformed(file, 0, what));
        }
        if meta.max_time < meta.min_time {
            let what = format!("maxTime {} is before minTime {}", meta.max_time, meta.min_time);
            return Err(BlockError::malformed(file, 0, what));
        }
        Ok(meta)
    }

    /// The content of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let indent = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, indent);
        self.serialize(&mut serializer).expect("numbers and texts are JSON");
        bytes
    }

    /// The times that may be in it; `None` where it is empty.
    pub fn range(&self) -> Option<TimeRange> {
        TimeRange::new(self.min_time, self.max_time.checked_sub(1)?)
    }

    /// The version that the block's index has, where it is not to be believed what it says itself: Prometheus wrote
    /// `meta.json` with version 2 and the index with version 1, when it meant the opposite, in some builds of 2017.
    pub fn index_version(&self) -> Option<Version> {
        (self.version == MISTAKEN_VERSION).then_some(Version::V2)
    }

    /// Whether series of it may have been deleted: its tombstones say which.
    pub fn may_have_tombstones(&self) -> bool {
        // Upstream writes the file with every block. Who says how much is in a block says how many of these, too.
        self.stats.num_tombstones > 0 || !self.stats.is_said()
    }

    /// Whether it is not whole without its file of tombstones: `meta.json` counts some, and does not say that the block was put into
    /// a bucket without them, as Thanos and Mimir do. There, what had been deleted is back.
    pub fn must_have_tombstones(&self) -> bool {
        let lists_them =
            |thanos: &Thanos| thanos.files().iter().any(|file| file.rel_path == crate::tombstones::FILE);
        self.stats.num_tombstones > 0 && self.thanos.as_ref().is_none_or(lists_them)
    }

    /// Whether its samples are not those that came, but means and sums of many.
    pub fn is_downsampled(&self) -> bool {
        self.thanos.as_ref().is_some_and(|thanos| thanos.downsample.resolution != 0)
    }
}

/// Reads a field as the default where it is null: Go writes lists and maps without entries so.
///
/// # Errors
/// Where it is neither null nor of its kind.
pub fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// A name in 26 characters.
mod as_text {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use ulid::Ulid;

    pub(super) fn serialize<S: Serializer>(ulid: &Ulid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&ulid.to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ulid, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ulid::from_string(&text).map_err(|error| D::Error::custom(format!("{text:?} is no ULID: {error}")))
    }
}

/// Names, likewise; none may be null, as Go writes it.
mod as_texts {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use ulid::Ulid;

    pub(super) fn serialize<S: Serializer>(ulids: &[Ulid], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ulids.iter().map(Ulid::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Ulid>, D::Error> {
        let texts = Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default();
        let parse = |text: &String| {
            Ulid::from_string(text).map_err(|error| D::Error::custom(format!("{text:?} is no ULID: {error}")))
        };
        texts.iter().map(parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ULID: &str = "01JWS713P2E4MQW7T643GYGD69";

    #[test]
    fn what_is_unknown_is_kept() {
        let text = format!(
            r#"{{"ulid":"{ULID}","minTime":1,"maxTime":9,"version":1,"compaction":{{"level":1,"sources":null}},
                "thanos":{{"labels":{{"a":"b"}},"downsample":{{"resolution":300000}},"source":"x","new":[1]}},"more":true}}"#
        );
        let meta = Meta::parse("meta.json", text.as_bytes()).unwrap();
        assert!(meta.is_downsampled());
        assert_eq!(meta.range(), TimeRange::new(1, 8));
        assert!(meta.compaction.sources.is_empty());
        let again = Meta::parse("meta.json", &meta.encode()).unwrap();
        assert_eq!(again, meta);
        assert_eq!(again.others["more"], true);
        assert_eq!(again.thanos.unwrap().others["new"], serde_json::json!([1]));
    }

    /// As Mimir writes it that has neither counted nor labels.
    #[test]
    fn what_is_empty_may_be_null() {
        let text = format!(
            r#"{{"ulid":"{ULID}","minTime":0,"maxTime":7200000,"stats":{{}},"version":1,"out_of_order":false,
                "compaction":{{"level":1,"sources":["{ULID}"],"parents":null,"hints":null}},
                "thanos":{{"version":1,"labels":null,"downsample":{{"resolution":0}},"source":"","files":null}}}}"#
        );
        let meta = Meta::parse("meta.json", text.as_bytes()).unwrap();
        assert!(!meta.stats.is_said() && meta.may_have_tombstones());
        let thanos = meta.thanos.as_ref().unwrap();
        assert!(thanos.labels.is_empty() && thanos.files().is_empty());
        assert!(meta.compaction.parents.is_empty() && meta.compaction.hints.is_empty());
        assert_eq!(Meta::parse("meta.json", &meta.encode()).unwrap(), meta);
        let counted = Stats { num_series: 1, ..Stats::default() };
        assert!(!Meta { stats: counted, ..meta }.may_have_tombstones());
    }

    #[test]
    fn tombstones_are_part_of_a_block_unless_it_was_uploaded_without_them() {
        let stats = |num_tombstones| Stats { num_series: 1, num_tombstones, ..Stats::default() };
        let listing = |name: &str| {
            let file = BlockFile { rel_path: name.to_owned(), size_bytes: None };
            Some(Thanos::default().with_files(&[file]))
        };
        for (num_tombstones, thanos, expected) in [
            (1, None, true),
            (1, listing("tombstones"), true),
            (1, listing("index"), false),
            (1, Some(Thanos::default()), false),
            (0, None, false),
        ] {
            let text = format!(r#"{{"ulid":"{ULID}","minTime":0,"maxTime":1,"version":1}}"#);
            let meta = Meta::parse("meta.json", text.as_bytes()).unwrap();
            let meta = Meta { stats: stats(num_tombstones), thanos, ..meta };
            assert_eq!(meta.must_have_tombstones(), expected, "{meta:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, words) in [
            ("", "EOF"),
            ("{\"ulid\":\n7}", "offset "),
            (r#"{"ulid":"x","minTime":0,"maxTime":0,"version":1}"#, "\"x\" is no ULID"),
            (
                &format!(r#"{{"ulid":"{ULID}","minTime":0,"maxTime":0,"version":3}}"#),
                "version 3 of meta.json",
            ),
            (&format!(r#"{{"ulid":"{ULID}","minTime":5,"maxTime":0,"version":1}}"#), "before minTime"),
        ] {
            let error = Meta::parse("meta.json", text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("meta.json: offset ") && error.contains(words), "{error}");
        }
    }
}
