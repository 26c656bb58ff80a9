//! What a node says to others.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, OptionalSend, RPCTypes};
use proto::metastore::install_snapshot_request::Part;
use proto::metastore::raft_client::RaftClient;
use proto::metastore::{self as wire, Node};
use rpc::grpc::{ChannelPool, GrpcChannel};
use tonic::Status;

use crate::convert::{self, Incomplete, need};
use crate::observe::Unanswered;
use crate::types::{Snapshot, TypeConfig, Vote};

/// A snapshot travels in parts of this size.
const SNAPSHOT_PART_BYTES: usize = 1 << 20;

/// How long a node that could not be reached is left alone.
const UNREACHABLE_WAIT: Duration = Duration::from_millis(100);

/// The longest entries of one message come from the log in pieces below this; see the log's reader.
type Rpc<E> = RPCError<u64, Node, RaftError<u64, E>>;

/// Makes the connections of a node to others.
#[derive(Clone)]
pub(crate) struct Network {
    id: u64,
    pool: Arc<ChannelPool>,
    unanswered: Arc<Unanswered>,
}

impl Network {
    /// The network of node `id`.
    pub(crate) fn new(id: u64, pool: Arc<ChannelPool>) -> Self {
        Self { id, pool, unanswered: Arc::default() }
    }

    /// A client of what listens at an address.
    pub(crate) fn client(&self, address: &str) -> Result<RaftClient<GrpcChannel>, rpc::grpc::InvalidAddress> {
        let channel = self.pool.get(address)?;
        let max = channel.max_message_bytes();
        Ok(RaftClient::new(channel).max_decoding_message_size(max))
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Target;

    async fn new_client(&mut self, target: u64, node: &Node) -> Target {
        Target {
            id: self.id,
            target,
            name: node.name.clone(),
            unanswered: Arc::clone(&self.unanswered),
            client: self.client(&node.address).map_err(|error| AnyError::new(&error)),
        }
    }
}

/// The connection to one node.
pub(crate) struct Target {
    id: u64,
    target: u64,
    name: String,
    unanswered: Arc<Unanswered>,
    /// Or why there can be none.
    client: Result<RaftClient<GrpcChannel>, AnyError>,
}

impl Target {
    fn client(&mut self) -> Result<&mut RaftClient<GrpcChannel>, Unreachable> {
        self.client.as_mut().map_err(|error| Unreachable::new(error))
    }

    fn timeout(&self, action: RPCTypes, timeout: Duration) -> Timeout<u64> {
        Timeout { action, id: self.id, target: self.target, timeout }
    }

    fn answered(&self) {
        self.unanswered.answered(self.target, &self.name);
    }

    fn failed<E: std::error::Error>(&self, status: &Status, action: RPCTypes, ttl: Duration) -> Rpc<E> {
        self.unanswered.silent(self.target, &self.name, status.message());
        match status.code() {
            tonic::Code::DeadlineExceeded => self.timeout(action, ttl).into(),
            _ => Unreachable::new(status).into(),
        }
    }
}

/// A call with openraft's time limit as its deadline.
fn within<T>(message: T, option: &RPCOption) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(option.hard_ttl());
    request
}

/// An answer that cannot be understood counts as none.
fn incomplete(error: Incomplete) -> Unreachable {
    Unreachable::new(&error)
}

impl RaftNetwork<TypeConfig> for Target {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, Rpc<openraft::error::Infallible>> {
        use wire::append_entries_response::Result as Came;
        let request = wire::AppendEntriesRequest {
            target: self.target,
            vote: Some(convert::vote_to_wire(&rpc.vote)),
            prev_log_id: rpc.prev_log_id.as_ref().map(convert::log_id_to_wire),
            entries: rpc.entries.iter().map(convert::entry_to_wire).collect(),
            leader_commit: rpc.leader_commit.as_ref().map(convert::log_id_to_wire),
        };
        let answer = self.client()?.append_entries(within(request, &option)).await;
        let answer = answer
            .map_err(|status| self.failed(&status, RPCTypes::AppendEntries, option.hard_ttl()))?
            .into_inner();
        self.answered();
        Ok(match need(answer.result, "result").map_err(incomplete)? {
            Came::Success(_) => AppendEntriesResponse::Success,
            Came::Partial(id) => AppendEntriesResponse::PartialSuccess(Some(convert::log_id(&id))),
            Came::Conflict(_) => AppendEntriesResponse::Conflict,
            Came::HigherVote(vote) => AppendEntriesResponse::HigherVote(convert::vote(&vote)),
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, Rpc<openraft::error::Infallible>> {
        let request = wire::VoteRequest {
            target: self.target,
            vote: Some(convert::vote_to_wire(&rpc.vote)),
            last_log_id: rpc.last_log_id.as_ref().map(convert::log_id_to_wire),
        };
        let answer = self.client()?.request_vote(within(request, &option)).await;
        let answer =
            answer.map_err(|status| self.failed(&status, RPCTypes::Vote, option.hard_ttl()))?.into_inner();
        Ok(VoteResponse {
            vote: convert::vote(&need(answer.vote, "vote").map_err(incomplete)?),
            vote_granted: answer.granted,
            last_log_id: answer.last_log_id.as_ref().map(convert::log_id),
        })
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<TypeConfig, Fatal<u64>>> {
        let start = wire::SnapshotStart {
            target: self.target,
            vote: Some(convert::vote_to_wire(&vote)),
            meta: Some(convert::snapshot_meta_to_wire(&snapshot.meta)),
            bytes: snapshot.snapshot.len() as u64,
        };
        let parts = futures::stream::iter(parts(start, *snapshot.snapshot));
        let timeout = self.timeout(RPCTypes::InstallSnapshot, option.hard_ttl());
        let send = self.client()?.install_snapshot(within(parts, &option));
        let answer = tokio::select! {
            biased;
            closed = cancel => return Err(StreamingError::Closed(closed)),
            answer = send => answer,
        };
        match answer {
            Ok(answer) => {
                let vote = need(answer.into_inner().vote, "vote").map_err(incomplete)?;
                Ok(SnapshotResponse::new(convert::vote(&vote)))
            }
            Err(status) if status.code() == tonic::Code::DeadlineExceeded => Err(timeout.into()),
            Err(status) => Err(Unreachable::new(&status).into()),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(UNREACHABLE_WAIT))
    }
}

/// A snapshot's start, then its data.
fn parts(
    start: wire::SnapshotStart,
    mut data: Bytes,
) -> impl Iterator<Item = wire::InstallSnapshotRequest> + Send + 'static {
    let rest = std::iter::from_fn(move || {
        let part = data.split_to(data.len().min(SNAPSHOT_PART_BYTES));
        (!part.is_empty()).then_some(Part::Data(part))
    });
    std::iter::once(Part::Start(start))
        .chain(rest)
        .map(|part| wire::InstallSnapshotRequest { part: Some(part) })
}
