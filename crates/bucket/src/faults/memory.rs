//! Objects in memory that several processes share, with the times at which they were written by a clock that is given.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use env::Clock;
use futures::FutureExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt as _, PutPayload};
use parking_lot::Mutex;

/// Objects. Clones have the same ones.
#[derive(Clone, Default)]
pub struct Memory {
    pub(super) objects: InMemory,
    times: Option<Arc<Times>>,
}

/// When objects were written.
struct Times {
    clock: Arc<dyn Clock>,
    written_ms: Mutex<BTreeMap<Path, i64>>,
}

impl Memory {
    /// No objects; what is written is written at the time of the machine.
    pub fn new() -> Self {
        Self::default()
    }

    /// No objects; what is written is written at the time of `clock`.
    pub fn timed(clock: Arc<dyn Clock>) -> Self {
        let times = Times { clock, written_ms: Mutex::default() };
        Self { objects: InMemory::new(), times: Some(Arc::new(times)) }
    }

    /// The same objects once more: what becomes of the ones is not seen in the others.
    pub fn fork(&self) -> Self {
        let times = self.times.as_ref().map(|times| {
            let written_ms = Mutex::new(times.written_ms.lock().clone());
            Arc::new(Times { clock: Arc::clone(&times.clock), written_ms })
        });
        Self { objects: self.objects.fork(), times }
    }

    /// What an object has, for whoever looks at the bucket from outside.
    pub fn peek(&self, object: &str) -> Option<Bytes> {
        let path = Path::parse(object).ok()?;
        // Memory answers at once.
        let got = self.objects.get(&path).now_or_never()?.ok()?;
        got.bytes().now_or_never()?.ok()
    }

    /// Puts an object there from outside.
    pub fn place(&self, object: &str, bytes: Bytes) {
        let Ok(path) = Path::parse(object) else { return };
        // Memory takes everything, at once.
        let _ = self.objects.put(&path, PutPayload::from_bytes(bytes)).now_or_never();
        self.written(&path);
    }

    /// An object has been written.
    pub(super) fn written(&self, path: &Path) {
        if let Some(times) = &self.times {
            times.written_ms.lock().insert(path.clone(), times.clock.now_ms());
        }
    }

    /// What is known of an object, with the right time.
    pub(super) fn dated(&self, mut meta: ObjectMeta) -> ObjectMeta {
        let written_ms =
            self.times.as_ref().and_then(|times| times.written_ms.lock().get(&meta.location).copied());
        if let Some(written_ms) = written_ms {
            meta.last_modified = (UNIX_EPOCH + Duration::from_millis(written_ms.unsigned_abs())).into();
        }
        meta
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("is_timed", &self.times.is_some()).finish_non_exhaustive()
    }
}
