//! What processes of the cluster, and operators, ask of a node.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use openraft::error::{ClientWriteError, ForwardToLeader, RaftError};
use proto::metastore::metastore_server::Metastore as MetastoreServer;
use proto::metastore::outcome::Outcome as Came;
use proto::metastore::{
    AddNodeRequest, AddNodeResponse, BackupRequest, BackupResponse, Command, Consistency, EndLease, Outcome,
    RangeRequest, RangeResponse, Record, RefusalReason, RegisterLease, RegisterLeaseRequest,
    RegisterLeaseResponse, ReleaseLeaseRequest, ReleaseLeaseResponse, RemoveNodeRequest, RemoveNodeResponse,
    RenewLeaseRequest, RenewLeaseResponse, RequestId, ResponseHeader, StatusRequest, StatusResponse,
    TxnRequest, TxnResponse, WatchRequest, WatchResponse, command,
};
use proto::{Code, Error};
use rpc::grpc::{Deadline, to_status};
use tonic::{Request, Response, Status};

use crate::node::Inner;
use crate::refused::Refused;
use crate::state::State;
use crate::status;
use crate::watch::Watch;

/// The most records of an answer, and the most bytes of their keys and values (one more record may exceed it).
const MAX_RANGE_RECORDS: usize = 10_000;
const MAX_RANGE_BYTES: usize = 4 << 20;

/// A backup is sent in parts of this size.
const BACKUP_PART_BYTES: usize = 1 << 20;

/// When to come back where the metastore cannot take a write.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// The service of a node.
#[derive(Clone)]
pub(crate) struct Service {
    node: Arc<Inner>,
}

type Frames<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Service {
    pub(crate) fn new(node: Arc<Inner>) -> Self {
        Self { node }
    }

    fn header(&self, revision: u64) -> Option<ResponseHeader> {
        header(&self.node, revision)
    }

    /// Has the cluster agree on a command.
    async fn propose(
        &self,
        command: command::Command,
        deadline: Option<Deadline>,
    ) -> Result<Outcome, Refused> {
        self.propose_once(command, None, deadline).await
    }

    /// The same, where the command has a name under which it is done once however often it is sent.
    async fn propose_once(
        &self,
        command: command::Command,
        request: Option<RequestId>,
        deadline: Option<Deadline>,
    ) -> Result<Outcome, Refused> {
        let node = &self.node;
        if node.leading_term().is_none() {
            return Err(Refused::not_leader(&leader(node)));
        }
        let timeout = deadline.map_or(node.config.write_timeout, |deadline| deadline.remaining(&*node.clock));
        let command = Command { time_ms: node.clock.now_ms(), command: Some(command), request };
        node.metrics.proposals.inc();
        let expired = node.clock.sleep(timeout);
        let written = tokio::select! {
            biased;
            written = node.raft.client_write(command) => written,
            () = expired => {
                node.metrics.failed_proposals.inc();
                let message = format!("not committed within {timeout:?}; whether it will be is not known");
                return Err(Error::new(Code::DeadlineExceeded, message).into());
            }
        };
        match written {
            Ok(written) => accepted(written.data),
            Err(error) => {
                node.metrics.failed_proposals.inc();
                Err(unknown(&error).into())
            }
        }
    }
}

/// How an answer of this node relates to the cluster.
pub(crate) fn header(node: &Inner, revision: u64) -> Option<ResponseHeader> {
    let staleness_ms = node.staleness().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    Some(ResponseHeader {
        cluster_id: node.view.read(State::cluster_id),
        revision,
        node: node.identity.id,
        staleness_ms,
    })
}

/// The cluster that this node belongs to. While there is none it has nothing to say: nothing is not the same as an
/// empty cluster.
pub(crate) fn founded(node: &Inner) -> Result<u64, Error> {
    match node.view.read(State::cluster_id) {
        0 => Err(Error::unavailable("this node of the metastore belongs to no cluster yet", RETRY_AFTER)),
        id => Ok(id),
    }
}

fn leader(node: &Inner) -> ForwardToLeader<u64, proto::metastore::Node> {
    let metrics = node.raft.metrics();
    let metrics = metrics.borrow();
    match metrics.current_leader.filter(|id| *id != node.identity.id) {
        Some(id) => match metrics.membership_config.membership().get_node(&id) {
            Some(known) => ForwardToLeader::new(id, known.clone()),
            None => ForwardToLeader::empty(),
        },
        None => ForwardToLeader::empty(),
    }
}

/// An outcome that is no refusal.
fn accepted(outcome: Outcome) -> Result<Outcome, Refused> {
    let Some(Came::Refused(refusal)) = &outcome.outcome else { return Ok(outcome) };
    let code = match refusal.reason() {
        RefusalReason::NoLease => Code::NotFound,
        RefusalReason::Full | RefusalReason::Forgotten | RefusalReason::Superseded => Code::Unprocessable,
        RefusalReason::Invalid | RefusalReason::Unspecified => Code::InvalidArgument,
    };
    Err(Error::new(code, refusal.message.clone()).into())
}

/// A write that began as leader and ended otherwise. The next leader may have its entry.
fn unknown(error: &RaftError<u64, ClientWriteError<u64, proto::metastore::Node>>) -> Error {
    let reason = match error {
        RaftError::APIError(_) => "leadership changed meanwhile".to_owned(),
        RaftError::Fatal(fatal) => format!("the metastore node has failed: {fatal}"),
    };
    Error::internal(format!("{reason}; whether the write was committed is not known"))
}

fn deadline<T>(request: &Request<T>) -> Option<Deadline> {
    request.extensions().get::<Deadline>().copied()
}

#[tonic::async_trait]
impl MetastoreServer for Service {
    type WatchStream = Frames<WatchResponse>;
    type BackupStream = Frames<BackupResponse>;

    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        let request = request.into_inner();
        if request.consistency() == Consistency::Linearizable {
            self.node.gate.pass().await?;
        }
        founded(&self.node).map_err(|error| to_status(&error))?;
        let (revision, records, more) = self.node.view.read(|state| {
            let (records, more) = range(state, &request);
            (state.revision(), records, more)
        });
        Ok(Response::new(RangeResponse { header: self.header(revision), records, more }))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let deadline = deadline(&request);
        let TxnRequest { txn, request } = request.into_inner();
        let command = command::Command::Txn(txn.unwrap_or_default());
        let outcome = self.propose_once(command, request, deadline).await?;
        let header = self.header(outcome.revision);
        match outcome.outcome {
            Some(Came::Txn(result)) => Ok(Response::new(TxnResponse { header, result: Some(result) })),
            _ => Err(unexpected()),
        }
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let watch =
            Watch::new(Arc::clone(&self.node), request.into_inner()).map_err(|error| to_status(&error))?;
        Ok(Response::new(watch.frames().map(Ok).boxed()))
    }

    async fn register_lease(
        &self,
        request: Request<RegisterLeaseRequest>,
    ) -> Result<Response<RegisterLeaseResponse>, Status> {
        let deadline = deadline(&request);
        let RegisterLeaseRequest { lease, replaces } = request.into_inner();
        let register = RegisterLease { lease, replaces };
        let outcome = self.propose(command::Command::RegisterLease(register), deadline).await?;
        let header = self.header(outcome.revision);
        match outcome.outcome {
            Some(Came::Lease(lease)) => {
                Ok(Response::new(RegisterLeaseResponse { header, lease: Some(lease) }))
            }
            _ => Err(unexpected()),
        }
    }

    async fn renew_lease(
        &self,
        request: Request<RenewLeaseRequest>,
    ) -> Result<Response<RenewLeaseResponse>, Status> {
        let arrived = self.node.clock.monotonic();
        let RenewLeaseRequest { instance, token } = request.into_inner();
        // Nobody else has led since the renewal arrived, so nobody else has ended the lease.
        self.node.renewals.pass().await?;
        let (revision, lease) = self.node.view.read(|state| (state.revision(), state.lease(&instance)));
        let live = lease.filter(|lease| lease.token == token);
        let Some(lease) = live.filter(|lease| self.node.leases.lock().renew(arrived, lease)) else {
            let message =
                format!("instance {instance:?} has no lease with token {token} any more; register again");
            return Err(to_status(&Error::new(Code::NotFound, message)));
        };
        self.node.metrics.renewals.inc();
        Ok(Response::new(RenewLeaseResponse { header: self.header(revision), ttl_ms: lease.ttl_ms }))
    }

    async fn release_lease(
        &self,
        request: Request<ReleaseLeaseRequest>,
    ) -> Result<Response<ReleaseLeaseResponse>, Status> {
        let deadline = deadline(&request);
        let ReleaseLeaseRequest { instance, token } = request.into_inner();
        let end = EndLease { instance, token, released: true };
        let outcome = self.propose(command::Command::EndLease(end), deadline).await?;
        Ok(Response::new(ReleaseLeaseResponse { header: self.header(outcome.revision) }))
    }

    async fn status(&self, _request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(status::of(&self.node)))
    }

    async fn add_node(&self, request: Request<AddNodeRequest>) -> Result<Response<AddNodeResponse>, Status> {
        let AddNodeRequest { address, learner } = request.into_inner();
        let member = self.node.admin.add(&address, learner).await?;
        Ok(Response::new(AddNodeResponse { member: Some(member) }))
    }

    async fn remove_node(
        &self,
        request: Request<RemoveNodeRequest>,
    ) -> Result<Response<RemoveNodeResponse>, Status> {
        let member = self.node.admin.remove(&request.into_inner().node).await?;
        Ok(Response::new(RemoveNodeResponse { member: Some(member) }))
    }

    async fn backup(&self, _request: Request<BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        self.node.gate.pass().await?;
        let state = self.node.view.read(State::clone);
        let image = self.node.scope.run_blocking(move || state.to_image()).await;
        let mut image =
            image.map_err(|error| to_status(&Error::unavailable(error.to_string(), RETRY_AFTER)))?;
        let parts = std::iter::from_fn(move || {
            let data: Bytes = image.split_to(image.len().min(BACKUP_PART_BYTES));
            (!data.is_empty()).then_some(Ok(BackupResponse { data }))
        });
        Ok(Response::new(futures::stream::iter(parts).boxed()))
    }
}

/// The records that a request asks for, within the bounds of an answer, and whether there are more.
fn range(state: &State, request: &RangeRequest) -> (Vec<Record>, bool) {
    if !request.prefix {
        let record = state.get(&request.key).map(|record| (**record).clone());
        return (record.into_iter().collect(), false);
    }
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let limit = if limit == 0 { MAX_RANGE_RECORDS } else { limit.min(MAX_RANGE_RECORDS) };
    let mut records = Vec::new();
    let mut bytes = 0;
    for record in state.range(&request.key, &request.after) {
        if records.len() >= limit || bytes >= MAX_RANGE_BYTES {
            return (records, true);
        }
        bytes += record.key.len() + record.value.len();
        records.push((**record).clone());
    }
    (records, false)
}

fn unexpected() -> Status {
    to_status(&Error::internal("the command came to something that it cannot come to"))
}
