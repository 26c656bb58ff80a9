//! What processes log, as lines of the story.

use std::io::{self, Write};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;

use crate::trace::Trace;

/// openraft tells of every message.
const LEVELS: &str = "info,openraft=warn";

/// Lets everything that is logged on this thread come into the story, until what is returned is dropped.
pub(crate) fn keep(trace: &Trace) -> DefaultGuard {
    let trace = trace.clone();
    let subscriber = tracing_subscriber::fmt()
        .without_time()
        .with_ansi(false)
        .with_env_filter(EnvFilter::new(LEVELS))
        .with_writer(move || Line(trace.clone()))
        .finish();
    tracing::subscriber::set_default(subscriber)
}

/// Takes a line at a time.
struct Line(Trace);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.log(String::from_utf8_lossy(bytes).trim_end());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
