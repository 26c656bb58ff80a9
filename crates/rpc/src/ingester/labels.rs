//! Label sets as packed bytes; the format is in `ingester.proto`.

use bytes::Bytes;
use model::Labels;
use proto::Error;
use wire::protobuf::{put_varint, varint};

use super::malformed;

pub(super) fn pack(labels: &Labels) -> Bytes {
    let mut packed = Vec::with_capacity(labels.heap_bytes() + 16);
    for (name, value) in labels.iter() {
        for text in [name, value] {
            put_varint(&mut packed, text.len() as u64);
            packed.extend_from_slice(text.as_bytes());
        }
    }
    packed.into()
}

pub(super) fn unpack(packed: &[u8]) -> Result<Labels, Error> {
    let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(16);
    let mut position = 0;
    while position < packed.len() {
        let (name, value) = (text(packed, &mut position)?, text(packed, &mut position)?);
        let ascends = pairs.last().is_none_or(|(before, _)| *before < name);
        if name.is_empty() || value.is_empty() || !ascends {
            return Err(malformed("labels that are empty or not sorted"));
        }
        pairs.push((name, value));
    }
    Ok(Labels::from_sorted(pairs))
}

fn text<'a>(packed: &'a [u8], position: &mut usize) -> Result<&'a str, Error> {
    let cut = || malformed("labels that are cut off or not UTF-8");
    let length = varint(packed, position).map_err(|_| cut())?;
    let end = usize::try_from(length).ok().and_then(|length| position.checked_add(length)).ok_or_else(cut)?;
    let bytes = packed.get(*position..end).ok_or_else(cut)?;
    *position = end;
    std::str::from_utf8(bytes).map_err(|_| cut())
}
