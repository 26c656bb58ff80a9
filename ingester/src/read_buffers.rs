//! Memory that files are read to, used again and again: it need not be cleared each time, and the processor's cache still has it.

use std::sync::Arc;

use parking_lot::Mutex;

/// So many buffers wait at most to be used again.
const MAX_IDLE: usize = 32;
/// A larger one is not kept.
const MAX_KEPT_BYTES: usize = 256 << 10;

/// Buffers. Clones share those that nobody uses.
#[derive(Clone, Default)]
pub(crate) struct ReadBuffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A buffer in use, with whatever was read to it before. It goes back when it is dropped.
pub(crate) struct ReadBuffer {
    bytes: Vec<u8>,
    /// How much of it is asked for.
    length: usize,
    idle: ReadBuffers,
}

impl ReadBuffers {
    /// A buffer of so many bytes.
    pub(crate) fn take(&self, length: usize) -> ReadBuffer {
        let mut bytes = self.0.lock().pop().unwrap_or_default();
        if bytes.len() < length {
            bytes.resize(length, 0);
        }
        ReadBuffer { bytes, length, idle: self.clone() }
    }
}

impl ReadBuffer {
    /// How much memory it holds, which may have been used for more before.
    pub(crate) fn held_bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl AsRef<[u8]> for ReadBuffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl AsMut<[u8]> for ReadBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.length).unwrap_or_default()
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        let mut idle = self.idle.0.lock();
        if idle.len() < MAX_IDLE && self.bytes.len() <= MAX_KEPT_BYTES {
            idle.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_and_few_wait() {
        let buffers = ReadBuffers::default();
        let mut first = buffers.take(100);
        first.as_mut().fill(7);
        drop(first);
        let (short, other) = (buffers.take(10), buffers.take(10));
        assert_eq!((short.as_ref(), other.as_ref()), ([7; 10].as_slice(), [0; 10].as_slice()));
        assert_eq!((short.held_bytes(), other.held_bytes()), (100, 10));
        drop(buffers.take(MAX_KEPT_BYTES + 1));
        drop((short, other));
        assert_eq!(buffers.0.lock().len(), 2);
        let many: Vec<_> = (0..2 * MAX_IDLE).map(|_| buffers.take(1)).collect();
        drop(many);
        assert_eq!(buffers.0.lock().len(), MAX_IDLE);
    }
}
