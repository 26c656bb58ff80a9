//! The symbol table: every text of the labels, once, sorted.

use bytes::Bytes;

use crate::bytes::Cut;
use crate::error::BlockError;

use super::section::Section;
use super::toc::Version;

/// Every how many symbols a place is remembered. Each label of each series that is read looks two of them up, so there is
/// little to pass over: a byte of memory for each symbol, beside its text.
const STRIDE: usize = 4;

/// The symbols of an index, in the bytes that it was read from.
#[derive(Debug, Clone)]
pub(crate) struct Symbols {
    file: String,
    version: Version,
    content: Bytes,
    /// Where `content` begins in the file.
    offset: u64,
    count: u32,
    /// Where in `content` every [`STRIDE`]th symbol begins.
    places: Vec<u32>,
}

impl Symbols {
    pub(super) fn read(file: &str, version: Version, section: &Section) -> Result<Self, BlockError> {
        let mut cut = section.cut(file);
        let count = cut.u32("the number of symbols")?;
        let mut places = Vec::new();
        let mut last: Option<&str> = None;
        for i in 0..count {
            if (i as usize).is_multiple_of(STRIDE) {
                places.push((cut.offset() - section.offset) as u32);
            }
            let at = cut.clone();
            let symbol = cut.text("a symbol")?;
            // Upstream's first version did not sort them.
            if version == Version::V2 && last.is_some_and(|last| last >= symbol) {
                return Err(at.wrong(format!("symbol {symbol:?} is not behind {last:?} in order")));
            }
            last = Some(symbol);
        }
        if !cut.is_empty() {
            return Err(cut.wrong("there is more in the symbol table than its symbols"));
        }
        let (content, offset) = (section.content.clone(), section.offset);
        Ok(Self { file: file.to_owned(), version, content, offset, count, places })
    }

    pub(crate) fn len(&self) -> u32 {
        self.count
    }

    /// As it is in a file: the number of symbols, and the symbols.
    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }

    /// Where that begins in the file.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// About how many bytes of memory it takes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.content.len() + 4 * self.places.len()
    }

    /// The symbol that a series refers to.
    pub(super) fn get(&self, reference: u64) -> Result<&str, BlockError> {
        let unknown = || format!("there is no symbol {reference}");
        let place = match self.version {
            Version::V1 => reference.checked_sub(self.offset).and_then(|at| usize::try_from(at).ok()),
            Version::V2 if reference < u64::from(self.count) => {
                self.places.get(reference as usize / STRIDE).map(|at| *at as usize)
            }
            Version::V2 => None,
        };
        let bytes = place.and_then(|place| Some((place, self.content.get(place..)?)));
        let Some((place, bytes)) = bytes else {
            return Err(BlockError::malformed(&self.file, self.offset, unknown()));
        };
        let mut cut = Cut::new(&self.file, bytes, self.offset + place as u64);
        let before = match self.version {
            Version::V1 => 0,
            Version::V2 => reference as usize % STRIDE,
        };
        for _ in 0..before {
            let length = cut.uvarint("a symbol")?;
            cut.bytes(length, "a symbol")?;
        }
        cut.text("a symbol")
    }

    /// Whether series refer to them by their numbers, which are in their order.
    pub(crate) fn are_numbered(&self) -> bool {
        self.version == Version::V2
    }

    /// All of them by their bytes, each with what series refer to it by.
    pub(crate) fn sorted(&self) -> Box<dyn Iterator<Item = (&str, u64)> + '_> {
        if self.version == Version::V2 {
            return Box::new(self.iter().zip(0_u64..));
        }
        let mut cut = Cut::new(&self.file, self.content.get(4..).unwrap_or_default(), self.offset + 4);
        // They have been read once.
        let next = || (!cut.is_empty()).then(|| (cut.offset(), cut.text("a symbol").ok()));
        let mut all: Vec<(&str, u64)> =
            std::iter::from_fn(next).map_while(|(offset, text)| Some((text?, offset))).collect();
        all.sort_unstable();
        Box::new(all.into_iter())
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let mut cut = Cut::new(&self.file, self.content.get(4..).unwrap_or_default(), self.offset + 4);
        // They have been read once.
        std::iter::from_fn(move || (!cut.is_empty()).then(|| cut.text("a symbol").ok()).flatten())
    }
}
