//! What a bucket is over: an `object_store`, what it is called, and how it replaces an object only if nobody else did.

use std::path::Path;
use std::sync::Arc;

use env::{FileSystem, Scope};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::multipart::MultipartStore;

use crate::faults::{Faults, FaultyStore, Memory, Way};
use crate::files::Replacing;
use crate::moving::Moving;
use crate::open::OpenError;

/// Where objects are.
#[derive(Clone)]
pub struct Backing {
    pub(crate) name: String,
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// How pieces of one object are written; without it one stream writes it.
    pub(crate) parts: Option<Arc<dyn MultipartStore>>,
    pub(crate) replacing: Replacing,
    /// How files of this disk become objects without being copied, where objects are files of it, too.
    pub(crate) moving: Option<Moving>,
}

impl Backing {
    /// Objects in memory. Clones have the same.
    pub fn memory() -> Self {
        let store = Arc::new(InMemory::new());
        Self::remote("memory".to_owned(), store.clone(), store)
    }

    /// Objects in memory, with what goes wrong decided by `faults`.
    pub fn faulty_memory(faults: &Faults) -> Self {
        Self::on_way(&Memory::new(), Arc::new(faults.clone()))
    }

    /// Objects in memory that others have, too, as one process finds them on its way.
    pub fn on_way(memory: &Memory, way: Arc<dyn Way>) -> Self {
        let store = Arc::new(FaultyStore::in_memory(memory, way));
        Self::remote("memory".to_owned(), store.clone(), store)
    }

    /// The same objects, as one process finds them on its way. Files are written in one stream then, as before, and none is moved.
    pub fn through(self, way: Arc<dyn Way>) -> Self {
        let store = Arc::new(FaultyStore::over(self.objects, self.parts.clone(), way));
        let parts = self.parts.map(|_| Arc::clone(&store) as Arc<dyn MultipartStore>);
        Self { objects: store, parts, moving: None, ..self }
    }

    /// A server that can replace an object on condition by itself.
    pub(crate) fn remote(
        name: String,
        objects: Arc<dyn ObjectStore>,
        parts: Arc<dyn MultipartStore>,
    ) -> Self {
        Self { name, objects, parts: Some(parts), replacing: Replacing::ByServer, moving: None }
    }

    /// Files in a folder, which is made where it is missing. They are synced before a write is said to be done.
    pub(crate) fn files(fs: &Arc<dyn FileSystem>, directory: &Path, scope: Scope) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Directory { path: directory.to_owned(), source };
        env::create_dir_durable(&**fs, directory).map_err(failed)?;
        let store = LocalFileSystem::new_with_prefix(directory)
            .map_err(|error| failed(std::io::Error::other(error)))?
            .with_automatic_cleanup(true)
            .with_fsync(true);
        let store = Arc::new(store);
        Ok(Self {
            name: format!("file://{}", directory.display()),
            objects: store.clone(),
            parts: None,
            replacing: Replacing::by_lock(Arc::clone(fs), directory, scope.clone()),
            moving: Some(Moving::new(Arc::clone(fs), store, scope)),
        })
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }
}
