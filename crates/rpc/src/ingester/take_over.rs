//! What an ingester that leaves hands to another: both sides, and the messages.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use proto::ingester as message;
use proto::ingester::take_over_client::TakeOverClient;
use proto::ingester::take_over_server::TakeOverServer;
use proto::{Error, Successors, TakeOver, TakeOverRequest, TakenOver, TakenSeries};
use ring::InstanceId;
use tonic::{Request, Response, Status};

use super::client::RemoteIngester;
use super::peers::RemoteIngesters;
use super::{labels, malformed, read, write};
use crate::grpc::{from_status, to_status};

/// How long a receiver may take: it writes to its disk, and may have much to write.
const TIMEOUT: Duration = Duration::from_secs(60);

#[async_trait]
impl TakeOver for RemoteIngester {
    async fn take_over(&self, request: TakeOverRequest) -> Result<TakenOver, Error> {
        let mut call = Request::new(to_request(request));
        call.set_timeout(TIMEOUT);
        let channel = self.channel();
        let max = channel.max_message_bytes();
        let mut client = TakeOverClient::new(channel).max_decoding_message_size(max);
        let answer = client.take_over(call).await;
        answer.map(|response| from_response(response.get_ref())).map_err(|status| from_status(&status))
    }
}

impl Successors for RemoteIngesters {
    fn successor(&self, id: &InstanceId) -> Option<Arc<dyn TakeOver>> {
        self.get(id).map(|ingester| ingester as Arc<dyn TakeOver>)
    }
}

/// Lets other processes hand over to an ingester.
pub struct TakeOverService<I> {
    ingester: Arc<I>,
}

impl<I: TakeOver + 'static> TakeOverService<I> {
    /// The service, for [`tonic::service::Routes`]; a message that is longer than `max_message_bytes` is refused.
    pub fn serve(ingester: Arc<I>, max_message_bytes: usize) -> TakeOverServer<Self> {
        TakeOverServer::new(Self { ingester }).max_decoding_message_size(max_message_bytes)
    }
}

#[tonic::async_trait]
impl<I: TakeOver + 'static> message::take_over_server::TakeOver for TakeOverService<I> {
    async fn take_over(
        &self,
        request: Request<message::TakeOverRequest>,
    ) -> Result<Response<message::TakeOverResponse>, Status> {
        let request = from_request(request.into_inner()).map_err(|error| to_status(&error))?;
        let taken = self.ingester.take_over(request).await.map_err(|error| to_status(&error))?;
        Ok(Response::new(to_response(taken)))
    }
}

pub(super) fn to_request(request: TakeOverRequest) -> message::TakeOverRequest {
    let series = request.series.into_iter().map(|series| message::TakenSeries {
        labels: labels::pack(&series.labels),
        chunks: series.chunks.into_iter().map(read::to_chunk).collect(),
        exemplars: series.exemplars.iter().map(read::to_exemplar).collect(),
    });
    message::TakeOverRequest {
        tenant: request.tenant.as_str().to_owned(),
        series: series.collect(),
        metadata: request.metadata.into_iter().map(read::to_family).collect(),
    }
}

pub(super) fn from_request(message: message::TakeOverRequest) -> Result<TakeOverRequest, Error> {
    let series = message.series.into_iter().map(|series| {
        let labels = labels::unpack(&series.labels)?;
        if labels.is_empty() {
            return Err(malformed("a series without labels"));
        }
        let chunks = series.chunks.into_iter().map(read::from_chunk).collect::<Result<_, _>>()?;
        let exemplars = series.exemplars.iter().map(read::from_exemplar).collect::<Result<_, _>>()?;
        Ok(TakenSeries { labels, chunks, exemplars })
    });
    Ok(TakeOverRequest {
        tenant: write::tenant(&message.tenant)?,
        series: series.collect::<Result<_, Error>>()?,
        metadata: message.metadata.into_iter().map(read::from_family).collect(),
    })
}

fn to_response(taken: TakenOver) -> message::TakeOverResponse {
    let TakenOver { stored, repeated, conflicting } = taken;
    message::TakeOverResponse { stored, repeated, conflicting }
}

fn from_response(message: &message::TakeOverResponse) -> TakenOver {
    let &message::TakeOverResponse { stored, repeated, conflicting } = message;
    TakenOver { stored, repeated, conflicting }
}
