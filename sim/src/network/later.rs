//! Messages of a later version: they have a field that nobody knows yet.

use bytes::{BufMut as _, Bytes, BytesMut};

/// A message of gRPC begins with a byte that says whether it is compressed, and its length in four.
const PREFIX_BYTES: usize = 5;
/// Field 2047, a number, which is 1.
const FIELD: [u8; 3] = [0xf8, 0x7f, 1];

/// The messages in `data`, each with another field at its end. What is compressed, or not whole, stays as it is.
pub(super) fn with_field(data: &Bytes) -> Bytes {
    let mut rest = data.clone();
    let mut out = BytesMut::with_capacity(data.len() + 64);
    while let Some([compressed, len @ ..]) = rest.first_chunk::<PREFIX_BYTES>() {
        let (compressed, len) = (*compressed, u32::from_be_bytes(*len));
        let whole = usize::try_from(len).unwrap_or(usize::MAX).saturating_add(PREFIX_BYTES);
        if compressed != 0 || rest.len() < whole {
            break;
        }
        let message = rest.split_to(whole);
        out.put_u8(0);
        out.put_u32(len.saturating_add(FIELD.len() as u32));
        out.put_slice(message.get(PREFIX_BYTES..).unwrap_or_default());
        out.put_slice(&FIELD);
    }
    out.put_slice(&rest);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_whole_message_has_another_field() {
        let check = |data: &[u8], expected: &[u8]| {
            assert_eq!(with_field(&Bytes::copy_from_slice(data)), Bytes::copy_from_slice(expected));
        };
        check(&[], &[]);
        check(&[0, 0, 0, 0, 0], &[0, 0, 0, 0, 3, 0xf8, 0x7f, 1]);
        check(
            &[0, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 4, 8, 0xf8, 0x7f, 1, 0, 0, 0, 0, 3, 0xf8, 0x7f, 1, 0, 0],
        );
        check(&[1, 0, 0, 0, 1, 8], &[1, 0, 0, 0, 1, 8]);
    }
}
