//! Files of this disk that become objects without being copied, where objects are files of the same disk.

use std::io;
use std::path::Path;
use std::sync::Arc;

use env::{FileSystem, Scope};
use object_store::local::LocalFileSystem;

use crate::bucket::Bucket;
use crate::error::{BucketError, Failure, Operation};
use crate::name::ObjectName;

/// Moves files to where objects are.
#[derive(Clone)]
pub(crate) struct Moving {
    fs: Arc<dyn FileSystem>,
    /// Which file an object is.
    store: Arc<LocalFileSystem>,
    scope: Scope,
}

/// What became of a file that was to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// It is an object now, and no longer where it was.
    Done,
    /// Nothing: objects are elsewhere. It has to be copied.
    Elsewhere,
}

impl Moving {
    pub(crate) fn new(fs: Arc<dyn FileSystem>, store: Arc<LocalFileSystem>, scope: Scope) -> Self {
        Self { fs, store, scope }
    }
}

impl Bucket {
    /// Makes a file of this disk, which is whole and durable, an object, where that can be done without copying it. What is in
    /// it is not looked at.
    ///
    /// # Errors
    /// See [`BucketError`]. It may have been moved then; doing it again is right.
    pub async fn move_in(&self, name: &ObjectName, file: &Path) -> Result<Moved, BucketError> {
        let Some(moving) = &self.inner.backing.moving else { return Ok(Moved::Elsewhere) };
        let path = self.path(name);
        let attempt = || -> futures::future::BoxFuture<'_, Result<Moved, Failure>> {
            Box::pin(async {
                let object = moving.store.path_to_filesystem(&path)?;
                let (fs, file) = (Arc::clone(&moving.fs), file.to_owned());
                let moved = moving.scope.run_blocking(move || rename(&*fs, &file, &object)).await;
                Ok(moved.map_err(failed)?.map_err(failed)?)
            })
        };
        self.run(Operation::Upload, name.as_str(), attempt).await
    }
}

fn failed(source: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic { store: "files", source: Box::new(source) }
}

fn rename(fs: &dyn FileSystem, file: &Path, object: &Path) -> io::Result<Moved> {
    let folder = object.parent().ok_or(io::ErrorKind::InvalidInput)?;
    env::create_dir_durable(fs, folder)?;
    match fs.rename(file, object) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => return Ok(Moved::Elsewhere),
        // An attempt before this one came so far.
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs.exists(object) => {}
        Err(error) => return Err(error),
    }
    fs.sync_dir(folder)?;
    Ok(Moved::Done)
}
