//! The shape of Rust files: how they open, how long they and their functions are, and what shipped code leaves out.

use crate::code::{code_only, functions, has_word, lines_with, without_tests};
use crate::report::Report;
use crate::workspace::File;

/// The most lines that a file may have.
const MAX_FILE_LINES: usize = 700;
/// The most lines that a function may have.
const MAX_FUNCTION_LINES: usize = 150;
/// Functions beyond this are listed.
const LONG_FUNCTION_LINES: usize = 100;

/// Types that make a `static` mutable state of the whole process.
const SHARED_STATE: [&str; 9] = [
    "Mutex",
    "RwLock",
    "OnceLock",
    "OnceCell",
    "ArcSwap",
    "AtomicBool",
    "AtomicUsize",
    "AtomicU64",
    "AtomicI64",
];

/// Checks one file, if it is Rust.
pub(crate) fn check(file: &File, report: &mut Report) {
    if !file.path.ends_with(".rs") {
        return;
    }
    let lines = file.text.lines().count();
    if lines > MAX_FILE_LINES {
        report.find(
            &file.path,
            1,
            format!("{lines} lines"),
            &format!("split it; at most {MAX_FILE_LINES} are allowed"),
        );
    }
    if !file.text.starts_with("//!") {
        report.find(&file.path, 1, "no //! at the top", "say what the file holds and what it does not");
    }
    let code = code_only(&file.text);
    check_functions(file, &code, report);
    check_leftovers(file, &code, report);
    check_globals(file, without_tests(&code), report);
    if !is_test(&file.path) {
        for line in lines_with(without_tests(&code), "allow").filter(|line| allows(&code, *line)) {
            report.note(format!("{}:{line}: a lint is allowed", file.path));
        }
    }
}

fn is_test(path: &str) -> bool {
    ["/tests/", "/benches/", "/fuzz_targets/"].iter().any(|part| path.contains(part))
        || path.ends_with("/tests.rs")
}

fn allows(code: &str, line: usize) -> bool {
    code.lines().nth(line - 1).is_some_and(|line| line.contains("[allow("))
}

fn check_functions(file: &File, code: &str, report: &mut Report) {
    for function in functions(code) {
        let what = format!("function {} has {} lines", function.name, function.lines);
        if function.lines > MAX_FUNCTION_LINES {
            let mend = format!("split it; at most {MAX_FUNCTION_LINES} are allowed");
            report.find(&file.path, function.line, what, &mend);
        } else if function.lines > LONG_FUNCTION_LINES {
            report.note(format!("{}:{}: {what}", file.path, function.line));
        }
    }
}

fn check_leftovers(file: &File, code: &str, report: &mut Report) {
    // `#[ignore]` is found as a word after a bracket, since attributes may have reasons.
    for (word, mend) in [
        (concat!("to", "do!"), "finish it, or leave it out"),
        (concat!("unimple", "mented!"), "finish it, or leave it out"),
        (concat!("#[ig", "nore"), "mend the test, or remove it"),
    ] {
        for line in lines_with(code, word) {
            report.find(&file.path, line, word, mend);
        }
    }
}

fn check_globals(file: &File, code: &str, report: &mut Report) {
    for (index, line) in code.lines().enumerate() {
        let Some((_, declaration)) = line.split_once("static ") else {
            continue;
        };
        let is_item = line.trim_start().starts_with("static ") || line.trim_start().starts_with("pub");
        let kind = declaration.split('=').next().unwrap_or("");
        if is_item && (kind.starts_with("mut ") || SHARED_STATE.iter().any(|word| has_word(kind, word))) {
            report.find(
                &file.path,
                index + 1,
                "state of the whole process",
                "hand it in; one process runs many of us",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Report {
        let mut report = Report::default();
        check(&File { path: "crates/x/src/a.rs".into(), text: text.into() }, &mut report);
        report
    }

    fn found(text: &str, expected: &str) {
        let report = findings(text);
        assert!(report.findings().len() == 1 && report.findings()[0].contains(expected), "{report}");
    }

    #[test]
    fn a_good_file_passes() {
        let report = findings(
            "//! What it is.\n/// static COUNT: AtomicU64\nfn a(x: &'static str) {}\nstatic T: [u8; 1] = [0];\n",
        );
        assert!(report.passed(), "{report}");
    }

    #[test]
    fn bad_files_are_found() {
        found("fn a() {}\n", "no //! at the top");
        found(&format!("//! x\n{}", "\n".repeat(700)), "701 lines");
        found(&format!("//! x\nfn a() {{{}}}\n", "\n".repeat(150)), "function a has 151 lines");
        found(concat!("//! x\nfn a() { to", "do!() }\n"), "finish it");
        found(concat!("//! x\n#[ig", "nore = \"slow\"]\nfn a() {}\n"), "mend the test");
        found("//! x\nstatic COUNT: AtomicU64 = AtomicU64::new(0);\n", "a.rs:2: state of the whole process");
        found("//! x\npub(crate) static mut COUNT: u8 = 0;\n", "state of the whole process");
    }

    #[test]
    fn long_functions_and_allowed_lints_are_noted() {
        let report = findings(&format!("//! x\n#[allow(dead_code)]\nfn a() {{{}}}\n", "\n".repeat(120)));
        assert!(report.passed(), "{report}");
        assert_eq!(report.notes().len(), 2, "{report}");
    }
}
