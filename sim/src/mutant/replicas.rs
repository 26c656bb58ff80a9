//! Ingesters, as those see them who replicate and read wrongly.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use env::Scope;
use futures::StreamExt as _;
use model::{Labels, TenantId};
use proto::{
    ChecksumStream, Error, ExemplarsRequest, FamilyMetadata, IngesterRead, IngesterReaders, IngesterWrite,
    IngesterWriters, LabelNamesRequest, LabelValuesRequest, MetadataRequest, PushRequest, PushResponse,
    ReferencedRequest, SelectRequest, SelectStream, SeriesChunks, SeriesExemplars, SeriesRequest, Successors,
    TakeOver, TakeOverRequest, TakenOver, TenantStats,
};
use ring::InstanceId;
use rpc::ingester::{RemoteIngester, RemoteIngesters};

/// The ingesters whose answer is not waited for.
const NOT_WAITED_FOR: &str = "ingester-c";
/// Who stands in for those of another zone.
const STAND_IN: &str = "ingester-b1";

/// Pushes to one zone are answered before they are made.
pub(super) struct Hasty {
    all: RemoteIngesters,
    scope: Scope,
}

impl Hasty {
    pub(super) fn new(all: RemoteIngesters, scope: Scope) -> Self {
        Self { all, scope }
    }
}

impl IngesterWriters for Hasty {
    fn writer(&self, id: &InstanceId) -> Option<Arc<dyn IngesterWrite>> {
        let ingester = self.all.get(id)?;
        match id.as_str().starts_with(NOT_WAITED_FOR) {
            true => Some(Arc::new(HastyIngester { ingester, scope: self.scope.clone() })),
            false => Some(ingester),
        }
    }
}

struct HastyIngester {
    ingester: Arc<RemoteIngester>,
    scope: Scope,
}

#[async_trait]
impl IngesterWrite for HastyIngester {
    async fn push(&self, request: PushRequest) -> Result<PushResponse, Error> {
        let ingester = Arc::clone(&self.ingester);
        drop(self.scope.spawn("hasty push", async move {
            ingester.push_within(request, Duration::from_secs(10)).await
        }));
        Ok(PushResponse::default())
    }
}

/// Where an ingester fails, one of another zone takes what was meant for it.
pub(super) struct StandIns {
    all: RemoteIngesters,
}

impl StandIns {
    pub(super) fn new(all: RemoteIngesters) -> Self {
        Self { all }
    }
}

impl IngesterWriters for StandIns {
    fn writer(&self, id: &InstanceId) -> Option<Arc<dyn IngesterWrite>> {
        let stand_in = self.all.get(&InstanceId::new(STAND_IN))?;
        Some(Arc::new(WithStandIn { ingester: self.all.get(id)?, stand_in }))
    }
}

struct WithStandIn {
    ingester: Arc<RemoteIngester>,
    stand_in: Arc<RemoteIngester>,
}

#[async_trait]
impl IngesterWrite for WithStandIn {
    async fn push(&self, request: PushRequest) -> Result<PushResponse, Error> {
        self.push_within(request, Duration::from_secs(10)).await
    }

    async fn push_within(&self, request: PushRequest, timeout: Duration) -> Result<PushResponse, Error> {
        match self.ingester.push_within(request.clone(), timeout / 2).await {
            Err(_) => self.stand_in.push_within(request, timeout / 2).await,
            answer => answer,
        }
    }
}

/// What is handed over loses a series on the way.
pub(super) struct Careless {
    all: RemoteIngesters,
}

impl Careless {
    pub(super) fn new(all: RemoteIngesters) -> Self {
        Self { all }
    }
}

impl Successors for Careless {
    fn successor(&self, id: &InstanceId) -> Option<Arc<dyn TakeOver>> {
        Some(Arc::new(CarelessIngester(self.all.get(id)?)))
    }
}

struct CarelessIngester(Arc<RemoteIngester>);

#[async_trait]
impl TakeOver for CarelessIngester {
    async fn take_over(&self, mut request: TakeOverRequest) -> Result<TakenOver, Error> {
        if !request.series.is_empty() {
            request.series.remove(0);
        }
        self.0.take_over(request).await
    }
}

/// Who does not answer has nothing.
pub(super) struct Undemanding {
    all: RemoteIngesters,
}

impl Undemanding {
    pub(super) fn new(all: RemoteIngesters) -> Self {
        Self { all }
    }
}

impl IngesterReaders for Undemanding {
    fn reader(&self, id: &InstanceId) -> Option<Arc<dyn IngesterRead>> {
        Some(Arc::new(UndemandingIngester(self.all.get(id)?)))
    }
}

struct UndemandingIngester(Arc<RemoteIngester>);

#[async_trait]
impl IngesterRead for UndemandingIngester {
    async fn select(&self, request: SelectRequest) -> Result<SelectStream, Error> {
        Ok(match self.0.select(request).await {
            Ok(series) => series,
            Err(_) => futures::stream::empty().boxed(),
        })
    }

    async fn select_checksums(&self, request: SelectRequest) -> Result<ChecksumStream, Error> {
        Ok(match self.0.select_checksums(request).await {
            Ok(series) => series,
            Err(_) => futures::stream::empty().boxed(),
        })
    }

    async fn select_referenced(&self, request: ReferencedRequest) -> Result<Vec<SeriesChunks>, Error> {
        self.0.select_referenced(request).await
    }

    async fn series(&self, request: SeriesRequest) -> Result<Vec<Labels>, Error> {
        self.0.series(request).await
    }

    async fn label_names(&self, request: LabelNamesRequest) -> Result<Vec<String>, Error> {
        self.0.label_names(request).await
    }

    async fn label_values(&self, request: LabelValuesRequest) -> Result<Vec<String>, Error> {
        self.0.label_values(request).await
    }

    async fn metadata(&self, request: MetadataRequest) -> Result<Vec<FamilyMetadata>, Error> {
        self.0.metadata(request).await
    }

    async fn exemplars(&self, request: ExemplarsRequest) -> Result<Vec<SeriesExemplars>, Error> {
        self.0.exemplars(request).await
    }

    async fn stats(&self, tenant: &TenantId) -> Result<TenantStats, Error> {
        self.0.stats(tenant).await
    }
}
