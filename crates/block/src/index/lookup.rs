//! The numbers of symbols, while an index is written.

use std::hash::{BuildHasher, BuildHasherDefault};

use hashbrown::HashTable;
use xxhash_rust::xxh3::Xxh3Default;

use crate::bytes::{Cut, Put};
use crate::error::BlockError;

/// The symbol table as it is written, and the number of each symbol.
pub(super) struct SymbolNumbers {
    /// The section: the number of symbols, and each with its length.
    section: Vec<u8>,
    /// Where in `section` each symbol begins.
    places: Vec<u32>,
    /// Numbers, by the symbol.
    numbers: HashTable<u32>,
    hasher: BuildHasherDefault<Xxh3Default>,
}

impl SymbolNumbers {
    pub(super) fn new<'a>(symbols: impl IntoIterator<Item = &'a str>) -> Result<Self, BlockError> {
        let (mut section, mut places) = (vec![0; 4], Vec::new());
        let mut last: Option<&str> = None;
        for symbol in symbols {
            if last.is_some_and(|last| last >= symbol) {
                return Err(BlockError::unwritable(format!(
                    "symbol {symbol:?} is not behind {last:?} in order"
                )));
            }
            let place = u32::try_from(section.len())
                .map_err(|_| BlockError::unwritable("the symbols of a block have more than 4 GiB"))?;
            places.push(place);
            section.put_text(symbol);
            last = Some(symbol);
        }
        let count = u32::try_from(places.len())
            .map_err(|_| BlockError::unwritable("a block has more than 4 billion symbols"))?;
        section[..4].copy_from_slice(&count.to_be_bytes());
        let mut all = Self {
            section,
            places,
            numbers: HashTable::with_capacity(count as usize),
            hasher: BuildHasherDefault::default(),
        };
        for number in 0..count {
            let hash = all.hasher.hash_one(all.text(number));
            // There is room for all of them: nothing is hashed again.
            all.numbers.insert_unique(hash, number, |_| hash);
        }
        Ok(all)
    }

    pub(super) fn section(&self) -> &[u8] {
        &self.section
    }

    /// The symbol with a number; empty where there is none.
    pub(super) fn text(&self, number: u32) -> &str {
        let place = self.places.get(number as usize).map_or(self.section.len(), |place| *place as usize);
        // It was a text when it was put there.
        Cut::new("index", &self.section[place..], 0).text("a symbol").unwrap_or("")
    }

    pub(super) fn number(&self, symbol: &str) -> Result<u32, BlockError> {
        let hash = self.hasher.hash_one(symbol);
        let found = self.numbers.find(hash, |number| self.text(*number) == symbol);
        found.copied().ok_or_else(|| {
            BlockError::unwritable(format!("{symbol:?} is not among the symbols of the block"))
        })
    }
}
