//! Parts of a tenant's series, by a hash of their labels.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use xxhash_rust::xxh64::xxh64;

/// The most parts that series are split into.
pub const MAX_SHARDS: u32 = 256;

/// Between names and values in what is hashed.
const SEPARATOR: u8 = 0xff;

/// One of several parts of the series, or all of them. As text it is `1_of_4`, as Mimir's label `__compactor_shard_id__`
/// has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard {
    count: u32,
    number: u32,
}

/// A text that is no shard.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no shard; expected one such as 1_of_4, of at most {MAX_SHARDS}")]
pub struct ShardError(String);

impl Shard {
    /// All series.
    pub const WHOLE: Self = Self { count: 1, number: 0 };

    /// The parts of as many, in order; `count` is one at least, and [`MAX_SHARDS`] at most.
    pub fn all(count: u32) -> impl Iterator<Item = Self> {
        let count = count.clamp(1, MAX_SHARDS);
        (0..count).map(move |number| Self { count, number })
    }

    /// How many parts there are.
    pub fn count(self) -> u32 {
        self.count
    }

    /// Whether it is all series.
    pub fn is_whole(self) -> bool {
        self.count == 1
    }

    /// Whether a series can be in both.
    pub fn meets(self, other: Self) -> bool {
        let common = gcd(self.count, other.count);
        self.number % common == other.number % common
    }

    /// Whether every series of `other` is in it.
    pub fn covers(self, other: Self) -> bool {
        other.count.is_multiple_of(self.count) && other.number % self.count == self.number
    }

    /// Whether a series with this hash is in it.
    pub fn has(self, hash: u64) -> bool {
        hash % u64::from(self.count) == u64::from(self.number)
    }

    /// The hash of a series, from its labels in order. It is that of Mimir and Prometheus (`StableHash`), so that their
    /// shards are ours.
    pub fn hash<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>, scratch: &mut Vec<u8>) -> u64 {
        scratch.clear();
        for (name, value) in labels {
            scratch.extend_from_slice(name.as_bytes());
            scratch.push(SEPARATOR);
            scratch.extend_from_slice(value.as_bytes());
            scratch.push(SEPARATOR);
        }
        xxh64(scratch, 0)
    }
}

fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_of_{}", u64::from(self.number) + 1, self.count)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let refused = || ShardError(text.to_owned());
        let (number, count) = text.split_once("_of_").ok_or_else(refused)?;
        let number: u32 = number.parse().map_err(|_| refused())?;
        let count: u32 = count.parse().map_err(|_| refused())?;
        let number = number.checked_sub(1).filter(|number| *number < count && count <= MAX_SHARDS);
        Ok(Self { count, number: number.ok_or_else(refused)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(text: &str) -> Shard {
        text.parse().unwrap()
    }

    #[test]
    fn they_are_written_as_they_are_read() {
        for text in ["1_of_1", "1_of_4", "4_of_4", "3_of_256"] {
            assert_eq!(shard(text).to_string(), text);
        }
        for wrong in ["", "0_of_4", "5_of_4", "1_of_0", "1of4", "1_of_257", "-1_of_4", "1_of_x"] {
            assert!(wrong.parse::<Shard>().unwrap_err().to_string().contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn what_meets_and_covers_follows_from_the_hashes() {
        let all: Vec<Shard> = [1, 2, 3, 4, 6, 8].into_iter().flat_map(Shard::all).collect();
        for a in &all {
            for b in &all {
                let of = |shard: &Shard| (0..48_u64).filter(|hash| shard.has(*hash)).collect::<Vec<_>>();
                let (of_a, of_b) = (of(a), of(b));
                assert_eq!(a.meets(*b), of_a.iter().any(|hash| of_b.contains(hash)), "{a} {b}");
                assert_eq!(a.covers(*b), of_b.iter().all(|hash| of_a.contains(hash)), "{a} {b}");
            }
        }
    }

    #[test]
    fn the_hash_is_the_one_of_mimir() {
        let mut scratch = Vec::new();
        let hash = Shard::hash([("a", "b")], &mut scratch);
        assert_eq!(scratch, b"a\xffb\xff");
        assert_eq!(hash, xxh64(b"a\xffb\xff", 0));
        // As another implementation of XXH64 (the xxhash package of Python) finds them of the bytes that Prometheus' `StableHash`
        // is of, with the parts of 4 and 16 that Mimir puts these series into.
        let scrape = [("__name__", "up"), ("instance", "localhost:9090"), ("job", "prometheus")];
        let request = [
            ("__name__", "http_requests_total"),
            ("cluster", "eu-west-1"),
            ("handler", "/api/v1/query"),
            ("method", "GET"),
            ("namespace", "monitoring"),
            ("status", "200"),
        ];
        let other = [("__name__", "größe"), ("ort", "Zürich 中文")];
        for (labels, expected, parts) in [
            (&scrape[..], 0xf28c_8afc_d224_e55f_u64, ["4_of_4", "16_of_16"]),
            (&request, 0xafbc_a040_bda4_e019, ["2_of_4", "10_of_16"]),
            (&other, 0xff2f_0671_d1b8_7ece, ["3_of_4", "15_of_16"]),
            (&[("a", "b")], 0x6088_91b6_a4fd_3588, ["1_of_4", "9_of_16"]),
        ] {
            let hash = Shard::hash(labels.iter().copied(), &mut scratch);
            assert_eq!(hash, expected, "{labels:?}");
            assert!(parts.iter().all(|part| shard(part).has(hash)), "{labels:?}");
        }
        // That of nothing, as the specification of XXH64 gives it.
        assert_eq!(Shard::hash([], &mut scratch), 0xef46_db37_51d8_e999);
    }
}
