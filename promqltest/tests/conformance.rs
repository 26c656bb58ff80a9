//! The upstream scripts, all of them, and scripts that check the runner itself.

use std::path::{Path, PathBuf};

use promqltest::{Status, Verdict, run_script, scripts};

/// The conformance data beside the checkout, if it is there.
#[expect(clippy::print_stderr, reason = "a skipped corpus has to be seen")]
fn conformance(sub: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared/conformance/promqltest").join(sub))
        .find(|path| path.exists());
    if found.is_none() {
        eprintln!("CONFORMANCE DATA ABSENT: shared/conformance/promqltest/{sub}");
    }
    found
}

fn run(folder: PathBuf) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for path in scripts(&[folder]).expect("the folder can be read") {
        let text = std::fs::read_to_string(&path).expect("the script can be read");
        run_script(&path.display().to_string(), &text, &mut |verdict| verdicts.push(verdict));
    }
    verdicts
}

#[track_caller]
fn all_pass(verdicts: &[Verdict], count: usize) {
    let others: Vec<String> =
        verdicts.iter().filter(|v| v.status != Status::Pass).map(ToString::to_string).collect();
    assert!(others.is_empty(), "{} of {}:\n{}", others.len(), verdicts.len(), others.join("\n"));
    assert_eq!(verdicts.len(), count);
}

#[test]
fn upstream_scripts() {
    if let Some(folder) = conformance("testdata") {
        all_pass(&run(folder), 1_642);
    }
}

#[test]
fn scripts_that_must_pass() {
    if let Some(folder) = conformance("runner_selftest/must_pass") {
        all_pass(&run(folder), 21);
    }
}

#[test]
fn scripts_that_must_fail() {
    let Some(folder) = conformance("runner_selftest/must_fail") else {
        return;
    };
    let verdicts = run(folder);
    let passed: Vec<&Verdict> = verdicts.iter().filter(|v| v.status == Status::Pass).collect();
    assert!(passed.is_empty(), "{passed:?}");
    assert_eq!(verdicts.len(), 16);
}
