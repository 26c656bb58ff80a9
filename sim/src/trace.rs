//! What happened, in order: as a hash, by which two runs are compared, and as lines that people read.

use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

/// The story of a run. Clones are the same story.
#[derive(Clone)]
pub(crate) struct Trace {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    origin: Instant,
    hash: Xxh3,
    events: u64,
    keep: Keep,
    lines: Vec<String>,
    /// The run is over; what its end still does is not part of it.
    frozen: bool,
    line: String,
}

/// What is kept for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: the hash is enough.
    Nothing,
    /// Faults, starts, and what clients saw.
    Events,
    /// What processes log as well.
    Logs,
    /// Every message as well.
    Everything,
}

impl Trace {
    /// An empty story that begins now, by tokio's time.
    pub(crate) fn new(keep: Keep) -> Self {
        let inner = Inner {
            origin: Instant::now(),
            hash: Xxh3::new(),
            events: 0,
            keep,
            lines: Vec::new(),
            frozen: false,
            line: String::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Something that people want to know of.
    pub(crate) fn event(&self, what: std::fmt::Arguments<'_>) {
        self.note(what, Keep::Events);
    }

    /// A message on its way.
    pub(crate) fn message(&self, what: std::fmt::Arguments<'_>) {
        self.note(what, Keep::Everything);
    }

    fn note(&self, what: std::fmt::Arguments<'_>, for_whom: Keep) {
        let mut inner = self.inner.lock();
        if inner.frozen {
            return;
        }
        let mut line = std::mem::take(&mut inner.line);
        line.clear();
        let at = inner.origin.elapsed();
        // Writing to a text cannot fail.
        let _ = write!(line, "{:>9.3}s  {what}", at.as_secs_f64());
        inner.hash.update(line.as_bytes());
        inner.events += 1;
        let wanted = match inner.keep {
            Keep::Nothing => false,
            Keep::Events | Keep::Logs => for_whom == Keep::Events,
            Keep::Everything => true,
        };
        if wanted {
            inner.lines.push(line.clone());
        }
        inner.line = line;
    }

    /// A line of a process' log. It is kept for people, and is no part of what two runs are compared by.
    pub(crate) fn log(&self, line: &str) {
        let mut inner = self.inner.lock();
        if inner.frozen {
            return;
        }
        let at = inner.origin.elapsed().as_secs_f64();
        inner.lines.push(format!("{at:>9.3}s    {line}"));
    }

    /// Ends the story: what happens from now on is not part of it.
    pub(crate) fn freeze(&self) {
        self.inner.lock().frozen = true;
    }

    /// The hash of the story, how many events it has, and its lines.
    pub(crate) fn told(&self) -> (u64, u64, Vec<String>) {
        let mut inner = self.inner.lock();
        (inner.hash.digest(), inner.events, std::mem::take(&mut inner.lines))
    }
}
