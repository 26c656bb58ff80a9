//! A bucket: operations on objects, each repeated, bounded in time, counted, and named in its error.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::{Clock, Rng};
use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
    UpdateVersion,
};
use telemetry::Registry;
use tokio::sync::Semaphore;

use crate::backing::Backing;
use crate::config::BucketConfig;
use crate::error::{BucketError, ErrorKind, Failure, Operation};
use crate::metrics::{ByFailure, ByOperation, Metrics};
use crate::name::ObjectName;
use crate::policy::Policy;

/// So many ranges of one object are read at the same time.
const PARALLEL_RANGES: usize = 8;

/// What a bucket needs of its surroundings.
pub struct BucketDeps {
    /// For deadlines and waits.
    pub clock: Arc<dyn Clock>,
    /// For the length of waits.
    pub rng: Arc<dyn Rng>,
    /// Where its metrics go; it takes one bucket.
    pub registry: Registry,
}

/// A bucket. Clones are the same.
#[derive(Clone)]
pub struct Bucket {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) backing: Backing,
    pub(crate) config: BucketConfig,
    pub(crate) clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    policy: Policy,
    permits: Semaphore,
    pub(crate) metrics: Metrics,
    prefix: Option<ObjectName>,
}

/// Which content of an object is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub(crate) UpdateVersion);

/// An object as it was read.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its content.
    pub bytes: Bytes,
    /// For replacing this content and no other.
    pub version: Version,
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// How long it is, in bytes.
    pub bytes: u64,
    /// When it was written, in milliseconds since the Unix epoch, by the server's clock.
    pub modified_ms: i64,
    /// Which content it is.
    pub version: Version,
}

/// An object that was listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name.
    pub name: ObjectName,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// When it was written, in milliseconds since the Unix epoch, by the server's clock.
    pub modified_ms: i64,
}

/// One attempt.
type Attempt<'a, T> = BoxFuture<'a, Result<T, Failure>>;

impl Bucket {
    /// The bucket over `backing`.
    pub fn new(backing: Backing, config: &BucketConfig, deps: BucketDeps) -> Self {
        let BucketDeps { clock, rng, registry } = deps;
        let prefix = config.prefix.as_deref().and_then(|prefix| ObjectName::new(prefix).ok());
        let inner = Inner {
            backing,
            policy: Policy::new(config),
            permits: Semaphore::new(config.max_requests),
            metrics: Metrics::new(&registry),
            config: config.clone(),
            clock,
            rng,
            prefix,
        };
        Self { inner: Arc::new(inner) }
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.inner.backing.name
    }

    /// What it was told.
    pub fn config(&self) -> &BucketConfig {
        &self.inner.config
    }

    /// An object of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Size`] and others.
    pub async fn get(&self, name: &ObjectName, limit: u64) -> Result<Object, BucketError> {
        let (path, store) = (self.path(name), self.store());
        let attempt = || -> Attempt<'_, Object> {
            Box::pin(async {
                let got = store.get(&path).await?;
                let bytes = got.meta.size;
                if bytes > limit {
                    return Err(Failure::TooLarge { bytes, limit });
                }
                let version = Version::of(&got.meta);
                let content = got.bytes().await?;
                whole(bytes, &content)?;
                Ok(Object { bytes: content, version })
            })
        };
        let object = self.run(Operation::Get, name.as_str(), attempt).await?;
        self.inner.metrics.received.inc_by(object.bytes.len() as u64);
        Ok(object)
    }

    /// The bytes of `range`, all of them.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and others, also where the object ends before them.
    pub async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, BucketError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let wanted = range.end - range.start;
        let (path, store) = (self.path(name), self.store());
        let once = || -> Attempt<'_, Bytes> {
            let options =
                GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
            Box::pin(async {
                let content = store.get_opts(&path, options).await?.bytes().await?;
                whole(wanted, &content)?;
                Ok(content)
            })
        };
        let attempt = || -> Attempt<'_, Bytes> { Box::pin(self.hedged(once)) };
        let bytes = self.run(Operation::GetRange, name.as_str(), attempt).await?;
        self.inner.metrics.received.inc_by(wanted);
        Ok(bytes)
    }

    /// The bytes of several ranges, in their order, some of them read at the same time.
    ///
    /// # Errors
    /// As [`Self::get_range`].
    pub async fn get_ranges(
        &self,
        name: &ObjectName,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, BucketError> {
        let reads: Vec<_> = ranges.iter().map(|range| self.get_range(name, range.clone())).collect();
        stream::iter(reads).buffered(PARALLEL_RANGES).try_collect().await
    }

    /// What is known of an object.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and others.
    pub async fn head(&self, name: &ObjectName) -> Result<ObjectInfo, BucketError> {
        let (path, store) = (self.path(name), self.store());
        let attempt = || -> Attempt<'_, ObjectMeta> { Box::pin(async { Ok(store.head(&path).await?) }) };
        let meta = self.run(Operation::Head, name.as_str(), attempt).await?;
        Ok(ObjectInfo {
            bytes: meta.size,
            modified_ms: meta.last_modified.timestamp_millis(),
            version: Version::of(&meta),
        })
    }

    /// Writes an object, whether it is there or not.
    ///
    /// # Errors
    /// See [`BucketError`]. It may have been written then.
    pub async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), BucketError> {
        self.put_mode(Operation::Put, name, bytes, &PutMode::Overwrite).await
    }

    /// Writes an object that is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] where it is there: perhaps because an earlier attempt of this call wrote it, whose answer
    /// was lost. After any other error it may have been written, too.
    pub async fn create(&self, name: &ObjectName, bytes: Bytes) -> Result<(), BucketError> {
        self.put_mode(Operation::PutConditional, name, bytes, &PutMode::Create).await
    }

    /// Replaces the content that was read as `version`.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] where there is another: perhaps because an earlier attempt of this call wrote it, whose
    /// answer was lost. After any other error it may have been replaced, too.
    pub async fn replace(
        &self,
        name: &ObjectName,
        bytes: Bytes,
        version: &Version,
    ) -> Result<(), BucketError> {
        let mode = PutMode::Update(version.0.clone());
        self.put_mode(Operation::PutConditional, name, bytes, &mode).await
    }

    async fn put_mode(
        &self,
        operation: Operation,
        name: &ObjectName,
        bytes: Bytes,
        mode: &PutMode,
    ) -> Result<(), BucketError> {
        let (path, store, length) = (self.path(name), self.store(), bytes.len() as u64);
        let Inner { backing, clock, .. } = &*self.inner;
        let attempt = || -> Attempt<'_, ()> {
            let payload = PutPayload::from_bytes(bytes.clone());
            Box::pin(async {
                match mode.clone() {
                    PutMode::Update(version) => {
                        backing.replacing.replace(store, &path, payload, version, &**clock).await?
                    }
                    mode => {
                        store.put_opts(&path, payload, PutOptions { mode, ..PutOptions::default() }).await?
                    }
                };
                Ok(())
            })
        };
        self.run(operation, name.as_str(), attempt).await?;
        self.inner.metrics.sent.inc_by(length);
        Ok(())
    }

    /// Removes an object. One that is not there has been removed.
    ///
    /// # Errors
    /// See [`BucketError`].
    pub async fn delete(&self, name: &ObjectName) -> Result<(), BucketError> {
        let (path, store) = (self.path(name), self.store());
        let attempt = || -> Attempt<'_, ()> { Box::pin(async { Ok(store.delete(&path).await?) }) };
        match self.run(Operation::Delete, name.as_str(), attempt).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    /// The objects in a folder and in those in it, sorted by name; all there are where there is no folder. Those whose
    /// names we would not give are left out.
    ///
    /// # Errors
    /// [`ErrorKind::Size`] where there are more than `limit`, and others.
    pub async fn list(&self, folder: Option<&ObjectName>, limit: usize) -> Result<Vec<Listed>, BucketError> {
        let (prefix, store) = (self.folder(folder), self.store());
        let attempt = || -> Attempt<'_, Vec<ObjectMeta>> {
            Box::pin(async {
                let listed = store.list(prefix.as_ref()).take(limit.saturating_add(1));
                let listed: Vec<_> = listed.try_collect().await?;
                if listed.len() > limit { Err(Failure::TooMany { limit }) } else { Ok(listed) }
            })
        };
        let listed =
            self.run(Operation::List, folder.map_or("everything", ObjectName::as_str), attempt).await?;
        let known = listed.iter().filter_map(|meta| {
            let name = self.name_of(&meta.location)?;
            Some(Listed { name, bytes: meta.size, modified_ms: meta.last_modified.timestamp_millis() })
        });
        let mut known: Vec<_> = known.collect();
        known.sort_unstable();
        Ok(known)
    }

    /// The names of the folders that are directly in a folder, or at the top, sorted.
    ///
    /// # Errors
    /// [`ErrorKind::Size`] where there are more than `limit`, and others.
    pub async fn folders(
        &self,
        folder: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectName>, BucketError> {
        let (prefix, store) = (self.folder(folder), self.store());
        let attempt = || -> Attempt<'_, Vec<Path>> {
            Box::pin(async {
                let listed = store.list_with_delimiter(prefix.as_ref()).await?.common_prefixes;
                if listed.len() > limit { Err(Failure::TooMany { limit }) } else { Ok(listed) }
            })
        };
        let listed =
            self.run(Operation::List, folder.map_or("everything", ObjectName::as_str), attempt).await?;
        let mut names: Vec<_> = listed.iter().filter_map(|path| self.name_of(path)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// What time it is, in seconds since the Unix epoch.
    pub(crate) fn now_seconds(&self) -> i64 {
        self.inner.clock.now_ms().div_euclid(1000)
    }

    /// Waits before something is repeated that has been tried so often.
    pub(crate) async fn wait(&self, attempts: u32) {
        let Inner { clock, rng, policy, .. } = &*self.inner;
        clock.sleep(policy.wait(attempts, &**rng)).await;
    }

    pub(crate) fn store(&self) -> &dyn ObjectStore {
        &*self.inner.backing.objects
    }

    /// Where an object is in the store.
    pub(crate) fn path(&self, name: &ObjectName) -> Path {
        match &self.inner.prefix {
            None => name.path(),
            Some(prefix) => prefix.path().parts().chain(name.path().parts()).collect(),
        }
    }

    fn folder(&self, folder: Option<&ObjectName>) -> Option<Path> {
        match folder {
            Some(folder) => Some(self.path(folder)),
            None => self.inner.prefix.as_ref().map(ObjectName::path),
        }
    }

    fn name_of(&self, path: &Path) -> Option<ObjectName> {
        let path = path.as_ref();
        let name = match &self.inner.prefix {
            None => path,
            Some(prefix) => path.strip_prefix(prefix.as_str())?.strip_prefix('/')?,
        };
        ObjectName::new(name).ok()
    }

    /// Begins a second read where the first does not answer soon, and gives the answer that comes first.
    async fn hedged<'a, T>(&self, once: impl Fn() -> Attempt<'a, T> + Send + Sync) -> Result<T, Failure> {
        let Some(after) = self.inner.policy.hedge_after else { return once().await };
        let mut first = once();
        tokio::select! {
            biased;
            answer = &mut first => return answer,
            () = self.inner.clock.sleep(after) => {}
        }
        self.inner.metrics.hedged.inc();
        let mut second = once();
        tokio::select! {
            biased;
            answer = &mut first => match answer { Ok(answer) => Ok(answer), Err(_) => second.await },
            answer = &mut second => match answer { Ok(answer) => Ok(answer), Err(_) => first.await },
        }
    }

    /// Makes attempts until one succeeds, or there is no point in another.
    pub(crate) async fn run<'a, T>(
        &'a self,
        operation: Operation,
        object: &str,
        attempt: impl Fn() -> Attempt<'a, T> + Send + Sync,
    ) -> Result<T, BucketError> {
        let Inner { clock, rng, policy, metrics, .. } = &*self.inner;
        let label = ByOperation { operation: operation.as_str() };
        metrics.operations.get_or_create(&label).inc();
        let begun = clock.monotonic();
        let mut attempts = 0;
        let outcome = loop {
            attempts += 1;
            let left = policy.operation_timeout.saturating_sub(clock.monotonic().saturating_sub(begun));
            // A listing is many requests; every other attempt is one.
            let within = if operation == Operation::List { left } else { left.min(policy.request_timeout) };
            let failure = match self.in_time(within, attempt()).await {
                Ok(done) => break Ok(done),
                Err(failure) => failure,
            };
            let reason = failure.kind();
            let failed = ByFailure { operation: operation.as_str(), reason: reason.as_str() };
            metrics.failed_attempts.get_or_create(&failed).inc();
            let wait = policy.wait(attempts, &**rng);
            let gone = clock.monotonic().saturating_sub(begun).saturating_add(wait);
            if !reason.is_retryable() || attempts >= policy.attempts || gone >= policy.operation_timeout {
                break Err((reason, failure));
            }
            clock.sleep(wait).await;
        };
        let took = clock.monotonic().saturating_sub(begun);
        metrics.seconds.get_or_create(&label).observe(took.as_secs_f64());
        outcome.map_err(|(kind, source)| {
            let failed = ByFailure { operation: operation.as_str(), reason: kind.as_str() };
            metrics.failures.get_or_create(&failed).inc();
            let (bucket, object) = (self.name().to_owned(), object.to_owned());
            BucketError { bucket, object, operation, kind, attempts, source }
        })
    }

    /// An attempt with its turn among those in flight, both within a time.
    async fn in_time<T>(
        &self,
        within: Duration,
        attempt: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let Inner { clock, permits, metrics, .. } = &*self.inner;
        let answered = async {
            // The semaphore is never closed.
            let _turn = permits.acquire().await;
            let _counted = InFlight::new(metrics);
            attempt.await
        };
        tokio::select! {
            biased;
            answer = answered => answer,
            () = clock.sleep(within) => Err(Failure::TimedOut { within }),
        }
    }
}

impl Version {
    fn of(meta: &ObjectMeta) -> Self {
        Self(UpdateVersion { e_tag: meta.e_tag.clone(), version: meta.version.clone() })
    }
}

fn whole(wanted: u64, bytes: &Bytes) -> Result<(), Failure> {
    match bytes.len() as u64 {
        came if came == wanted => Ok(()),
        came => Err(Failure::Short { wanted, came }),
    }
}

/// Counts a request for as long as it lives.
struct InFlight<'a>(&'a Metrics);

impl<'a> InFlight<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.in_flight.inc();
        Self(metrics)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}
