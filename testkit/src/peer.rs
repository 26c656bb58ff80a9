//! Programs that tests run Barograph against.

use std::path::{Path, PathBuf};

/// The program of a peer, such as `prometheus`: from the folder that BAROGRAPH_PEERS_DIR names, or `.tools/sid` in the
/// workspace, which `make test-peers` fills.
///
/// # Panics
/// Where it is not there.
#[track_caller]
pub fn peer(name: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let folder =
        std::env::var_os("BAROGRAPH_PEERS_DIR").map_or_else(|| workspace.join(".tools/sid"), PathBuf::from);
    let program = folder.join("usr/bin").join(name);
    assert!(
        program.exists(),
        "{} is missing: run `make test-peers`, which fetches it, or let BAROGRAPH_PEERS_DIR name a folder with usr/bin/{name}",
        program.display()
    );
    program
}
