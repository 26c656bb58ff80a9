//! Where the conformance data is: foreign test data that lies beside the checkout and never inside it.

use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder or file `sub` of the conformance data: `shared/conformance/<sub>` in a folder above the crate under test.
///
/// `None` where there is none, which is said loudly on standard error: a test that returns then has checked nothing.
pub fn conformance(sub: &str) -> Option<PathBuf> {
    let start =
        std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).or_else(|| std::env::current_dir().ok())?;
    let found = find_above(&start, &Path::new("shared/conformance").join(sub));
    if found.is_none() {
        // Not eprintln: the test harness would keep it to itself.
        let _ = writeln!(
            std::io::stderr(),
            "CONFORMANCE DATA ABSENT: shared/conformance/{sub} is in no folder above {}; nothing was checked",
            start.display()
        );
    }
    found
}

fn find_above(start: &Path, relative: &Path) -> Option<PathBuf> {
    start.ancestors().map(|folder| folder.join(relative)).find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_in_every_folder_above() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(find_above(&here.join("src"), Path::new("Cargo.toml")), Some(here.join("Cargo.toml")));
        assert_eq!(find_above(&here, Path::new("no such thing")), None);
    }
}
