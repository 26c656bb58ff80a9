//! Series as tests of Prometheus write them (`a{b="c"} 1 _ 2+3x4 stale`), and a storage in memory that queries run over:
//! what scripts of PromQL and unit tests of rules share. Pure; nothing here knows who reads the files.

mod notation;
mod storage;

pub use notation::{Item, histogram_text, number, parse_items};
pub use storage::{AppendError, Loaded, LoadedValue, Storage};
