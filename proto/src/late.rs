//! The ingester before it is there: while its data is recovered, requests are answered with 503 rather than not at all.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use model::{Labels, TenantId};

use crate::{
    ActiveSeriesStream, CardinalityRequest, ChecksumStream, CoveringSelection, Error, ExemplarsRequest,
    FamilyMetadata, IndexStats, IngesterRead, IngesterWrite, LabelNameCardinality, LabelNamesRequest,
    LabelValuesCardinality, LabelValuesRequest, MetadataRequest, PushRequest, PushResponse,
    ReferencedRequest, SelectRequest, SelectStream, SeriesChunks, SeriesExemplars, SeriesRequest, TakeOver,
    TakeOverRequest, TakenOver, TenantStats,
};

/// When clients may come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Stands for an ingester that is set once it has started. Clones stand for the same one.
pub struct LateIngester<I>(Arc<OnceLock<Arc<I>>>);

impl<I> LateIngester<I> {
    /// For an ingester that has not started.
    pub fn new() -> Self {
        Self::default()
    }

    /// The ingester has started. Only the first call counts.
    pub fn set(&self, ingester: Arc<I>) {
        // A second ingester would be a second owner of the same data; there is none.
        let _ = self.0.set(ingester);
    }

    /// The ingester, if it has started.
    pub fn started(&self) -> Option<&I> {
        self.0.get().map(|ingester| &**ingester)
    }

    /// The ingester, or the answer for whoever wants it before it has started.
    ///
    /// # Errors
    /// [`crate::Code::Unavailable`] before it has started.
    pub fn cloned(&self) -> Result<I, Error>
    where
        I: Clone,
    {
        self.get().cloned()
    }

    fn get(&self) -> Result<&I, Error> {
        match self.0.get() {
            Some(ingester) => Ok(ingester),
            None => Err(Error::unavailable("the process is starting: it recovers its data", RETRY_AFTER)),
        }
    }
}

impl<I> Default for LateIngester<I> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<I> std::fmt::Debug for LateIngester<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LateIngester").field("started", &self.0.get().is_some()).finish()
    }
}

impl<I> Clone for LateIngester<I> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[async_trait]
impl<I: IngesterWrite> IngesterWrite for LateIngester<I> {
    async fn push(&self, request: PushRequest) -> Result<PushResponse, Error> {
        self.get()?.push(request).await
    }
}

#[async_trait]
impl<I: TakeOver> TakeOver for LateIngester<I> {
    async fn take_over(&self, request: TakeOverRequest) -> Result<TakenOver, Error> {
        self.get()?.take_over(request).await
    }
}

#[async_trait]
impl<I: IngesterRead> IngesterRead for LateIngester<I> {
    async fn select(&self, request: SelectRequest) -> Result<SelectStream, Error> {
        self.get()?.select(request).await
    }

    async fn select_covering(&self, request: SelectRequest) -> Result<CoveringSelection, Error> {
        self.get()?.select_covering(request).await
    }

    async fn select_checksums(&self, request: SelectRequest) -> Result<ChecksumStream, Error> {
        self.get()?.select_checksums(request).await
    }

    async fn select_referenced(&self, request: ReferencedRequest) -> Result<Vec<SeriesChunks>, Error> {
        self.get()?.select_referenced(request).await
    }

    async fn series(&self, request: SeriesRequest) -> Result<Vec<Labels>, Error> {
        self.get()?.series(request).await
    }

    async fn label_names(&self, request: LabelNamesRequest) -> Result<Vec<String>, Error> {
        self.get()?.label_names(request).await
    }

    async fn label_values(&self, request: LabelValuesRequest) -> Result<Vec<String>, Error> {
        self.get()?.label_values(request).await
    }

    async fn metadata(&self, request: MetadataRequest) -> Result<Vec<FamilyMetadata>, Error> {
        self.get()?.metadata(request).await
    }

    async fn exemplars(&self, request: ExemplarsRequest) -> Result<Vec<SeriesExemplars>, Error> {
        self.get()?.exemplars(request).await
    }

    async fn stats(&self, tenant: &TenantId) -> Result<TenantStats, Error> {
        self.get()?.stats(tenant).await
    }

    async fn all_stats(&self) -> Result<Vec<(TenantId, TenantStats)>, Error> {
        self.get()?.all_stats().await
    }

    async fn label_names_cardinality(
        &self,
        request: CardinalityRequest,
        max_values: usize,
    ) -> Result<Vec<LabelNameCardinality>, Error> {
        self.get()?.label_names_cardinality(request, max_values).await
    }

    async fn label_values_cardinality(
        &self,
        names: Vec<String>,
        request: CardinalityRequest,
        max_values: usize,
    ) -> Result<LabelValuesCardinality, Error> {
        self.get()?.label_values_cardinality(names, request, max_values).await
    }

    async fn active_series(
        &self,
        request: CardinalityRequest,
        max_series: usize,
    ) -> Result<ActiveSeriesStream, Error> {
        self.get()?.active_series(request, max_series).await
    }

    async fn index_stats(&self, tenant: &TenantId, limit: usize) -> Result<IndexStats, Error> {
        self.get()?.index_stats(tenant, limit).await
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::Code;

    struct Nobody;

    #[async_trait]
    impl IngesterWrite for Nobody {
        async fn push(&self, _request: PushRequest) -> Result<PushResponse, Error> {
            Ok(PushResponse::default())
        }
    }

    #[test]
    fn before_the_ingester_is_there_clients_are_told_to_come_back() {
        let late: LateIngester<Nobody> = LateIngester::new();
        let request = || PushRequest {
            tenant: TenantId::anonymous(),
            batch: crate::SeriesBatch {
                version: crate::Version::V1,
                request: bytes::Bytes::new(),
                rewritten: bytes::Bytes::new(),
                symbols: Arc::default(),
                frames: Vec::new(),
            },
            metadata: Vec::new(),
        };
        let pushed = late.clone().push(request()).now_or_never().expect("it waits for nothing");
        let error = pushed.expect_err("nothing is there");
        assert_eq!((error.code, error.retry_after), (Code::Unavailable, Some(RETRY_AFTER)));
        late.set(Arc::new(Nobody));
        assert_eq!(late.push(request()).now_or_never(), Some(Ok(PushResponse::default())));
    }
}
