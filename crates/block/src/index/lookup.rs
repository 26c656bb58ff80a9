//! The symbols of an index while it is written: the section, and texts by their numbers.

use crate::bytes::{Cut, Put};
use crate::error::BlockError;

/// The symbol table as it is written.
pub(super) struct SymbolTable {
    /// The section: the number of symbols, and each with its length.
    section: Vec<u8>,
    /// Where in `section` each symbol begins.
    places: Vec<u32>,
}

impl SymbolTable {
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
        Ok(Self { section, places })
    }

    pub(super) fn section(&self) -> &[u8] {
        &self.section
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The symbol with a number; empty where there is none.
    pub(super) fn text(&self, number: u32) -> &str {
        let place = self.places.get(number as usize).map_or(self.section.len(), |place| *place as usize);
        // It was a text when it was put there.
        Cut::new("index", &self.section[place..], 0).text("a symbol").unwrap_or("")
    }

    /// The number of a symbol.
    pub(super) fn number(&self, symbol: &str) -> Result<u32, BlockError> {
        let (mut low, mut high) = (0, self.places.len() as u32);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.text(middle) < symbol {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        match self.text(low) == symbol && (low as usize) < self.places.len() {
            true => Ok(low),
            false => Err(BlockError::unwritable(format!("{symbol:?} is not among the symbols of the block"))),
        }
    }
}
