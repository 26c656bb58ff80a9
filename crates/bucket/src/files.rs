//! Replacing an object only if it is still the one that was read, where files keep objects and nobody does that for us.
//!
//! Whoever replaces one holds a lock, looks at what is there, and moves the new file over it. The lock is one of the
//! operating system on a file beside the folder, so it holds off other processes of this machine, too, and goes with a
//! process that dies. It does not hold off machines that share the folder over a network without locks, nor programs that
//! do not know it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, FileLock, FileSystem, Scope};
use object_store::path::Path as ObjectPath;
use object_store::{
    Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, PutResult, UpdateVersion,
};

/// How often another process is waited for that holds the lock, ...
const LOCK_ATTEMPTS: u32 = 100;
/// ... and for how long each time. It holds it for some milliseconds.
const LOCK_WAIT: Duration = Duration::from_millis(20);

/// Who sees to it that an object is replaced only if it is as expected.
#[derive(Clone)]
pub(crate) enum Replacing {
    /// The server.
    ByServer,
    /// We, with a lock.
    ByLock(Arc<Lock>),
}

/// The lock of a folder.
pub(crate) struct Lock {
    fs: Arc<dyn FileSystem>,
    file: PathBuf,
    scope: Scope,
    /// Tasks of this process wait here, without asking the system again and again.
    here: tokio::sync::Mutex<()>,
}

impl Replacing {
    pub(crate) fn by_lock(fs: Arc<dyn FileSystem>, directory: &Path, scope: Scope) -> Self {
        // Beside the folder: in it, it would be an object.
        let mut name = directory.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        let file = directory.with_file_name(name);
        Self::ByLock(Arc::new(Lock { fs, file, scope, here: tokio::sync::Mutex::new(()) }))
    }

    /// Replaces an object if it is the one with this version.
    pub(crate) async fn replace(
        &self,
        store: &dyn ObjectStore,
        path: &ObjectPath,
        payload: PutPayload,
        expected: UpdateVersion,
        clock: &dyn Clock,
    ) -> Result<PutResult, Error> {
        match self {
            Self::ByServer => {
                let options = PutOptions { mode: PutMode::Update(expected), ..PutOptions::default() };
                store.put_opts(path, payload, options).await
            }
            Self::ByLock(lock) => {
                let _here = lock.here.lock().await;
                let _lock = lock
                    .take(clock)
                    .await
                    .map_err(|source| Error::Generic { store: "files", source: Box::new(source) })?;
                let found = match store.head(path).await {
                    Ok(meta) => meta.e_tag,
                    Err(Error::NotFound { .. }) => None,
                    Err(error) => return Err(error),
                };
                if found.is_none() || found != expected.e_tag {
                    let source = "it is another than the one that was read".into();
                    return Err(Error::Precondition { path: path.to_string(), source });
                }
                store.put(path, payload).await
            }
        }
    }
}

impl Lock {
    async fn take(&self, clock: &dyn Clock) -> io::Result<Box<dyn FileLock>> {
        let mut attempt = 1;
        loop {
            let (fs, file) = (Arc::clone(&self.fs), self.file.clone());
            let taken = self.scope.run_blocking(move || fs.lock(&file)).await;
            match taken.map_err(io::Error::other)? {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && attempt < LOCK_ATTEMPTS => {
                    clock.sleep(LOCK_WAIT).await;
                    attempt += 1;
                }
                taken => return taken,
            }
        }
    }
}
