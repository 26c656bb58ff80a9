//! What a node answers others.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use env::Clock;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest};
use parking_lot::Mutex;
use proto::metastore::install_snapshot_request::Part;
use proto::metastore::raft_server::Raft as RaftServer;
use proto::metastore::{self as wire, Member};
use proto::{Code, Error};
use rpc::grpc::to_status;
use tonic::{Request, Response, Status, Streaming};

use crate::admin::Admin;
use crate::convert::{self, Incomplete, need};
use crate::state::MAX_IMAGE_BYTES;
use crate::store::View;
use crate::types::{Raft, Snapshot};

/// What a buffer for a snapshot begins with; it grows with what arrives, not with what was announced.
const FIRST_BUFFER_BYTES: usize = 1 << 20;

/// How old a follower's state may be: since when it has had everything that a leader had committed at some moment.
#[derive(Debug, Default)]
pub(crate) struct Freshness {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Everything committed at this moment is applied.
    fresh: Option<Duration>,
    /// An entry that was the last committed one at a moment.
    waiting: Option<(Option<u64>, Duration)>,
}

impl Freshness {
    /// A leader said, at `now`, that entries up to `committed` are.
    fn heard(&self, committed: Option<u64>, now: Duration, applied: Option<u64>) {
        let mut seen = self.seen.lock();
        seen.settle(applied);
        if seen.waiting.is_none() {
            seen.waiting = Some((committed, now));
            seen.settle(applied);
        }
    }

    /// How old the state may be at `now`, with entries up to `applied` in it; `None` where no leader was heard yet.
    /// What a message takes on its way is not in it.
    pub(crate) fn staleness(&self, now: Duration, applied: Option<u64>) -> Option<Duration> {
        let mut seen = self.seen.lock();
        seen.settle(applied);
        seen.fresh.map(|fresh| now.saturating_sub(fresh))
    }
}

impl Seen {
    fn settle(&mut self, applied: Option<u64>) {
        if let Some((committed, at)) = self.waiting
            && applied >= committed
        {
            self.fresh = Some(at);
            self.waiting = None;
        }
    }
}

/// The service that other nodes call.
#[derive(Clone)]
pub(crate) struct RaftService {
    pub(crate) identity: Arc<Member>,
    pub(crate) raft: Raft,
    pub(crate) view: View,
    pub(crate) freshness: Arc<Freshness>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) admin: Admin,
}

impl RaftService {
    /// Whether a call is for this node: its address may have been another node's before.
    fn is_for_us(&self, target: u64) -> Result<(), Status> {
        if target == self.identity.id {
            return Ok(());
        }
        let message = format!("node {target} is meant, node {} is here", self.identity.id);
        Err(to_status(&Error::new(Code::NotFound, message)))
    }
}

fn incomplete(error: Incomplete) -> Status {
    to_status(&Error::invalid(error.to_string()))
}

fn failed(error: &impl std::fmt::Display) -> Status {
    to_status(&Error::internal(format!("the metastore node has failed: {error}")))
}

#[tonic::async_trait]
impl RaftServer for RaftService {
    async fn append_entries(
        &self,
        request: Request<wire::AppendEntriesRequest>,
    ) -> Result<Response<wire::AppendEntriesResponse>, Status> {
        use wire::append_entries_response::Result as Came;
        let request = request.into_inner();
        self.is_for_us(request.target)?;
        let arrived = self.clock.monotonic();
        let committed = request.leader_commit.as_ref().map(|id| id.index);
        let entries: Result<Vec<_>, _> = request.entries.into_iter().map(convert::entry).collect();
        let append = AppendEntriesRequest {
            vote: convert::vote(&need(request.vote, "vote").map_err(incomplete)?),
            prev_log_id: request.prev_log_id.as_ref().map(convert::log_id),
            entries: entries.map_err(incomplete)?,
            leader_commit: request.leader_commit.as_ref().map(convert::log_id),
        };
        let result = match self.raft.append_entries(append).await.map_err(|error| failed(&error))? {
            AppendEntriesResponse::Success => {
                let applied = self.view.progress().borrow().index;
                self.freshness.heard(committed, arrived, applied);
                Came::Success(true)
            }
            AppendEntriesResponse::PartialSuccess(Some(id)) => Came::Partial(convert::log_id_to_wire(&id)),
            AppendEntriesResponse::PartialSuccess(None) | AppendEntriesResponse::Conflict => {
                Came::Conflict(true)
            }
            AppendEntriesResponse::HigherVote(vote) => Came::HigherVote(convert::vote_to_wire(&vote)),
        };
        Ok(Response::new(wire::AppendEntriesResponse { result: Some(result) }))
    }

    async fn request_vote(
        &self,
        request: Request<wire::VoteRequest>,
    ) -> Result<Response<wire::VoteResponse>, Status> {
        let request = request.into_inner();
        self.is_for_us(request.target)?;
        let vote = convert::vote(&need(request.vote, "vote").map_err(incomplete)?);
        let asked = VoteRequest::new(vote, request.last_log_id.as_ref().map(convert::log_id));
        let answer = self.raft.vote(asked).await.map_err(|error| failed(&error))?;
        Ok(Response::new(wire::VoteResponse {
            vote: Some(convert::vote_to_wire(&answer.vote)),
            granted: answer.vote_granted,
            last_log_id: answer.last_log_id.as_ref().map(convert::log_id_to_wire),
        }))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<wire::InstallSnapshotRequest>>,
    ) -> Result<Response<wire::InstallSnapshotResponse>, Status> {
        let mut parts = request.into_inner();
        let first = parts.message().await?.and_then(|part| part.part);
        let Some(Part::Start(start)) = first else { return Err(incomplete(Incomplete { field: "start" })) };
        self.is_for_us(start.target)?;
        let data = receive(&mut parts, start.bytes).await?;
        let vote = convert::vote(&need(start.vote, "vote").map_err(incomplete)?);
        let meta = convert::snapshot_meta(&need(start.meta, "meta").map_err(incomplete)?);
        let snapshot = Snapshot { meta, snapshot: Box::new(data) };
        let answer = self.raft.install_full_snapshot(vote, snapshot).await.map_err(|error| failed(&error))?;
        Ok(Response::new(wire::InstallSnapshotResponse { vote: Some(convert::vote_to_wire(&answer.vote)) }))
    }

    async fn identify(
        &self,
        _request: Request<wire::IdentifyRequest>,
    ) -> Result<Response<wire::IdentifyResponse>, Status> {
        let initialized = self.raft.is_initialized().await.map_err(|error| failed(&error))?;
        let name = self.identity.node.as_ref().map(|node| node.name.clone()).unwrap_or_default();
        Ok(Response::new(wire::IdentifyResponse { id: self.identity.id, name, initialized }))
    }

    async fn join(
        &self,
        request: Request<wire::JoinRequest>,
    ) -> Result<Response<wire::JoinResponse>, Status> {
        let member = need(request.into_inner().member, "member").map_err(incomplete)?;
        self.admin.join(member).await?;
        Ok(Response::new(wire::JoinResponse {}))
    }
}

/// The bytes of a snapshot of announced length.
async fn receive(
    parts: &mut Streaming<wire::InstallSnapshotRequest>,
    announced: u64,
) -> Result<Bytes, Status> {
    let wrong = |message: String| to_status(&Error::invalid(message));
    let expected =
        usize::try_from(announced).ok().filter(|bytes| *bytes <= MAX_IMAGE_BYTES).ok_or_else(|| {
            wrong(format!("a snapshot of {announced} bytes; at most {MAX_IMAGE_BYTES} are taken"))
        })?;
    let mut data = BytesMut::with_capacity(expected.min(FIRST_BUFFER_BYTES));
    while let Some(part) = parts.message().await? {
        let Some(Part::Data(part)) = part.part else {
            return Err(wrong("a snapshot has something else than data behind its start".to_owned()));
        };
        if data.len() + part.len() > expected {
            return Err(wrong(format!("a snapshot has more than the {expected} bytes that it announced")));
        }
        data.extend_from_slice(&part);
    }
    if data.len() < expected {
        return Err(wrong(format!("a snapshot ended after {} of {expected} bytes", data.len())));
    }
    Ok(data.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_as_old_as_the_last_moment_whose_commits_are_all_in_it() {
        let freshness = Freshness::default();
        let at = Duration::from_secs;
        assert_eq!(freshness.staleness(at(1), None), None);
        freshness.heard(Some(5), at(10), Some(4));
        assert_eq!(freshness.staleness(at(11), Some(4)), None);
        assert_eq!(freshness.staleness(at(12), Some(5)), Some(at(2)));
        // Behind: what is heard meanwhile does not make it fresh.
        freshness.heard(Some(9), at(20), Some(5));
        freshness.heard(Some(12), at(30), Some(7));
        assert_eq!(freshness.staleness(at(31), Some(8)), Some(at(21)));
        assert_eq!(freshness.staleness(at(32), Some(9)), Some(at(12)));
        freshness.heard(Some(12), at(33), Some(12));
        assert_eq!(freshness.staleness(at(34), Some(12)), Some(at(1)));
    }
}
