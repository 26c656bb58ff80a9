//! The callee's side.

use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt};
use prost::Message;
use proto::ingester as message;
use proto::ingester::ingester_server::{Ingester, IngesterServer};
use proto::{Error, IngesterRead, IngesterWrite, SeriesChunks};
use tonic::{Request, Response, Status};

use super::{bounded, cardinality, checksums, labels, malformed, read, write};
use crate::grpc::to_status;

/// About how long a message of a streamed answer becomes, in bytes: an entry more is in it.
const MESSAGE_BYTES: usize = 1 << 20;

/// Serves an ingester to other processes.
pub struct IngesterService<I> {
    ingester: Arc<I>,
}

impl<I: IngesterRead + IngesterWrite + 'static> IngesterService<I> {
    /// The service, for [`tonic::service::Routes`]; a message that is longer than `max_message_bytes` is refused.
    pub fn serve(ingester: Arc<I>, max_message_bytes: usize) -> IngesterServer<Self> {
        IngesterServer::new(Self { ingester }).max_decoding_message_size(max_message_bytes)
    }
}

type Stream<M> = BoxStream<'static, Result<M, Status>>;
type Answer<M> = Result<Response<M>, Status>;

/// The answer, or the status of an error.
fn answer<M>(result: Result<M, Error>) -> Answer<M> {
    result.map(Response::new).map_err(|error| to_status(&error))
}

/// Messages made of batches.
fn stream<B: 'static, M: 'static>(
    batches: Result<BoxStream<'static, Result<B, Error>>, Error>,
    message: impl Fn(B) -> M + Send + 'static,
) -> Answer<Stream<M>> {
    let messages = batches.map(|batches| {
        batches.map(move |batch| batch.map(&message).map_err(|error| to_status(&error))).boxed()
    });
    answer(messages)
}

/// Entries, as many in each message as fit.
fn entries<E: Message + 'static, M: Send + 'static>(
    entries: Result<Vec<E>, Error>,
    message: impl Fn(Vec<E>) -> M,
) -> Answer<Stream<M>> {
    answer(entries.map(|entries| messages(entries, E::encoded_len, message)))
}

fn messages<E, M: Send + 'static>(
    entries: Vec<E>,
    length: impl Fn(&E) -> usize,
    message: impl Fn(Vec<E>) -> M,
) -> Stream<M> {
    let mut messages = Vec::new();
    let (mut part, mut bytes) = (Vec::new(), 0);
    for entry in entries {
        bytes += length(&entry);
        part.push(entry);
        if bytes >= MESSAGE_BYTES {
            messages.push(Ok(message(std::mem::take(&mut part))));
            bytes = 0;
        }
    }
    if !part.is_empty() {
        messages.push(Ok(message(part)));
    }
    futures::stream::iter(messages).boxed()
}

fn texts(texts: Result<Vec<String>, Error>) -> Answer<Stream<message::TextsResponse>> {
    answer(texts.map(|texts| messages(texts, String::len, |texts| message::TextsResponse { texts })))
}

/// What a request asks for, or the status that says what is wrong with it.
fn asked<T>(request: Result<T, Error>) -> Result<T, Status> {
    request.map_err(|error| to_status(&error))
}

#[tonic::async_trait]
impl<I: IngesterRead + IngesterWrite + 'static> Ingester for IngesterService<I> {
    type SelectStream = Stream<message::SelectResponse>;
    type SelectReferencedStream = Stream<message::SelectResponse>;
    type SeriesStream = Stream<message::SeriesResponse>;
    type LabelNamesStream = Stream<message::TextsResponse>;
    type LabelValuesStream = Stream<message::TextsResponse>;
    type MetadataStream = Stream<message::MetadataResponse>;
    type AllStatsStream = Stream<message::AllStatsResponse>;
    type ExemplarsStream = Stream<message::ExemplarsResponse>;
    type LabelNamesCardinalityStream = Stream<message::LabelNamesCardinalityResponse>;
    type ActiveSeriesStream = Stream<message::ActiveSeriesResponse>;

    async fn push(&self, request: Request<message::PushRequest>) -> Answer<message::PushResponse> {
        let request = asked(write::from_push(request.into_inner()))?;
        answer(self.ingester.push(request).await.map(write::to_response))
    }

    async fn select(&self, request: Request<message::SelectRequest>) -> Answer<Self::SelectStream> {
        let message = request.into_inner();
        let checksums = checksums::are_asked_for(&message);
        let request = asked(read::from_select(message))?;
        if checksums {
            return stream(self.ingester.select_checksums(request).await, checksums::to_checked);
        }
        stream(self.ingester.select(request).await, read::to_batch)
    }

    async fn select_referenced(
        &self,
        request: Request<message::SelectReferencedRequest>,
    ) -> Answer<Self::SelectReferencedStream> {
        let request = asked(checksums::from_referenced(&request.into_inner()))?;
        let series = self.ingester.select_referenced(request).await;
        let length = |series: &SeriesChunks| series.chunks.iter().map(|chunk| chunk.data.len()).sum();
        answer(series.map(|series| messages(series, length, read::to_batch)))
    }

    async fn series(&self, request: Request<message::SeriesRequest>) -> Answer<Self::SeriesStream> {
        let request = asked(read::from_series(request.into_inner()))?;
        let series = self.ingester.series(request).await;
        let packed = series.map(|series| series.iter().map(labels::pack).collect());
        answer(
            packed.map(|packed| {
                messages(packed, bytes::Bytes::len, |labels| message::SeriesResponse { labels })
            }),
        )
    }

    async fn label_names(&self, request: Request<message::SeriesRequest>) -> Answer<Self::LabelNamesStream> {
        let request = asked(read::from_series(request.into_inner()))?;
        texts(self.ingester.label_names(request).await)
    }

    async fn label_values(
        &self,
        request: Request<message::LabelValuesRequest>,
    ) -> Answer<Self::LabelValuesStream> {
        let request = asked(read::from_values(request.into_inner()))?;
        texts(self.ingester.label_values(request).await)
    }

    async fn metadata(&self, request: Request<message::MetadataRequest>) -> Answer<Self::MetadataStream> {
        let request = asked(read::from_metadata_request(request.into_inner()))?;
        let families = self.ingester.metadata(request).await;
        let families = families.map(|families| families.into_iter().map(read::to_family).collect());
        entries(families, |families| message::MetadataResponse { families })
    }

    async fn exemplars(&self, request: Request<message::ExemplarsRequest>) -> Answer<Self::ExemplarsStream> {
        let request = asked(read::from_exemplars_request(request.into_inner()))?;
        let series = self.ingester.exemplars(request).await;
        let series = series.map(|series| series.iter().map(read::to_exemplars).collect());
        entries(series, |series| message::ExemplarsResponse { series })
    }

    async fn stats(&self, request: Request<message::StatsRequest>) -> Answer<message::StatsResponse> {
        let tenant = asked(write::tenant(&request.into_inner().tenant))?;
        let stats = self.ingester.stats(&tenant).await;
        answer(stats.map(|stats| message::StatsResponse { series: stats.series, samples: stats.samples }))
    }

    async fn all_stats(&self, _request: Request<message::AllStatsRequest>) -> Answer<Self::AllStatsStream> {
        let entry = |(tenant, stats): (model::TenantId, proto::TenantStats)| message::TenantStats {
            tenant: tenant.as_str().to_owned(),
            series: stats.series,
            samples: stats.samples,
        };
        let tenants = self.ingester.all_stats().await;
        let tenants = tenants.map(|tenants| tenants.into_iter().map(entry).collect());
        entries(tenants, |tenants| message::AllStatsResponse { tenants })
    }

    async fn label_names_cardinality(
        &self,
        request: Request<message::CardinalityRequest>,
    ) -> Answer<Self::LabelNamesCardinalityStream> {
        let (request, max) = asked(cardinality::from_request(request.into_inner()))?;
        let labels = self.ingester.label_names_cardinality(request, max).await;
        let labels = labels.map(|labels| labels.into_iter().map(cardinality::to_name).collect());
        entries(labels, |labels| message::LabelNamesCardinalityResponse { labels })
    }

    async fn label_values_cardinality(
        &self,
        request: Request<message::LabelValuesCardinalityRequest>,
    ) -> Answer<message::LabelValuesCardinalityResponse> {
        let message::LabelValuesCardinalityRequest { names, request } = request.into_inner();
        let request = asked(request.ok_or_else(|| malformed("a count of nothing")))?;
        let (request, max) = asked(cardinality::from_request(request))?;
        let values = self.ingester.label_values_cardinality(names, request, max).await;
        answer(values.map(cardinality::to_values))
    }

    async fn active_series(
        &self,
        request: Request<message::CardinalityRequest>,
    ) -> Answer<Self::ActiveSeriesStream> {
        let (request, max) = asked(cardinality::from_request(request.into_inner()))?;
        stream(self.ingester.active_series(request, max).await, |batch| {
            let series = batch.iter().map(cardinality::to_active).collect();
            message::ActiveSeriesResponse { series }
        })
    }

    async fn index_stats(
        &self,
        request: Request<message::IndexStatsRequest>,
    ) -> Answer<message::IndexStatsResponse> {
        let message::IndexStatsRequest { tenant, limit } = request.into_inner();
        let tenant = asked(write::tenant(&tenant))?;
        answer(self.ingester.index_stats(&tenant, bounded(limit)).await.map(cardinality::to_index))
    }
}
