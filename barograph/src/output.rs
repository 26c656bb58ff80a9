//! Text for people on standard output and standard error, outside of the log.

use std::io::Write as _;
use std::process::ExitCode;

/// Writes to standard output; the exit code says whether anybody read it.
pub(crate) fn out(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Writes an error, which may have several lines, to standard error.
pub(crate) fn error(text: &str) {
    let mut error = std::io::stderr().lock();
    for line in text.lines() {
        // Where standard error is closed there is nobody left to tell.
        let _ = writeln!(error, "barograph: {line}");
    }
}

/// Says on standard error how far a command has come.
pub(crate) fn note(text: &str) {
    let mut error = std::io::stderr().lock();
    let _ = writeln!(error, "{text}");
}

/// An error with what caused it, outermost first.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
