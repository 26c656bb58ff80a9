//! Blocks from the head to the bucket: nothing is lost, nothing is told twice differently, whatever fails in between.

mod crash;
mod lifecycle;
mod promtool;
mod random;
mod support;
