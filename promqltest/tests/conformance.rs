//! The upstream scripts, all of them, and scripts that check the runner itself.

use std::path::{Path, PathBuf};

use promqltest::{Arrangement, Status, Verdict, run_script, run_script_over_blocks, scripts};

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

/// The same through a querier that reads blocks.
fn run_over_blocks(arrangement: Arrangement, folder: &Path) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for path in scripts(&[folder.to_owned()]).expect("the folder can be read") {
        let text = std::fs::read_to_string(&path).expect("the script can be read");
        let name = path.display().to_string();
        run_script_over_blocks(arrangement, &name, &text, &mut |verdict| verdicts.push(verdict));
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

fn own(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(folder)
}

#[test]
fn own_scripts_pass() {
    all_pass(&run(own("pass")), OWN_EVALS);
}

/// How many evals the scripts of this crate have: one that is lost is noticed.
const OWN_EVALS: usize = 84;

#[test]
fn own_scripts_that_are_wrong_fail() {
    let verdicts = run(own("fail"));
    let passed: Vec<&Verdict> = verdicts.iter().filter(|v| v.status == Status::Pass).collect();
    assert!(passed.is_empty(), "{passed:?}");
    assert_eq!(verdicts.len(), 15);
}

#[test]
fn errors_of_scripts_are_reported_and_what_follows_is_run() {
    let mut verdicts = Vec::new();
    let text = "nonsense\n\nload 1m\n  a 1\n  b x\n\neval instant at 0 1\n  1\n\nclear\n\neval instant at 0 1\n  1\n";
    run_script("s", text, &mut |verdict| verdicts.push(verdict.to_string()));
    assert_eq!(verdicts.len(), 4);
    assert!(verdicts[0].starts_with("FAIL s:1  [script error: unknown command"), "{verdicts:?}");
    assert!(verdicts[1].starts_with("FAIL s:3  [script error: line 5"), "{verdicts:?}");
    assert!(verdicts[2].starts_with("FAIL s:7 1 [a load before it failed"), "{verdicts:?}");
    assert_eq!(verdicts[3], "PASS s:12 1");
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

#[test]
fn upstream_scripts_with_all_data_in_blocks() {
    if let Some(folder) = conformance("testdata") {
        all_pass(&run_over_blocks(Arrangement::InBlocks, &folder), 1_642);
    }
}

#[test]
fn upstream_scripts_with_half_of_the_data_in_blocks() {
    if let Some(folder) = conformance("testdata") {
        all_pass(&run_over_blocks(Arrangement::HalfInBlocks, &folder), 1_642);
    }
}

#[test]
fn upstream_scripts_over_blocks_of_two_replicas() {
    if let Some(folder) = conformance("testdata") {
        all_pass(&run_over_blocks(Arrangement::Replicas, &folder), 1_642);
    }
}
