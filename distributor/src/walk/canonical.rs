//! The canonical bytes of a series whose labels are symbols of the request.
//!
//! Texts are short, and a call to copy one costs more than the copy: so 32 bytes are copied whatever the length, and what
//! was too much is overwritten by what comes next.

use model::hash::push_canonical_label;

/// So many bytes are copied at once.
const STRIDE: usize = 32;
/// Canonical bytes of most series fit.
const USUAL_BYTES: usize = 2048;
/// Tags and lengths of a label whose lengths are below 128.
const HEAD_BYTES: usize = 4;
const MIDDLE_BYTES: usize = 2;

/// Where a symbol's text is in the request: start and length.
pub(super) type Span = (u32, u32);

/// Canonical bytes being put together.
pub(super) struct Canonical {
    /// Longer than `len` mostly; what lies behind means nothing.
    buffer: Vec<u8>,
    len: usize,
}

impl Canonical {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; USUAL_BYTES], len: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    /// Appends a label whose name and value are parts of `request`; `None` where they are not.
    #[inline]
    pub(super) fn push(&mut self, request: &[u8], name: Span, value: Span) -> Option<()> {
        let (name_len, value_len) = (name.1 as usize, value.1 as usize);
        let inner = HEAD_BYTES + name_len + value_len;
        if inner >= 0x80 {
            return self.push_long(request, name, value);
        }
        let end = self.len + MIDDLE_BYTES + inner;
        if end + STRIDE > self.buffer.len() {
            self.buffer.resize(2 * (end + USUAL_BYTES), 0);
        }
        let out = self.buffer.get_mut(self.len..)?;
        let (head, out) = out.split_first_chunk_mut::<HEAD_BYTES>()?;
        *head = [0x0a, inner as u8, 0x0a, name_len as u8];
        copy(request, name, out)?;
        let (middle, out) = out.get_mut(name_len..)?.split_first_chunk_mut::<MIDDLE_BYTES>()?;
        *middle = [0x12, value_len as u8];
        copy(request, value, out)?;
        self.len = end;
        Some(())
    }

    #[cold]
    fn push_long(&mut self, request: &[u8], name: Span, value: Span) -> Option<()> {
        self.buffer.truncate(self.len);
        push_canonical_label(&mut self.buffer, text(request, name)?, text(request, value)?);
        self.len = self.buffer.len();
        Some(())
    }
}

fn text(request: &[u8], (start, len): Span) -> Option<&[u8]> {
    request.get(start as usize..)?.get(..len as usize)
}

/// Copies a text to the beginning of `out`, and perhaps more behind it.
#[inline]
fn copy(request: &[u8], (start, len): Span, out: &mut [u8]) -> Option<()> {
    let (from, len) = (request.get(start as usize..)?, len as usize);
    match (from.first_chunk::<STRIDE>(), out.first_chunk_mut::<STRIDE>()) {
        (Some(stride), Some(to)) => *to = *stride,
        _ => return copy_exactly(from, len, out),
    }
    if len > STRIDE {
        return copy_exactly(from, len, out);
    }
    Some(())
}

fn copy_exactly(from: &[u8], len: usize, out: &mut [u8]) -> Option<()> {
    out.get_mut(..len)?.copy_from_slice(from.get(..len)?);
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_bytes_are_those_of_the_labels(
            request in prop::collection::vec(any::<u8>(), 0..400),
            spans in prop::collection::vec(((any::<prop::sample::Index>(), 0u32..140), (any::<prop::sample::Index>(), 0u32..40)), 0..60),
        ) {
            let mut canonical = Canonical::new();
            canonical.push(&[7; 90], (0, 10), (20, 70));
            canonical.clear();
            let mut expected = Vec::new();
            for ((name_at, name_len), (value_at, value_len)) in spans {
                let name = (name_at.index(request.len() + 1) as u32, name_len);
                let value = (value_at.index(request.len() + 1) as u32, value_len);
                match (text(&request, name), text(&request, value)) {
                    (Some(n), Some(v)) => {
                        prop_assert_eq!(canonical.push(&request, name, value), Some(()));
                        push_canonical_label(&mut expected, n, v);
                    }
                    // Some of what lies behind a text may be copied, but a label that is not there is never one.
                    _ => {
                        let before = canonical.bytes().to_vec();
                        if canonical.push(&request, name, value).is_none() {
                            prop_assert_eq!(canonical.bytes(), &before);
                        } else {
                            return Err(TestCaseError::fail("a label outside the request"));
                        }
                    }
                }
            }
            prop_assert_eq!(canonical.bytes(), &expected);
        }
    }
}
