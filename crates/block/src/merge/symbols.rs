//! The symbols of all blocks together, and which of them the symbols of each are. Numbers are in the order of the texts: whoever
//! compares series by the numbers of their names and values comes to the order of their labels.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::Labels;

use crate::error::BlockError;
use crate::index::symbols::Symbols;

/// Texts, each once, sorted by their bytes.
#[derive(Debug, Default)]
pub struct MergedSymbols {
    texts: String,
    /// Where each ends in `texts`.
    ends: Vec<u32>,
}

impl MergedSymbols {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text with a number; empty where there is none.
    pub(crate) fn text(&self, number: u32) -> &str {
        let end = |number: u32| self.ends.get(number as usize).copied().unwrap_or_default();
        let start = number.checked_sub(1).map_or(0, end);
        self.texts.get(start as usize..end(number) as usize).unwrap_or_default()
    }

    /// Adds the one that comes next; its number.
    fn push(&mut self, text: &str) -> Result<u32, BlockError> {
        let too_many = || BlockError::unwritable("the symbols of a block have more than 4 GiB");
        let number = u32::try_from(self.ends.len()).map_err(|_| too_many())?;
        let end = u32::try_from(self.texts.len() + text.len()).map_err(|_| too_many())?;
        self.texts.push_str(text);
        self.ends.push(end);
        Ok(number)
    }
}

/// The numbers that the symbols of one block have among those of all.
#[derive(Debug)]
pub(super) enum Numbers {
    /// By the number that a symbol has in its block.
    Dense(Vec<u32>),
    /// By where it is in the file of its block; sorted by that.
    ByPlace(Vec<(u64, u32)>),
}

impl Numbers {
    /// Room for those of a block.
    fn none_of(symbols: &Symbols) -> Self {
        match symbols.are_numbered() {
            true => Self::Dense(Vec::with_capacity(symbols.len() as usize)),
            false => Self::ByPlace(Vec::with_capacity(symbols.len() as usize)),
        }
    }

    /// Adds a symbol; those that have numbers come in the order of these.
    fn push(&mut self, reference: u64, number: u32) {
        match self {
            Self::Dense(all) => all.push(number),
            Self::ByPlace(all) => all.push((reference, number)),
        }
    }

    /// The number of what a series refers to.
    #[inline]
    pub(super) fn get(&self, reference: u64) -> Option<u32> {
        match self {
            Self::Dense(all) => all.get(usize::try_from(reference).ok()?).copied(),
            Self::ByPlace(all) => {
                let at = all.binary_search_by_key(&reference, |(place, _)| *place).ok()?;
                all.get(at).map(|(_, number)| *number)
            }
        }
    }
}

/// Puts the symbols of blocks together.
pub(super) fn merge(blocks: &[Symbols]) -> Result<(MergedSymbols, Vec<Numbers>), BlockError> {
    let mut sorted: Vec<_> = blocks.iter().map(Symbols::sorted).collect();
    let mut numbers: Vec<Numbers> = blocks.iter().map(Numbers::none_of).collect();
    let mut heads = BinaryHeap::with_capacity(blocks.len());
    for (block, symbols) in sorted.iter_mut().enumerate() {
        heads.extend(symbols.next().map(|(text, reference)| Reverse((text, block, reference))));
    }
    let mut merged = MergedSymbols::default();
    let mut last: Option<(&str, u32)> = None;
    while let Some(Reverse((text, block, reference))) = heads.pop() {
        let number = match last {
            Some((last, number)) if last == text => number,
            _ => merged.push(text)?,
        };
        last = Some((text, number));
        if let (Some(numbers), Some(symbols)) = (numbers.get_mut(block), sorted.get_mut(block)) {
            numbers.push(reference, number);
            heads.extend(symbols.next().map(|(text, reference)| Reverse((text, block, reference))));
        }
    }
    for numbers in &mut numbers {
        if let Numbers::ByPlace(all) = numbers {
            all.sort_unstable();
        }
    }
    Ok((merged, numbers))
}

/// The labels of a series that is merged.
#[derive(Debug, Clone, Copy)]
pub struct SeriesLabels<'a> {
    symbols: &'a MergedSymbols,
    /// Names and values in turn.
    numbers: &'a [u32],
}

impl<'a> SeriesLabels<'a> {
    pub(super) fn new(symbols: &'a MergedSymbols, numbers: &'a [u32]) -> Self {
        Self { symbols, numbers }
    }

    /// Names and values in turn.
    pub(crate) fn numbers(&self) -> &'a [u32] {
        self.numbers
    }

    /// The pairs of name and value, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let symbols = self.symbols;
        let pairs = self.numbers.as_chunks::<2>().0.iter();
        pairs.map(move |[name, value]| (symbols.text(*name), symbols.text(*value)))
    }

    /// The labels for keeps.
    pub fn to_labels(&self) -> Labels {
        Labels::from_sorted(self.iter())
    }
}
