//! The labels of a series in the head: 8 bytes a label.

use model::{Labels, LabelsInARow};

use crate::index::Symbols;

/// A series' labels as numbers of symbols, sorted by the names' text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LabelIds(Box<[(u32, u32)]>);

impl LabelIds {
    /// Interns labels that are sorted by name.
    pub(crate) fn acquire<'a>(
        symbols: &mut Symbols,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        Self(labels.into_iter().map(|(n, v)| (symbols.acquire(n), symbols.acquire(v))).collect())
    }

    /// Gives the strings back.
    pub(crate) fn release(&self, symbols: &mut Symbols) {
        for (name, value) in &self.0 {
            symbols.release(*name);
            symbols.release(*value);
        }
    }

    /// Names and values as numbers, by the names' text.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (u32, u32)> + '_ {
        self.0.iter().copied()
    }

    /// As [`LabelIds::iter`], all at once.
    pub(crate) fn pairs(&self) -> &[(u32, u32)] {
        &self.0
    }

    /// Whether these are the labels `others`, which are sorted by name.
    #[inline]
    pub(crate) fn are(&self, symbols: &Symbols, others: &[(&[u8], &[u8])]) -> bool {
        others.len() == self.0.len()
            && self.0.iter().zip(others).all(|((name, value), (other_name, other_value))| {
                symbols.get(*value).as_bytes() == *other_value && symbols.get(*name).as_bytes() == *other_name
            })
    }

    /// The labels as text.
    pub(crate) fn to_labels(&self, symbols: &Symbols) -> Labels {
        Labels::from_sorted(self.0.iter().map(|(n, v)| (symbols.get(*n), symbols.get(*v))))
    }
}

/// Makes texts of the labels of series, one after the other, as long as the index is locked: what neighbours in an order have
/// in common is put together once.
pub(crate) struct LabelTexts<'i> {
    symbols: &'i Symbols,
    last: Vec<(u32, u32)>,
    texts: LabelsInARow,
}

impl<'i> LabelTexts<'i> {
    /// Of labels that consist of these symbols.
    pub(crate) fn new(symbols: &'i Symbols) -> Self {
        Self { symbols, last: Vec::new(), texts: LabelsInARow::default() }
    }

    /// The next series' labels.
    pub(crate) fn next(&mut self, labels: &LabelIds) -> Labels {
        let pairs = labels.pairs();
        let kept = self.last.iter().zip(pairs).take_while(|(a, b)| a == b).count();
        let (_, rest) = pairs.split_at(kept);
        self.last.truncate(kept);
        self.last.extend_from_slice(rest);
        let symbols = self.symbols;
        self.texts.next(kept, rest.iter().map(|(n, v)| (symbols.get(*n), symbols.get(*v))))
    }
}
