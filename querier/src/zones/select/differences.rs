//! What one ingester has of a series that another has not sent.

use std::borrow::Cow;

use proto::Chunk;

/// From when on chunks with these checksums have to be fetched, because not all of them are among those that were
/// sent; the beginning of time where none is. `None`: all were sent.
///
/// Both have their chunks sorted by their first sample. Where chunks are in another order for other reasons, more is
/// fetched than needed, never less.
pub(super) fn missing_since(sent: &[&[Chunk]], checksums: &[u64]) -> Option<i64> {
    let sent: Cow<'_, [Chunk]> = match sent {
        [] => Cow::Borrowed(&[]),
        [only] => Cow::Borrowed(only),
        several => {
            let mut all = several.concat();
            all.sort_by_key(|chunk| (chunk.range.start_ms(), chunk.range.end_ms()));
            Cow::Owned(all)
        }
    };
    let mut rest = sent.iter();
    let mut since = i64::MIN;
    for checksum in checksums {
        match rest.find(|chunk| chunk.checksum() == *checksum) {
            // What follows begins no earlier.
            Some(same) => since = same.range.start_ms(),
            None => return Some(since),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use model::TimeRange;
    use proto::ChunkEncoding;

    use super::*;

    fn chunk(start: i64, data: &'static str) -> Chunk {
        let range = TimeRange::new(start, start + 9).unwrap();
        Chunk { range, encoding: ChunkEncoding::Xor, data: data.into() }
    }

    fn check(sent: &[&[Chunk]], has: &[Chunk], expected: Option<i64>) {
        let checksums: Vec<u64> = has.iter().map(Chunk::checksum).collect();
        assert_eq!(missing_since(sent, &checksums), expected, "{sent:?} {has:?}");
    }

    #[test]
    fn differences() {
        let [a, b, c, d] = [chunk(0, "a"), chunk(10, "b"), chunk(20, "c"), chunk(20, "d")];
        let all = [a.clone(), b.clone(), c.clone()];
        check(&[], &[], None);
        check(&[], &all, Some(i64::MIN));
        check(&[&all], &[], None);
        check(&[&all], &all, None);
        check(&[&all], &all[1..], None);
        check(&[&all[1..]], &all, Some(i64::MIN));
        check(&[&all[..2]], &all, Some(10));
        check(&[&[a.clone(), c.clone()]], &all, Some(0));
        check(&[&[a.clone(), b.clone(), d]], &all, Some(10));
        check(&[&[a.clone(), c.clone()], std::slice::from_ref(&b)], &all, None);
        check(&[&[a, c.clone()], &[c, b]], &all, None);
    }
}
