//! The index of a block: which series it has, by their labels, and where their chunks are.

pub(crate) mod check;
pub(crate) mod entries;
mod header;
mod lookup;
mod matching;
mod postings;
mod reader;
mod section;
pub(crate) mod series;
pub(crate) mod symbols;
mod table;
mod toc;
mod writer;

pub use matching::Selected;
pub use reader::{Index, SeriesList, SeriesRef, SeriesScan};
pub use series::{ChunkMeta, ChunkRef, Series};
pub use toc::{Toc, Version};
pub use writer::{IndexStats, IndexWriter};
