//! The objects as a process finds them at the end of its way.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::{Errand, Fault, Instead, Memory, Way};

/// The store with what goes wrong on the way to it.
#[derive(Clone)]
pub(crate) struct FaultyStore {
    objects: Arc<dyn ObjectStore>,
    parts: Option<Arc<dyn MultipartStore>>,
    /// Where objects are in memory, with their times.
    memory: Memory,
    way: Arc<dyn Way>,
}

impl FaultyStore {
    /// Over objects in memory.
    pub(crate) fn in_memory(memory: &Memory, way: Arc<dyn Way>) -> Self {
        let store = Arc::new(memory.objects.clone());
        Self { objects: store.clone(), parts: Some(store), memory: memory.clone(), way }
    }

    /// Over another store.
    pub(crate) fn over(
        objects: Arc<dyn ObjectStore>,
        parts: Option<Arc<dyn MultipartStore>>,
        way: Arc<dyn Way>,
    ) -> Self {
        Self { objects, parts, memory: Memory::new(), way }
    }

    fn parts(&self) -> Result<&dyn MultipartStore> {
        let none =
            || Error::NotImplemented { operation: "pieces".to_owned(), implementer: "faults".to_owned() };
        self.parts.as_deref().ok_or_else(none)
    }

    /// Does a change, or not, or half of it.
    async fn change<T>(
        &self,
        (what, path): (&'static str, &Path),
        payload: PutPayload,
        work: impl AsyncFnOnce(PutPayload) -> Result<T>,
    ) -> Result<T> {
        let errand = Errand { what, object: path.as_ref(), changes: true };
        let fault = self.way.there(errand).await;
        let done = match fault {
            None | Some(Fault::Unanswered) => work(payload).await,
            Some(Fault::Half) => {
                let bytes = Bytes::from(payload);
                work(PutPayload::from_bytes(bytes.slice(..bytes.len() / 2))).await
            }
            Some(_) => Err(failure(path, fault)),
        };
        self.way.back(errand).await;
        match fault {
            Some(Fault::Unanswered) => Err(failure(path, fault)),
            _ => done,
        }
    }

    /// Comes to the bucket to read; the fault is none or [`Fault::Half`].
    async fn read(&self, what: &'static str, path: &Path) -> Result<Option<Fault>> {
        let errand = Errand { what, object: path.as_ref(), changes: false };
        match self.way.there(errand).await {
            fault @ (None | Some(Fault::Half)) => {
                self.way.back(errand).await;
                Ok(fault)
            }
            fault => Err(failure(path, fault)),
        }
    }

    async fn list_now(&self, prefix: Option<Path>) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        self.read("list", &prefix.clone().unwrap_or_default()).await?;
        let (memory, objects) = (self.memory.clone(), Arc::clone(&self.objects));
        let asked = prefix.as_ref().map(|prefix| prefix.as_ref().to_owned());
        if let Some(asked) = asked
            && let Some(Instead { memory, object }) = self.way.instead(&asked)
        {
            let listed: Vec<ObjectMeta> = memory.objects.list(Some(&parsed(&object)?)).try_collect().await?;
            let named = move |meta: ObjectMeta| -> Result<ObjectMeta> {
                let rest = meta.location.as_ref().strip_prefix(&object).unwrap_or_default();
                Ok(ObjectMeta { location: parsed(&format!("{asked}{rest}"))?, ..meta })
            };
            return Ok(stream::iter(listed.into_iter().map(named)).boxed());
        }
        Ok(objects.list(prefix.as_ref()).map_ok(move |meta| memory.dated(meta)).boxed())
    }

    async fn delete_now(&self, path: Path) -> Result<Path> {
        let errand = Errand { what: "delete", object: path.as_ref(), changes: true };
        let fault = self.way.there(errand).await;
        if matches!(fault, None | Some(Fault::Unanswered | Fault::Half)) {
            let removed = path.clone();
            let one = stream::once(async move { Ok(removed) }).boxed();
            self.objects.delete_stream(one).try_collect::<Vec<_>>().await?;
        }
        self.way.back(errand).await;
        match fault {
            None | Some(Fault::Half) => Ok(path),
            fault => Err(failure(&path, fault)),
        }
    }
}

fn parsed(object: &str) -> Result<Path> {
    Ok(Path::parse(object)?)
}

fn failure(path: &Path, fault: Option<Fault>) -> Error {
    let source = match fault {
        Some(fault) => format!("{fault:?}, as planned"),
        None => "it was refused".to_owned(),
    };
    let source = source.into();
    match fault {
        Some(Fault::Forbidden) => Error::PermissionDenied { path: path.to_string(), source },
        _ => Error::Generic { store: "faults", source },
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore")
            .field("objects", &self.objects)
            .field("way", &self.way)
            .finish_non_exhaustive()
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
        let payload = PutPayload::from_bytes(self.way.write(path.as_ref(), Bytes::from(payload)));
        let put = async |payload| {
            let put = self.objects.put_opts(path, payload, options).await?;
            self.memory.written(path);
            Ok(put)
        };
        self.change(("put", path), payload, put).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.read("get", path).await?;
        let mut got = match self.way.instead(path.as_ref()) {
            Some(Instead { memory, object }) => memory.objects.get_opts(&parsed(&object)?, options).await?,
            None => self.objects.get_opts(path, options).await?,
        };
        got.meta = self.memory.dated(got.meta);
        if fault.is_some() {
            let (meta, range): (ObjectMeta, Range<u64>) = (got.meta.clone(), got.range.clone());
            let bytes = got.bytes().await?;
            let half = bytes.slice(..bytes.len() / 2);
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
        let store = self.clone();
        let delete = move |path| {
            let store = store.clone();
            async move { store.delete_now(path).await }
        };
        paths.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        stream::once(async move { store.list_now(prefix).await }).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.read("list", &prefix.cloned().unwrap_or_default()).await?;
        let mut listed = self.objects.list_with_delimiter(prefix).await?;
        listed.objects = listed.objects.into_iter().map(|meta| self.memory.dated(meta)).collect();
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for FaultyStore {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        let create = async |_| self.parts()?.create_multipart(path).await;
        self.change(("begin", path), PutPayload::new(), create).await
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        number: usize,
        payload: PutPayload,
    ) -> Result<PartId> {
        let put = async |payload| self.parts()?.put_part(path, id, number, payload).await;
        self.change(("part", path), payload, put).await
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        let complete = async |_| {
            let put = self.parts()?.complete_multipart(path, id, parts).await?;
            self.memory.written(path);
            Ok(put)
        };
        self.change(("complete", path), PutPayload::new(), complete).boxed().await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        let abort = async |_| self.parts()?.abort_multipart(path, id).await;
        self.change(("abort", path), PutPayload::new(), abort).await
    }
}
