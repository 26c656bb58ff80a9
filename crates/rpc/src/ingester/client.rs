//! The caller's side.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use model::{Labels, TenantId};
use proto::ingester as message;
use proto::ingester::ingester_client::IngesterClient;
use proto::{
    ActiveSeriesStream, CardinalityRequest, ChecksumStream, Code, Error, ExemplarsRequest, FamilyMetadata,
    IndexStats, IngesterRead, IngesterWrite, LabelNameCardinality, LabelNamesRequest, LabelValuesCardinality,
    LabelValuesRequest, MetadataRequest, PushRequest, PushResponse, ReferencedRequest, SelectRequest,
    SelectStream, SeriesChunks, SeriesExemplars, SeriesRequest, TenantStats,
};
use tonic::{Response, Status, Streaming};

use super::send::{Parts, send};
use super::{cardinality, checksums, labels, read, write};
use crate::grpc::{GrpcChannel, RetryBudget, from_status};

type PushAnswer = message::PushResponse;

/// An ingester in another process.
#[derive(Debug, Clone)]
pub struct RemoteIngester {
    client: IngesterClient<GrpcChannel>,
    channel: GrpcChannel,
}

impl RemoteIngester {
    /// The ingester at the other end of a channel.
    pub fn new(channel: GrpcChannel) -> Self {
        let max = channel.max_message_bytes();
        Self { client: IngesterClient::new(channel.clone()).max_decoding_message_size(max), channel }
    }

    /// The ingester is no longer one of the cluster's.
    pub(super) fn forget(&self) {
        self.channel.forget_peer();
    }

    /// The channel, for other services of the ingester.
    pub(super) fn channel(&self) -> GrpcChannel {
        self.channel.clone()
    }

    fn client(&self) -> IngesterClient<GrpcChannel> {
        self.client.clone()
    }
}

/// Whether a call did not come back from the network. An ingester that says itself that it is unavailable gives details.
fn is_lost(status: &Status) -> bool {
    status.details().is_empty() && from_status(status).code == Code::Unavailable
}

/// The one message of an answer.
fn one<M>(answer: Result<Response<M>, Status>) -> Result<M, Error> {
    answer.map(Response::into_inner).map_err(|status| from_status(&status))
}

/// The messages of an answer, each made into what it says.
fn stream<M: Send + 'static, T: Send + 'static>(
    answer: Result<Response<Streaming<M>>, Status>,
    read: impl Fn(M) -> Result<T, Error> + Send + 'static,
) -> Result<BoxStream<'static, Result<T, Error>>, Error> {
    let messages = one(answer)?.map_err(|status| from_status(&status));
    Ok(messages.and_then(move |message| std::future::ready(read(message))).boxed())
}

/// Everything that the messages of an answer hold.
async fn all<M: Send + 'static, T: Send + 'static>(
    answer: Result<Response<Streaming<M>>, Status>,
    read: impl Fn(M) -> Result<Vec<T>, Error> + Send + 'static,
) -> Result<Vec<T>, Error> {
    stream(answer, read)?.try_concat().await
}

impl RemoteIngester {
    /// Sends a message, and once more where the connection was lost on the way: a process that has restarted is reached
    /// on a new one. Series that were stored after all are stored but once.
    async fn send_part(&self, message: Parts, timeout: Option<Duration>) -> Result<PushAnswer, Status> {
        let repetitions = self.channel.repetitions();
        repetitions.inspect(|budget| budget.earn());
        let answer = send(self.channel.clone(), message.clone(), timeout).await;
        match answer {
            Err(status) if is_lost(&status) && repetitions.is_some_and(RetryBudget::spend) => {
                send(self.channel.clone(), message, timeout).await
            }
            answer => answer,
        }
    }

    /// Sends what fits into a message at a time, and puts the answers together.
    async fn send(&self, request: PushRequest, timeout: Option<Duration>) -> Result<PushResponse, Error> {
        // Half of a message is left for what is said about the series.
        let parts = write::to_push(&request, self.channel.max_message_bytes() / 2)?;
        drop(request);
        let mut all = PushResponse::default();
        let mut series = 0;
        for part in parts {
            let _under_way = self.channel.bytes(part.message.len() as u64)?;
            let answer = self.send_part(part.message, timeout).await;
            let answer = answer.map_err(|status| from_status(&status))?;
            let PushResponse { written, rejected } = write::from_response(answer);
            all.written += written;
            all.rejected.extend(rejected.into_iter().map(|mut rejection| {
                rejection.series = rejection.series.saturating_add(series);
                rejection
            }));
            series = series.saturating_add(part.series as u32);
        }
        Ok(all)
    }
}

#[async_trait]
impl IngesterWrite for RemoteIngester {
    async fn push(&self, request: PushRequest) -> Result<PushResponse, Error> {
        self.send(request, None).await
    }

    async fn push_within(&self, request: PushRequest, timeout: Duration) -> Result<PushResponse, Error> {
        self.send(request, Some(timeout)).await
    }
}

#[async_trait]
impl IngesterRead for RemoteIngester {
    async fn select(&self, request: SelectRequest) -> Result<SelectStream, Error> {
        stream(self.client().select(read::to_select(&request)).await, read::from_batch)
    }

    async fn select_checksums(&self, request: SelectRequest) -> Result<ChecksumStream, Error> {
        stream(self.client().select(checksums::to_request(&request)).await, checksums::from_checked)
    }

    async fn select_referenced(&self, request: ReferencedRequest) -> Result<Vec<SeriesChunks>, Error> {
        all(self.client().select_referenced(checksums::to_referenced(&request)).await, read::from_batch).await
    }

    async fn series(&self, request: SeriesRequest) -> Result<Vec<Labels>, Error> {
        let answer = self.client().series(read::to_series(&request)).await;
        all(answer, |message| message.labels.iter().map(|packed| labels::unpack(packed)).collect()).await
    }

    async fn label_names(&self, request: LabelNamesRequest) -> Result<Vec<String>, Error> {
        let answer = self.client().label_names(read::to_series(&request)).await;
        all(answer, |message| Ok(message.texts)).await
    }

    async fn label_values(&self, request: LabelValuesRequest) -> Result<Vec<String>, Error> {
        let answer = self.client().label_values(read::to_values(&request)).await;
        all(answer, |message| Ok(message.texts)).await
    }

    async fn metadata(&self, request: MetadataRequest) -> Result<Vec<FamilyMetadata>, Error> {
        let answer = self.client().metadata(read::to_metadata_request(request)).await;
        all(answer, |message| Ok(message.families.into_iter().map(read::from_family).collect())).await
    }

    async fn exemplars(&self, request: ExemplarsRequest) -> Result<Vec<SeriesExemplars>, Error> {
        let answer = self.client().exemplars(read::to_exemplars_request(&request)).await;
        all(answer, |message| message.series.iter().map(read::from_exemplars).collect()).await
    }

    async fn stats(&self, tenant: &TenantId) -> Result<TenantStats, Error> {
        let request = message::StatsRequest { tenant: tenant.as_str().to_owned() };
        let stats = one(self.client().stats(request).await)?;
        Ok(TenantStats { series: stats.series, samples: stats.samples })
    }

    async fn all_stats(&self) -> Result<Vec<(TenantId, TenantStats)>, Error> {
        let answer = self.client().all_stats(message::AllStatsRequest {}).await;
        let entry = |stats: message::TenantStats| {
            let tenant = write::tenant(&stats.tenant)?;
            Ok((tenant, TenantStats { series: stats.series, samples: stats.samples }))
        };
        all(answer, move |message| message.tenants.into_iter().map(entry).collect()).await
    }

    async fn label_names_cardinality(
        &self,
        request: CardinalityRequest,
        max_values: usize,
    ) -> Result<Vec<LabelNameCardinality>, Error> {
        let request = cardinality::to_request(&request, max_values);
        let answer = self.client().label_names_cardinality(request).await;
        all(answer, |message| Ok(message.labels.into_iter().map(cardinality::from_name).collect())).await
    }

    async fn label_values_cardinality(
        &self,
        names: Vec<String>,
        request: CardinalityRequest,
        max_values: usize,
    ) -> Result<LabelValuesCardinality, Error> {
        let request = Some(cardinality::to_request(&request, max_values));
        let request = message::LabelValuesCardinalityRequest { names, request };
        one(self.client().label_values_cardinality(request).await).map(cardinality::from_values)
    }

    async fn active_series(
        &self,
        request: CardinalityRequest,
        max_series: usize,
    ) -> Result<ActiveSeriesStream, Error> {
        let request = cardinality::to_request(&request, max_series);
        stream(self.client().active_series(request).await, |message| {
            message.series.iter().map(cardinality::from_active).collect()
        })
    }

    async fn index_stats(&self, tenant: &TenantId, limit: usize) -> Result<IndexStats, Error> {
        let request = message::IndexStatsRequest { tenant: tenant.as_str().to_owned(), limit: limit as u64 };
        one(self.client().index_stats(request).await).and_then(cardinality::from_index)
    }
}
