//! The generator and the oracle against running servers.
//!
//! The server is `$BAROGRAPH_BIN`, or `barograph` beside this test's own folder in the target folder, which
//! `cargo test --workspace` builds.

mod cluster;
mod compaction;
mod compose;
mod kill;
mod network;
mod servers;
mod support;
