//! Blocks from the head to the bucket: nothing is lost, nothing is told twice differently, whatever fails in between.

mod covered;
mod crash;
mod lifecycle;
mod listing;
mod promtool;
mod random;
pub(super) mod support;
