//! The index of one tenant's head: interned strings, the labels of series as numbers, and for every label pair the
//! series that have it. Nothing here knows about samples, locks or other tenants.

mod labels;
mod numbers;
mod order;
mod postings;
mod select;
mod symbols;

pub(crate) use labels::{LabelIds, LabelTexts};
pub(crate) use order::sort_by_labels;
pub(crate) use postings::Postings;
pub(crate) use symbols::Symbols;

#[cfg(test)]
mod tests;
