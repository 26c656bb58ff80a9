//! A bucket in memory in which things go wrong when a test wants them to: operations that do not happen, that happen and
//! are not answered, that write or give half of what they should, and a server that is gone.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

/// Which operations are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Every one.
    Any,
    /// Those that change something.
    Change,
    /// Those that do not.
    Read,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens, and a failure is reported that may pass.
    Refused,
    /// It happens, but a failure is reported.
    Unanswered,
    /// Nothing happens: it is not allowed.
    Forbidden,
    /// Half of the bytes are written or given, and success is reported.
    Half,
    /// Nothing happens from here on, and each operation reports a failure that may pass.
    Gone,
}

/// Decides what goes wrong. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    operations: u64,
    changes: u64,
    planned: Vec<(Kind, u64, Fault)>,
    gone: bool,
    /// One in so many operations is refused; 0: none.
    one_in: u64,
    noise: u64,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn new() -> Self {
        Self::default()
    }

    /// The `nth` operation of this kind from now on (the first is 0) goes wrong.
    pub fn plan(&self, kind: Kind, nth: u64, fault: Fault) {
        let mut plan = self.plan.lock();
        let so_far = match kind {
            Kind::Any => plan.operations,
            Kind::Change => plan.changes,
            Kind::Read => plan.operations - plan.changes,
        };
        plan.planned.push((kind, so_far + nth, fault));
    }

    /// One in `n` operations is refused, which ones `seed` decides.
    pub fn refuse_one_in(&self, n: u64, seed: u64) {
        let mut plan = self.plan.lock();
        (plan.one_in, plan.noise) = (n, seed);
    }

    /// Nothing goes wrong from now on.
    pub fn heal(&self) {
        let mut plan = self.plan.lock();
        plan.planned.clear();
        (plan.gone, plan.one_in) = (false, 0);
    }

    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        self.plan.lock().operations
    }

    fn next(&self, changes: bool) -> Option<Fault> {
        let mut plan = self.plan.lock();
        let (all, changed) = (plan.operations, plan.changes);
        plan.operations += 1;
        plan.changes += u64::from(changes);
        if plan.gone {
            return Some(Fault::Gone);
        }
        let due = |(kind, nth, _): &(Kind, u64, Fault)| match kind {
            Kind::Any => *nth == all,
            Kind::Change => changes && *nth == changed,
            Kind::Read => !changes && *nth == all - changed,
        };
        let fault = plan.planned.iter().find(|planned| due(planned)).map(|(_, _, fault)| *fault);
        plan.gone = fault == Some(Fault::Gone);
        if fault.is_none() && plan.one_in > 0 {
            // xorshift64: a fixed sequence is all that is needed.
            plan.noise = plan.noise.max(1);
            plan.noise ^= plan.noise << 13;
            plan.noise ^= plan.noise >> 7;
            plan.noise ^= plan.noise << 17;
            return plan.noise.is_multiple_of(plan.one_in).then_some(Fault::Refused);
        }
        fault
    }
}

/// The store with its faults.
#[derive(Debug)]
pub(crate) struct FaultyStore {
    store: InMemory,
    faults: Faults,
}

impl FaultyStore {
    pub(crate) fn new(faults: Faults) -> Self {
        Self { store: InMemory::new(), faults }
    }

    /// Does a change, or not, or half of it.
    async fn change<T>(
        &self,
        path: &Path,
        payload: PutPayload,
        work: impl AsyncFnOnce(PutPayload) -> Result<T>,
    ) -> Result<T> {
        match self.faults.next(true) {
            None => work(payload).await,
            Some(Fault::Half) => {
                let bytes = Bytes::from(payload);
                work(PutPayload::from_bytes(bytes.slice(..bytes.len() / 2))).await
            }
            Some(Fault::Unanswered) => {
                work(payload).await?;
                Err(failure(path, Fault::Unanswered))
            }
            Some(fault) => Err(failure(path, fault)),
        }
    }

    fn read(&self, path: &Path) -> Result<Option<Fault>> {
        match self.faults.next(false) {
            fault @ (None | Some(Fault::Half)) => Ok(fault),
            Some(fault) => Err(failure(path, fault)),
        }
    }
}

fn failure(path: &Path, fault: Fault) -> Error {
    let source = format!("{fault:?}, as planned").into();
    match fault {
        Fault::Forbidden => Error::PermissionDenied { path: path.to_string(), source },
        _ => Error::Generic { store: "faults", source },
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.change(path, payload, async |payload| self.store.put_opts(path, payload, options).await).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.read(path)?;
        let mut got = self.store.get_opts(path, options).await?;
        if fault.is_some() {
            let range: Range<u64> = got.range.clone();
            let bytes = got.bytes().await?;
            let half = bytes.slice(..bytes.len() / 2);
            let meta =
                self.store.get_opts(path, GetOptions { head: true, ..GetOptions::default() }).await?.meta;
            got = GetResult {
                payload: GetResultPayload::Stream(stream::once(async { Ok(half) }).boxed()),
                meta,
                range,
                attributes: Default::default(),
                extensions: Default::default(),
            };
        }
        Ok(got)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (store, faults) = (self.store.clone(), self.faults.clone());
        paths
            .and_then(move |path| {
                let (store, faults) = (store.clone(), faults.clone());
                async move {
                    let fault = faults.next(true);
                    if matches!(fault, None | Some(Fault::Unanswered | Fault::Half)) {
                        let removed = path.clone();
                        let one = stream::once(async move { Ok(removed) }).boxed();
                        store.delete_stream(one).try_collect::<Vec<_>>().await?;
                    }
                    match fault {
                        None | Some(Fault::Half) => Ok(path),
                        Some(fault) => Err(failure(&path, fault)),
                    }
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.read(&prefix.cloned().unwrap_or_default()) {
            Ok(_) => self.store.list(prefix),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.read(&prefix.cloned().unwrap_or_default())?;
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for FaultyStore {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.change(path, PutPayload::new(), async |_| self.store.create_multipart(path).await).await
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        number: usize,
        payload: PutPayload,
    ) -> Result<PartId> {
        let put = async |payload| self.store.put_part(path, id, number, payload).await;
        self.change(path, payload, put).await
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        let complete = async |_| self.store.complete_multipart(path, id, parts).await;
        self.change(path, PutPayload::new(), complete).boxed().await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.change(path, PutPayload::new(), async |_| self.store.abort_multipart(path, id).await).await
    }
}
