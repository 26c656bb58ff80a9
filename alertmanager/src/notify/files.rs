//! Files that hold secrets or URLs: read whenever they are used, so that a change counts at once.

use std::path::Path;
use std::sync::Arc;

use env::{FileSystem, Scope};

use super::SendError;

/// The largest such file, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Reads files away from the threads that serve I/O.
#[derive(Clone)]
pub(crate) struct Files {
    fs: Arc<dyn FileSystem>,
    scope: Scope,
}

impl Files {
    pub(crate) fn new(fs: Arc<dyn FileSystem>, scope: Scope) -> Self {
        Self { fs, scope }
    }

    /// The text of a file. Blocks.
    pub(crate) fn read_now(&self, path: &str) -> Result<String, String> {
        let bytes = env::read_file(&*self.fs, Path::new(path), MAX_BYTES);
        let bytes = bytes.map_err(|error| format!("{path}: {error}"))?;
        String::from_utf8(bytes).map_err(|error| format!("{path}: {error}"))
    }

    /// The text of a file.
    async fn read(&self, path: &str) -> Result<String, String> {
        let (files, path) = (self.clone(), path.to_owned());
        let read = self.scope.run_blocking(move || files.read_now(&path)).await;
        read.map_err(|error| error.to_string())?
    }

    /// The text of a file for use right now: without white space around it.
    pub(crate) async fn trimmed(&self, path: &str, what: &str) -> Result<String, SendError> {
        match self.read(path).await {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(error) => Err(SendError::for_good(format!("read {what}: {error}"))),
        }
    }

    /// What is given, or else the file's text.
    pub(crate) async fn or_file(&self, given: &str, path: &str, what: &str) -> Result<String, SendError> {
        if given.is_empty() { self.trimmed(path, what).await } else { Ok(given.to_owned()) }
    }
}
