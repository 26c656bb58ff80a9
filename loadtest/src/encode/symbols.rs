//! The symbol table of a remote write 2.0 request.

use std::collections::HashMap;

use wire::protobuf::put_bytes_field;

/// Strings in the order of their references.
#[derive(Debug)]
pub(crate) struct Symbols {
    refs: HashMap<String, u32>,
    /// The encoded `symbols` field so far.
    encoded: Vec<u8>,
    count: u32,
}

impl Symbols {
    /// A table with the empty string, which has to be its first.
    pub(crate) fn new() -> Self {
        let mut symbols = Self { refs: HashMap::new(), encoded: Vec::new(), count: 0 };
        symbols.intern("");
        symbols
    }

    /// The reference of a text, added where it is new.
    pub(crate) fn intern(&mut self, text: &str) -> u32 {
        if let Some(reference) = self.refs.get(text) {
            return *reference;
        }
        let reference = self.push(text);
        self.refs.insert(text.to_owned(), reference);
        reference
    }

    /// Adds a text that will be overwritten in place, and gives its reference and where its bytes begin.
    pub(crate) fn push_patchable(&mut self, text: &str) -> (u32, usize) {
        let reference = self.push(text);
        (reference, self.encoded.len() - text.len())
    }

    /// The encoded field.
    pub(crate) fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    fn push(&mut self, text: &str) -> u32 {
        put_bytes_field(&mut self.encoded, 4, text.as_bytes());
        self.count += 1;
        self.count - 1
    }
}
