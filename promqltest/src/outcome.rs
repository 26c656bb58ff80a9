//! What became of each `eval`.

use std::fmt;

/// Whether an `eval` passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It did.
    Pass,
    /// It did not; why.
    Fail(String),
    /// It was not run; why.
    Skip(String),
}

/// What became of an `eval`. Displayed as one line: `PASS|FAIL|SKIP file:line query [reason]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The script.
    pub file: String,
    /// The line of the `eval`, from 1.
    pub line: usize,
    /// The query; empty for errors of the script itself.
    pub query: String,
    /// What became of it.
    pub status: Status,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, query, status } = self;
        let (word, reason) = match status {
            Status::Pass => ("PASS", ""),
            Status::Fail(reason) => ("FAIL", reason.as_str()),
            Status::Skip(reason) => ("SKIP", reason.as_str()),
        };
        write!(f, "{word} {file}:{line} {query}")?;
        if !reason.is_empty() {
            write!(f, " [{}]", reason.replace('\n', " "))?;
        }
        Ok(())
    }
}

/// How many of each there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Not run.
    pub skipped: usize,
}

impl Totals {
    /// Counts one more.
    pub fn add(&mut self, status: &Status) {
        match status {
            Status::Pass => self.passed += 1,
            Status::Fail(_) => self.failed += 1,
            Status::Skip(_) => self.skipped += 1,
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        let all = passed + failed + skipped;
        write!(f, "{all} evals: {passed} passed, {failed} failed, {skipped} skipped")
    }
}
