//! Blocks as others wrote them, and ours as others read them.

mod fixtures;
mod promtool;
mod random;
mod support;
