//! The snappy block format, with the decompressed size checked before anything is allocated.

use std::io::Write;

use bytes::Bytes;

use crate::WireError;

/// The most by which snappy can expand: a copy of 64 bytes takes three. A block that declares more is broken.
const MAX_EXPANSION: usize = 22;

/// The decompressed length that a block declares.
pub fn declared_len(compressed: &[u8]) -> Result<usize, WireError> {
    match snap::raw::decompress_len(compressed) {
        Ok(declared) if !compressed.is_empty() => Ok(declared),
        _ => Err(WireError::SnappyHeader),
    }
}

/// Decompresses a block that declares at most `max` bytes and can have that many. Memory is bounded by the smaller of
/// `max` and 22 times the compressed length.
pub fn decompress(compressed: &[u8], max: usize) -> Result<Bytes, WireError> {
    let mut out = Vec::new();
    decompress_into(compressed, max, &mut out)?;
    Ok(out.into())
}

/// As [`decompress`], into a buffer whose memory is used again; what it held is gone.
pub fn decompress_into(compressed: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), WireError> {
    let declared = declared_len(compressed)?;
    if declared > max {
        return Err(WireError::SnappyTooLarge { declared, max });
    }
    if declared > compressed.len().saturating_mul(MAX_EXPANSION) {
        return Err(WireError::SnappyImpossible { declared, compressed: compressed.len() });
    }
    out.clear();
    out.resize(declared, 0);
    match snap::raw::Decoder::new().decompress(compressed, out) {
        Ok(written) if written == declared => Ok(()),
        _ => Err(WireError::SnappyCorrupt { compressed: compressed.len(), declared }),
    }
}

/// Compresses `message` (at most 4 GiB) into a block, into a buffer whose memory is used again.
///
/// # Panics
/// When `message` is 4 GiB or longer; nothing here makes messages of that size.
pub fn compress_into(message: &[u8], out: &mut Vec<u8>) {
    out.resize(snap::raw::max_compress_len(message.len()), 0);
    let written = snap::raw::Encoder::new()
        .compress(message, out)
        .expect("the buffer has the largest size a block of this message can have");
    out.truncate(written);
}

/// Compresses `message` (at most 4 GiB) into a block.
///
/// # Panics
/// As [`compress_into`].
pub fn compress(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress_into(message, &mut out);
    out
}

/// Writes the snappy frame format, piece by piece.
pub struct FrameEncoder(snap::write::FrameEncoder<Vec<u8>>);

impl FrameEncoder {
    /// An encoder at the beginning of its stream.
    pub fn new() -> Self {
        Self(snap::write::FrameEncoder::new(Vec::new()))
    }

    /// `piece` as frames, complete: what is sent so far can be read.
    pub fn encode(&mut self, piece: &[u8]) -> Vec<u8> {
        let written = self.0.write_all(piece).and_then(|()| self.0.flush());
        debug_assert!(written.is_ok(), "writing to memory does not fail");
        std::mem::take(self.0.get_mut())
    }
}

impl Default for FrameEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for FrameEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameEncoder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn frames_are_complete_piece_by_piece() {
        let mut encoder = FrameEncoder::new();
        let mut sent = Vec::new();
        for (piece, whole) in [("abc", "abc"), ("", "abc"), ("def", "abcdef")] {
            sent.extend(encoder.encode(piece.as_bytes()));
            let mut read = String::new();
            snap::read::FrameDecoder::new(&sent[..]).read_to_string(&mut read).unwrap();
            assert_eq!(read, whole);
        }
    }

    #[test]
    fn round_trip() {
        let message = b"abcabcabcabc".repeat(1000);
        let block = compress(&message);
        assert!(block.len() < message.len() / 10);
        assert_eq!(declared_len(&block), Ok(message.len()));
        assert_eq!(decompress(&block, message.len()).unwrap(), message);
    }

    #[test]
    fn a_bomb_is_refused_by_what_it_declares() {
        // Declares 2 GiB in five bytes.
        let bomb = [0x80, 0x80, 0x80, 0x80, 0x08, 0x00];
        assert_eq!(
            decompress(&bomb, 100 << 20),
            Err(WireError::SnappyTooLarge { declared: 2 << 30, max: 100 << 20 })
        );
        assert_eq!(
            decompress(&bomb, 4 << 30),
            Err(WireError::SnappyImpossible { declared: 2 << 30, compressed: 6 })
        );
    }

    #[test]
    fn the_most_compressible_message_is_still_accepted() {
        let message = vec![7u8; 10 << 20];
        assert_eq!(decompress(&compress(&message), 10 << 20).unwrap(), message);
    }

    #[test]
    fn broken_blocks_are_refused() {
        assert_eq!(decompress(&[], 10), Err(WireError::SnappyHeader));
        assert_eq!(decompress(&[0x80], 10), Err(WireError::SnappyHeader));
        let mut block = compress(b"a message of some length, so that a literal is cut");
        block.pop();
        assert!(matches!(decompress(&block, 1000), Err(WireError::SnappyCorrupt { .. })));
    }
}
