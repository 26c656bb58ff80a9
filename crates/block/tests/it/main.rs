//! Blocks as others wrote them, and ours as others read them.

mod copy;
mod fixtures;
mod matching;
mod memory;
mod merge;
mod promtool;
mod random;
mod support;
mod writer;
