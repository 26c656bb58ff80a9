//! `barograph rules test`: unit tests of rules.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::rules::unit_test::{FileReport, NamedText, TestFile, TestOptions, junit};
use clap::ArgMatches;
use env::{FileSystem, OpenOptions, glob, write_all_at};
use serde_json::{Value, json};

use super::{args, print, print_json, read};
use crate::output;

pub(super) fn test(fs: &dyn FileSystem, asked: &ArgMatches, now_ms: i64) -> ExitCode {
    let options = TestOptions {
        engine: args::engine_options(asked),
        ignore_unknown_fields: asked.get_flag("ignore-unknown-fields"),
    };
    let wanted = match wanted(&args::texts(asked, "run")) {
        Ok(wanted) => wanted,
        Err(error) => {
            output::error(&error);
            return ExitCode::from(2);
        }
    };
    let json = asked.get_flag("json");
    let mut reports = Vec::new();
    for file in args::texts(asked, "file") {
        let report = run_file(fs, file, &options, &*wanted);
        if !json && show(&report) == ExitCode::FAILURE {
            return ExitCode::FAILURE;
        }
        reports.push(report);
    }
    if let Some(file) = asked.get_one::<String>("junit") {
        let time = gotemplate::time::GoTime::from_millis(now_ms).format("2006-01-02T15:04:05");
        if let Err(error) = write(fs, Path::new(file), junit(&reports, &time).as_bytes()) {
            output::error(&format!("{file}: {error}"));
            return ExitCode::FAILURE;
        }
    }
    let code = if reports.iter().all(FileReport::passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if json { print_json(&as_json(&reports), code) } else { code }
}

/// Says of the name of a test whether it is to run.
type Wanted = Box<dyn Fn(&str) -> bool>;

fn wanted(patterns: &[&str]) -> Result<Wanted, String> {
    if patterns.is_empty() {
        return Ok(Box::new(|_| true));
    }
    let expression = gotemplate::functions::compile(&patterns.join("|"))?;
    Ok(Box::new(move |name| expression.is_match(name)))
}

fn run_file(
    fs: &dyn FileSystem,
    file: &str,
    options: &TestOptions,
    wanted: &dyn Fn(&str) -> bool,
) -> FileReport {
    let failed = |errors| FileReport { file: file.to_owned(), errors, tests: Vec::new() };
    let parsed = match read(fs, file).map(|text| TestFile::parse(&text)) {
        Err(unreadable) => return failed(vec![unreadable]),
        Ok(Err(errors)) => return failed(errors.iter().map(|error| format!("{file}: {error}")).collect()),
        Ok(Ok(parsed)) => parsed,
    };
    let mut texts = Vec::new();
    for path in rule_files(fs, file, &parsed.rule_files) {
        let name = path.display().to_string();
        match read(fs, &name) {
            Ok(text) => texts.push((name, text)),
            Err(unreadable) => return failed(vec![unreadable]),
        }
    }
    let named: Vec<NamedText<'_>> = texts.iter().map(|(name, text)| NamedText { name, text }).collect();
    FileReport { file: file.to_owned(), errors: Vec::new(), tests: parsed.run(&named, options, wanted) }
}

/// The files that the patterns of a test file mean.
fn rule_files(fs: &dyn FileSystem, file: &str, patterns: &[String]) -> Vec<PathBuf> {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let mut found = Vec::new();
    for pattern in patterns {
        let pattern = folder.join(pattern);
        let files = glob::files(fs, &pattern);
        if files.is_empty() {
            output::note(&format!("  WARNING: no file match pattern {}", pattern.display()));
        }
        found.extend(files);
    }
    found
}

/// As promtool shows it.
fn show(report: &FileReport) -> ExitCode {
    let code = output::out(&format!("Unit Testing:  {}\n", report.file));
    if report.passed() {
        return print("  SUCCESS\n\n", code);
    }
    output::note("  FAILED:");
    for problem in report.problems() {
        output::note(&format!("{problem}\n"));
    }
    code
}

fn as_json(reports: &[FileReport]) -> Value {
    let test = |test: &::rules::unit_test::TestReport| json!({ "name": test.name, "passed": test.failures.is_empty(), "failures": test.failures });
    let file = |report: &FileReport| {
        let tests: Vec<Value> = report.tests.iter().map(test).collect();
        json!({ "file": report.file, "passed": report.passed(), "errors": report.errors, "tests": tests })
    };
    json!({ "files": reports.iter().map(file).collect::<Vec<_>>() })
}

fn write(fs: &dyn FileSystem, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    write_all_at(&*fs.open(path, OpenOptions::CREATE_EMPTY)?, bytes, 0)
}
