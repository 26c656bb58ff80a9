//! Canonical label bytes (see `model::hash`), as records and snapshots keep labels: reading them back.

use crate::codec::{Malformed, Reader};

const WHAT: Malformed = Malformed { what: "canonical labels" };

/// The pairs of name and value in canonical bytes.
pub(crate) fn decode(canonical: &[u8]) -> Result<Vec<(&str, &str)>, Malformed> {
    let mut labels = Vec::with_capacity(12);
    let mut reader = Reader::new(canonical);
    while !reader.is_empty() {
        let mut label = Reader::new(field(&mut reader, 0x0a)?);
        let (name, value) = (field(&mut label, 0x0a)?, field(&mut label, 0x12)?);
        labels.push((text(name)?, text(value)?));
    }
    Ok(labels)
}

fn field<'a>(reader: &mut Reader<'a>, tag: u8) -> Result<&'a [u8], Malformed> {
    if reader.u8(WHAT.what)? != tag {
        return Err(WHAT);
    }
    reader.bytes(WHAT.what)
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| WHAT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_bytes_decode_to_their_labels() {
        let mut bytes = Vec::new();
        model::hash::push_canonical_label(&mut bytes, b"__name__", b"up");
        model::hash::push_canonical_label(&mut bytes, b"job", "ä".repeat(100).as_bytes());
        assert_eq!(decode(&bytes), Ok(vec![("__name__", "up"), ("job", &*"ä".repeat(100))]));
        for len in 1..bytes.len() {
            let part = decode(&bytes[..len]);
            assert!(part.is_err() || part.is_ok_and(|l| l.len() == 1), "{len}");
        }
    }
}
