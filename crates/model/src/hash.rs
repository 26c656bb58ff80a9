//! The ring hash of a series: the same for remote write 1.0, 2.0 and OTLP, on every machine and for ever
//! (`docs/formats/series-hash.md`).
//!
//! It is xxh3-64 over the series' *canonical bytes*, seeded by the tenant. The canonical bytes are the labels, sorted
//! by name, without empty values, in the protobuf encoding that remote write 1.0 gives them inside a `TimeSeries`
//! (`0x0a` length (`0x0a` length name `0x12` length value), lengths as minimal varints). So for a well-formed remote
//! write 1.0 series they are a slice of the request, and hashing costs one pass and no copy.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{Labels, TenantId};

/// What a tenant adds to the hashes of its series, so that tenants spread over the ring differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TenantSeed(u64);

impl TenantSeed {
    /// The seed of a tenant: xxh3-64 of its ID.
    pub fn of(tenant: &TenantId) -> Self {
        Self(xxh3_64(tenant.as_str().as_bytes()))
    }

    /// The seed as a number, for other hashes of the tenant's things.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The seed that mixes nothing in, for hashes inside one tenant's data.
    pub const NONE: Self = Self(0);
}

/// The ring hash of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesHash(pub u64);

impl SeriesHash {
    /// The hash of canonical bytes.
    pub fn of_canonical(seed: TenantSeed, canonical: &[u8]) -> Self {
        Self(xxh3_64_with_seed(canonical, seed.0))
    }

    /// The hash of a label set.
    pub fn of(seed: TenantSeed, labels: &Labels) -> Self {
        let mut canonical = Vec::with_capacity(512);
        for (name, value) in labels.iter() {
            push_canonical_label(&mut canonical, name.as_bytes(), value.as_bytes());
        }
        Self::of_canonical(seed, &canonical)
    }
}

/// Appends the canonical bytes of one label. The caller keeps the order of names and leaves empty values out.
pub fn push_canonical_label(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let inner = 2 + varint_len(name.len()) + name.len() + varint_len(value.len()) + value.len();
    // Nearly all labels are short, and then so are all lengths.
    if inner < 0x80 {
        out.reserve(2 + inner);
        out.extend_from_slice(&[0x0a, inner as u8, 0x0a, name.len() as u8]);
        out.extend_from_slice(name);
        out.extend_from_slice(&[0x12, value.len() as u8]);
        out.extend_from_slice(value);
        return;
    }
    out.push(0x0a);
    push_varint(out, inner);
    out.push(0x0a);
    push_varint(out, name.len());
    out.extend_from_slice(name);
    out.push(0x12);
    push_varint(out, value.len());
    out.extend_from_slice(value);
}

fn varint_len(mut n: usize) -> usize {
    let mut len = 1;
    while n >= 0x80 {
        n >>= 7;
        len += 1;
    }
    len
}

fn push_varint(out: &mut Vec<u8>, mut n: usize) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with the reference implementation of xxh3. Frozen: a change of any of them moves every series of every cluster.
    #[test]
    fn frozen_values() {
        let labels =
            Labels::from_pairs([("__name__", "up"), ("instance", "localhost:9090"), ("job", "prometheus")]);
        let tenant = TenantId::new("team-a").unwrap();
        assert_eq!(SeriesHash::of(TenantSeed::of(&tenant), &labels), SeriesHash(0x35a9_74e1_b6e5_48ed));
        assert_eq!(SeriesHash::of(TenantSeed::NONE, &labels), SeriesHash(0x741c_1fd2_218a_6785));
    }

    #[test]
    fn canonical_bytes_are_those_of_remote_write() {
        let mut bytes = Vec::new();
        push_canonical_label(&mut bytes, b"a", &[b'x'; 200]);
        let mut expected = vec![0x0a, 206, 1, 0x0a, 1, b'a', 0x12, 200, 1];
        expected.extend([b'x'; 200]);
        assert_eq!(bytes, expected);
    }
}
